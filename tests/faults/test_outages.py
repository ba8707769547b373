"""The database and the queue behind it, broken: calls are answered, and nothing that was accepted is lost."""

from __future__ import annotations

import pytest
from callhooks.events.event_item import body_of_item

from tests.faults.traffic import JAMBONZ_WAITS_SECONDS, SILENT, Traffic, assert_answered_as, eventually
from tests.faulty_proxy import Fault, FaultyProxy

DRAINER_PAUSES = "AmazonSQS.ChangeMessageVisibility"


@pytest.mark.parametrize("fault", [Fault.THROTTLE, Fault.ERROR, Fault.DENY, Fault.HANG, Fault.UNREACHABLE])
def test_while_the_database_takes_nothing_everybody_is_answered_and_all_of_it_is_stored_later(
    traffic: Traffic, proxy: FaultyProxy, fault: Fault, capsys: pytest.CaptureFixture[str]
) -> None:
    """Breaks every request of every function to DynamoDB, as long as the senders send, and the drainer first tries."""
    calls, usual = traffic.place_twins()
    pauses = proxy.seen[DRAINER_PAUSES]
    with traffic.outage(fault, "DynamoDB") as broken:
        sent = traffic.send(calls)
        assert broken.hits
        assert not any(traffic.events_of(call) for call in calls)
        if fault in SILENT:
            # Each write would be tried twice, if functions did not leave a silent database alone for a while.
            assert broken.hits < 2 * len(sent)
        if fault is not Fault.HANG:
            # A drainer waits so long for a silent database that this would take a quarter of a minute.
            eventually(lambda: proxy.seen[DRAINER_PAUSES] > pauses)
    slowest = max(one.seconds for one in sent)
    with capsys.disabled():
        print(f"\nDynamoDB {fault.name}: the slowest answer took {slowest:.2f} s")
    assert slowest < JAMBONZ_WAITS_SECONDS / 2
    assert_answered_as(usual, sent)

    assert traffic.records_of(calls) == usual.records
    traffic.assert_kept_once(sent)
    traffic.assert_repeats_get_the_first_answers(sent)
    traffic.assert_kept_once(sent)
    assert traffic.waiting("SpillQueue") == 0


def test_with_a_database_that_fails_half_of_the_time_nobody_notices(traffic: Traffic, proxy: FaultyProxy) -> None:
    """Breaks every second write of an event, those of the drainer included."""
    calls, usual = traffic.place_twins()
    before = proxy.seen["AmazonSQS.SendMessage"]
    # Nothing is denied twice because of a second attempt: every denied write is spilled.
    with traffic.outage(Fault.DENY, "DynamoDB.PutItem", every=2, having="event#"):
        sent = traffic.send(calls)
        spilled = proxy.seen["AmazonSQS.SendMessage"] - before
    assert 0 < spilled < len(sent)
    assert_answered_as(usual, sent)
    assert traffic.records_of(calls) == usual.records
    traffic.assert_kept_once(sent)
    traffic.assert_repeats_get_the_first_answers(sent)


@pytest.mark.parametrize("every", [1, 2])
def test_what_was_stored_though_the_reply_was_lost_is_stored_once(traffic: Traffic, every: int) -> None:
    """Loses the replies to all writes of events, or to every second one: they are done, and nobody hears of it."""
    calls, usual = traffic.place_twins()
    with traffic.outage(Fault.LOSE_REPLY, "DynamoDB.PutItem", every=every, having="event#") as lost:
        sent = traffic.send(calls)
        assert lost.hits
        assert any(traffic.events_of(call) for call in calls)
    assert_answered_as(usual, sent)
    assert traffic.records_of(calls) == usual.records
    traffic.assert_kept_once(sent)
    traffic.assert_repeats_get_the_first_answers(sent)


def test_what_the_database_refuses_for_good_is_quarantined_and_not_spilled(
    traffic: Traffic, proxy: FaultyProxy
) -> None:
    """Has DynamoDB find every event invalid, and nothing else."""
    calls, usual = traffic.place_twins()
    before = proxy.seen["AmazonSQS.SendMessage"]
    with traffic.outage(Fault.REFUSE_FOR_GOOD, "DynamoDB.PutItem", having="event#"):
        sent = traffic.send(calls)
        again = traffic.send(calls)
    assert_answered_as(usual, sent)
    assert [one.answer for one in again] == [one.answer for one in sent]
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


def test_without_the_queue_nobody_notices_anything_while_the_database_works(traffic: Traffic) -> None:
    """Breaks every request to SQS."""
    calls, usual = traffic.place_twins()
    with traffic.outage(Fault.UNREACHABLE, "AmazonSQS") as broken:
        sent = traffic.send(calls)
        assert traffic.records_of(calls) == usual.records
    assert not broken.hits
    assert_answered_as(usual, sent)
    traffic.assert_kept_once(sent)


@pytest.mark.parametrize("fault", [Fault.DENY, Fault.HANG])
def test_without_database_and_queue_calls_are_answered_and_the_log_keeps_everything(
    traffic: Traffic, fault: Fault, capsys: pytest.CaptureFixture[str]
) -> None:
    """Breaks every request to DynamoDB and to SQS: what is no call is not acknowledged, and all of it is recovered."""
    calls, usual = traffic.place_twins()
    with traffic.outage(fault, "DynamoDB"), traffic.outage(fault, "AmazonSQS") as broken:
        sent = traffic.send(calls)
        assert broken.hits
    slowest = max(one.seconds for one in sent)
    with capsys.disabled():
        print(f"\nDynamoDB and SQS {fault.name}: the slowest answer took {slowest:.2f} s")
    assert slowest < JAMBONZ_WAITS_SECONDS / 2
    for one, like in zip(sent, usual.sent, strict=True):
        if one.waits_for_verbs:
            assert (one.status, one.verbs) == (200, like.verbs)
        else:
            assert one.status == 503
    assert not any(traffic.events_of(call) for call in calls)

    recovered = traffic.running.command("recover")
    assert recovered.returncode == 0, recovered.stderr
    assert traffic.records_of(calls) == usual.records
    traffic.assert_kept_once(sent)
    traffic.await_database()
    again = traffic.send(calls)
    assert [one.answer for one in again if one.waits_for_verbs] == [one.answer for one in sent if one.waits_for_verbs]
    assert {one.status for one in again} == {200}
    assert all(one.is_replayed for one in again)
    traffic.assert_kept_once(again)
