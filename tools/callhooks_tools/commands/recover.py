"""`callhooks recover`: store deliveries that are only in the logs, because both table and queue were down."""

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

from callhooks_tools.recovery.stored_events import parse_age
from callhooks_tools.recovery.workers import map_concurrently_by_key
from callhooks_tools.stack.selection import SelectedStack, stack_in_aws, with_stack_options
from callhooks_tools.stack.stack import stack_resources
from callhooks_tools.stack.terminal import FAILED, JsonOutput, errors, fail, misuse, note, progress, show_counts, shown

Since = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="AGE", help="Only read logs of the last AGE: 30m, 12h, 7d. By default, read all logs."
    ),
]


class RecoveryOutcome(StrEnum):
    """Outcome for a delivery in the log."""

    STORED = "recovered"
    KNOWN = "already stored"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class LogLine:
    """Line of a log with the marker; `source` is its log group, stream and time."""

    source: str
    message: str


class Part(BaseModel):
    """Part of a delivery: `delivery` is a slice of the packed item, `event` is the same in all its `parts`."""

    model_config = ConfigDict(frozen=True)

    event: str
    part: PositiveInt
    parts: PositiveInt
    delivery: str


@dataclass(frozen=True, slots=True)
class Logged:
    """Complete delivery from the log: its name there, and the packed item."""

    event: str
    packed: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """Outcome for a delivery; `problem` is why it could not be stored."""

    event: str
    outcome: RecoveryOutcome
    problem: str = ""


@dataclass(slots=True)
class Joiner:
    """Joins the parts of deliveries, in any order and with duplicates; `unreadable` has lines that are not parts."""

    unreadable: list[Recovered] = field(default_factory=list)
    _partial: dict[str, dict[int, Part]] = field(default_factory=dict)
    _complete: set[str] = field(default_factory=set)

    def join(self, lines: Iterable[LogLine]) -> Iterator[Logged]:
        """Yield each delivery as soon as all its parts have been read."""
        for line in lines:
            try:
                part = parse_part(line.message)
            except ValueError as error:
                self.unreadable.append(Recovered(line.source, RecoveryOutcome.UNREADABLE, str(error)))
                continue
            if part.event in self._complete:
                continue
            parts = self._partial.setdefault(part.event, {})
            parts[part.part] = part
            if len(parts) >= part.parts:
                self._complete.add(part.event)
                del self._partial[part.event]
                yield Logged(part.event, "".join(parts[number].delivery for number in sorted(parts)))

    @property
    def incomplete(self) -> list[Recovered]:
        """Return the deliveries with missing parts."""
        return [
            Recovered(
                event,
                RecoveryOutcome.UNREADABLE,
                f"only {len(parts)} of {next(iter(parts.values())).parts} parts found",
            )
            for event, parts in self._partial.items()
        ]


@with_stack_options
def recover(since: Since = None, as_json: JsonOutput = False, *, selected: SelectedStack) -> None:
    """Store deliveries that are only in the logs, because both the database and the queue were down.

    Safe to run again.
    """
    begin = None if since is None else _begin(since)
    session, outputs = stack_in_aws(selected)
    store = EventStore(session.client("dynamodb"), outputs.events_table)
    counts: Counter[RecoveryOutcome] = Counter()
    joiner = Joiner()
    try:
        with progress("lines read") as advance:
            resources = stack_resources(session, outputs.stack_name)
            groups = [one.physical_id for one in resources if one.type == "AWS::Logs::LogGroup"]
            lines = marked_lines(session, groups, begin, advance)
            # Duplicates get the answer of the delivery that is stored first, so store the earliest first.
            found = sorted(((sort_key(logged), logged) for logged in joiner.join(lines)), key=itemgetter(0))
            results = map_concurrently_by_key(
                lambda one: recover_delivery(store, one[1]), found, key=lambda one: one[0][1]
            )
            for recovered in results:
                counts[recovered.outcome] += 1
                _report(recovered)
    except (BotoCoreError, ClientError) as error:
        if counts:
            show_counts("Deliveries", counts, RecoveryOutcome, as_json=as_json)
        fail(f"Not all deliveries were recovered. Run the command again. Cause: {error}")
    for recovered in (*joiner.unreadable, *joiner.incomplete):
        counts[recovered.outcome] += 1
        _report(recovered)
    show_counts("Deliveries", counts, RecoveryOutcome, as_json=as_json)
    if not counts:
        note("No deliveries to recover in the logs.")
    if counts[RecoveryOutcome.UNREADABLE]:
        raise typer.Exit(FAILED)


