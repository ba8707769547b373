"""Replay of stored events: in the order in which they happened, at a steady rate, and without a gap."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import httpx
from botocore.exceptions import BotoCoreError, ClientError
from callhooks.calls.call import fold
from callhooks.calls.event_bus import MAX_ENTRIES, BusEntry, EventBus, bus_entry
from callhooks.calls.repository import CallStore
from callhooks.events.event_item import EVENT_PREFIX, is_call_partition
from callhooks.providers.registry import hints_for

from callhooks_tools.recovery.replay_state import ReplayPosition, ReplayState
from callhooks_tools.recovery.workers import map_concurrently

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

READ_AHEAD = 100
POST_SECONDS = 10.0
"""Timeout in seconds for a whole request, until the status of the response has arrived."""
POST_PAUSES = (1.0, 4.0, 16.0)
"""Seconds before each retry of a rejected event."""
API_KEY_HEADER = "x-api-key"

_TIME = "%Y-%m-%dT%H:%M:%SZ"
_RETRYABLE_STATUSES = frozenset({408, 425, 429})


class EntriesRejected(Exception):
    """A destination has rejected these events; the text has the reason, and no data of the events."""

    def __init__(self, reason: str, rejected: Sequence[BusEntry]) -> None:
        super().__init__(reason)
        self.rejected = frozenset((entry.pk, entry.sk) for entry in rejected)


class Destination(Protocol):
    """Receiver of a replay."""

    batch_size: int
    """Maximum number of events in a request."""

    def send(self, entries: Sequence[BusEntry]) -> None:
        """Publish the entries.

        Raises:
            EntriesRejected: some were rejected after all retries; all others were accepted.
        """


class BusDestination:
    """The stack's own event bus."""

    batch_size = MAX_ENTRIES

    def __init__(self, client: EventBridgeClient, name: str, *, sleep: Callable[[float], None]) -> None:
        self._codes: Counter[str] = Counter()
        self._bus = EventBus(client, name, sleep=sleep, on_refused=self._codes.update)

    def send(self, entries: Sequence[BusEntry]) -> None:
        """Publish the entries."""
        self._codes.clear()
        if rejected := self._bus.publish(entries, has_time=lambda: True):
            raise EntriesRejected(f"the bus rejects events: {', '.join(sorted(self._codes))}", rejected)


class UrlDestination:
    """HTTP endpoint that gets each event in the format of an API destination of the bus."""

    batch_size = 1

    def __init__(
        self, client: httpx.AsyncClient, url: httpx.URL, *, runner: asyncio.Runner, sleep: Callable[[float], None]
    ) -> None:
        self._client = client
        self._url = url
        self._runner = runner
        self._sleep = sleep

    def send(self, entries: Sequence[BusEntry]) -> None:
        """Post the entries, one by one."""
        for number, entry in enumerate(entries):
            if problem := self._post(envelope_of(entry)):
                event = f"{id_of(entry)} of {entry.request['Time']:{_TIME}}"
                raise EntriesRejected(f"{origin_of(self._url)} {problem} for event {event}", entries[number:])

    def _post(self, envelope: bytes) -> str | None:
        """Post an event with retries; return the problem, or `None` if it was accepted."""
        for pause in (*POST_PAUSES, None):
            try:
                status = self._runner.run(self._status(envelope))
            except TimeoutError:
                problem = f"did not answer within {POST_SECONDS:g} seconds"
            except httpx.RequestError as error:
                # The text of an error may hold the address.
                problem = f"did not answer ({type(error).__name__})"
            else:
                if httpx.codes.is_success(status):
                    return None
                problem = f"answered {status}"
                if not httpx.codes.is_server_error(status) and status not in _RETRYABLE_STATUSES:
                    return problem
            if pause is not None:
                self._sleep(pause)
        return problem

    async def _status(self, envelope: bytes) -> int:
        """Post once, and return the status. The response body is not read, because it may be broken or endless."""
        headers = {"content-type": "application/json"}
        # httpx's own timeouts restart with every byte received.
        async with (
            asyncio.timeout(POST_SECONDS),
            self._client.stream("POST", self._url, content=envelope, headers=headers, timeout=None) as response,
        ):
            return response.status_code


def id_of(entry: BusEntry) -> str:
    """Return the event's id on the bus."""
    event_id: str = json.loads(entry.request["Detail"])["id"]
    return event_id


