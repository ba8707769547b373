"""Project new events: fold their calls, store the calls, publish the events.

Events come from the table's stream, or from the retry queue, which holds events that could not be projected.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, TypedDict

from aws_lambda_powertools import Logger

from callhooks.calls.call import HintsLookup, fold
from callhooks.calls.event_bus import BusEntry, EventBus, bus_entry
from callhooks.calls.repository import CallStore, OutOfTime
from callhooks.events.call_event import CallEvent
from callhooks.events.event_item import EVENT_PREFIX, Item, event_of_item, is_call_partition
from callhooks.runtime.errors import describe_exception
from callhooks.runtime.metrics import count

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

RESERVED_SECONDS = 30.0
"""The time of a hanging request and the retry queue after it. With less left, no request is started."""

logger = Logger(child=True)


class Change(TypedDict, total=False):
    """A change to an item in the stream. Attributes are as in the table, except for binary ones."""

    Keys: Item
    NewImage: Item


class Record(TypedDict, total=False):
    """A record of the table's stream or a message of the retry queue, as Lambda passes it."""

    eventSource: str
    eventName: str
    dynamodb: Change
    messageId: str
    body: str


class StreamBatch(TypedDict):
    """Records from one source."""

    Records: Sequence[Record]


class Failed(TypedDict):
    """A message that must stay in the queue."""

    itemIdentifier: str


class BatchReply(TypedDict):
    """The result of a batch, with the messages that failed."""

    batchItemFailures: list[Failed]


class Reason(StrEnum):
    """Why an event was not projected."""

    NOT_FOLDED = "the call could not be read, folded or kept"
    NOT_PUBLISHED = "not published"
    NO_TIME = "no time was left"


@dataclass(frozen=True, slots=True, order=True)
class EventKey:
    """The key of an event in the table."""

    pk: str
    sk: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event to project; `item` is `None` if it must be read from the table."""

    key: EventKey
    item: Item | None = None


class RetryQueue:
    """The queue of keys of events to project later."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client = client
        self._url = url

    def put(self, keys: Iterable[EventKey]) -> None:
        """Put keys into the queue, one message per key.

        Raises:
            ClientError, BotoCoreError: the queue rejected a key; the keys after it were not sent.
        """
        # One by one: a batch request returns 200 even if some messages failed, and this path is rare.
        for key in keys:
            self._client.send_message(QueueUrl=self._url, MessageBody=json.dumps({"pk": key.pk, "sk": key.sk}))


@dataclass(slots=True)
class _Run:
    """State of one batch; `gone` counts events that are no longer in the table."""

    has_time: Callable[[], bool]
    entries: list[BusEntry] = field(default_factory=list)
    failed: set[EventKey] = field(default_factory=set)
    calls: int = 0
    gone: int = 0

    def fail(self, keys: Sequence[EventKey], reason: Reason, failure: str | None = None) -> None:
        """Record, log and count events that could not be projected."""
        self.failed.update(keys)
        for pk, same_call in groupby(keys, key=lambda key: key.pk):
            provider, _, call_id = pk.partition("#")
            events = [key.sk for key in same_call]
            fields = {"provider": provider, "call_id": call_id, "events": len(events), "reason": reason.value}
            logger.error("not projected", extra=fields | ({"failure": failure} if failure else {}))
            for _ in events:
                count("EventNotProjected", provider=provider, reason=reason.value)


