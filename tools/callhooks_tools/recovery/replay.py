"""Stored events published again, in the order in which they happened, at a steady rate, and never with a gap."""

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
from callhooks_tools.recovery.workers import at_once

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

READ_AHEAD = 100
POST_SECONDS = 10.0
"""Seconds for a whole request, until the status of its answer is there."""
POST_PAUSES = (1.0, 4.0, 16.0)
"""Seconds before what was not taken is posted again."""
API_KEY_HEADER = "x-api-key"

_TIME = "%Y-%m-%dT%H:%M:%SZ"
_PASSING_STATUSES = frozenset({408, 425, 429})


class EntriesRejected(Exception):
    """A destination has not taken these events; the text says why, and holds nothing that was sent."""

    def __init__(self, why: str, refused: Sequence[BusEntry]) -> None:
        super().__init__(why)
        self.refused = frozenset((entry.pk, entry.sk) for entry in refused)


class Destination(Protocol):
    """Where events are published again."""

    at_once: int
    """How many it takes in one request."""

    def send(self, entries: Sequence[BusEntry]) -> None:
        """Publish the entries.

        Raises:
            EntriesRejected: some of them, after a few attempts; all others are taken.
        """


class BusDestination:
    """The stack's own event bus."""

    at_once = MAX_ENTRIES

    def __init__(self, client: EventBridgeClient, name: str, *, sleep: Callable[[float], None]) -> None:
        self._codes: Counter[str] = Counter()
        self._bus = EventBus(client, name, sleep=sleep, on_refused=self._codes.update)

    def send(self, entries: Sequence[BusEntry]) -> None:
        """Publish the entries."""
        self._codes.clear()
        if refused := self._bus.publish(entries, has_time=lambda: True):
            raise EntriesRejected(f"the bus refuses them: {', '.join(sorted(self._codes))}", refused)


class UrlDestination:
    """An HTTP endpoint, which gets each event as the bus would deliver it."""

    at_once = 1

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
            if why := self._post(envelope_of(entry)):
                told = f"{origin_of(self._url)} {why} to {id_of(entry)} of {entry.request['Time']:{_TIME}}"
                raise EntriesRejected(told, entries[number:])

    def _post(self, envelope: bytes) -> str | None:
        """Why it was not taken; `None` where it was."""
        for pause in (*POST_PAUSES, None):
            try:
                status = self._runner.run(self._status(envelope))
            except TimeoutError:
                why = f"does not answer within {POST_SECONDS:g} seconds"
            except httpx.RequestError as error:
                # The text of an error may hold the address.
                why = f"does not answer ({type(error).__name__})"
            else:
                if httpx.codes.is_success(status):
                    return None
                why = f"answers {status}"
                if not httpx.codes.is_server_error(status) and status not in _PASSING_STATUSES:
                    return why
            if pause is not None:
                self._sleep(pause)
        return why

    async def _status(self, envelope: bytes) -> int:
        """Post once. The body of the answer is not read: it may be broken, or have no end."""
        headers = {"content-type": "application/json"}
        # httpx's own time-outs begin anew with every byte that comes.
        async with (
            asyncio.timeout(POST_SECONDS),
            self._client.stream("POST", self._url, content=envelope, headers=headers, timeout=None) as response,
        ):
            return response.status_code


def id_of(entry: BusEntry) -> str:
    """The event's id on the bus."""
    event_id: str = json.loads(entry.request["Detail"])["id"]
    return event_id


def envelope_of(entry: BusEntry) -> bytes:
    """An event as EventBridge delivers it to an HTTP endpoint; its `id` is that of the detail, and always the same."""
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
    """As much of a URL as may be shown: what follows the host may hold a secret, and so may what stands before it."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


@dataclass
class Pacer:
    """Keeps a rate, in events a second. Time that was lost is not made up for: subscribers get no burst."""

    rate: float
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    _due: float = float("-inf")

    def wait(self, events: int) -> None:
        """Return when it is time for so many events."""
        now = self.monotonic()
        if self._due > now:
            self.sleep(self._due - now)
        self._due = max(self._due, now) + events / self.rate


class ReplayOutcome(StrEnum):
    """What became of an event."""

    PUBLISHED = "published"
    GONE = "gone"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class _Read:
    """An event that was read again, as it is to be published; without an entry it is gone, or `problem` says why."""

    place: ReplayPosition
    entry: BusEntry | None = None
    problem: str = ""

    @property
    def outcome(self) -> ReplayOutcome:
        if self.entry is not None:
            return ReplayOutcome.PUBLISHED
        return ReplayOutcome.UNREADABLE if self.problem else ReplayOutcome.GONE


@dataclass
class Replay:
    """One run of a replay, from what is left in its state to the end, or to the first event that is not taken.

    `tell_problem` is told of events that cannot be read, which are left out, and `advance` of how many are done.
    """

    state: ReplayState
    calls: CallStore
    destination: Destination
    pacer: Pacer
    tell_problem: Callable[[ReplayPosition, str], None]
    advance: Callable[[int], None]
    outcomes: Counter[ReplayOutcome] = field(default_factory=Counter)

    def run(self) -> None:
        """Publish all that is left. What is struck off was taken; what was taken just before a failure may not be.

        Raises:
            EntriesRejected: the destination refuses.
            ClientError, BotoCoreError: the table could not be read.
        """
        # No more than a second's worth is sent or read at once.
        second = max(1, int(self.pacer.rate))
        together, ahead = min(self.destination.at_once, second), min(READ_AHEAD, second)
        while places := self.state.next(ahead):
            read = self._read(places)
            for start in range(0, len(read), together):
                self._send(read[start : start + together])

    def _read(self, places: Sequence[ReplayPosition]) -> list[_Read]:
        """Read events again, each call once."""
        of_call: dict[str, list[ReplayPosition]] = {}
        for place in places:
            of_call.setdefault(place.pk, []).append(place)
        found = {one.place: one for many in at_once(self._read_partition, of_call.values()) for one in many}
        return [found[place] for place in places]

    def _read_partition(self, places: Sequence[ReplayPosition]) -> list[_Read]:
        try:
            entries = self._entries(places)
        except (BotoCoreError, ClientError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one call may not stop the others
            return [_Read(place, problem=f"an item is no event ({type(error).__name__}: {error})") for place in places]
        return [_Read(place, entries.get(place)) for place in places]

    def _entries(self, places: Sequence[ReplayPosition]) -> Mapping[ReplayPosition, BusEntry]:
        pk = places[0].pk
        if not is_call_partition(pk):
            alone = ((place, self.calls.event_at(pk, place.sk)) for place in places)
            return {place: bus_entry(event, None, pk=pk, sk=place.sk) for place, event in alone if event}
        events = {EVENT_PREFIX + event.dedupe_key: event for event in self.calls.events_of(pk).events}
        call = fold(tuple(events.values()), hints_for(pk.partition("#")[0])) if events else None
        return {place: bus_entry(events[place.sk], call, pk=pk, sk=place.sk) for place in places if place.sk in events}

    def _send(self, read: Sequence[_Read]) -> None:
        entries = [one.entry for one in read if one.entry is not None]
        try:
            if entries:
                self.pacer.wait(len(entries))
                self.destination.send(entries)
        except EntriesRejected as error:
            self._strike_off([one for one in read if (one.place.pk, one.place.sk) not in error.refused])
            raise
        self._strike_off(read)

    def _strike_off(self, done: Sequence[_Read]) -> None:
        self.state.taken([one.place for one in done])
        for one in done:
            self.outcomes[one.outcome] += 1
            if one.problem:
                self.tell_problem(one.place, one.problem)
        self.advance(len(done))
