"""`callhooks prune` and `callhooks check-removal`: care for a deployed stack."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError

from callhooks_tools.stack.aws_errors import explain_aws_error
from callhooks_tools.stack.deployment import IMPATIENT
from callhooks_tools.stack.findings import existing
from callhooks_tools.stack.selection import SelectedStack, session_of, stack_in_aws, with_stack_options
from callhooks_tools.stack.stack import published_versions, stack_resources, stack_status
from callhooks_tools.stack.terminal import JsonOutput, console, errors, fail, print_json, shown

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

LATEST = "$LATEST"
REMOVAL = "docs/operations.md#remove"


@with_stack_options
def prune(
    keep: Annotated[
        int,
        typer.Option(
            min=2, help="Newest versions of each function to keep: the current one, and those before it to go back to."
        ),
    ] = 3,
    as_json: JsonOutput = False,
    *,
    selected: SelectedStack,
) -> None:
    """Delete versions of the functions that updates leave behind. Versions in use stay."""
    session, outputs = stack_in_aws(selected)
    client, deleted = session.client("lambda"), list[dict[str, str]]()
    try:
        status = stack_status(session, outputs.stack_name)
        if status.endswith("IN_PROGRESS"):
            fail(f"The stack is {status}. Run this command again when the update has finished.")
        published = published_versions(stack_resources(session, outputs.stack_name))
        for name, version in published.items():
            for old in _versions_to_delete(client, name, version, keep):
                client.delete_function(FunctionName=name, Qualifier=old)
                deleted.append({"function": name, "version": old})
    except (BotoCoreError, ClientError) as error:
        if as_json and deleted:
            print_json(deleted)
        fail(f"Deleted {len(deleted)} old versions, then stopped: {explain_aws_error(error, session.profile_name)}")
    if as_json:
        print_json(deleted)
    else:
        console.print(f"Deleted {len(deleted)} old versions of {len(published)} functions.")


def _versions_to_delete(client: LambdaClient, name: str, published: int, keep: int) -> Iterator[str]:
    """Yield the versions of a function, oldest first, that no alias uses and that are not among those to keep.

    Versions above the published one are left from updates that were rolled back. Lambda refuses to publish the same
    content again while they exist.
    """
    versions = sorted(
        int(one["Version"])
        for page in client.get_paginator("list_versions_by_function").paginate(FunctionName=name)
        for one in page["Versions"]
        if one["Version"] != LATEST
    )
    kept = {str(version) for version in [one for one in versions if one <= published][-keep:]}
    used = {
        version
        for page in client.get_paginator("list_aliases").paginate(FunctionName=name)
        for alias in page["Aliases"]
        for version in (
            alias["FunctionVersion"],
            *alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {}),
        )
    }
    yield from (str(version) for version in versions if str(version) not in kept | used)


@with_stack_options
def check_removal(as_json: JsonOutput = False, *, selected: SelectedStack) -> None:
    """Check that no subscriber has a rule on the event bus. The exit code is 1 if there is one. `make remove` runs it.

    CloudFormation cannot delete a bus that has rules: it would delete half of the stack, and stop.
    """
    session, name, _ = session_of(selected)
    rules = {bus: found for bus in _buses(session, name) if (found := _rules(session, bus))}
    if as_json:
        print_json([{"bus": bus, "rule": rule} for bus, found in rules.items() for rule in found])
    if not rules:
        (errors if as_json else console).print(f"No rules on the event bus of {shown(name)}. The stack can be removed.")
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
    request = partial(client.list_rules, EventBusName=bus)
    while True:
        page = existing(request)
        if page is None:
            return rules
        rules += [rule["Name"] for rule in page["Rules"]]
        if "NextToken" not in page:
            return rules
        request = partial(client.list_rules, EventBusName=bus, NextToken=page["NextToken"])
