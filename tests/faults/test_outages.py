"""DynamoDB and SQS fail: calls are still answered, and no accepted event is lost."""

from __future__ import annotations

import pytest
from callhooks.events.event_item import body_of_item

from tests.faults.traffic import JAMBONZ_TIMEOUT_SECONDS, SILENT, Traffic, assert_same_answers, eventually
from tests.faulty_proxy import Fault, FaultyProxy

DRAINER_BACKS_OFF = "AmazonSQS.ChangeMessageVisibility"


@pytest.mark.parametrize("fault", [Fault.THROTTLE, Fault.ERROR, Fault.DENY, Fault.HANG, Fault.UNREACHABLE])
def test_without_the_database_everyone_is_answered_and_events_are_stored_later(
    traffic: Traffic, proxy: FaultyProxy, fault: Fault, capsys: pytest.CaptureFixture[str]
) -> None:
    """Break all requests to DynamoDB until everything is sent and the drainer has made its first attempt."""
    calls, baseline = traffic.place_twins()
    backed_off = proxy.seen[DRAINER_BACKS_OFF]
    with traffic.outage(fault, "DynamoDB") as broken:
        sent = traffic.send(calls)
        assert broken.hits
        assert not any(traffic.events_of(call) for call in calls)
        if fault in SILENT:
            # Each write would be attempted twice if the circuit breaker did not stop requests to a silent database.
            assert broken.hits < 2 * len(sent)
        if fault is not Fault.HANG:
            # The drainer waits about 15 seconds for a silent database, which is too long for this test.
            eventually(lambda: proxy.seen[DRAINER_BACKS_OFF] > backed_off)
    slowest = max(one.seconds for one in sent)
    with capsys.disabled():
        print(f"\nDynamoDB {fault.name}: the slowest answer took {slowest:.2f} s")
    assert slowest < JAMBONZ_TIMEOUT_SECONDS / 2
    assert_same_answers(baseline, sent)

    assert traffic.records_of(calls) == baseline.records
    traffic.assert_stored_once(sent)
    traffic.assert_duplicates_get_the_first_answers(sent)
    traffic.assert_stored_once(sent)
    assert traffic.message_count("SpillQueue") == 0


def test_a_database_that_fails_half_of_the_time_is_not_noticed(traffic: Traffic, proxy: FaultyProxy) -> None:
    """Break every second write of an event, including the drainer's."""
    calls, baseline = traffic.place_twins()
    before = proxy.seen["AmazonSQS.SendMessage"]
    # A denied write is not retried, so each one is spilled.
    with traffic.outage(Fault.DENY, "DynamoDB.PutItem", every=2, having="event#"):
        sent = traffic.send(calls)
        spilled = proxy.seen["AmazonSQS.SendMessage"] - before
    assert 0 < spilled < len(sent)
    assert_same_answers(baseline, sent)
    assert traffic.records_of(calls) == baseline.records
    traffic.assert_stored_once(sent)
    traffic.assert_duplicates_get_the_first_answers(sent)


@pytest.mark.parametrize("every", [1, 2])
def test_an_event_is_stored_once_if_the_reply_to_its_write_is_lost(traffic: Traffic, every: int) -> None:
    """Drop the replies to all writes of events, or to every second one. The writes succeed."""
    calls, baseline = traffic.place_twins()
    with traffic.outage(Fault.LOSE_REPLY, "DynamoDB.PutItem", every=every, having="event#") as lost:
        sent = traffic.send(calls)
        assert lost.hits
        assert any(traffic.events_of(call) for call in calls)
    assert_same_answers(baseline, sent)
    assert traffic.records_of(calls) == baseline.records
    traffic.assert_stored_once(sent)
    traffic.assert_duplicates_get_the_first_answers(sent)


def test_events_that_the_database_permanently_rejects_are_quarantined(traffic: Traffic, proxy: FaultyProxy) -> None:
    """Make DynamoDB reject every event, and nothing else, as invalid."""
    calls, baseline = traffic.place_twins()
    before = proxy.seen["AmazonSQS.SendMessage"]
    with traffic.outage(Fault.REFUSE_FOR_GOOD, "DynamoDB.PutItem", having="event#"):
        sent = traffic.send(calls)
        duplicates = traffic.send(calls)
    assert_same_answers(baseline, sent)
    assert [one.answer for one in duplicates] == [one.answer for one in sent]
    assert proxy.seen["AmazonSQS.SendMessage"] == before
    assert not any(traffic.events_of(call) for call in calls)

    bodies = {one.body for one in sent}
    quarantined = [
        item
        for item in traffic.running.items()
        if item["pk"]["S"].startswith("quarantine#") and body_of_item(item) in bodies
    ]
    assert len(quarantined) == len(sent)
    assert {(body_of_item(item), item["answer"]["S"]) for item in quarantined} == {(one.body, one.text) for one in sent}


def test_a_failing_queue_is_not_noticed_while_the_database_works(traffic: Traffic) -> None:
    """Break every request to SQS."""
    calls, baseline = traffic.place_twins()
    with traffic.outage(Fault.UNREACHABLE, "AmazonSQS") as broken:
        sent = traffic.send(calls)
        assert traffic.records_of(calls) == baseline.records
    assert not broken.hits
    assert_same_answers(baseline, sent)
    traffic.assert_stored_once(sent)


@pytest.mark.parametrize("fault", [Fault.DENY, Fault.HANG])
def test_without_database_and_queue_calls_are_answered_and_events_are_logged(
    traffic: Traffic, fault: Fault, capsys: pytest.CaptureFixture[str]
) -> None:
    """Break all requests to DynamoDB and SQS. Only calls are acknowledged, and every event is recovered later."""
    calls, baseline = traffic.place_twins()
    with traffic.outage(fault, "DynamoDB"), traffic.outage(fault, "AmazonSQS") as broken:
        sent = traffic.send(calls)
        assert broken.hits
    slowest = max(one.seconds for one in sent)
    with capsys.disabled():
        print(f"\nDynamoDB and SQS {fault.name}: the slowest answer took {slowest:.2f} s")
    assert slowest < JAMBONZ_TIMEOUT_SECONDS / 2
    for one, twin in zip(sent, baseline.sent, strict=True):
        if one.waits_for_verbs:
            assert (one.status, one.verbs) == (200, twin.verbs)
        else:
            assert one.status == 503
    assert not any(traffic.events_of(call) for call in calls)

    recovered = traffic.running.command("recover")
    assert recovered.returncode == 0, recovered.stderr
    assert traffic.records_of(calls) == baseline.records
    traffic.assert_stored_once(sent)
    traffic.wait_for_closed_circuits()
    duplicates = traffic.send(calls)
    assert [one.answer for one in duplicates if one.waits_for_verbs] == [
        one.answer for one in sent if one.waits_for_verbs
    ]
    assert {one.status for one in duplicates} == {200}
    assert all(one.is_replayed for one in duplicates)
    traffic.assert_stored_once(duplicates)
