"""`callhooks quarantine`: list, show and retry deliveries that could not be parsed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
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
    StillNotParsed,
    reparse,
    store_event,
)
from callhooks_tools.recovery.workers import map_concurrently, map_concurrently_by_key
from callhooks_tools.stack.provider_names import OfProvider
from callhooks_tools.stack.selection import SelectedStack, stack_in_aws, with_stack_options
from callhooks_tools.stack.stack import StackOutputs
from callhooks_tools.stack.terminal import (
    FAILED,
    JsonOutput,
    console,
    errors,
    fail,
    misuse,
    note,
    print_json,
    progress,
    show_counts,
    shown,
)

quarantine_app = typer.Typer(
    help="Inspect and retry authenticated deliveries that could not be processed.", no_args_is_help=True
)

MAX_DAYS = 3660
DAYS_AHEAD = 8
"""A key may have the day of a signature, which is accepted up to a week in the future."""
NON_TERMINAL_WIDTH = 250
MAX_INDENT = 20
NAME = re.compile(r"[a-z]+/[0-9]{4}-[0-9]{2}-[0-9]{2}/[0-9a-f]{1,64}", re.ASCII)

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s"\[\]{},:]+')

Key = Annotated[str, typer.Argument(metavar="KEY", help="Key of the delivery, as shown by callhooks quarantine list.")]
Days = Annotated[
    int, typer.Option("--days", min=1, max=MAX_DAYS, metavar="N", help="Only deliveries from the last N days.")
]


class RetryOutcome(StrEnum):
    """Outcome of the retry of a delivery."""

    STORED = "stored"
    KNOWN = "already stored"
    IGNORED = "ignored and removed"
    GONE = "gone"
    NOT_PARSED = "still not parsed"


@dataclass(frozen=True, slots=True)
class RetryResult:
    """Result of the retry of a delivery; `reason` is why it was not stored."""

    delivery: QuarantinedDelivery
    outcome: RetryOutcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ParsedDelivery:
    """Delivery that was parsed, with the item of its event."""

    delivery: QuarantinedDelivery
    item: Item

    @property
    def key(self) -> tuple[str, str]:
        """Return the key of its event."""
        return self.item["pk"]["S"], self.item["sk"]["S"]


@dataclass(frozen=True, slots=True)
class Retrier:
    """Retries deliveries: each event is stored before the delivery is removed from quarantine.

    Both steps can be repeated, and interrupted at any point; both raise the exceptions of botocore.
    """

    quarantine: Quarantine
    store: EventStore
    parameters: Parameters

    def parse(self, delivery: QuarantinedDelivery) -> ParsedDelivery | RetryResult:
        """Parse a delivery again; return a `RetryResult` if there is no event to store."""
        item = self.quarantine.read(delivery)
        if item is None:
            return RetryResult(delivery, RetryOutcome.GONE)
        try:
            parsed = reparse(item, self.parameters)
        except StillNotParsed as problem:
            return RetryResult(delivery, RetryOutcome.NOT_PARSED, str(problem))
        if isinstance(parsed, Ignored):
            self.quarantine.remove(delivery)
            return RetryResult(delivery, RetryOutcome.IGNORED, parsed.reason)
        return ParsedDelivery(delivery, parsed)

    def complete(self, parsed: ParsedDelivery | RetryResult) -> RetryResult:
        """Store the event of a parsed delivery, and remove the delivery from quarantine."""
        if isinstance(parsed, RetryResult):
            return parsed
        try:
            outcome = RetryOutcome.STORED if store_event(self.store, parsed.item) else RetryOutcome.KNOWN
        except StillNotParsed as problem:
            return RetryResult(parsed.delivery, RetryOutcome.NOT_PARSED, str(problem))
        self.quarantine.remove(parsed.delivery)
        return RetryResult(parsed.delivery, outcome)

    def retry_all(self, deliveries: Iterable[QuarantinedDelivery]) -> Iterator[RetryResult]:
        """Retry deliveries concurrently. If several are the same event, the first one is stored."""
        parsed = map_concurrently(self.parse, deliveries)
        return map_concurrently_by_key(
            self.complete, parsed, key=lambda one: one.key if isinstance(one, ParsedDelivery) else one.delivery.name
        )


@quarantine_app.command("list")
@with_stack_options
def quarantine_list(
    provider: OfProvider = None, days: Days = 30, as_json: JsonOutput = False, *, selected: SelectedStack
) -> None:
    """List deliveries in quarantine, the newest first, and count them by reason."""
    with _quarantine(selected) as (quarantine, _):
        found = _found(quarantine, provider, days)
    if not found:
        note("No deliveries in quarantine.")
    if as_json:
        print_json([_listed(one) for one in found])
        return
    if not found:
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("key", no_wrap=True)
    table.add_column("received (UTC)", no_wrap=True)
    table.add_column("route", overflow="fold")
    table.add_column("reason", overflow="fold")
    for one in found:
        table.add_row(*map(shown, (one.name, one.received_at[:19].replace("T", " "), one.route, one.reason)))
    # In a file or a pipe, each row is a single line.
    (console if console.is_terminal else Console(width=NON_TERMINAL_WIDTH, markup=False, emoji=False)).print(table)
    console.print()
    for reason, number in Counter(one.reason for one in found).most_common():
        console.print(f"{number:>6}  {shown(reason)}")


@quarantine_app.command("show")
@with_stack_options
def quarantine_show(key: Key, as_json: JsonOutput = False, *, selected: SelectedStack) -> None:
    """Show a delivery in quarantine and its answer. The output contains numbers and names of people."""
    with _quarantine(selected) as (quarantine, _):
        delivery = _named(quarantine, key)
        item = quarantine.read(delivery)
    if item is None:
        fail(f"{key} is no longer in quarantine.")
    if as_json:
        print_json(_details(delivery, item))
        return
    for line in _detail_lines(delivery, item):
        console.print(shown(line))


@quarantine_app.command("retry")
@with_stack_options
def quarantine_retry(  # noqa: PLR0913 - each one is an option
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY...", help="Keys, as shown by callhooks quarantine list. Required without --all."),
    ] = None,
    retry_all: Annotated[
        bool, typer.Option("--all", help="Retry all deliveries of --days, optionally of one --provider.")
    ] = False,
    provider: OfProvider = None,
    days: Days = 30,
    as_json: JsonOutput = False,
    *,
    selected: SelectedStack,
) -> None:
    """Parse deliveries again with the code in this checkout, and store their events.

    Pass keys, or --all (optionally with --provider).
    """
    if bool(keys) == retry_all:
        misuse("Give either the keys of deliveries or --all.")
    if keys and provider:
        misuse("--provider can only be used with --all.")
    counts: Counter[RetryOutcome] = Counter()
    try:
        with _quarantine(selected) as (quarantine, outputs):
            chosen = (
                [_named(quarantine, key) for key in dict.fromkeys(keys)] if keys else _found(quarantine, provider, days)
            )
            retrier = Retrier(quarantine, EventStore(quarantine.client, quarantine.table_name), outputs.parameters)
            # Duplicates get the answer of the delivery that is stored first, so store the earliest first.
            chosen.sort(key=lambda one: one.received_at)
            with progress("deliveries", total=len(chosen)) as advance:
                for result in retrier.retry_all(chosen):
                    counts[result.outcome] += 1
                    _report(result)
                    advance()
    finally:
        if counts:
            show_counts("Deliveries", counts, RetryOutcome, as_json=as_json)
    if not counts:
        note("No deliveries in quarantine.")
        show_counts("Deliveries", counts, RetryOutcome, as_json=as_json)
    if counts[RetryOutcome.NOT_PARSED]:
        raise typer.Exit(FAILED)


def _listed(delivery: QuarantinedDelivery) -> dict[str, object]:
    """Return the members of a delivery in JSON."""
    return {
        "key": delivery.name,
        "received_at": delivery.received_at,
        "route": delivery.route,
        "reason": delivery.reason,
    }


def _details(delivery: QuarantinedDelivery, item: Item) -> dict[str, object]:
    """Return all stored members of a delivery in JSON. A byte of the body that is not UTF-8 is shown as `\\xNN`."""
    answer = answer_of(item)
    texts = {name: item.get(name, {}).get("S") for name in ("method", "path", "query", "request_id")}
    groups = {
        group: {name: value["S"] for name, value in item.get(group, {}).get("M", {}).items()}
        for group in ("path_parameters", "headers")
    }
    return {
        **_listed(delivery),
        "key": f"{delivery.name.rpartition('/')[0]}/{delivery.sk}",
        **texts,
        **groups,
        "body": body_of_item(item).decode("utf-8", "backslashreplace"),
        "answer": {"status": answer.status, "body": answer.body},
    }


def readable(raw: bytes) -> list[str]:
    """Return the lines of a body: JSON indented with its original tokens, bytes that are not UTF-8 as `\\xNN`."""
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
            lines.append("  " * min(depth, MAX_INDENT))
    return lines


def _detail_lines(delivery: QuarantinedDelivery, item: Item) -> Iterator[str]:
    answer, body = answer_of(item), body_of_item(item)
    texts = {name: value["S"] for name, value in item.items() if "S" in value}
    yield f"{delivery.name.rpartition('/')[0]}/{delivery.sk}"
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


def _report(result: RetryResult) -> None:
    if result.outcome is RetryOutcome.NOT_PARSED:
        errors.print(f"{result.delivery.name}: {shown(result.reason)}", style="red")
    elif result.outcome is RetryOutcome.IGNORED:
        errors.print(f"{result.delivery.name}: {result.outcome} ({shown(result.reason)})")


def _found(quarantine: Quarantine, provider: str | None, days: int) -> list[QuarantinedDelivery]:
    newest = datetime.now(UTC).date() + timedelta(days=DAYS_AHEAD)
    all_days = [f"{newest - timedelta(days=back):%Y-%m-%d}" for back in range(days + DAYS_AHEAD)]
    return quarantine.find([provider] if provider else list(providers()), all_days)


def _named(quarantine: Quarantine, key: str) -> QuarantinedDelivery:
    if not NAME.fullmatch(key):
        misuse(f"Invalid key {shown(key)}. Use PROVIDER/DAY/HASH, as shown by callhooks quarantine list.")
    found = quarantine.named(key)
    if not found:
        fail(f"{key} is not in quarantine.")
    if len(found) > 1:
        fail(f"{key} is ambiguous. It matches {', '.join(one.name for one in found)}.")
    return found[0]


@contextmanager
def _quarantine(selected: SelectedStack) -> Iterator[tuple[Quarantine, StackOutputs]]:
    session, outputs = stack_in_aws(selected)
    try:
        yield Quarantine(session.client("dynamodb"), outputs.events_table), outputs
    except (BotoCoreError, ClientError) as error:
        fail(f"The events table cannot be used: {error}")
