"""`callhooks quarantine`: deliveries that were not understood, and bringing them in once they are."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from callhooks.events.call_event import Ignored
from callhooks.events.event_item import Item, answer_of, body_of_item
from callhooks.events.event_table import EventStore
from callhooks.providers.description import Parameters
from callhooks.providers.registry import providers
from rich.console import Console
from rich.table import Table

from callhooks_tools.recovery.quarantine import (
    Quarantine,
    QuarantinedDelivery,
    StillNotUnderstood,
    read_again,
    store_event,
)
from callhooks_tools.recovery.workers import at_once, at_once_by_key
from callhooks_tools.stack.provider_names import OfProvider
from callhooks_tools.stack.stack import StackOutputs
from callhooks_tools.stack.terminal import StackName, console, errors, fail, progress, shown, stack_in_aws

quarantine_app = typer.Typer(help="Deliveries of proven senders that were not understood.", no_args_is_help=True)

MAX_DAYS = 3660
DAYS_AHEAD = 8
"""A key may have the day of a sender's clock, whose signatures may be taken for up to a week to come."""
WIDTH_OF_NO_TERMINAL = 250
DEEPEST_INDENT = 20
NAME = re.compile(r"[a-z]+/[0-9]{4}-[0-9]{2}-[0-9]{2}/[0-9a-f]{1,64}", re.ASCII)

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s"\[\]{},:]+')

Key = Annotated[str, typer.Argument(metavar="KEY", help="The delivery, as callhooks quarantine list names it.")]
Days = Annotated[int, typer.Option("--days", min=1, max=MAX_DAYS, help="Only of so many days.")]


class RetryOutcome(StrEnum):
    """What becomes of a delivery that is tried again."""

    STORED = "stored"
    KNOWN = "stored before"
    IGNORED = "ignored now and removed"
    GONE = "gone meanwhile"
    NOT_UNDERSTOOD = "still not understood"


@dataclass(frozen=True, slots=True)
class Tried:
    """A delivery that was tried again, and why it was not stored."""

    kept: QuarantinedDelivery
    fate: RetryOutcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Understood:
    """A delivery as it is read now: the item of its event."""

    kept: QuarantinedDelivery
    made: Item

    @property
    def key(self) -> tuple[str, str]:
        """The key of its event."""
        return self.made["pk"]["S"], self.made["sk"]["S"]


@dataclass(frozen=True, slots=True)
class Retrial:
    """Brings deliveries in: each is stored first, and taken out of quarantine only then.

    Both steps may be done any number of times, and stopped anywhere; both raise what botocore raises.
    """

    quarantine: Quarantine
    store: EventStore
    parameters: Parameters

    def read(self, kept: QuarantinedDelivery) -> Understood | Tried:
        """Read a delivery again; it is `Tried` where there is no event to store."""
        item = self.quarantine.read(kept)
        if item is None:
            return Tried(kept, RetryOutcome.GONE)
        try:
            made = read_again(item, self.parameters)
        except StillNotUnderstood as problem:
            return Tried(kept, RetryOutcome.NOT_UNDERSTOOD, str(problem))
        if isinstance(made, Ignored):
            self.quarantine.remove(kept)
            return Tried(kept, RetryOutcome.IGNORED, made.reason)
        return Understood(kept, made)

    def bring_in(self, read: Understood | Tried) -> Tried:
        """Store the event of a delivery, where there is one, and take the delivery out."""
        if isinstance(read, Tried):
            return read
        try:
            fate = RetryOutcome.STORED if store_event(self.store, read.made) else RetryOutcome.KNOWN
        except StillNotUnderstood as problem:
            return Tried(read.kept, RetryOutcome.NOT_UNDERSTOOD, str(problem))
        self.quarantine.remove(read.kept)
        return Tried(read.kept, fate)

    def of_all(self, chosen: Iterable[QuarantinedDelivery]) -> Iterator[Tried]:
        """Try deliveries again, several at once. Of those of the same event the first one is stored."""
        read = at_once(self.read, chosen)
        return at_once_by_key(
            self.bring_in, read, key=lambda one: one.key if isinstance(one, Understood) else one.kept.name
        )


@quarantine_app.command("list")
def quarantine_list(provider: OfProvider = None, days: Days = 30, stack_name: StackName = None) -> None:
    """Show what lies in quarantine, the newest first."""
    with _quarantine(stack_name) as (quarantine, _):
        found = _found(quarantine, provider, days)
    if not found:
        console.print("Nothing is in quarantine.")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("key", no_wrap=True)
    table.add_column("received (UTC)", no_wrap=True)
    table.add_column("route", overflow="fold")
    table.add_column("reason", overflow="fold")
    for kept in found:
        table.add_row(*map(shown, (kept.name, kept.received_at[:19].replace("T", " "), kept.route, kept.reason)))
    # In a file or a pipe each row is a line, whatever its length.
    (console if console.is_terminal else Console(width=WIDTH_OF_NO_TERMINAL, markup=False, emoji=False)).print(table)
    console.print()
    for reason, number in Counter(kept.reason for kept in found).most_common():
        console.print(f"{number:>6}  {shown(reason)}")


@quarantine_app.command("show")
def quarantine_show(key: Key, stack_name: StackName = None) -> None:
    """Show a delivery in quarantine as it came, and what it was answered. Prints numbers and names of people."""
    with _quarantine(stack_name) as (quarantine, _):
        kept = _named(quarantine, key)
        item = quarantine.read(kept)
    if item is None:
        fail(f"{key} is not in quarantine any more.")
    for line in _told(kept, item):
        console.print(shown(line))


