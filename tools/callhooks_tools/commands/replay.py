"""`callhooks replay`: publish stored events again."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Annotated, NoReturn

import httpx
import typer
from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from callhooks.calls.repository import CallStore
from callhooks.events.call_event import Kind, canonical_party
from rich.console import Console

from callhooks_tools.providers.rest.configuration import is_loopback
from callhooks_tools.recovery.replay import (
    API_KEY_HEADER,
    BusDestination,
    Destination,
    EntriesRejected,
    Pacer,
    Replay,
    ReplayOutcome,
    UrlDestination,
    origin_of,
)
from callhooks_tools.recovery.replay_state import Order, ReplayPosition, ReplayState, StateUnusable
from callhooks_tools.recovery.stored_events import Selection, parse_time, text_of, with_progress
from callhooks_tools.stack.provider_names import OfProvider
from callhooks_tools.stack.selection import SelectedStack, stack_in_aws, with_stack_options
from callhooks_tools.stack.stack import STACK_FILE, StackOutputs
from callhooks_tools.stack.terminal import (
    FAILED,
    INTERRUPTED,
    JsonOutput,
    agree,
    callhooks,
    console,
    errors,
    fail,
    misuse,
    print_json,
    progress,
    shown,
)

DEFAULT_RATE = 10.0
MIN_RATE = 0.1
CONFIRM_ABOVE = 1000
API_KEY_VARIABLE = "CALLHOOKS_REPLAY_API_KEY"
BUS_CONFIG = Config(connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 1, "mode": "standard"})
"""The client of the bus does not retry, because `EventBus` does."""


@dataclass(frozen=True, slots=True)
class _Stack:
    """Stack of a replay."""

    selected: SelectedStack
    session: Session
    outputs: StackOutputs

    @property
    def resume(self) -> str:
        return callhooks(f"replay --resume{self.selected.options}")


@with_stack_options
def replay(  # noqa: PLR0913, PLR0917 - each one is an option
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="Only events from this time on: 2026-11-21, 2026-11-21T06:30Z, yesterday, or an age such as 2h.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="TIME", help="Only events before this time. A date without a time includes that whole day."
        ),
    ] = None,
    received: Annotated[
        bool,
        typer.Option("--received", help="Filter by time of receipt instead of time of the event."),
    ] = False,
    provider: OfProvider = None,
    kind: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Only this kind, such as call.completed; can be repeated.")
    ] = None,
    number: Annotated[str | None, typer.Option(help="Only events from or to this number or SIP user.")] = None,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Post the events to this URL instead of publishing them on the bus."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(metavar="EVENTS", help="Events per second.", min=MIN_RATE, show_default=f"{DEFAULT_RATE:g}"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the number of events by kind; publish nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted replay.")] = False,
    as_json: JsonOutput = False,
    *,
    selected: SelectedStack,
) -> None:
    """Publish stored events again, in the order in which they happened, each with the current state of its call."""
    chosen = (since, until, received, provider, kind, number, url)
    if resume and (dry_run or any(chosen)):
        misuse(
            "--resume continues an interrupted replay and can only be combined with --rate and the options that select "
            "the stack."
        )
    selection = replace(_selection(since, until, provider, kind or (), number), by_arrival=received)
    address = None if url is None else _address(url)
    stack = _Stack(selected, *stack_in_aws(selected))
    with _opened_state(stack) as state:
        unfinished = state.ordered()
        if resume:
            if unfinished is None:
                fail("This stack has no replay to resume.")
            _publish(state, unfinished, rate or unfinished.rate, stack, as_json=as_json)
            return
        if unfinished is not None and not dry_run:
            agree(f"An interrupted replay has {_events(state.left)} left ({stack.resume}). Discard it?", yes=yes)
        _collect(state, stack, selection)
        if dry_run and as_json:
            print_json([{"provider": one, "kind": kind, "events": events} for one, kind, events in state.kinds()])
            return
        _show_summary(state, stack, rate or DEFAULT_RATE, address, errors if as_json else console)
        if dry_run:
            return
        if state.left > CONFIRM_ABOVE:
            agree("Publish these events?", yes=yes)
        order = state.order(url=None if address is None else str(address), rate=rate or DEFAULT_RATE)
        _publish(state, order, order.rate, stack, as_json=as_json)


def _selection(
    since: str | None, until: str | None, provider: str | None, kinds: Sequence[str], number: str | None
) -> Selection:
    now = datetime.now(UTC)
    try:
        first = None if since is None else parse_time(since, now)
        end = None if until is None else parse_time(until, now, end=True)
    except ValueError as error:
        misuse(str(error))
    if first and end and first >= end:
        misuse(f"--to {until} is not after --from {since}.")
    canonical = None if number is None else canonical_party(number)
    if canonical == "":
        misuse("Invalid --number. Use a number with its country code, or a SIP user.")
    return Selection(first, end, provider, tuple(map(_kind, kinds)), canonical)


def _kind(word: str) -> Kind:
    try:
        return Kind(word)
    except ValueError:
        if similar := get_close_matches(word, list(Kind), n=3):
            misuse(f"Unknown kind {shown(word)}. Did you mean {' or '.join(similar)}?")
        misuse(f"Unknown kind {shown(word)}. Allowed: {', '.join(Kind)}.")


def _address(url: str) -> httpx.URL:
    """Parse the URL to post to. Errors do not quote it, because it may contain a secret."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        misuse("Invalid --url. Use an address such as https://crm.example.com/calls.")
    if address.scheme not in {"http", "https"} or not address.host:
        misuse("Invalid --url. Use an address that starts with https:// or http://.")
    if address.scheme == "http" and not is_loopback(address.host):
        misuse(
            "--url allows http:// only on this machine. Use https://, so that numbers and the API key are encrypted."
        )
    return address


