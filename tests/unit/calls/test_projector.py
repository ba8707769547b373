"""The projector folds and stores the calls of new events, and publishes the events."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from callhooks.calls.event_bus import EventBus
from callhooks.calls.projector import RESERVED_SECONDS, Projector, RetryQueue
from callhooks.calls.repository import CallStore, call_item
from callhooks.events.call_event import CallEvent, Kind
from callhooks.events.event_item import Item, event_key
from callhooks.providers.registry import hints_for
from hypothesis import given
from hypothesis import strategies as st

from tests.calls import SEQUENCES, delivered, fold, make_event
from tests.projection import Invocation, bus_schema, key_message, queue_batch, stored_item, stream_batch
from tests.properties import examples

PK = "jambonz#one-call"
ANSWERED_CALL = (
    make_event(Kind.INITIATED, 0, from_="+14155550123", to="+12125550187", direction="inbound"),
    make_event(Kind.RINGING, 1), make_event(Kind.ANSWERED, 5), make_event(Kind.COMPLETED, 9),
)  # fmt: skip


class Fault(Exception):
    """Any fault of one call; its text may contain a phone number."""


@dataclass
class World:
    """A container of the projector with a table, a bus and a retry queue.

    `steps` lists the operations in order. `broken` holds partitions that cannot be read, `unwritable` partitions that
    reject a call's item, `unpublishable` ids that the bus refuses.
    """

    table: dict[tuple[str, str], Item] = field(default_factory=dict)
    published: list[dict[str, Any]] = field(default_factory=list)
    retries: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    unwritable: set[str] = field(default_factory=set)
    unpublishable: set[str] = field(default_factory=set)
    queue_fault: Exception | None = None
    seconds_of_a_read: float = 0
    invocation: Invocation = field(default_factory=Invocation)

    def __post_init__(self) -> None:
        client: Any = self
        bus = EventBus(client, "calls", sleep=lambda _: None)
        self.projector = Projector(
            CallStore(client, "events"), bus, RetryQueue(client, "https://queue"), hints_for=hints_for
        )

    def query(self, *, ExpressionAttributeValues: Mapping[str, Any], ConsistentRead: bool, **_: object) -> Any:  # noqa: N803
        pk = ExpressionAttributeValues[":pk"]["S"]
        assert ConsistentRead
        self.steps.append(f"read {pk}")
        self.invocation.seconds_left -= self.seconds_of_a_read
        if pk in self.broken:
            raise Fault("of +14155550123")
        return {"Items": [item for (of, sk), item in self.table.items() if of == pk and sk.startswith("event#")]}

    def get_item(self, *, Key: Mapping[str, Any], ConsistentRead: bool, **_: object) -> Any:  # noqa: N803
        assert ConsistentRead
        item = self.table.get((Key["pk"]["S"], Key["sk"]["S"]))
        return {} if item is None else {"Item": item}

    def put_item(self, *, Item: Item, **_: object) -> None:  # noqa: N803
        pk, sk = Item["pk"]["S"], Item["sk"]["S"]
        self.steps.append(f"store {pk}")
        if pk in self.unwritable:
            raise ReadTimeoutError(endpoint_url="")
        older = self.table.get((pk, sk))
        if older and int(older["event_count"]["N"]) >= int(Item["event_count"]["N"]):
            raise ClientError({"Error": {"Code": "ConditionalCheckFailedException"}}, "PutItem")
        self.table[pk, sk] = Item

    def put_events(self, *, Entries: Sequence[Any]) -> Any:  # noqa: N803
        results = []
        for entry in Entries:
            detail = json.loads(entry["Detail"])
            if detail["id"] in self.unpublishable:
                results.append({"ErrorCode": "InternalFailure"})
            else:
                self.steps.append(f"publish {detail['id'].partition('/')[0]}")
                self.published.append(detail)
                results.append({"EventId": "1"})
        return {"FailedEntryCount": sum("ErrorCode" in result for result in results), "Entries": results}

    def send_message(self, *, QueueUrl: str, MessageBody: str) -> None:  # noqa: N803
        assert QueueUrl == "https://queue"
        if self.queue_fault is not None:
            raise self.queue_fault
        self.retries.append(MessageBody)

    def store(self, *events: CallEvent) -> list[Item]:
        """Store events as the webhooks do, and return their items."""
        items = [stored_item(event) for event in events]
        self.table |= {(item["pk"]["S"], item["sk"]["S"]): item for item in items}
        return items

    def stream(self, items: Iterable[Mapping[str, Any]], *, name: str = "INSERT") -> None:
        assert self.project(stream_batch(items, name=name)) == []

    def retry(self, *bodies: str) -> list[str]:
        """Project messages of the retry queue, and return the ids of the messages that stay in it."""
        return self.project(queue_batch(bodies))

    def project(self, batch: Any) -> list[str]:
        reply = self.projector.project(batch, lambda: self.invocation.seconds_left)
        return [failure["itemIdentifier"] for failure in reply["batchItemFailures"]]

    def call(self, pk: str = PK) -> Item | None:
        return self.table.get((pk, "call"))

    @property
    def published_ids(self) -> list[str]:
        return [detail["id"] for detail in self.published]

    @property
    def retried(self) -> list[tuple[str, str]]:
        return [(key["pk"], key["sk"]) for key in map(json.loads, self.retries)]


def of_call(call_id: str, *events: CallEvent) -> list[CallEvent]:
    return [replace(event, call_id=call_id) for event in events]


def id_of(event: CallEvent) -> str:
    pk, sk = event_key(event)
    return f"{pk}/{sk.removeprefix('event#')}"


def expected_call(events: Sequence[CallEvent]) -> Item:
    expires_at = max(int(stored_item(event)["expires_at"]["N"]) for event in events)
    return call_item(PK, fold(events), expires_at=expires_at)


def lines(log: io.StringIO, message: str) -> list[dict[str, Any]]:
    all_lines = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in all_lines if line["message"] == message]


class TestStreamBatch:
    def test_each_call_is_read_and_stored_once_before_publishing(self) -> None:
        world = World()
        other = of_call("other", *ANSWERED_CALL)
        items = world.store(*ANSWERED_CALL, *other)
        world.stream([*items[::2], *items[1::2]])
        assert world.steps[:4] == ["read jambonz#one-call", "store jambonz#one-call",
                                   "read jambonz#other", "store jambonz#other"]  # fmt: skip
        assert sorted(world.steps[4:]) == ["publish jambonz#one-call"] * 4 + ["publish jambonz#other"] * 4

    def test_each_event_is_published_with_the_call_and_one_line_is_logged(self, log: io.StringIO) -> None:
        world = World(invocation=Invocation(RESERVED_SECONDS + 0.001))
        world.stream(world.store(*ANSWERED_CALL))
        assert world.published_ids == [id_of(event) for event in ANSWERED_CALL]
        for detail in world.published:
            bus_schema().validate(detail)
            assert (detail["call"]["status"], detail["call"]["event_count"]) == ("completed", 4)
        assert [detail["event"]["kind"] for detail in world.published] == [event.kind for event in ANSWERED_CALL]
        (fields,) = map(json.loads, log.getvalue().splitlines())
        assert (fields["message"], fields["events"], fields["calls"]) == ("projected", 4, 1)
        assert not {"failed", "gone"} & fields.keys()

    def test_a_call_includes_events_of_other_batches_and_is_not_reverted_by_an_older_one(self) -> None:
        world = World()
        items = world.store(*ANSWERED_CALL)
        world.stream(items[2:3])
        assert world.call() == expected_call(ANSWERED_CALL)
        del world.table[items[-1]["pk"]["S"], items[-1]["sk"]["S"]]
        world.stream(items[:1])
        assert world.call() == expected_call(ANSWERED_CALL)

    @pytest.mark.parametrize(
        "event",
        [
            replace(make_event(Kind.SMS_RECEIVED, provider="voipstudio"), call_id=None, sms_id="77"),
            replace(make_event(Kind.CLIENT_REFUSED), call_id=None),
            replace(make_event(Kind.QUEUE_WRAPUP, provider="voipstudio"), call_id=None, sent_at=None),
        ],
        ids=["sms", "client", "none"],
    )
    def test_an_event_without_a_call_is_published_alone(self, event: CallEvent) -> None:
        world = World()
        (item,) = world.store(event)
        world.stream([item])
        assert world.retry(key_message(item)) == []
        assert world.steps == [f"publish {event_key(event)[0]}"] * 2
        for published in world.published:
            assert published["call"] is None
            bus_schema().validate(published)

    def test_all_but_new_events_are_ignored(self) -> None:
        world = World()
        for name in ("MODIFY", "REMOVE"):
            world.stream(world.store(*ANSWERED_CALL), name=name)
        quarantined = {"pk": {"S": "quarantine#wavix#2026-11-21"}, "sk": {"S": "0" * 64}, "body": {"B": b"\xff"}}
        world.stream([expected_call(ANSWERED_CALL), quarantined])
        assert (world.steps, world.retries) == ([], [])

    def test_a_call_removed_in_the_meantime_is_not_stored_or_published(self, log: io.StringIO) -> None:
        world = World()
        items = world.store(*ANSWERED_CALL)
        world.table.clear()
        world.stream(items)
        assert (world.published, world.call(), world.retries) == ([], None, [])
        assert [line["gone"] for line in lines(log, "projected")] == [4]


def unreadable_event(world: World) -> list[Item]:
    poisoned = world.store(*ANSWERED_CALL)
    poisoned[1]["kind"] = {"S": "call.unheard_of"}
    return poisoned


def failing_as(member: str, *failing: str) -> Callable[[World], list[Item]]:
    """Return a fault: a set of the world that contains these partitions or ids."""

    def fault(world: World) -> list[Item]:
        getattr(world, member).update(failing)
        return world.store(*ANSWERED_CALL)

    return fault


every_fault = pytest.mark.parametrize(
    "fault",
    [
        unreadable_event,
        failing_as("broken", PK),
        failing_as("unwritable", PK),
        failing_as("unpublishable", *map(id_of, ANSWERED_CALL)),
    ],
    ids=["unreadable event", "read failure", "write failure", "refused by the bus"],
)


class TestACallThatCannotBeProjected:
    @every_fault
    def test_goes_to_the_retry_queue_and_blocks_no_other(
        self, fault: Callable[[World], list[Item]], log: io.StringIO, capsys: pytest.CaptureFixture[str]
    ) -> None:
        world = World()
        items = fault(world)
        others = [of_call(name, *ANSWERED_CALL) for name in ("before", "after")]
        before, after = (world.store(*events) for events in others)
        world.stream([*before, *items, *after])
        assert sorted(world.published_ids) == sorted(id_of(event) for events in others for event in events)
        assert world.call("jambonz#before")
        assert world.call("jambonz#after")
        assert sorted(world.retried) == sorted(event_key(event) for event in ANSWERED_CALL)
        failed = lines(log, "not projected")
        assert sum(line["events"] for line in failed) == 4
        assert {(line["provider"], line["call_id"]) for line in failed} == {("jambonz", "one-call")}
        metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(metric["EventNotProjected"], metric["provider"]) for metric in metrics] == [([1.0], "jambonz")] * 4
        assert "4155550123" not in log.getvalue() + str(metrics)

    def test_because_the_bus_refused_one_event_retries_only_that_event(self) -> None:
        world = World()
        world.unpublishable.add(id_of(ANSWERED_CALL[2]))
        world.stream(world.store(*ANSWERED_CALL))
        assert world.retried == [event_key(ANSWERED_CALL[2])]
        assert len(world.published) == 3

    def test_is_projected_by_a_retry_after_the_fault_is_fixed(self) -> None:
        world = World(broken={PK})
        world.stream(world.store(*ANSWERED_CALL))
        world.broken.clear()
        assert world.retry(*world.retries) == []
        assert world.call() == expected_call(ANSWERED_CALL)
        assert sorted(world.published_ids) == sorted(id_of(event) for event in ANSWERED_CALL)

    def test_fails_the_batch_if_the_retry_queue_fails_too(self) -> None:
        world = World(broken={PK}, queue_fault=ReadTimeoutError(endpoint_url=""))
        batch = stream_batch(world.store(*ANSWERED_CALL))
        with pytest.raises(ReadTimeoutError):
            world.project(batch)
        world.queue_fault = None
        world.project(batch)
        assert sorted(world.retried) == sorted(event_key(event) for event in ANSWERED_CALL)

    def test_has_retry_messages_of_a_bounded_size(self) -> None:
        world = World(broken={f"jambonz#sha256-{'0' * 64}"})
        event = replace(ANSWERED_CALL[0], call_id="+1" * 100_000, dedupe_key="#" * 100_000)
        world.broken.add(event_key(event)[0])
        world.stream(world.store(event))
        assert [len(message) < 500 for message in world.retries] == [True]


class TestTheTime:
    def test_that_runs_out_sends_the_rest_to_the_retry_queue(self, log: io.StringIO) -> None:
        world = World(seconds_of_a_read=10, invocation=Invocation(RESERVED_SECONDS + 15))
        calls = [of_call(name, *ANSWERED_CALL) for name in ("first", "second", "third")]
        world.stream([item for events in calls for item in world.store(*events)])
        assert world.call("jambonz#first")
        assert world.call("jambonz#second")
        assert [step for step in world.steps if "third" in step] == []
        # The stored calls are published later as well: there is no time for that either.
        assert world.published == []
        assert len(set(world.retried)) == 12
        assert {line["reason"] for line in lines(log, "not projected")} == {"no time was left", "not published"}


class TestTheRetryQueue:
    def test_projects_its_events_like_any_other(self) -> None:
        world = World()
        items = world.store(*ANSWERED_CALL)
        assert world.retry(*map(key_message, items)) == []
        assert world.call() == expected_call(ANSWERED_CALL)
        assert world.steps.count(f"read {PK}") == 1
        assert world.published_ids == [id_of(event) for event in ANSWERED_CALL]

    @every_fault
    def test_retains_only_messages_that_fail(self, fault: Callable[[World], list[Item]]) -> None:
        world = World()
        failing, well = fault(world), world.store(*of_call("well", *ANSWERED_CALL))
        assert world.retry(*map(key_message, [failing[0], well[0], failing[1], well[1]])) == ["message-0", "message-2"]
        assert world.retries == []
        assert world.call("jambonz#well")

    def test_drops_an_event_that_no_longer_exists(self, log: io.StringIO) -> None:
        world = World()
        items = world.store(*ANSWERED_CALL)
        del world.table[PK, items[0]["sk"]["S"]]
        assert world.retry(key_message(items[0]), key_message(items[1])) == []
        assert world.published_ids == [id_of(ANSWERED_CALL[1])]
        assert [line["gone"] for line in lines(log, "projected")] == [1]

    @pytest.mark.parametrize(
        "body",
        ["", "[]", "7", "{}", '{"pk": 1, "sk": "event#1"}', '{"pk": "jambonz#1", "sk": "call"}', '{"pk": "jambonz#1"}'],
    )
    def test_retains_an_invalid_key_and_publishes_a_duplicate_once(self, body: str, log: io.StringIO) -> None:
        world = World()
        good = key_message(world.store(*ANSWERED_CALL)[0])
        assert world.retry(body, good, good) == ["message-0"]
        assert len(world.published) == 1
        assert lines(log, "message is not an event key")


@pytest.mark.parametrize("sequence", SEQUENCES)
@given(data=st.data())
@examples(25)
def test_batching_order_and_duplicates_of_records_do_not_change_the_call(sequence: str, data: st.DataObject) -> None:
    events = SEQUENCE_EVENTS[sequence]
    (pk,) = {event_key(event)[0] for event in events}
    in_order, shuffled = World(), World()
    in_order.stream(in_order.store(*events))
    arrival = iter(data.draw(st.permutations(events)))
    known: list[Item] = []
    while arriving := list(itertools.islice(arrival, data.draw(st.integers(1, 4)))):
        known += shuffled.store(*arriving)
        shuffled.stream(data.draw(st.lists(st.sampled_from(known), max_size=6)))
        # Every record is delivered at least once.
        shuffled.stream(known[-len(arriving) :])
    assert shuffled.call(pk) == in_order.call(pk)
    assert set(shuffled.published_ids) == {id_of(event) for event in events}
    for detail in shuffled.published:
        bus_schema().validate(detail)


SEQUENCE_EVENTS = {name: delivered(name) for name in SEQUENCES}
