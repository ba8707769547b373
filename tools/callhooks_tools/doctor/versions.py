"""Checks of the alias through which a function is invoked: its version, unpublished changes, its permissions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from callhooks_tools.stack.deployment import Deployment
from callhooks_tools.stack.findings import Finding, existing, failure, warning
from callhooks_tools.stack.stack import StackResource, published_versions
from callhooks_tools.stack.template import ALIAS

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import AliasConfigurationResponseTypeDef

API_GATEWAY = "apigateway.amazonaws.com"
ALL_ROUTES = "callhooks-doctor-all-routes"
"""Id of the statement that permits all routes of an API."""
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
    """Check that the alias exists, points to the version of the last update, and may be invoked by the API.

    Args:
        latest: the configuration of the function itself, which may have changes that are not published.
        live: the configuration of the version behind the alias; `None` if there is no alias.
    """
    check, name = f"function {function.logical_id}", function.physical_id
    published = published_versions(deployment.resources).get(name)
    if live is None or published is None:
        yield _missing(deployment, check, function, published)
        return
    alias = client.get_alias(FunctionName=name, Name=ALIAS)
    moved = list(_target(deployment, check, name, alias, published))
    yield from moved
    changed = [member for member in PUBLISHED if _value(latest, member) != _value(live, member)]
    if changed and not moved:
        yield warning(
            check,
            f"Changes of {', '.join(changed)} are not published: callers get version {alias['FunctionVersion']} "
            "without them. The next update of the function publishes them.",
            f"Undo them, or publish them: {publish_command(deployment, name)}",
        )
    yield from _permissions(deployment, client, check, function, alias["AliasArn"])


def _missing(deployment: Deployment, check: str, function: StackResource, published: int | None) -> Finding:
    problem = f"It has no alias {ALIAS}, through which the API and event sources invoke it."
    if published is None or deployment.physical_id(f"{function.logical_id}Alias{ALIAS}") is None:
        return failure(check, problem, f"To add it, {deployment.redeploy}.")
    create = deployment.aws(
        f"lambda create-alias --function-name {function.physical_id} --name {ALIAS} --function-version {published}"
    )
    return failure(check, problem, f"Create it, then run this command again: {create}")


def _target(
    deployment: Deployment, check: str, name: str, alias: AliasConfigurationResponseTypeDef, published: int
) -> Iterator[Finding]:
    weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
    if weights:
        shares = ", ".join(f"{share:.0%} to version {version}" for version, share in weights.items())
        yield warning(
            check,
            f"Its alias sends {shares}, and the rest to version {alias['FunctionVersion']}: an update is in progress.",
            "Run this command again when the update has finished.",
        )
    # A higher number was published by hand, as this command suggests for unpublished changes.
    elif int(alias["FunctionVersion"]) < published:
        yield warning(
            check,
            f"Its alias points to version {alias['FunctionVersion']}, but the last update published {published}.",
            f"If nobody moved it on purpose: {_move_command(deployment, name, str(published))}",
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
    # The id of a statement is the physical id of its resource.
    permitted = {one["Sid"] for one in statements if API_GATEWAY in json.dumps(one.get("Principal"))}
    missing = [one for one in routes if one.physical_id not in permitted]
    if missing and ALL_ROUTES not in permitted:
        _, _, _, region, account, *_ = arn.split(":")
        source = f"arn:{client.meta.partition}:execute-api:{region}:{account}:{deployment.physical_id('Api')}/*"
        add = deployment.aws(
            f"lambda add-permission --function-name {name} --qualifier {ALIAS} --statement-id {ALL_ROUTES} "
            f"--action lambda:InvokeFunction --principal {API_GATEWAY} --source-arn '{source}'"
        )
        yield failure(
            check,
            f"API Gateway may not invoke its alias for {len(missing)} of {len(routes)} routes: they get 500.",
            f"Permit all of them: {add}",
        )