@contextmanager
def _opened_state(stack: _Stack) -> Iterator[ReplayState]:
    path = STACK_FILE.with_name("replay") / f"{stack.outputs.events_table}.sqlite"
    try:
        with closing(ReplayState(path)) as state:
            yield state
    except StateUnusable as error:
        fail(str(error))
    except (sqlite3.Error, OSError) as error:
        fail(f"The file {path} cannot be used: {error}")


def _collect(state: ReplayState, stack: _Stack, selection: Selection) -> None:
    state.begin_collecting()
    pages = selection.pages(stack.session.client("dynamodb"), stack.outputs.events_table)
    try:
        for items in with_progress(pages):
            # An item without a time or a kind is not a valid event; it is reported when it is read.
            state.add(
                (ReplayPosition(text_of(item, "occurred_at"), item["pk"]["S"], item["sk"]["S"]), text_of(item, "kind"))
                for item in items
            )
    except (BotoCoreError, ClientError) as error:
        fail(f"The events table cannot be read: {error}")
    if not state.left:
        fail("No stored events match these options.")


def _show_summary(state: ReplayState, stack: _Stack, rate: float, address: httpx.URL | None, output: Console) -> None:
    first, last = state.span()
    output.print(
        f"{_events(state.left)} from {first} to {last}, "
        f"{timedelta(seconds=round(state.left / rate))} at {rate:g} per second, to {_target(stack, address)}:"
    )
    for provider, kind, events in state.kinds():
        output.print(f"  {provider:<11} {kind:<18} {events:>9,}")


def _events(number: int) -> str:
    return "1 event" if number == 1 else f"{number:,} events"


def _target(stack: _Stack, address: httpx.URL | None) -> str:
    return f"the bus {stack.outputs.call_bus}" if address is None else origin_of(address)


@contextmanager
def _destination(stack: _Stack, address: httpx.URL | None) -> Iterator[Destination]:
    if address is None:
        yield BusDestination(
            stack.session.client("events", config=BUS_CONFIG), stack.outputs.call_bus, sleep=time.sleep
        )
        return
    key = os.environ.get(API_KEY_VARIABLE)
    client = httpx.AsyncClient(headers={API_KEY_HEADER: key} if key else None)
    with asyncio.Runner() as runner:
        try:
            yield UrlDestination(client, address, runner=runner, sleep=time.sleep)
        finally:
            runner.run(client.aclose())


def _publish(state: ReplayState, order: Order, rate: float, stack: _Stack, *, as_json: bool) -> None:
    address = None if order.url is None else httpx.URL(order.url)
    calls = CallStore(stack.session.client("dynamodb"), stack.outputs.events_table)

    def stopped(reason: str, status: int = FAILED) -> NoReturn:
        done = order.events - state.left
        errors.print(
            f"Stopped after {done:,} of {_events(order.events)}: {reason}. To continue: {stack.resume}", style="red"
        )
        raise typer.Exit(status)

    try:
        with (
            _destination(stack, address) as destination,
            progress("events", total=order.events, done=order.events - state.left) as advance,
        ):
            run = Replay(state, calls, destination, Pacer(rate, time.monotonic, time.sleep), _report_problem, advance)
            run.run()
    except EntriesRejected as error:
        stopped(str(error))
    except (BotoCoreError, ClientError) as error:
        stopped(f"the events table cannot be read: {error}")
    except KeyboardInterrupt:
        stopped("interrupted", INTERRUPTED)
    summary = [f"Replayed {_events(run.outcomes[ReplayOutcome.PUBLISHED])} to {_target(stack, address)}"]
    summary += [
        f"{run.outcomes[outcome]:,} {outcome}"
        for outcome in (ReplayOutcome.GONE, ReplayOutcome.UNREADABLE)
        if run.outcomes[outcome]
    ]
    if as_json:
        print_json({outcome.name.lower(): run.outcomes[outcome] for outcome in ReplayOutcome})
    else:
        console.print(f"{', '.join(summary)}.")
    if run.outcomes[ReplayOutcome.UNREADABLE]:
        raise typer.Exit(FAILED)


def _report_problem(position: ReplayPosition, problem: str) -> None:
    errors.print(shown(f"{position.pk.replace('#', '/', 1)}: {problem}"), style="red")
