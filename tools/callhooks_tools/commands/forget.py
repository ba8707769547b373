"""`callhooks forget`: remove a person's events and calls."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError

from callhooks_tools.recovery.encoded_text import MARK
from callhooks_tools.recovery.forget import (
    MIN_SEARCH_LENGTH,
    TOOL_RESULT,
    EventsStillArriving,
    Match,
    Person,
    Redaction,
    Removal,
    SearchResult,
    find,
    find_tool_results,
)
from callhooks_tools.recovery.stored_events import scan, with_progress
from callhooks_tools.recovery.workers import map_concurrently
from callhooks_tools.stack.selection import SelectedStack, stack_in_aws, with_stack_options
from callhooks_tools.stack.terminal import INTERRUPTED, agree, console, errors, fail, misuse, progress, shown

if TYPE_CHECKING:
    from callhooks.events.event_item import Item
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

FROM_INPUT = "-"
RERUN_HINT = "Run the command again to remove the rest."


@with_stack_options
def forget(
    number: Annotated[
        str,
        typer.Argument(help="A number with its country code, or a SIP user; - reads it from standard input."),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    *,
    selected: SelectedStack,
) -> None:
    """Remove a person's events, calls and quarantined deliveries.

    Also redacts the number in responses stored with other people's calls.

    The command shows the matches and asks for confirmation, because this cannot be undone.
    """
    try:
        person = Person.of(sys.stdin.readline() if number == FROM_INPUT else number)
    except ValueError as error:
        misuse(str(error))
    if console.is_terminal:
        # The canonical form differs from the argument. A file or a pipe may be stored, so it gets no number.
        console.print(f"Searching for {shown(person.canonical)}.")
    session, outputs = stack_in_aws(selected)
    client = session.client("dynamodb")
    try:
        found = find(with_progress(scan(client, {"TableName": outputs.events_table})), person)
        results = _tool_results(client, outputs.tool_calls_table, person)
        _show(found, len(results), person)
        if unsearched := _count_messages(session, (outputs.spill_queue, outputs.spill_dead_letter_queue)):
            errors.print(
                f"{unsearched:,} events in the spill queues cannot be searched and may match. Run this command again "
                "after they are stored."
            )
        if not found.total + len(results):
            return
        agree("Permanently remove all of this?", yes=yes)
        removal = Removal(client, outputs.events_table, person, lambda: datetime.now(UTC), time.sleep)
        redaction = Redaction(client, outputs.tool_calls_table, person, TOOL_RESULT)
        with progress("done", total=found.total + len(results)) as advance:
            # A duplicate of a tool call is answered from its stored result, even if the event is gone.
            for is_redacted in map_concurrently(redaction.redact, results):
                removal.redacted += is_redacted
                advance()
            removal.remove(found, advance)
        if removal.recent:
            errors.print("Checking again in a minute, because the projector may still be writing these calls.")
            removal.remove_reappeared()
    except (BotoCoreError, ClientError) as error:
        fail(f"A request to AWS failed: {error}\n{RERUN_HINT}")
    except EventsStillArriving:
        fail(f"Events of a call are still arriving. {RERUN_HINT}")
    except KeyboardInterrupt:
        errors.print(f"Interrupted. {RERUN_HINT}", style="red")
        raise typer.Exit(INTERRUPTED) from None
    redacted = f" and redacted the number in {removal.redacted:,} responses" if removal.redacted else ""
    console.print(
        f"Removed {removal.items:,} items{redacted}. docs/personal-data.md lists where else data is stored, and for "
        "how long."
    )


def _tool_results(client: DynamoDBClient, table_name: str, person: Person) -> list[Item]:
    """Return the keys of the tool results to redact; none if an older stack has no output with their table."""
    if not table_name:
        return []
    return find_tool_results(with_progress(scan(client, {"TableName": table_name})), person)


def _count_messages(session: Session, queues: Sequence[str]) -> int:
    """Return the approximate number of messages in queues, in flight or not."""
    client = session.client("sqs")
    names: list[QueueAttributeNameType] = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    responses = [client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"] for url in queues]
    return sum(int(response[name]) for response in responses for name in names)


def _show(found: SearchResult, tool_results: int, person: Person) -> None:
    if not person.is_searched:
        console.print(
            f"A SIP user, or a number with fewer than {MIN_SEARCH_LENGTH} digits, is only compared with from and to. "
            "Other text is not searched."
        )
    if not found.total + tool_results:
        console.print(f"No matches in {found.scanned:,} items.")
        return
    calls = {pk: match for pk, match in found.calls.items() if "#sms#" not in pk}
    lines = (
        ("calls as caller or callee", sum(match is Match.PARTY for match in calls.values())),
        ("calls with a mention", sum(match is Match.MENTION for match in calls.values())),
        ("legs of these calls", found.number_of_legs),
        ("SMS", len(found.calls) - len(calls)),
        ("events without a call", len(found.events_without_call)),
        ("deliveries in quarantine", len(found.quarantined)),
        ("responses in other calls", len(found.answers)),
        ("tool results", tool_results),
    )
    days = sorted(found.days)
    origin = f" ({', '.join(sorted(found.providers))}, {days[0]} to {days[-1]})" if days else ""
    console.print(f"Matches in {found.scanned:,} items{origin}:")
    for label, count in lines:
        if count:
            console.print(f"  {label:<25} {count:>7,}")
    if found.answers or tool_results:
        console.print(f"Responses and tool results are not removed; {MARK} replaces the number in them.")
