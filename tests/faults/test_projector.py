"""The projector is killed or cannot project a call: other calls continue, and every call is correct in the end."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
from callhooks.events.call_event import Kind

from tests.calls import make_event
from tests.faults.traffic import Traffic, eventually
from tests.faulty_proxy import Fault, FaultyProxy
from tests.projection import stored_item


@pytest.fixture
def _short_retry_delay(traffic: Traffic) -> Iterator[None]:
    """Redeliver messages of the retry queue after one second instead of half a minute."""
    sqs, url = traffic.running.client("sqs"), traffic.output("ProjectionRetryQueue")
    names = ["DelaySeconds", "VisibilityTimeout"]
    deployed = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes=dict.fromkeys(names, "1"))
    yield
    sqs.set_queue_attributes(QueueUrl=url, Attributes=deployed)


@pytest.mark.usefixtures("_short_retry_delay")
def test_an_unreadable_event_blocks_no_others_and_is_dead_lettered(traffic: Traffic) -> None:
    """Put an event of an unknown kind into the table."""
    calls, baseline = traffic.place_twins()
    before = traffic.message_count("ProjectionDeadLetterQueue")
    poisoned = stored_item(replace(make_event(Kind.RINGING), call_id=str(uuid.uuid4())))
    traffic.running.client("dynamodb").put_item(
        TableName=traffic.running.stack.events_table, Item={**poisoned, "kind": {"S": "call.unheard_of"}}
    )
    traffic.send(calls)
    assert traffic.records_of(calls) == baseline.records
    eventually(lambda: traffic.message_count("ProjectionDeadLetterQueue") == before + 1)


@pytest.mark.usefixtures("_short_retry_delay")
def test_a_call_that_cannot_be_read_blocks_no_others_and_recovers(traffic: Traffic) -> None:
    """Make DynamoDB reject queries for the events of one call."""
    (broken_call, *others), baseline = traffic.place_twins()
    with traffic.outage(Fault.REFUSE_FOR_GOOD, "DynamoDB.Query", having=broken_call.call_id) as broken:
        traffic.send([broken_call, *others])
        assert traffic.records_of(others) == baseline.records[1:]
        eventually(lambda: broken.hits)
        assert [item for item in traffic.items_of(broken_call) if item["sk"]["S"] == "call"] == []
    assert traffic.records_of([broken_call]) == baseline.records[:1]


@pytest.mark.parametrize("killed_at", ["DynamoDB.Query", "DynamoDB.PutItem", "AWSEvents.PutEvents"])
def test_a_killed_projector_gets_its_batch_again_and_builds_the_same_calls(
    traffic: Traffic, proxy: FaultyProxy, killed_at: str
) -> None:
    """Kill the projector after it read, stored or published a call, so that its batch is delivered twice."""
    calls, baseline = traffic.place_twins()
    # Webhooks neither query nor publish, and the items that they write have no `fold_version`.
    having = "fold_version" if killed_at == "DynamoDB.PutItem" else ""
    published = proxy.seen["AWSEvents.PutEvents"]
    with proxy.broken(Fault.KILL, killed_at, having=having) as kill:
        sent = traffic.send(calls)
        eventually(lambda: kill.killed)
    assert {one.status for one in sent} == {200}
    assert traffic.records_of(calls) == baseline.records
    traffic.assert_stored_once(sent)
    if killed_at == "AWSEvents.PutEvents":
        eventually(lambda: proxy.seen["AWSEvents.PutEvents"] >= published + 2)