def marked_lines(
    session: Session, groups: Iterable[str], begin: datetime | None, read: Callable[[], None]
) -> Iterator[LogLine]:
    """Yield the lines with the marker, one log group after the other; call `read` for each line.

    Raises:
        ClientError, BotoCoreError: the logs could not be read.
    """
    pages = session.client("logs").get_paginator("filter_log_events")
    since = 0 if begin is None else int(begin.timestamp() * 1000)
    for group in groups:
        # A quoted pattern matches lines of JSON and of plain text.
        for page in pages.paginate(logGroupName=group, filterPattern=f'"{UNSTORED_MARKER}"', startTime=since):
            for event in page["events"]:
                read()
                logged_at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
                yield LogLine(f"{group} {event['logStreamName']} {logged_at:%Y-%m-%dT%H:%M:%S}Z", event["message"])


def parse_part(message: str) -> Part:
    """Parse the part in a log message, with or without an envelope.

    Raises:
        ValueError: it cannot be parsed; the text does not quote the message.
    """
    try:
        part = Part.model_validate(_marked_object(message))
    except ValidationError:
        raise ValueError("members are missing or have the wrong type") from None
    if part.part > part.parts:
        raise ValueError("its part number is too high")
    return part


def sort_key(logged: Logged) -> tuple[str, tuple[str, str]]:
    """Return a delivery's time of receipt and key; an unreadable one has no time, and a key of its own."""
    try:
        item = unpack_item(logged.packed)
        return str(item["received_at"]["S"]), (item["pk"]["S"], item["sk"]["S"])
    except (ValueError, KeyError, TypeError):
        return "", (logged.event, "")


def recover_delivery(store: EventStore, logged: Logged) -> Recovered:
    """Store a delivery unless it is already stored.

    Raises:
        ClientError, BotoCoreError: the database failed.
    """
    try:
        outcome = RecoveryOutcome.STORED if store.put(unpack_item(logged.packed)) else RecoveryOutcome.KNOWN
    except (ValueError, ParamValidationError) as error:
        # The text of a validation error quotes the delivery.
        problem = str(error) if isinstance(error, ValueError) else "it is not a valid table item"
        return Recovered(logged.event, RecoveryOutcome.UNREADABLE, problem)
    except ClientError as error:
        if not is_permanent_rejection(error):
            raise
        return Recovered(logged.event, RecoveryOutcome.UNREADABLE, "the database rejects it")
    return Recovered(logged.event, outcome)


def _marked_object(message: str) -> object:
    """Return the JSON object with the marker as its `message`: the line itself, or inside an envelope of Lambda."""
    inner: object = message
    while isinstance(inner, str):
        begin = inner.find("{")
        if begin < 0:
            break
        try:
            inner, _ = json.JSONDecoder().raw_decode(inner, begin)
        except (ValueError, RecursionError):
            raise ValueError("its JSON is truncated or invalid") from None
        while isinstance(inner, dict):
            if inner.get("message") == UNSTORED_MARKER:
                return inner
            inner = inner.get("message")
    raise ValueError("it has no JSON with the marker")


def _begin(since: str) -> datetime:
    begin: datetime | None = None
    with suppress(OverflowError):
        begin = datetime.now(UTC) - age if (age := parse_age(since)) else None
    if begin is None:
        misuse(f"Invalid --since {shown(since)}. Use minutes, hours, days or weeks, for example 30m, 12h, 7d or 2w.")
    return begin


def _report(recovered: Recovered) -> None:
    if recovered.outcome is RecoveryOutcome.UNREADABLE:
        errors.print(shown(f"{recovered.event}: {recovered.problem}"), style="red")
