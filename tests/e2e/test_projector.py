"""The deployed projector stores calls, publishes events, and is not blocked by an event that it cannot read."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from callhooks.events.call_event import Kind
from callhooks_tools.stack.recordings import NewCallIds, read_delivery

from tests.calls import make_event
from tests.e2e.conftest import eventually
from tests.projection import bus_schema, key_message, stored_item
from tests.running_stack import RunningStack
from tests.support import EVENTS

SEQUENCE = ("call_setup", "ringing", "answered", "completed")


@dataclass
class Projection:
    """Running stack, and a queue that receives everything from its event bus."""

    running: RunningStack
    outputs: dict[str, str]
    subscriber: str

    def place_call(self) -> str:
        """Send the deliveries of a new Wavix call, and return its partition key."""
        new_ids = NewCallIds()
        for name in SEQUENCE:
            path = EVENTS / "wavix" / f"{name}.json"
            delivery = self.running.signed(new_ids.renew(read_delivery(path), path))
            assert self.running.post(delivery).status_code == 200
        return f"wavix#{json.loads(delivery.request.body)['uuid']}"

    def item(self, pk: str, sk: str = "call") -> dict[str, Any] | None:
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
        reply = self.running.client("dynamodb").get_item(
            TableName=self.running.stack.events_table, Key=key, ConsistentRead=True
        )
        item: dict[str, Any] | None = reply.get("Item")
        return item

    def put(self, item: Any) -> None:
        self.running.client("dynamodb").put_item(TableName=self.running.stack.events_table, Item=item)

    def call_of(self, pk: str, events: int) -> dict[str, Any]:
        """Return the item of a call as soon as it has this many events."""
        item = eventually(
            lambda: self.item(pk), lambda item: item is not None and item["event_count"]["N"] == str(events)
        )
        assert item is not None
        return item

    def published(self, pk: str, count: int) -> list[dict[str, Any]]:
        """Wait for this many published events of a call, and return them."""
        sqs, found = self.running.client("sqs"), list[dict[str, Any]]()

        def receive() -> int:
            for message in sqs.receive_message(QueueUrl=self.subscriber, MaxNumberOfMessages=10).get("Messages", []):
                event = json.loads(message["Body"])
                if event["detail"]["id"].startswith(f"{pk}/"):
                    found.append(event)
            return len(found)

        eventually(receive, lambda number: number >= count)
        return found

    def retry_count(self) -> int:
        """Return the number of keys in the retry queue, including those in flight."""
        names = [f"ApproximateNumberOfMessages{state}" for state in ("", "Delayed", "NotVisible")]
        reply = self.running.client("sqs").get_queue_attributes(
            QueueUrl=self.outputs["ProjectionRetryQueue"], AttributeNames=names
        )
        return sum(int(reply["Attributes"][name]) for name in names)


@pytest.fixture(scope="module")
def projection(running: RunningStack) -> Iterator[Projection]:
    (stack,) = running.client("cloudformation").describe_stacks(StackName=running.stack.stack_name)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    sqs, events = running.client("sqs"), running.client("events")
    subscriber = sqs.create_queue(QueueName=f"subscriber-{uuid.uuid4()}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=subscriber, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = {"Name": Path(subscriber).name, "EventBusName": outputs["CallBus"]}
    events.put_rule(**rule, EventPattern=json.dumps({"source": [{"prefix": "callhooks."}]}))
    events.put_targets(Rule=rule["Name"], EventBusName=outputs["CallBus"], Targets=[{"Id": "queue", "Arn": arn}])
    yield Projection(running, outputs, subscriber)
    events.remove_targets(Rule=rule["Name"], EventBusName=outputs["CallBus"], Ids=["queue"])
    events.delete_rule(**rule)
    sqs.delete_queue(QueueUrl=subscriber)


def test_a_call_is_stored_and_published_with_each_of_its_events(projection: Projection) -> None:
    pk = projection.place_call()
    call = projection.call_of(pk, len(SEQUENCE))
    assert (call["status"]["S"], call["outcome"]["S"], call["talk_seconds"]["N"]) == ("completed", "answered", "42.498")
    published = projection.published(pk, len(SEQUENCE))
    assert len({event["detail"]["id"] for event in published}) == len(SEQUENCE)
    for event in published:
        bus_schema().validate(event["detail"])
        assert event["source"] == "callhooks.wavix"
        assert event["detail-type"] == event["detail"]["event"]["kind"]
    # The last published event contains the complete call.
    assert max(event["detail"]["call"]["event_count"] for event in published) == len(SEQUENCE)


def poison(projection: Projection) -> Any:
    """Put an unreadable event into the table, and return the readable one."""
    item = stored_item(replace(make_event(Kind.RINGING), call_id=str(uuid.uuid4())))
    projection.put({**item, "kind": {"S": "call.unheard_of"}})
    return item


def test_an_unreadable_event_goes_to_the_retry_queue_and_blocks_no_others(projection: Projection) -> None:
    before = projection.retry_count()
    poisoned = poison(projection)
    pk = projection.place_call()
    assert projection.call_of(pk, len(SEQUENCE))["status"]["S"] == "completed"
    eventually(projection.retry_count, lambda count: count == before + 1)
    assert projection.item(poisoned["pk"]["S"]) is None

    # After the repair, its key in the queue is enough.
    projection.put(poisoned)
    projection.running.client("sqs").send_message(
        QueueUrl=projection.outputs["ProjectionRetryQueue"], MessageBody=key_message(poisoned), DelaySeconds=0
    )
    assert projection.call_of(poisoned["pk"]["S"], 1)["status"]["S"] == "ringing"
    assert len(projection.published(poisoned["pk"]["S"], 1)) == 1


def test_a_damaged_call_is_rebuilt_and_the_others_stay_unchanged(projection: Projection) -> None:
    damaged, intact = projection.place_call(), projection.place_call()
    expected = projection.call_of(damaged, len(SEQUENCE))
    projection.call_of(intact, len(SEQUENCE))
    projection.put({**expected, "status": {"S": "busy"}, "event_count": {"N": "999"}})

    rebuilt = projection.running.command("rebuild")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert "1 changed" in rebuilt.stdout
    assert projection.item(damaged) == expected

    second = projection.running.command("rebuild", "--call", damaged.replace("#", "/"))
    assert second.returncode == 0, second.stderr
    assert second.stdout == "Calls: 1 unchanged.\n"


def test_a_rebuild_reports_an_unreadable_call_and_continues(projection: Projection) -> None:
    poisoned = poison(projection)
    try:
        rebuilt = projection.running.command("rebuild")
    finally:
        projection.put(poisoned)
    assert rebuilt.returncode == 1
    named = poisoned["pk"]["S"].replace("#", "/")
    assert (
        f"{named}: an item is not a valid event (ValueError: 'call.unheard_of' is not a valid Kind)" in rebuilt.stderr
    )
    assert "1 failed" in rebuilt.stdout
    assert "unchanged" in rebuilt.stdout


def test_a_rebuild_of_an_invalid_or_unknown_call_fails(running: RunningStack) -> None:
    cases = (("telco/1", 2, "PROVIDER/CALL_ID"), ("jambonz/nobody", 1, "No events found for jambonz/nobody."))
    for call, status, message in cases:
        refused = running.command("rebuild", "--call", call)
        assert refused.returncode == status
        assert message in refused.stderr