@quarantine_app.command("retry")
def quarantine_retry(
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY...", help="Deliveries, as callhooks quarantine list names them."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that callhooks quarantine list shows.")] = False,
    provider: OfProvider = None,
    days: Days = 30,
    stack_name: StackName = None,
) -> None:
    """Read deliveries again with the code of this clone, and store those that are understood now."""
    if bool(keys) == everything:
        fail("Name deliveries, or take --all.")
    if keys and provider:
        fail("--provider goes with --all.")
    counts: Counter[RetryOutcome] = Counter()
    try:
        with _quarantine(stack_name) as (quarantine, outputs):
            chosen = _found(quarantine, provider, days) if everything else _all_named(quarantine, keys or [])
            # What came first is what a repeat is answered.
            chosen.sort(key=lambda kept: kept.received_at)
            with progress("deliveries", total=len(chosen)) as advance:
                for tried in _retrial(quarantine, outputs).of_all(chosen):
                    counts[tried.fate] += 1
                    _tell(tried)
                    advance()
    finally:
        told = ", ".join(f"{counts[fate]} {fate}" for fate in RetryOutcome if counts[fate])
        if told:
            console.print(f"Deliveries: {told}.")
    if not counts:
        console.print("Nothing is in quarantine.")
    if counts[RetryOutcome.NOT_UNDERSTOOD]:
        raise typer.Exit(1)


def readable(raw: bytes) -> list[str]:
    """A body in lines: JSON indented, every token as it was sent; bytes that are not UTF-8 as `\\xNN`."""
    text = raw.decode("utf-8", "backslashreplace")
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text.split("\n")
    return _indented(text)


def _indented(document: str) -> list[str]:
    lines, depth = [""], 0
    tokens = _TOKEN.findall(document)
    for token, following in zip(tokens, [*tokens[1:], ""], strict=True):
        depth += (token in ("{", "[")) - (following in ("}", "]"))
        lines[-1] += f"{token} " if token == ":" else token
        is_empty = token in ("{", "[") and following in ("}", "]")
        if (token in ("{", "[", ",") or following in ("}", "]")) and not is_empty:
            lines.append("  " * min(depth, DEEPEST_INDENT))
    return lines


def _told(kept: QuarantinedDelivery, item: Item) -> Iterator[str]:
    answer, body = answer_of(item), body_of_item(item)
    texts = {name: value["S"] for name, value in item.items() if "S" in value}
    yield f"{kept.name.rpartition('/')[0]}/{kept.sk}"
    yield ""
    for name in ("reason", "received_at", "route", "method", "path", "query", "request_id"):
        if name in texts:
            yield f"{name:<12} {texts[name]}"
    for group in ("path_parameters", "headers"):
        members = item[group]["M"] if group in item else {}
        for name, value in members.items():
            yield f"{group.replace('_', ' ').removesuffix('s')} {name}: {value['S']}"
    yield ""
    try:
        body.decode("utf-8")
        yield f"body: {len(body)} bytes"
    except UnicodeDecodeError:
        yield f"body: {len(body)} bytes, not UTF-8"
    yield from (f"  {line}" for line in readable(body))
    yield ""
    yield f"answered: {answer.status}"
    yield from (f"  {line}" for line in readable(answer.body.encode("utf-8")))


def _tell(tried: Tried) -> None:
    if tried.fate is RetryOutcome.NOT_UNDERSTOOD:
        errors.print(f"{tried.kept.name}: {shown(tried.reason)}", style="red")
    elif tried.fate is RetryOutcome.IGNORED:
        errors.print(f"{tried.kept.name}: {tried.fate} ({shown(tried.reason)})")


def _retrial(quarantine: Quarantine, outputs: StackOutputs) -> Retrial:
    return Retrial(quarantine, EventStore(quarantine.client, quarantine.table_name), outputs.parameters)


def _found(quarantine: Quarantine, provider: str | None, days: int) -> list[QuarantinedDelivery]:
    newest = datetime.now(UTC).date() + timedelta(days=DAYS_AHEAD)
    all_days = [f"{newest - timedelta(days=back):%Y-%m-%d}" for back in range(days + DAYS_AHEAD)]
    return quarantine.find([provider] if provider else list(providers()), all_days)


def _all_named(quarantine: Quarantine, keys: Sequence[str]) -> list[QuarantinedDelivery]:
    return [_named(quarantine, key) for key in dict.fromkeys(keys)]


def _named(quarantine: Quarantine, key: str) -> QuarantinedDelivery:
    if not NAME.fullmatch(key):
        fail(f"A delivery is named PROVIDER/DAY/HASH, as callhooks quarantine list shows it, and not {shown(key)}")
    found = quarantine.named(key)
    if not found:
        fail(f"{key} is not in quarantine.")
    if len(found) > 1:
        fail(f"{key} may be any of {', '.join(kept.name for kept in found)}.")
    return found[0]


@contextmanager
def _quarantine(stack_name: str | None) -> Iterator[tuple[Quarantine, StackOutputs]]:
    session, outputs = stack_in_aws(stack_name)
    try:
        yield Quarantine(session.client("dynamodb"), outputs.events_table), outputs
    except (BotoCoreError, ClientError) as error:
        fail(f"The table of events cannot be used: {error}")
