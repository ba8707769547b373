"""`callhooks recover`: bring in what only the log has kept, since neither the table nor the queue would take it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from operator import itemgetter
from typing import Annotated

import typer
from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from callhooks.events.event_item import unpack_item
from callhooks.events.event_table import EventStore
from callhooks.events.event_writer import UNSTORED_MARKER
from callhooks.runtime.errors import is_permanent_rejection
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from callhooks_tools.recovery.stored_events import age_of
from callhooks_tools.recovery.workers import at_once_by_key
from callhooks_tools.stack.stack import stack_resources
from callhooks_tools.stack.terminal import StackName, console, errors, fail, progress, shown, stack_in_aws

Since = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="AGE", help="Only what was logged since then: 30m, 12h, 7d. Else all that the logs hold."
    ),
]


class RecoveryOutcome(StrEnum):
    """What becomes of a delivery in the log."""

    STORED = "brought in"
    KNOWN = "there already"
    UNREADABLE = "not to be read"


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the log with the marker, and where it stands."""

    place: str
    message: str


class Part(BaseModel):
    """A part of a delivery: `delivery` is a slice of the packed item, `event` the same for all its `parts`."""

    model_config = ConfigDict(frozen=True)

    event: str
    part: PositiveInt
    parts: PositiveInt
    delivery: str


@dataclass(frozen=True, slots=True)
class Logged:
    """A whole delivery of the log: its name there, and the packed item."""

    event: str
    packed: str


