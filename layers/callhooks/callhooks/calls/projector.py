"""What `call_projector` does with new events: fold their calls, keep these, publish the events.

Events come from the table's stream, or from the retry queue, where those lie that could not be projected.
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
"""What a request that hangs and the retry queue after it may cost; with less, nothing is begun any more."""

logger = Logger(child=True)


class Change(TypedDict, total=False):
    """What a stream tells of an item; attributes are as in the table, but for binary ones."""

    Keys: Item
    NewImage: Item


class Record(TypedDict, total=False):
    """A record of the table's stream or a message of the retry queue, as Lambda hands them over."""

    eventSource: str
    eventName: str
    dynamodb: Change
    messageId: str
    body: str


class StreamBatch(TypedDict):
    """Records of one source."""

    Records: Sequence[Record]


class Failed(TypedDict):
    """A message that the queue is to keep."""

    itemIdentifier: str


class BatchReply(TypedDict):
    """What Lambda takes for a batch that was only partly done."""

    batchItemFailures: list[Failed]


class Reason(StrEnum):
    """Why an event was not projected."""

    NOT_FOLDED = "the call could not be read, folded or kept"
    NOT_PUBLISHED = "not published"
    NO_TIME = "no time was left"


@dataclass(frozen=True, slots=True, order=True)
class EventKey:
    """Where an event lies in the table."""

    pk: str
    sk: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event to be projected; `item` is `None` where it has to be read."""

    key: EventKey
    item: Item | None = None


class RetryQueue:
    """Keys of events that are to be projected later."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client = client
        self._url = url

    def put(self, keys: Iterable[EventKey]) -> None:
        """Put keys into the queue, each in a message of its own.

        Raises:
            ClientError, BotoCoreError: the queue has not taken one of them; those after it were not tried.
        """
        # One by one: a batch is answered 200 though some of it was refused, and this is a rare way.
        for key in keys:
            self._client.send_message(QueueUrl=self._url, MessageBody=json.dumps({"pk": key.pk, "sk": key.sk}))


@dataclass(slots=True)
class _Run:
    """One batch on its way; `gone` are events that are not in the table any more."""

    has_time: Callable[[], bool]
    entries: list[BusEntry] = field(default_factory=list)
    failed: set[EventKey] = field(default_factory=set)
    calls: int = 0
    gone: int = 0

    def fail(self, keys: Sequence[EventKey], reason: Reason, failure: str | None = None) -> None:
        """Give events up for now, and tell of it."""
        self.failed.update(keys)
        for pk, same_call in groupby(keys, key=lambda key: key.pk):
            provider, _, call_id = pk.partition("#")
            events = [key.sk for key in same_call]
            told = {"provider": provider, "call_id": call_id, "events": len(events), "reason": reason.value}
            logger.error("not projected", extra=told | ({"failure": failure} if failure else {}))
            for _ in events:
                count("EventNotProjected", provider=provider, reason=reason.value)


