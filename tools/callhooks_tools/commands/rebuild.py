"""`callhooks rebuild`: rebuild call records from stored events."""

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

from callhooks_tools.recovery.workers import map_concurrently
from callhooks_tools.stack.selection import SelectedStack, stack_in_aws, with_stack_options
from callhooks_tools.stack.terminal import FAILED, JsonOutput, errors, fail, misuse, note, progress, show_counts, shown

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MAX_ATTEMPTS = 5
HASHED = "sha256-"


class CallBusy(Exception):
    """Events of this call arrived faster than it could be folded."""


class Result(StrEnum):
    """Result for a call."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    WITHOUT_EVENTS = "without events"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """Result for a call; `problem` is shown to the user only, because it may quote the events."""

    pk: str
    result: Result
    problem: str = ""


@with_stack_options
def rebuild(
    call: Annotated[
        str | None,
        typer.Option(
            metavar="PROVIDER/CALL_ID", help="Only this call: its provider and id, or its path in the call log."
        ),
    ] = None,
    as_json: JsonOutput = False,
    *,
    selected: SelectedStack,
) -> None:
    """Rebuild call records from stored events, after a new version or a projector failure. Does not publish events."""
    only = None if call is None else _partition_of(call)
    session, outputs = stack_in_aws(selected)
    client = session.client("dynamodb")
    calls = CallStore(client, outputs.events_table)
    counts: Counter[Result] = Counter()
    try:
        partitions = [only] if only else partitions_of_calls(client, outputs.events_table)
        with progress("calls") as advance:
            for rebuilt in map_concurrently(lambda pk: rebuild_call(calls, pk), partitions):
                counts[rebuilt.result] += 1
                if rebuilt.problem:
                    errors.print(shown(f"{rebuilt.pk.replace('#', '/', 1)}: {rebuilt.problem}"), style="red")
                advance()
    except (BotoCoreError, ClientError) as error:
        fail(f"The events table cannot be read: {error}")
    if only and counts[Result.WITHOUT_EVENTS]:
        fail(f"No events found for {shown(str(call))}.")
    show_counts("Calls", counts, Result, as_json=as_json)
    if not counts:
        note("No calls found.")
    if counts[Result.FAILED]:
        raise typer.Exit(FAILED)


def partitions_of_calls(client: DynamoDBClient, table_name: str) -> Iterator[str]:
    """Yield the partition keys of all calls; a scan returns the items of a partition together.

    Raises:
        ClientError, BotoCoreError: the table could not be read.
    """
    pages = client.get_paginator("scan").paginate(TableName=table_name, ProjectionExpression="pk", ConsistentRead=True)
    keys = (item["pk"]["S"] for page in pages for item in page["Items"])
    return (pk for pk, _ in groupby(keys) if is_call_partition(pk))


def rebuild_call(calls: CallStore, pk: str) -> Rebuilt:
    """Rebuild one call, and write it if it has changed. Never raises: a problem with the call is its result."""
    try:
        return Rebuilt(pk, _rebuild(calls, pk))
    except Exception as error:  # noqa: BLE001 - a problem with one call must not stop the others
        if isinstance(error, KeyError | ValueError | TypeError):
            return Rebuilt(pk, Result.FAILED, f"an item is not a valid event ({type(error).__name__}: {error})")
        return Rebuilt(pk, Result.FAILED, f"{type(error).__name__}: {error}")


def _rebuild(calls: CallStore, pk: str) -> Result:
    for _ in range(MAX_ATTEMPTS):
        # Read the item before the events, so that a concurrent write is newer than the rebuilt call.
        seen = calls.item_of(pk)
        stored = calls.events_of(pk)
        if not stored.events:
            return Result.WITHOUT_EVENTS
        call = fold(stored.events, hints_for(stored.events[0].provider))
        if seen and _plain(seen) == _plain(call_item(pk, call, expires_at=stored.expires_at)):
            return Result.UNCHANGED
        if calls.replace(pk, call, expires_at=stored.expires_at, seen=seen):
            return Result.CHANGED if seen else Result.NEW
    raise CallBusy("its events arrive too fast; try again later")


def _plain(item: Item) -> object:
    """Return an item in a form that can be compared, because DynamoDB normalises numbers."""
    return TypeDeserializer().deserialize({"M": item})


def _partition_of(call: str) -> str:
    provider, slash, call_id = call.removeprefix("/calls/").partition("/")
    if provider not in providers() or not slash or not call_id:
        misuse(
            f"Invalid --call {shown(call)}. Use PROVIDER/CALL_ID, with one of the providers {', '.join(providers())}."
        )
    # Logs name a call by its key, which is a hash if the id has unusual characters.
    return f"{provider}#{call_id}" if call_id.startswith(HASHED) else partition_key(provider, call_id)
