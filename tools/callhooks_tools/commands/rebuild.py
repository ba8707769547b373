"""`callhooks rebuild`: fold calls again from their events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer
from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import BotoCoreError, ClientError
from callhooks.calls.call import fold
from callhooks.calls.repository import CallStore, call_item
from callhooks.events.event_item import Item, is_call_partition, partition_key
from callhooks.providers.registry import hints_for, providers

from callhooks_tools.recovery.workers import at_once
from callhooks_tools.stack.terminal import StackName, console, errors, fail, progress, shown, stack_in_aws

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MAX_ATTEMPTS = 5
HASHED = "sha256-"


class Busy(Exception):
    """Events of this call came in faster than it could be folded."""


class Result(StrEnum):
    """What became of a call."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "the same"
    WITHOUT_EVENTS = "without events"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A call that was folded again; `problem` is for the one who asked for it, and may hold what was sent."""

    pk: str
    result: Result
    problem: str = ""


def rebuild(
    call: Annotated[
        str | None,
        typer.Option(
            metavar="PROVIDER/CALL_ID", help="Only this call: its provider and its id, or its path in the call log."
        ),
    ] = None,
    stack_name: StackName = None,
) -> None:
    """Make calls again from their events: after a new version, or when the projector was broken. Publishes nothing."""
    only = None if call is None else _partition_of(call)
    session, outputs = stack_in_aws(stack_name)
    client = session.client("dynamodb")
    calls = CallStore(client, outputs.events_table)
    counts: Counter[Result] = Counter()
    try:
        partitions = [only] if only else partitions_of_calls(client, outputs.events_table)
        with progress("calls") as advance:
            for rebuilt in at_once(lambda pk: rebuild_call(calls, pk), partitions):
                counts[rebuilt.result] += 1
                if rebuilt.problem:
                    errors.print(shown(f"{rebuilt.pk.replace('#', '/', 1)}: {rebuilt.problem}"), style="red")
                advance()
    except (BotoCoreError, ClientError) as error:
        fail(f"The table of events cannot be read: {error}")
    if only and counts[Result.WITHOUT_EVENTS]:
        fail(f"There are no events of {shown(str(call))}.")
    told = ", ".join(f"{counts[result]} {result}" for result in Result if counts[result])
    console.print(f"Calls: {told}." if told else "There are no calls.")
    if counts[Result.FAILED]:
        raise typer.Exit(1)


def partitions_of_calls(client: DynamoDBClient, table_name: str) -> Iterator[str]:
    """The partition keys of all calls; a scan gives the items of one partition together.

    Raises:
        ClientError, BotoCoreError: the table could not be read.
    """
    pages = client.get_paginator("scan").paginate(TableName=table_name, ProjectionExpression="pk", ConsistentRead=True)
    keys = (item["pk"]["S"] for page in pages for item in page["Items"])
    return (pk for pk, _ in groupby(keys) if is_call_partition(pk))


def rebuild_call(calls: CallStore, pk: str) -> Rebuilt:
    """Fold one call again, and write it where that makes a difference; never raises for what is wrong with it."""
    try:
        return Rebuilt(pk, _rebuild(calls, pk))
    except Exception as error:  # noqa: BLE001 - one call may not stop the others, and is named
        if isinstance(error, KeyError | ValueError | TypeError):
            return Rebuilt(pk, Result.FAILED, f"an item is no event ({type(error).__name__}: {error})")
        return Rebuilt(pk, Result.FAILED, f"{type(error).__name__}: {error}")


def _rebuild(calls: CallStore, pk: str) -> Result:
    for _ in range(MAX_ATTEMPTS):
        # First the item, then the events: what was written in between is newer than what is made of them.
        seen = calls.item_of(pk)
        told = calls.events_of(pk)
        if not told.events:
            return Result.WITHOUT_EVENTS
        call = fold(told.events, hints_for(told.events[0].provider))
        if seen and _plain(seen) == _plain(call_item(pk, call, expires_at=told.expires_at)):
            return Result.SAME
        if calls.replace(pk, call, expires_at=told.expires_at, seen=seen):
            return Result.CHANGED if seen else Result.NEW
    raise Busy("its events come in too fast, try again")


def _plain(item: Item) -> object:
    """An item to be compared: DynamoDB writes numbers in a way of its own."""
    return TypeDeserializer().deserialize({"M": item})


def _partition_of(call: str) -> str:
    provider, slash, call_id = call.removeprefix("/calls/").partition("/")
    if provider not in providers() or not slash or not call_id:
        fail(f"--call takes PROVIDER/CALL_ID with one of {', '.join(providers())}, and not {shown(call)}")
    # Logs name a call by its key, which is a hash for an odd id.
    return f"{provider}#{call_id}" if call_id.startswith(HASHED) else partition_key(provider, call_id)
