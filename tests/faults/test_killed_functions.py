"""Functions that are killed, with SIGKILL, between what they have done and their saying so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.traffic import Traffic, assert_answered_as, eventually
from tests.faulty_proxy import Fault, FaultyProxy
from tests.stacks import PROVIDERS


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_retry_gets_the_answer_of_the_function_that_was_killed_after_it_had_stored_the_event(
    traffic: Traffic, proxy: FaultyProxy, provider: str
) -> None:
    """Kills the function after DynamoDB has written the first delivery of a call, and before it is answered."""
    (call,) = (call for call in traffic.place() if call.provider == provider)
    first = call.deliveries[0]
    with proxy.broken(Fault.KILL, "DynamoDB.PutItem", having="event#") as kill:
        assert traffic.post(call, first).status == 500
        assert len(kill.killed) == 1
    (stored,) = traffic.events_of(call)

    retries = [traffic.insist(call, first) for _ in range(2)]
    assert [one.answer for one in retries] == [(200, stored["answer"]["S"])] * 2
    assert all(one.is_replayed for one in retries)
    assert traffic.events_of(call) == [stored]


@pytest.fixture
def _soon_visible_again(traffic: Traffic) -> Iterator[None]:
    """Has the spill queue give out again after seconds what was not acknowledged, and not after six minutes."""
    sqs, url = traffic.running.client("sqs"), traffic.output("SpillQueue")
    name = "VisibilityTimeout"
    deployed = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={name: "3"})
    yield
    sqs.set_queue_attributes(QueueUrl=url, Attributes=deployed)


@pytest.mark.usefixtures("_soon_visible_again")
def test_what_a_drainer_has_stored_that_was_killed_before_it_acknowledged_it_is_stored_once(
    traffic: Traffic, proxy: FaultyProxy
) -> None:
    """Spills calls, and kills the drainer after DynamoDB has written the first of the events."""
    calls, usual = traffic.place_twins()
    with proxy.broken(Fault.KILL, "DynamoDB.PutItem", having="event#") as kill:
        with proxy.broken(Fault.DENY, "DynamoDB"):
            sent = traffic.send(calls)
        eventually(lambda: kill.killed)
    assert_answered_as(usual, sent)
    assert traffic.records_of(calls) == usual.records
    traffic.assert_kept_once(sent)
    eventually(lambda: traffic.waiting("SpillQueue") == 0)
    traffic.assert_kept_once(sent)
