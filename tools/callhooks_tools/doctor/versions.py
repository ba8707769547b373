"""Checks of the alias through which a function is invoked: its version, unpublished changes, its permissions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from callhooks_tools.stack.deployment import Deployment
from callhooks_tools.stack.findings import Finding, existing, failure, warning
from callhooks_tools.stack.stack import StackResource
from callhooks_tools.stack.template import ALIAS

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import AliasConfigurationResponseTypeDef

API_GATEWAY = "apigateway.amazonaws.com"
LATEST = "$LATEST"
PUBLISHED = (
    "CodeSha256", "Environment", "Handler", "Layers", "LoggingConfig", "MemorySize", "Role", "Runtime", "Timeout",
)  # fmt: skip
"""The members of a function's configuration that a change by hand may leave unpublished."""


def publish_command(deployment: Deployment, name: str) -> str:
    """Return the command that publishes a function's changes and moves the alias to the new version."""
    publish = deployment.aws(f"lambda publish-version --function-name {name} --query Version --output text")
    return _move_command(deployment, name, f'"$({publish})"')


def _move_command(deployment: Deployment, name: str, version: str) -> str:
    return deployment.aws(f"lambda update-alias --function-name {name} --name {ALIAS} --function-version {version}")


def alias_findings(
    deployment: Deployment,
    client: LambdaClient,
    function: StackResource,
    latest: Mapping[str, Any],
    live: Mapping[str, Any] | None,
) -> Iterator[Finding]:
    """Check that the alias exists, points to the newest version, and may be invoked by the API.

    Args:
        latest: the configuration of the function itself, which may have changes that are not published.
        live: the configuration of the version behind the alias; `None` if there is no alias.
    """
    check, name = f"function {function.logical_id}", function.physical_id
    pages = client.get_paginator("list_versions_by_function").paginate(FunctionName=name)
    versions = [one["Version"] for page in pages for one in page["Versions"] if one["Version"] != LATEST]
    newest = max(versions, key=int, default=None)
    if live is None or newest is None:
        yield _missing(deployment, check, function, newest)
        return
    alias = client.get_alias(FunctionName=name, Name=ALIAS)
    moved = list(_target(deployment, check, name, alias, newest))
    yield from moved
    changed = [member for member in PUBLISHED if _value(latest, member) != _value(live, member)]
    if changed and not moved:
        yield warning(
            check,
            f"Changes of {', '.join(changed)} are not published: callers get version {newest} without them. The next "
            "update of the function publishes them.",
            f"Undo them, or publish them: {publish_command(deployment, name)}",
        )
    yield from _permissions(deployment, client, check, function, alias["AliasArn"])


def _missing(deployment: Deployment, check: str, function: StackResource, newest: str | None) -> Finding:
    problem = f"It has no alias {ALIAS}, through which the API and event sources invoke it."
    if newest is None or deployment.physical_id(f"{function.logical_id}Alias{ALIAS}") is None:
        return failure(check, problem, f"To add it, {deployment.redeploy}.")
    create = deployment.aws(
        f"lambda create-alias --function-name {function.physical_id} --name {ALIAS} --function-version {newest}"
    )
    return failure(check, problem, f"Create it, then run this command again: {create}")


def _target(
    deployment: Deployment, check: str, name: str, alias: AliasConfigurationResponseTypeDef, newest: str
) -> Iterator[Finding]:
    weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
    if weights:
        shares = ", ".join(f"{share:.0%} to version {version}" for version, share in weights.items())
        yield warning(
            check,
            f"Its alias sends {shares}, and the rest to version {alias['FunctionVersion']}: an update is in progress.",
            "Run this command again when the update has finished.",
        )
    elif alias["FunctionVersion"] != newest:
        yield warning(
            check,
            f"Its alias points to version {alias['FunctionVersion']}, but the newest version is {newest}.",
            f"If nobody moved it on purpose: {_move_command(deployment, name, newest)}",
        )


def _value(configuration: Mapping[str, Any], member: str) -> object:
    value = configuration.get(member)
    return [layer.get("Arn") for layer in value or ()] if member == "Layers" else value or None


def _permissions(
    deployment: Deployment, client: LambdaClient, check: str, function: StackResource, arn: str
) -> Iterator[Finding]:
    """Check that the alias has a permission for each route of the function."""
    name = function.physical_id
    routes = [
        one for one in deployment.all_of("AWS::Lambda::Permission") if one.logical_id.startswith(function.logical_id)
    ]
    if not routes:
        return
    reply = existing(lambda: client.get_policy(FunctionName=name, Qualifier=ALIAS))
    statements = json.loads(reply["Policy"])["Statement"] if reply else []
    permitted = [one for one in statements if API_GATEWAY in json.dumps(one.get("Principal"))]
    if len(permitted) < len(routes):
        _, _, _, region, account, *_ = arn.split(":")
        source = f"arn:{client.meta.partition}:execute-api:{region}:{account}:{deployment.physical_id('Api')}/*"
        add = deployment.aws(
            f"lambda add-permission --function-name {name} --qualifier {ALIAS} --statement-id api "
            f"--action lambda:InvokeFunction --principal {API_GATEWAY} --source-arn '{source}'"
        )
        yield failure(
            check,
            f"API Gateway may invoke its alias for {len(permitted)} of {len(routes)} routes. The others get 500.",
            f"Permit all of them: {add}",
        )
