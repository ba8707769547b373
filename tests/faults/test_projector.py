"""The projector, killed, or with a call that it cannot project: all others go on, and every call is right at last."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
from callhooks.events.call_event import Kind

from tests.calls import told
from tests.faults.traffic import Traffic, eventually
from tests.faulty_proxy import Fault, FaultyProxy
from tests.projection import kept


@pytest.fixture
def _tried_again_soon(traffic: Traffic) -> Iterator[None]:
    """Has the retry queue give out after a second what it gets, and not after half a minute."""
    sqs, url = traffic.running.client("sqs"), traffic.output("ProjectionRetryQueue")
    names = ["DelaySeconds", "VisibilityTimeout"]
    deployed = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes=dict.fromkeys(names, "1"))
    yield
    sqs.set_queue_attributes(QueueUrl=url, Attributes=deployed)


@pytest.mark.usefixtures("_tried_again_soon")
def test_an_event_that_cannot_be_read_holds_up_no_other_one_and_ends_in_the_dead_letter_queue(
    traffic: Traffic,
) -> None:
    """Puts an event of an unheard-of kind into the table."""
    calls, usual = traffic.place_twins()
    before = traffic.waiting("ProjectionDeadLetterQueue")
    poisoned = kept(replace(told(Kind.RINGING), call_id=str(uuid.uuid4())))
    traffic.running.client("dynamodb").put_item(
        TableName=traffic.running.stack.events_table, Item={**poisoned, "kind": {"S": "call.unheard_of"}}
    )
    traffic.send(calls)
    assert traffic.records_of(calls) == usual.records
    eventually(lambda: traffic.waiting("ProjectionDeadLetterQueue") == before + 1)


@pytest.mark.usefixtures("_tried_again_soon")
def test_a_call_whose_events_cannot_be_read_holds_up_no_other_one_and_comes_right_by_itself(
    traffic: Traffic,
) -> None:
    """Has DynamoDB refuse to read the events of one call."""
    (broken_call, *others), usual = traffic.place_twins()
    with traffic.outage(Fault.REFUSE_FOR_GOOD, "DynamoDB.Query", having=broken_call.call_id) as broken:
        traffic.send([broken_call, *others])
        assert traffic.records_of(others) == usual.records[1:]
        eventually(lambda: broken.hits)
        assert [item for item in traffic.items_of(broken_call) if item["sk"]["S"] == "call"] == []
    assert traffic.records_of([broken_call]) == usual.records[:1]


@pytest.mark.parametrize("killed_at", ["DynamoDB.Query", "DynamoDB.PutItem", "AWSEvents.PutEvents"])
def test_a_projector_that_is_killed_is_given_its_batch_again_and_makes_the_same_calls(
    traffic: Traffic, proxy: FaultyProxy, killed_at: str
) -> None:
    """Kills the projector after it has read, kept or published a call: that batch is delivered twice."""
    calls, usual = traffic.place_twins()
    # No webhook queries or publishes anything, and what it writes has no version of a fold.
    having = "fold_version" if killed_at == "DynamoDB.PutItem" else ""
    published = proxy.seen["AWSEvents.PutEvents"]
    with proxy.broken(Fault.KILL, killed_at, having=having) as kill:
        sent = traffic.send(calls)
        eventually(lambda: kill.killed)
    assert {one.status for one in sent} == {200}
    assert traffic.records_of(calls) == usual.records
    traffic.assert_kept_once(sent)
    if killed_at == "AWSEvents.PutEvents":
        eventually(lambda: proxy.seen["AWSEvents.PutEvents"] >= published + 2)
