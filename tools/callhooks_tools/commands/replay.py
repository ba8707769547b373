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
from callhooks_tools.recovery.stored_events import Selection, moment_of, text_of, watched
from callhooks_tools.stack.provider_names import OfProvider
from callhooks_tools.stack.stack import STACK_FILE, StackOutputs
from callhooks_tools.stack.terminal import StackName, agree, console, errors, fail, progress, shown, stack_in_aws

DEFAULT_RATE = 10.0
SLOWEST = 0.1
ASKED_ABOVE = 1000
API_KEY_VARIABLE = "CALLHOOKS_REPLAY_API_KEY"
INTERRUPTED = 130
BUS_CONFIG = Config(connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 1, "mode": "standard"})
"""The bus's client tries once: what it publishes through tries again itself."""


@dataclass(frozen=True, slots=True)
class _Stack:
    """The stack that a replay is about; `name` is `None` for the local run."""

    name: str | None
    session: Session
    outputs: StackOutputs

    @property
    def resume(self) -> str:
        return "callhooks replay --resume" + (f" --stack {self.name}" if self.name else "")


def replay(  # noqa: PLR0913, PLR0917 - each one is an option
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MOMENT",
            help="Only what happened from then on: 2026-11-21, 2026-11-21T06:30Z, yesterday, 2h.",
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="MOMENT", help="Only what happened before; a day is taken whole.")
    ] = None,
    received: Annotated[
        bool,
        typer.Option("--received", help="--from and --to are about when events came in, and not when they happened."),
    ] = False,
    provider: OfProvider = None,
    kind: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Only this kind, such as call.completed; may be repeated.")
    ] = None,
    number: Annotated[str | None, typer.Option(help="Only calls from or to this number or SIP user.")] = None,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Post the events to this address instead of publishing them on the bus."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(metavar="EVENTS", help="Events a second.", min=SLOWEST, show_default=f"{DEFAULT_RATE:g}"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many events there are, of which kinds.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the replay that has not come to its end.")
    ] = False,
    stack_name: StackName = None,
) -> None:
    """Publish stored events again, in the order in which they happened, each with its call as it is now."""
    chosen = (since, until, received, provider, kind, number, url)
    if resume and (dry_run or any(chosen)):
        fail("--resume goes on with what was chosen: it takes only --rate and --stack.")
    selection = replace(_selection(since, until, provider, kind or (), number), by_arrival=received)
    address = None if url is None else _address(url)
    stack = _Stack(stack_name, *stack_in_aws(stack_name))
    with _opened_state(stack) as state:
        unfinished = state.ordered()
        if resume:
            if unfinished is None:
                fail("There is no replay of this stack to go on with.")
            _publish(state, unfinished, rate or unfinished.rate, stack)
            return
        if unfinished is not None and not dry_run:
            agree(
                f"A replay with {_events(state.left)} left has not come to its end ({stack.resume}). Drop it?", yes=yes
            )
        _collect(state, stack, selection)
        _tell(state, stack, rate or DEFAULT_RATE, address)
        if dry_run:
            return
        if state.left > ASKED_ABOVE:
            agree("Publish them?", yes=yes)
        order = state.order(url=None if address is None else str(address), rate=rate or DEFAULT_RATE)
        _publish(state, order, order.rate, stack)


def _selection(
    since: str | None, until: str | None, provider: str | None, kinds: Sequence[str], number: str | None
) -> Selection:
    now = datetime.now(UTC)
    try:
        first = None if since is None else moment_of(since, now)
        end = None if until is None else moment_of(until, now, end=True)
    except ValueError as error:
        fail(str(error))
    if first and end and first >= end:
        fail(f"--to {until} is not after --from {since}.")
    canonical = None if number is None else canonical_party(number)
    if canonical == "":
        fail("--number takes a number with its country code, or a SIP user.")
    return Selection(first, end, provider, tuple(map(_kind, kinds)), canonical)


def _kind(word: str) -> Kind:
    try:
        return Kind(word)
    except ValueError:
        near = get_close_matches(word, list(Kind), n=3) or list(Kind)
        fail(f"There is no kind {word}. Is it one of {', '.join(near)}?")


def _address(url: str) -> httpx.URL:
    """An address to post to; what is wrong with it is said without repeating it."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        fail("--url takes an address such as https://crm.example.com/calls.")
    if address.scheme not in {"http", "https"} or not address.host:
        fail("--url takes an address that begins with https:// or http://.")
    if address.scheme == "http" and not is_loopback(address.host):
        fail("--url takes http:// on this machine alone: else numbers and the API key could be read on their way.")
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
        fail(f"{path} cannot be used ({error}).")


def _collect(state: ReplayState, stack: _Stack, selection: Selection) -> None:
    state.begin_collecting()
    pages = selection.pages(stack.session.client("dynamodb"), stack.outputs.events_table)
    try:
        for items in watched(pages):
            # One that lacks a time or a kind is no event; it is named where it is read.
            state.add(
                (ReplayPosition(text_of(item, "occurred_at"), item["pk"]["S"], item["sk"]["S"]), text_of(item, "kind"))
                for item in items
            )
    except (BotoCoreError, ClientError) as error:
        fail(f"The table of events cannot be read: {error}")
    if not state.left:
        fail("No stored event is like that.")


def _tell(state: ReplayState, stack: _Stack, rate: float, address: httpx.URL | None) -> None:
    first, last = state.span()
    console.print(
        f"{_events(state.left)} from {first} to {last}, "
        f"{timedelta(seconds=round(state.left / rate))} at {rate:g} a second, to {_target(stack, address)}:"
    )
    for count in state.kinds():
        console.print(f"  {count.provider:<11} {count.kind:<18} {count.events:>9,}")


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


def _publish(state: ReplayState, order: Order, rate: float, stack: _Stack) -> None:
    address = None if order.url is None else httpx.URL(order.url)
    calls = CallStore(stack.session.client("dynamodb"), stack.outputs.events_table)

    def stopped(why: str, status: int = 1) -> NoReturn:
        done = order.events - state.left
        errors.print(
            f"Stopped after {done:,} of {_events(order.events)}: {why}. Go on with: {stack.resume}", style="red"
        )
        raise typer.Exit(status)

    try:
        with (
            _destination(stack, address) as destination,
            progress("events", total=order.events, done=order.events - state.left) as advance,
        ):
            run = Replay(state, calls, destination, Pacer(rate, time.monotonic, time.sleep), _tell_problem, advance)
            run.run()
    except EntriesRejected as error:
        stopped(str(error))
    except (BotoCoreError, ClientError) as error:
        stopped(f"the table of events cannot be read: {error}")
    except KeyboardInterrupt:
        stopped("interrupted", INTERRUPTED)
    told = [f"{_events(run.outcomes[ReplayOutcome.PUBLISHED])} published again to {_target(stack, address)}"]
    told += [
        f"{run.outcomes[what]:,} {what}"
        for what in (ReplayOutcome.GONE, ReplayOutcome.UNREADABLE)
        if run.outcomes[what]
    ]
    console.print(f"{', '.join(told)}.")
    if run.outcomes[ReplayOutcome.UNREADABLE]:
        raise typer.Exit(1)


def _tell_problem(place: ReplayPosition, problem: str) -> None:
    errors.print(shown(f"{place.pk.replace('#', '/', 1)}: {problem}"), style="red")