@dataclass(frozen=True, slots=True, order=True)
class DeliveryKey:
    """When a delivery came, and its key in the table."""

    received_at: str
    key: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What has become of a delivery, and why it could not be brought in."""

    event: str
    fate: RecoveryOutcome
    problem: str = ""


@dataclass(slots=True)
class Joiner:
    """Joins parts, in whatever order and however often they come; `unreadable` names lines that are no parts."""

    unreadable: list[Recovered] = field(default_factory=list)
    _waiting: dict[str, dict[int, Part]] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)

    def whole(self, lines: Iterable[LogLine]) -> Iterator[Logged]:
        """The deliveries of which every part is there, each as soon as it is whole."""
        for line in lines:
            try:
                part = part_of(line.message)
            except ValueError as error:
                self.unreadable.append(Recovered(line.place, RecoveryOutcome.UNREADABLE, str(error)))
                continue
            if part.event in self._done:
                continue
            parts = self._waiting.setdefault(part.event, {})
            parts[part.part] = part
            if len(parts) >= part.parts:
                self._done.add(part.event)
                del self._waiting[part.event]
                yield Logged(part.event, "".join(parts[number].delivery for number in sorted(parts)))

    @property
    def incomplete(self) -> list[Recovered]:
        """The deliveries of which parts are missing."""
        return [
            Recovered(
                event, RecoveryOutcome.UNREADABLE, f"{len(parts)} of {next(iter(parts.values())).parts} parts are there"
            )
            for event, parts in self._waiting.items()
        ]


def recover(since: Since = None, stack_name: StackName = None) -> None:
    """Store the deliveries that are in the logs alone, since database and queue were down. May be run again."""
    begin = None if since is None else _begin(since)
    session, outputs = stack_in_aws(stack_name)
    store = EventStore(session.client("dynamodb"), outputs.events_table)
    counts: Counter[RecoveryOutcome] = Counter()
    joiner = Joiner()
    try:
        with progress("lines read") as advance:
            resources = stack_resources(session, outputs.stack_name)
            groups = [one.physical_id for one in resources if one.type == "AWS::Logs::LogGroup"]
            lines = marked_lines(session, groups, begin, advance)
            # What came first is what a repeat is answered, and a log need not have it first.
            found = sorted(((place_of(logged), logged) for logged in joiner.whole(lines)), key=itemgetter(0))
            brought = at_once_by_key(lambda one: bring_in(store, one[1]), found, key=lambda one: one[0].key)
            for recovered in brought:
                counts[recovered.fate] += 1
                _tell(recovered)
    except (BotoCoreError, ClientError) as error:
        _sum_up(counts)
        fail(f"Not everything was read or stored, run it again: {error}")
    for recovered in (*joiner.unreadable, *joiner.incomplete):
        counts[recovered.fate] += 1
        _tell(recovered)
    _sum_up(counts)
    if not counts:
        console.print("The logs hold nothing that was not stored.")
    if counts[RecoveryOutcome.UNREADABLE]:
        raise typer.Exit(1)


def marked_lines(
    session: Session, groups: Iterable[str], begin: datetime | None, read: Callable[[], None]
) -> Iterator[LogLine]:
    """The lines with the marker, of each log group in turn; `read` is called for each.

    Raises:
        ClientError, BotoCoreError: the logs could not be read.
    """
    pages = session.client("logs").get_paginator("filter_log_events")
    since = 0 if begin is None else int(begin.timestamp() * 1000)
    for group in groups:
        # Quoted, it is looked for in lines of JSON and of plain text alike.
        for page in pages.paginate(logGroupName=group, filterPattern=f'"{UNSTORED_MARKER}"', startTime=since):
            for event in page["events"]:
                read()
                logged_at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
                yield LogLine(f"{group} {event['logStreamName']} {logged_at:%Y-%m-%dT%H:%M:%S}Z", event["message"])


def part_of(message: str) -> Part:
    """The part in a line of the log, whatever was put around it.

    Raises:
        ValueError: it cannot be read; the text repeats nothing of the line.
    """
    try:
        part = Part.model_validate(_marked(message))
    except ValidationError:
        raise ValueError("members are missing or of a wrong type") from None
    if part.part > part.parts:
        raise ValueError("its part is beyond the last one")
    return part


def place_of(logged: Logged) -> DeliveryKey:
    """Where a delivery belongs among the others; one that cannot be read comes first, and alone."""
    try:
        item = unpack_item(logged.packed)
        return DeliveryKey(str(item["received_at"]["S"]), (item["pk"]["S"], item["sk"]["S"]))
    except (ValueError, KeyError, TypeError):
        return DeliveryKey("", (logged.event, ""))


def bring_in(store: EventStore, logged: Logged) -> Recovered:
    """Store a delivery unless it is there.

    Raises:
        ClientError, BotoCoreError: the database has failed.
    """
    try:
        fate = RecoveryOutcome.STORED if store.put(unpack_item(logged.packed)) else RecoveryOutcome.KNOWN
    except (ValueError, ParamValidationError) as error:
        # The text of a validation repeats what was sent.
        problem = str(error) if isinstance(error, ValueError) else "it is no item of a table"
        return Recovered(logged.event, RecoveryOutcome.UNREADABLE, problem)
    except ClientError as error:
        if not is_permanent_rejection(error):
            raise
        return Recovered(logged.event, RecoveryOutcome.UNREADABLE, "the database refuses it")
    return Recovered(logged.event, fate)


def _marked(message: str) -> object:
    """The object of JSON with the marker as its `message`: the line itself, or in an envelope of Lambda's."""
    inner: object = message
    while isinstance(inner, str):
        begin = inner.find("{")
        if begin < 0:
            break
        try:
            inner, _ = json.JSONDecoder().raw_decode(inner, begin)
        except (ValueError, RecursionError):
            raise ValueError("its JSON is cut off or broken") from None
        while isinstance(inner, dict):
            if inner.get("message") == UNSTORED_MARKER:
                return inner
            inner = inner.get("message")
    raise ValueError("there is no JSON with the marker")


def _begin(since: str) -> datetime:
    begin: datetime | None = None
    with suppress(OverflowError):
        begin = datetime.now(UTC) - age if (age := age_of(since)) else None
    if begin is None:
        fail(f"--since takes minutes, hours, days or weeks, such as 30m, 12h, 7d or 2w, and not {shown(since)}")
    return begin


def _tell(recovered: Recovered) -> None:
    if recovered.fate is RecoveryOutcome.UNREADABLE:
        errors.print(shown(f"{recovered.event}: {recovered.problem}"), style="red")


def _sum_up(counts: Counter[RecoveryOutcome]) -> None:
    told = ", ".join(f"{counts[fate]} {fate}" for fate in RecoveryOutcome if counts[fate])
    if told:
        console.print(f"Deliveries: {told}.")