class Projector:
    """Projects batches of events. A duplicate does not change the call, but is published again.

    Args:
        calls: the events and calls in the table.
        bus: the event bus.
        retries: the queue for the keys of events that could not be projected.
        hints_for: returns how to interpret a provider's events.
    """

    def __init__(self, calls: CallStore, bus: EventBus, retries: RetryQueue, *, hints_for: HintsLookup) -> None:
        self._calls = calls
        self._bus = bus
        self._retries = retries
        self._hints_for = hints_for

    def project(self, batch: StreamBatch, seconds_left: Callable[[], float]) -> BatchReply:
        """Project a batch from either source.

        Events of the stream that fail go to the retry queue. Messages of the retry queue that fail stay there.

        Args:
            batch: the records from Lambda.
            seconds_left: returns the remaining time of the invocation.

        Raises:
            ClientError, BotoCoreError: the retry queue rejected a failed event, so Lambda must retry the whole batch.
        """
        messages = [record for record in batch["Records"] if "messageId" in record]
        if messages:
            return self._project_messages(messages, seconds_left)
        arrivals = [arrival for record in batch["Records"] if (arrival := _arrival(record))]
        failed = self._project_arrivals(arrivals, seconds_left)
        self._retries.put(sorted(failed))
        return {"batchItemFailures": []}

    def _project_messages(self, messages: Sequence[Record], seconds_left: Callable[[], float]) -> BatchReply:
        keys = {message["messageId"]: _key_in(message) for message in messages}
        failed = self._project_arrivals([Arrival(key) for key in keys.values() if key], seconds_left)
        unfinished = [message_id for message_id, key in keys.items() if key is None or key in failed]
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in unfinished]}

    def _project_arrivals(self, arrivals: Sequence[Arrival], seconds_left: Callable[[], float]) -> set[EventKey]:
        """Project events, and return the keys of the failed ones."""
        run = _Run(has_time=lambda: seconds_left() > RESERVED_SECONDS)
        for same_call in _by_call(arrivals):
            keys = [arrival.key for arrival in same_call]
            if not run.has_time():
                run.fail(keys, Reason.NO_TIME)
                continue
            try:
                self._fold(same_call, run)
            except OutOfTime:
                run.fail(keys, Reason.NO_TIME)
            except Exception as error:  # noqa: BLE001 - a fault in one call must not stop the others
                run.fail(keys, Reason.NOT_FOLDED, describe_exception(error))
        refused = self._bus.publish(run.entries, has_time=run.has_time)
        run.fail([EventKey(entry.pk, entry.sk) for entry in refused], Reason.NOT_PUBLISHED)
        exceptional = {name: number for name, number in (("failed", len(run.failed)), ("gone", run.gone)) if number}
        logger.info("projected", extra={"events": len(arrivals), "calls": run.calls, **exceptional})
        return run.failed

    def _fold(self, arrivals: Sequence[Arrival], run: _Run) -> None:
        """Store the call of these events, and add their entries for the bus."""
        pk = arrivals[0].key.pk
        call = None
        events = [(arrival.key, event) for arrival in arrivals if (event := self._event(arrival))]
        if events and is_call_partition(pk):
            stored = self._calls.events_of(pk, has_time=run.has_time)
            if stored.events:
                call = fold(stored.events, self._hints_for(stored.events[0].provider))
                self._calls.write_if_newer(pk, call, expires_at=stored.expires_at)
                run.calls += 1
            else:
                # Removed since it arrived, so it must not be stored or published again.
                events = []
        run.gone += len(arrivals) - len(events)
        run.entries += [bus_entry(event, call, pk=key.pk, sk=key.sk) for key, event in events]

    def _event(self, arrival: Arrival) -> CallEvent | None:
        if arrival.item is not None:
            return event_of_item(arrival.item)
        return self._calls.event_at(arrival.key.pk, arrival.key.sk)


def _arrival(record: Record) -> Arrival | None:
    """Return the new event in a stream record; `None` for any other change, which the stream's filter excludes."""
    item = record.get("dynamodb", {}).get("NewImage")
    if record.get("eventName") != "INSERT" or item is None or not item["sk"]["S"].startswith(EVENT_PREFIX):
        return None
    return Arrival(EventKey(item["pk"]["S"], item["sk"]["S"]), item)


def _key_in(message: Record) -> EventKey | None:
    """Return the key in a message; `None` if the message is not from callhooks, which leaves it in the queue."""
    try:
        members: Mapping[str, object] = json.loads(message["body"])
        pk, sk = members["pk"], members["sk"]
    except (ValueError, KeyError, TypeError) as error:
        logger.error("message is not an event key", extra={"failure": describe_exception(error)})
        return None
    if not isinstance(pk, str) or not isinstance(sk, str) or not sk.startswith(EVENT_PREFIX):
        logger.error("message is not an event key")
        return None
    return EventKey(pk, sk)


def _by_call(arrivals: Iterable[Arrival]) -> Iterator[Sequence[Arrival]]:
    """Yield the events of each call in order of arrival. An event without a call is a group on its own."""
    groups: dict[str | EventKey, dict[EventKey, Arrival]] = {}
    for arrival in arrivals:
        group = arrival.key.pk if is_call_partition(arrival.key.pk) else arrival.key
        groups.setdefault(group, {})[arrival.key] = arrival
    for group_arrivals in groups.values():
        yield list(group_arrivals.values())
