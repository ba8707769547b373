"""`callhooks check-removal`: check that CloudFormation can delete a stack."""

from __future__ import annotations

from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError

from callhooks_tools.stack.deployment import IMPATIENT
from callhooks_tools.stack.findings import existing
from callhooks_tools.stack.stack import stack_resources
from callhooks_tools.stack.terminal import StackName, console, errors, fail, session_of, shown

REMOVAL = "docs/operations.md#remove"


def check_removal(stack_name: StackName = None) -> None:
    """Check that no subscriber has a rule on the event bus. The exit code is 1 if there is one. `make remove` runs it.

    CloudFormation cannot delete a bus that has rules: it would delete half of the stack, and stop.
    """
    session, name, _ = session_of(stack_name)
    try:
        buses = _buses(session, name)
        rules = {bus: found for bus in buses if (found := _rules(session, bus))}
    except (BotoCoreError, ClientError) as error:
        fail(f"The rules on the event bus of {shown(name)} cannot be read: {error}")
    if not rules:
        console.print(f"No rules on the event bus of {shown(name)}. The stack can be removed.")
        return
    for bus, found in rules.items():
        errors.print(f"The event bus {shown(bus)} has rules of subscribers, so it cannot be deleted:", style="red")
        for rule in found:
            errors.print(f"  {shown(rule)}")
    fail(f"Nothing has been removed. Delete the stacks of these subscribers first, or their rules ({REMOVAL}).")


def _buses(session: Session, stack_name: str) -> list[str]:
    """Return the names of a stack's event buses, of which a stack that could not be created may have none."""
    resources = stack_resources(session, stack_name)
    return [one.physical_id for one in resources if one.type == "AWS::Events::EventBus"]


def _rules(session: Session, bus: str) -> list[str]:
    """Return the names of the rules on a bus."""
    client = session.client("events", config=IMPATIENT)
    rules: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = existing(lambda: client.list_rules(EventBusName=bus, **token))  # noqa: B023 - called at once
        if page is None:
            return rules
        rules += [rule["Name"] for rule in page["Rules"]]
        if "NextToken" not in page:
            return rules
        token = {"NextToken": page["NextToken"]}
