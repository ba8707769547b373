"""Functions killed with SIGKILL after they finished their work and before they reported it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.traffic import Traffic, assert_same_answers, eventually
from tests.faulty_proxy import Fault, FaultyProxy
from tests.stacks import PROVIDERS


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_retry_gets_the_answer_that_a_killed_function_had_stored(
    traffic: Traffic, proxy: FaultyProxy, provider: str
) -> None:
    """Kill the function after DynamoDB wrote the first delivery of a call and before it is answered."""
    (call,) = (call for call in traffic.place() if call.provider == provider)
    first = call.deliveries[0]
    with proxy.broken(Fault.KILL, "DynamoDB.PutItem", having="event#") as kill:
        assert traffic.post(call, first).status == 500
        assert len(kill.killed) == 1
    (stored,) = traffic.events_of(call)

    retries = [traffic.send_until_accepted(call, first) for _ in range(2)]
    assert [one.answer for one in retries] == [(200, stored["answer"]["S"])] * 2
    assert all(one.is_replayed for one in retries)
    assert traffic.events_of(call) == [stored]


@pytest.fixture
def _short_visibility_timeout(traffic: Traffic) -> Iterator[None]:
    """Redeliver unacknowledged messages of the spill queue after seconds instead of six minutes."""
    sqs, url = traffic.running.client("sqs"), traffic.output("SpillQueue")
    name = "VisibilityTimeout"
    deployed = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={name: "3"})
    yield
    sqs.set_queue_attributes(QueueUrl=url, Attributes=deployed)


@pytest.mark.usefixtures("_short_visibility_timeout")
def test_events_of_a_killed_drainer_are_stored_once(traffic: Traffic, proxy: FaultyProxy) -> None:
    """Spill calls, and kill the drainer after DynamoDB wrote the first event."""
    calls, baseline = traffic.place_twins()
    with proxy.broken(Fault.KILL, "DynamoDB.PutItem", having="event#") as kill:
        with proxy.broken(Fault.DENY, "DynamoDB"):
            sent = traffic.send(calls)
        eventually(lambda: kill.killed)
    assert_same_answers(baseline, sent)
    assert traffic.records_of(calls) == baseline.records
    traffic.assert_stored_once(sent)
    eventually(lambda: traffic.message_count("SpillQueue") == 0)
    traffic.assert_stored_once(sent)