def envelope_of(entry: BusEntry) -> bytes:
    """Return an event as EventBridge delivers it to an HTTP endpoint, with the constant `id` of its detail."""
    request = entry.request
    detail = json.loads(request["Detail"])
    envelope = {
        "version": "0",
        "id": detail["id"],
        "source": request["Source"],
        "detail-type": request["DetailType"],
        "time": f"{request['Time']:{_TIME}}",
        "detail": detail,
    }
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def origin_of(url: httpx.URL) -> str:
    """Return the part of a URL that may be shown. User info, path and query may contain secrets."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


@dataclass
class Pacer:
    """Limit on the rate, in events a second. It does not catch up on lost time, so that subscribers get no burst."""

    rate: float
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    _due: float = float("-inf")

    def wait(self, events: int) -> None:
        """Sleep until this number of events is due."""
        now = self.monotonic()
        if self._due > now:
            self.sleep(self._due - now)
        self._due = max(self._due, now) + events / self.rate


class ReplayOutcome(StrEnum):
    """Outcome of the replay of an event."""

    PUBLISHED = "published"
    GONE = "gone"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class _Read:
    """Event that was read from the table. Without an entry, it is gone or has a `problem`."""

    position: ReplayPosition
    entry: BusEntry | None = None
    problem: str = ""

    @property
    def outcome(self) -> ReplayOutcome:
        if self.entry is not None:
            return ReplayOutcome.PUBLISHED
        return ReplayOutcome.UNREADABLE if self.problem else ReplayOutcome.GONE


@dataclass
class Replay:
    """One run of a replay, from the events left in its state until the end or the first rejected event.

    `report_problem` is called for each event that cannot be read and is skipped, `advance` with the number of events
    that are done.
    """

    state: ReplayState
    calls: CallStore
    destination: Destination
    pacer: Pacer
    report_problem: Callable[[ReplayPosition, str], None]
    advance: Callable[[int], None]
    outcomes: Counter[ReplayOutcome] = field(default_factory=Counter)

    def run(self) -> None:
        """Publish all events that are left. Events accepted just before a failure may still be in the state.

        Raises:
            EntriesRejected: the destination rejected an event.
            ClientError, BotoCoreError: the table could not be read.
        """
        # At most a second's worth of events is read or sent at a time.
        second = max(1, int(self.pacer.rate))
        batch_size, read_ahead = min(self.destination.batch_size, second), min(READ_AHEAD, second)
        while positions := self.state.next(read_ahead):
            read = self._read(positions)
            for start in range(0, len(read), batch_size):
                self._send(read[start : start + batch_size])

    def _read(self, positions: Sequence[ReplayPosition]) -> list[_Read]:
        """Read events from the table, each call once."""
        by_partition: dict[str, list[ReplayPosition]] = {}
        for position in positions:
            by_partition.setdefault(position.pk, []).append(position)
        results = map_concurrently(self._read_partition, by_partition.values())
        found = {one.position: one for result in results for one in result}
        return [found[position] for position in positions]

    def _read_partition(self, positions: Sequence[ReplayPosition]) -> list[_Read]:
        try:
            entries = self._entries(positions)
        except (BotoCoreError, ClientError):
            raise
        except Exception as error:  # noqa: BLE001 - a problem with one call must not stop the others
            problem = f"an item is not a valid event ({type(error).__name__}: {error})"
            return [_Read(position, problem=problem) for position in positions]
        return [_Read(position, entries.get(position)) for position in positions]

    def _entries(self, positions: Sequence[ReplayPosition]) -> Mapping[ReplayPosition, BusEntry]:
        pk = positions[0].pk
        if not is_call_partition(pk):
            stored = ((position, self.calls.event_at(pk, position.sk)) for position in positions)
            return {position: bus_entry(event, None, pk=pk, sk=position.sk) for position, event in stored if event}
        events = {EVENT_PREFIX + event.dedupe_key: event for event in self.calls.events_of(pk).events}
        call = fold(tuple(events.values()), hints_for(pk.partition("#")[0])) if events else None
        return {
            position: bus_entry(events[position.sk], call, pk=pk, sk=position.sk)
            for position in positions
            if position.sk in events
        }

    def _send(self, read: Sequence[_Read]) -> None:
        entries = [one.entry for one in read if one.entry is not None]
        try:
            if entries:
                self.pacer.wait(len(entries))
                self.destination.send(entries)
        except EntriesRejected as error:
            self._mark_done([one for one in read if (one.position.pk, one.position.sk) not in error.rejected])
            raise
        self._mark_done(read)

    def _mark_done(self, done: Sequence[_Read]) -> None:
        self.state.remove([one.position for one in done])
        for one in done:
            self.outcomes[one.outcome] += 1
            if one.problem:
                self.report_problem(one.position, one.problem)
        self.advance(len(done))