class Projector:
    """Projects batches of events. Whatever comes again changes nothing but that it is published again.

    Args:
        calls: where the events of a call are read and calls are kept.
        bus: where events are published.
        retries: takes the keys of what could not be projected.
        hints_for: how the events of a provider are read.
    """

    def __init__(self, calls: CallStore, bus: EventBus, retries: RetryQueue, *, hints_for: HintsLookup) -> None:
        self._calls = calls
        self._bus = bus
        self._retries = retries
        self._hints_for = hints_for

    def take(self, batch: StreamBatch, seconds_left: Callable[[], float]) -> BatchReply:
        """Project a batch of either source.

        What fails of a stream's batch goes to the retry queue, and what fails of that queue stays in it.

        Args:
            batch: the records as Lambda hands them over.
            seconds_left: how long this invocation may still take.

        Raises:
            ClientError, BotoCoreError: the retry queue did not take what has failed: nothing of the batch counts as
                done.
        """
        messages = [record for record in batch["Records"] if "messageId" in record]
        if messages:
            return self._take_messages(messages, seconds_left)
        arrivals = [arrival for record in batch["Records"] if (arrival := _arrival(record))]
        failed = self._project(arrivals, seconds_left)
        self._retries.put(sorted(failed))
        return {"batchItemFailures": []}

    def _take_messages(self, messages: Sequence[Record], seconds_left: Callable[[], float]) -> BatchReply:
        keys = {message["messageId"]: _key_in(message) for message in messages}
        failed = self._project([Arrival(key) for key in keys.values() if key], seconds_left)
        kept = [message_id for message_id, key in keys.items() if key is None or key in failed]
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in kept]}

    def _project(self, arrivals: Sequence[Arrival], seconds_left: Callable[[], float]) -> set[EventKey]:
        """Project events, and return the keys of those that failed."""
        run = _Run(has_time=lambda: seconds_left() > RESERVED_SECONDS)
        for together in _by_call(arrivals):
            keys = [arrival.key for arrival in together]
            if not run.has_time():
                run.fail(keys, Reason.NO_TIME)
                continue
            try:
                self._fold(together, run)
            except OutOfTime:
                run.fail(keys, Reason.NO_TIME)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one call may not stop the others
                run.fail(keys, Reason.NOT_FOLDED, describe_exception(error))
        refused = self._bus.publish(run.entries, has_time=run.has_time)
        run.fail([EventKey(entry.pk, entry.sk) for entry in refused], Reason.NOT_PUBLISHED)
        rare = {name: number for name, number in (("failed", len(run.failed)), ("gone", run.gone)) if number}
        logger.info("projected", extra={"events": len(arrivals), "calls": run.calls, **rare})
        return run.failed

    def _fold(self, together: Sequence[Arrival], run: _Run) -> None:
        """Keep the call of these events, and make their entries for the bus."""
        pk = together[0].key.pk
        call = None
        events = [(arrival.key, event) for arrival in together if (event := self._event(arrival))]
        if events and is_call_partition(pk):
            told = self._calls.events_of(pk, has_time=run.has_time)
            if told.events:
                call = fold(told.events, self._hints_for(told.events[0].provider))
                self._calls.keep(pk, call, expires_at=told.expires_at)
                run.calls += 1
            else:
                # Forgotten since it came: neither kept nor published again.
                events = []
        run.gone += len(together) - len(events)
        run.entries += [bus_entry(event, call, pk=key.pk, sk=key.sk) for key, event in events]

    def _event(self, arrival: Arrival) -> CallEvent | None:
        if arrival.item is not None:
            return event_of_item(arrival.item)
        return self._calls.event_at(arrival.key.pk, arrival.key.sk)


def _arrival(record: Record) -> Arrival | None:
    """The new event in a record of the stream; the filter lets nothing else come in."""
    item = record.get("dynamodb", {}).get("NewImage")
    if record.get("eventName") != "INSERT" or item is None or not item["sk"]["S"].startswith(EVENT_PREFIX):
        return None
    return Arrival(EventKey(item["pk"]["S"], item["sk"]["S"]), item)


def _key_in(message: Record) -> EventKey | None:
    """The key in a message; `None`, and it stays in the queue, where it was put there by somebody else."""
    try:
        told: Mapping[str, object] = json.loads(message["body"])
        pk, sk = told["pk"], told["sk"]
    except (ValueError, KeyError, TypeError) as error:
        logger.error("not a key of an event", extra={"failure": describe_exception(error)})
        return None
    if not isinstance(pk, str) or not isinstance(sk, str) or not sk.startswith(EVENT_PREFIX):
        logger.error("not a key of an event")
        return None
    return EventKey(pk, sk)


def _by_call(arrivals: Iterable[Arrival]) -> Iterator[Sequence[Arrival]]:
    """Each call's events together, in the order in which they came; what belongs to no call is alone."""
    together: dict[str | EventKey, dict[EventKey, Arrival]] = {}
    for arrival in arrivals:
        about = arrival.key.pk if is_call_partition(arrival.key.pk) else arrival.key
        together.setdefault(about, {})[arrival.key] = arrival
    for same in together.values():
        yield list(same.values())
