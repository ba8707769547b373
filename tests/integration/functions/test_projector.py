"""The deployed projector with new events in the table, and `callhooks rebuild`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
import pytest
from callhooks.calls.call import FOLD_VERSION
from callhooks.calls.repository import CallStore, call_item
from callhooks.events.call_event import Kind
from callhooks.events.event_item import Item, event_of_item
from callhooks_tools.commands.rebuild import Rebuilt, Result, partitions_of_calls, rebuild_call
from callhooks_tools.stack.recordings import read_delivery

from tests.calls import SEQUENCES, delivered, fold, make_event
from tests.integration.conftest import (
    RETRY_QUEUE_URL,
    TABLE,
    Aws,
    Handler,
    loaded_handler,
    received,
    subscribe_to_all_events,
)
from tests.integration.functions.test_event_functions import as_sent_now
from tests.projection import Invocation, bus_schema, key_message, queue_batch, stored_item, stream_batch
from tests.stacks import PROVIDERS
from tests.support import EVENTS

PK = "jambonz#one-call"
EVENTS_OF_A_CALL = (
    make_event(Kind.INITIATED, from_="+14155550123"),
    make_event(Kind.ANSWERED, 5),
    make_event(Kind.COMPLETED, 9),
)
FUNCTION_OF_PATH = {
    "/webhooks/call": "jambonz_new_call",
    "/webhooks/client-auth": "jambonz_client_auth",
    "/webhooks/call/flows": "jambonz_action",
    "/webhooks/tool": "jambonz_tool",
    "/webhooks/wavix": "wavix_call",
    "/webhooks/bird": "bird_voice",
    "/webhooks/voipstudio": "voipstudio_event",
}
RECORDINGS = [
    path
    for provider in PROVIDERS
    for path in sorted((EVENTS / provider).glob("*.json"))
    if not path.stem.startswith("probe_")
]


@dataclass
class Projection:
    """The projector in the simulated account, with a subscriber to all events on the bus."""

    aws: Aws
    subscriber: str
    handler: Callable[[Any, object], Any]

    def store(self, *items: Mapping[str, Any]) -> None:
        for item in items:
            self.aws.dynamodb.put_item(TableName=TABLE, Item=dict(item))

    def project(self, items: Iterable[Mapping[str, Any]]) -> None:
        records = stream_batch(items)["Records"]
        for start in range(0, len(records), 100):
            assert self.project_batch({"Records": records[start : start + 100]}) == []

    def project_batch(self, batch: Any) -> list[str]:
        return [failure["itemIdentifier"] for failure in self.handler(batch, Invocation())["batchItemFailures"]]

    def call(self, pk: str = PK) -> Item | None:
        key: Any = {"pk": {"S": pk}, "sk": {"S": "call"}}
        return self.aws.dynamodb.get_item(TableName=TABLE, Key=key).get("Item")

    def published(self) -> list[Any]:
        return [json.loads(body) for body in received(self.subscriber)]

    def retried(self) -> list[str]:
        return received(RETRY_QUEUE_URL)


@pytest.fixture
def projection(aws: Aws) -> Projection:
    boto3.client("sqs").create_queue(QueueName="retries")
    subscriber = subscribe_to_all_events()
    aws.calls.clear()
    return Projection(aws, subscriber, loaded_handler("call_projector"))


def deliver_every_recording(new_container: Callable[..., Handler]) -> None:
    """Deliver each recorded delivery to its function."""
    new_container = cache(new_container)
    for path in RECORDINGS:
        delivery = read_delivery(path)
        prefixes = [prefix for prefix in FUNCTION_OF_PATH if delivery.request.path.startswith(prefix)]
        of_an_event = not prefixes or delivery.request.path.endswith("/events")
        folder = "jambonz_event" if of_an_event else FUNCTION_OF_PATH[max(prefixes, key=len)]
        assert new_container(folder)(as_sent_now(delivery)).statusCode < 300, path


def test_every_recorded_delivery_is_published_and_its_call_found_for_a_rebuild(
    projection: Projection, aws: Aws, new_container: Callable[..., Handler]
) -> None:
    deliver_every_recording(new_container)
    items = aws.items()
    assert {item["provider"]["S"] for item in items} == {"jambonz", "wavix", "bird", "voipstudio"}
    projection.project(items)
    published = projection.published()
    assert sorted(event["detail"]["id"] for event in published) == sorted(
        f"{item['pk']['S']}/{item['sk']['S'].removeprefix('event#')}" for item in items
    )
    for event in published:
        detail = event["detail"]
        bus_schema().validate(detail)
        assert event["source"] == f"callhooks.{detail['event']['provider']}"
        assert event["detail-type"] == detail["event"]["kind"]
        assert (detail["call"] is None) is ("#none#" in detail["id"] or "#sms#" in detail["id"])
    calls = {event["detail"]["id"].partition("/")[0] for event in published if event["detail"]["call"]}
    assert {item["pk"]["S"] for item in aws.items() if item["sk"]["S"] == "call"} == calls
    assert projection.retried() == []

    found = list(partitions_of_calls(aws.dynamodb, TABLE))
    assert sorted(found) == sorted(calls)
    store = CallStore(aws.dynamodb, TABLE)
    assert {rebuild_call(store, pk).result for pk in found} == {Result.UNCHANGED}


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_the_folded_call_of_each_provider_is_stored(projection: Projection, sequence: str) -> None:
    events = delivered(sequence)
    items = [stored_item(event) for event in events]
    projection.store(*items)
    projection.project(items)
    (pk,) = {item["pk"]["S"] for item in items}
    call = projection.call(pk)
    assert call is not None
    stored = {name for name in call_item(pk, fold(events), expires_at=1) if call[name]}
    assert stored == set(call)
    assert (call["status"]["S"], int(call["event_count"]["N"])) == (fold(events).status.value, len(events))


def test_a_batch_costs_three_calls_and_its_repetition_changes_nothing(
    projection: Projection,
) -> None:
    items = [stored_item(event) for event in EVENTS_OF_A_CALL]
    projection.store(*items)
    projection.aws.calls.clear()
    projection.project(items)
    assert projection.aws.calls == ["Query", "PutItem", "PutEvents"]
    call, published = projection.call(), projection.published()
    projection.project(items)
    assert projection.call() == call
    assert [event["detail"]["id"] for event in projection.published()] == [event["detail"]["id"] for event in published]


def test_an_unreadable_event_is_retried_and_projected_after_repair(projection: Projection) -> None:
    items = [stored_item(event) for event in EVENTS_OF_A_CALL]
    poisoned = {**items[0], "occurred_at": {"S": "yesterday"}}
    other = stored_item(make_event(Kind.RINGING, provider="bird"))
    projection.store(poisoned, *items[1:], other)
    projection.project([poisoned, *items[1:], other])
    assert projection.call("bird#one-call")
    assert projection.call() is None
    assert len(projection.published()) == 1
    messages = projection.retried()
    assert sorted(messages) == sorted(map(key_message, items))
    assert projection.project_batch(queue_batch(messages)) == ["message-0", "message-1", "message-2"]
    projection.store(items[0])
    assert projection.project_batch(queue_batch(messages)) == []
    assert projection.call()
    assert len(projection.published()) == 3


DAMAGES: list[dict[str, Any]] = [
    {"status": {"S": "busy"}},
    {"event_count": {"N": "999"}},
    {"fold_version": {"N": "999"}},
    {"fold_version": {"S": "one"}},
    {"event_count": None},
    {"fold_version": None, "event_count": None, "status": None},
    {"from_party": {"S": "somebody else"}},
    {"further": {"S": "member"}},
]


class TestRebuilding:
    @pytest.fixture
    def calls(self, projection: Projection) -> CallStore:
        projection.store(*(stored_item(event) for event in EVENTS_OF_A_CALL))
        return CallStore(projection.aws.dynamodb, TABLE)

    @pytest.fixture
    def right(self) -> Item:
        expires_at = int(stored_item(EVENTS_OF_A_CALL[0])["expires_at"]["N"])
        return call_item(PK, fold(EVENTS_OF_A_CALL), expires_at=expires_at)

    def test_creates_a_missing_call_and_replaces_a_wrong_item_with_any_event_count(
        self, projection: Projection, calls: CallStore, right: Item
    ) -> None:
        assert rebuild_call(calls, PK) == Rebuilt(PK, Result.NEW)
        assert projection.call() == right
        assert rebuild_call(calls, PK) == Rebuilt(PK, Result.UNCHANGED)
        for damage in DAMAGES:
            projection.store({name: value for name, value in {**right, **damage}.items() if value is not None})
            assert (damage, rebuild_call(calls, PK)) == (damage, Rebuilt(PK, Result.CHANGED))
            assert projection.call() == right

    def test_is_needed_after_a_rollback_because_the_projector_keeps_a_newer_call(
        self, projection: Projection, calls: CallStore, right: Item
    ) -> None:
        of_newer_version = {**right, "fold_version": {"N": str(FOLD_VERSION + 1)}, "status": {"S": "busy"}}
        projection.store(of_newer_version)
        late = make_event(Kind.DTMF, 6, {"digits": "7"})
        projection.store(stored_item(late))
        projection.project([stored_item(late)])
        assert projection.call() == of_newer_version
        assert len(projection.published()) == 1
        assert rebuild_call(calls, PK).result is Result.CHANGED
        rebuilt = projection.call()
        assert rebuilt is not None
        assert (rebuilt["fold_version"], rebuilt["status"]) == ({"N": str(FOLD_VERSION)}, {"S": "completed"})

    def test_retries_if_the_projector_writes_a_newer_call(
        self, projection: Projection, calls: CallStore, right: Item
    ) -> None:
        projection.store({**right, "status": {"S": "busy"}})
        late = make_event(Kind.DTMF, 6, {"digits": "7"})

        class Racing(CallStore):
            """A store in which a new event is projected after the call's events were read."""

            def replace(self, pk: str, *arguments: Any, **options: Any) -> bool:
                if projection.call() == {**right, "status": {"S": "busy"}}:
                    projection.store(stored_item(late))
                    projection.project([stored_item(late)])
                return super().replace(pk, *arguments, **options)

        assert rebuild_call(Racing(projection.aws.dynamodb, TABLE), PK).result is Result.UNCHANGED
        call = projection.call()
        assert call is not None
        assert (call["event_count"], call["status"]) == ({"N": "4"}, {"S": "completed"})

    def test_gives_up_if_every_attempt_is_overtaken(self, projection: Projection, calls: CallStore) -> None:
        class Busy(CallStore):
            """A store in which another writer is always faster."""

            def replace(self, *arguments: Any, **options: Any) -> bool:
                return False

        rebuilt = rebuild_call(Busy(projection.aws.dynamodb, TABLE), PK)
        assert (rebuilt.result, rebuilt.problem) == (
            Result.FAILED,
            "CallBusy: its events arrive too fast; try again later",
        )

    def test_reports_a_call_without_events_and_one_that_cannot_be_folded(
        self, projection: Projection, calls: CallStore, right: Item
    ) -> None:
        projection.store({**right, "pk": {"S": "jambonz#forgotten"}})
        assert rebuild_call(calls, "jambonz#forgotten") == Rebuilt("jambonz#forgotten", Result.WITHOUT_EVENTS)
        projection.store({**stored_item(EVENTS_OF_A_CALL[0]), "kind": {"S": "call.unheard_of"}})
        rebuilt = rebuild_call(calls, PK)
        assert (rebuilt.pk, rebuilt.result) == (PK, Result.FAILED)
        assert "call.unheard_of" in rebuilt.problem


def test_an_event_reads_the_same_from_the_stream_and_the_table() -> None:
    item = stored_item(EVENTS_OF_A_CALL[0])
    (record,) = stream_batch([item])["Records"]
    assert event_of_item(record["dynamodb"]["NewImage"]) == event_of_item(item)
