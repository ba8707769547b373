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
    Found,
    Holds,
    Person,
    Redaction,
    Removal,
    StillComing,
    find,
    find_tool_results,
)
from callhooks_tools.recovery.stored_events import scan, watched
from callhooks_tools.recovery.workers import at_once
from callhooks_tools.stack.terminal import StackName, agree, console, errors, fail, progress, shown, stack_in_aws

if TYPE_CHECKING:
    from callhooks.events.event_item import Item
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

FROM_INPUT = "-"
INTERRUPTED = 130
AGAIN = "Run it again: it finds what is left."


def forget(
    number: Annotated[
        str,
        typer.Argument(help="A number with its country code, or a SIP user; - reads it from standard input."),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    stack_name: StackName = None,
) -> None:
    """Remove a person's events, calls and quarantined deliveries, and redact the number in answers to others.

    Shows what there is, and asks: neither can be undone.
    """
    try:
        person = Person.of(sys.stdin.readline() if number == FROM_INPUT else number)
    except ValueError as error:
        fail(str(error))
    if console.is_terminal:
        # Of what was given it is not seen what is compared; a file or a pipe may be kept, and gets no number.
        console.print(f"Looking for {shown(person.canonical)}.")
    session, outputs = stack_in_aws(stack_name)
    client = session.client("dynamodb")
    try:
        found = find(watched(scan(client, {"TableName": outputs.events_table})), person)
        results = _tool_results(client, outputs.tool_calls_table, person)
        _show(found, len(results), person)
        if waiting := _waiting(session, (outputs.spill_queue, outputs.spill_dead_letter_queue)):
            errors.print(
                f"{waiting:,} events are in the spill queues, not to be looked into, and may be of it: run this again "
                "once they are stored."
            )
        if not found.things + len(results):
            return
        agree("Remove all of this for good?", yes=yes)
        removal = Removal(client, outputs.events_table, person, lambda: datetime.now(UTC), time.sleep)
        redaction = Redaction(client, outputs.tool_calls_table, person, TOOL_RESULT)
        with progress("done", total=found.things + len(results)) as advance:
            # A repeat of a tool call is answered from its result, also where its event is gone.
            for is_redacted in at_once(redaction.redact, results):
                removal.redacted += is_redacted
                advance()
            removal.remove(found, advance)
        if removal.recent:
            errors.print("Looking again in a minute: the projector may have been at work on these calls.")
            removal.remove_what_came_back()
    except (BotoCoreError, ClientError) as error:
        fail(f"AWS refuses: {error}\n{AGAIN}")
    except StillComing:
        fail(f"Events of a call are still coming in. {AGAIN}")
    except KeyboardInterrupt:
        errors.print(f"Interrupted. {AGAIN}", style="red")
        raise typer.Exit(INTERRUPTED) from None
    redacted = f" and redacted {removal.redacted:,} answers" if removal.redacted else ""
    console.print(
        f"Removed {removal.items:,} items{redacted}. docs/personal-data.md says what lies elsewhere, and for how long."
    )


def _tool_results(client: DynamoDBClient, table_name: str, person: Person) -> list[Item]:
    """Return the keys of the results of tools to redact; none where an older stack does not name their table."""
    if not table_name:
        return []
    return find_tool_results(watched(scan(client, {"TableName": table_name})), person)


def _waiting(session: Session, queues: Sequence[str]) -> int:
    """About how many messages queues hold, given out or not."""
    client = session.client("sqs")
    names: list[QueueAttributeNameType] = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    replies = [client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"] for url in queues]
    return sum(int(reply[name]) for reply in replies for name in names)


def _show(found: Found, tool_results: int, person: Person) -> None:
    if not person.is_searched:
        console.print(
            f"It has fewer than {MIN_SEARCH_LENGTH} digits, or is a SIP user: it is compared with from and to, "
            "and not looked for in texts."
        )
    if not found.things + tool_results:
        console.print(f"Nothing is stored of it, in {found.looked_at:,} items.")
        return
    calls = {pk: holds for pk, holds in found.calls.items() if "#sms#" not in pk}
    lines = (
        ("calls from or to it", sum(holds is Holds.PARTY for holds in calls.values())),
        ("calls that mention it", sum(holds is Holds.MENTION for holds in calls.values())),
        ("legs of these calls", found.number_of_legs),
        ("SMS", len(found.calls) - len(calls)),
        ("events without a call", len(found.alone)),
        ("deliveries in quarantine", len(found.quarantined)),
        ("answers to others", len(found.answers)),
        ("results of tools", tool_results),
    )
    days = sorted(found.days)
    origin = f"Of {', '.join(sorted(found.providers))}, from {days[0]} to {days[-1]}, in" if days else "In"
    console.print(f"{origin} {found.looked_at:,} items:")
    for what, count in lines:
        if count:
            console.print(f"  {what:<25} {count:>7,}")
    if found.answers or tool_results:
        console.print(f"Answers and results stay, with {MARK} in place of the number.")
