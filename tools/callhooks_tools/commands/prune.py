"""`callhooks prune`: delete old versions of the functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError

from callhooks_tools.stack.stack import stack_resources
from callhooks_tools.stack.terminal import StackName, console, fail, stack_in_aws

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

LATEST = "$LATEST"


def prune(
    keep: Annotated[
        int,
        typer.Option(
            min=2, help="Newest versions of each function to keep: the current one, and those before it to go back to."
        ),
    ] = 3,
    stack_name: StackName = None,
) -> None:
    """Delete old versions of the functions, which updates leave behind. Versions in use stay."""
    session, outputs = stack_in_aws(stack_name)
    client, number = session.client("lambda"), 0
    try:
        functions = [
            one.physical_id
            for one in stack_resources(session, outputs.stack_name)
            if one.type == "AWS::Lambda::Function"
        ]
        for name in functions:
            for version in _old_versions(client, name, keep):
                client.delete_function(FunctionName=name, Qualifier=version)
                number += 1
    except (BotoCoreError, ClientError) as error:
        fail(f"Deleted {number} old versions, then stopped: {error}")
    console.print(f"Deleted {number} old versions of {len(functions)} functions.")


def _old_versions(client: LambdaClient, name: str, keep: int) -> Iterator[str]:
    """Yield the versions of a function, oldest first, that are neither among the newest nor behind an alias."""
    versions = [
        one["Version"]
        for page in client.get_paginator("list_versions_by_function").paginate(FunctionName=name)
        for one in page["Versions"]
        if one["Version"] != LATEST
    ]
    used = {
        version
        for page in client.get_paginator("list_aliases").paginate(FunctionName=name)
        for alias in page["Aliases"]
        for version in (
            alias["FunctionVersion"],
            *alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {}),
        )
    }
    yield from (version for version in sorted(versions, key=int)[:-keep] if version not in used)
