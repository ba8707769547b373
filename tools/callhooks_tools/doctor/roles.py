"""Check that every function has exactly the permissions of the template."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.exceptions import ClientError
from pydantic import BaseModel, Field, ValidationError

from callhooks_tools.stack.deployment import IMPATIENT, Deployment
from callhooks_tools.stack.findings import Finding, catch_aws_errors, failure, or_ok, reporting_aws_errors, warning

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

ROLES = "permissions"
ROLE = "AWS::IAM::Role"
NO_SUCH_ENTITY = "NoSuchEntity"


class Statement(BaseModel):
    """Statement of a policy, without its resources: the template has names where IAM has ARNs."""

    sid: str = Field(default="", alias="Sid")
    effect: str = Field(default="Allow", alias="Effect")
    action: str | tuple[str, ...] = Field(alias="Action")


class PolicyDocument(BaseModel):
    """Document of a policy."""

    statements: tuple[Statement, ...] = Field(alias="Statement")


@dataclass(frozen=True, slots=True)
class Permission:
    """Actions that a statement allows or denies."""

    sid: str
    effect: str
    actions: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(self.actions)} ({self.sid})" if self.sid else ", ".join(self.actions)


@reporting_aws_errors(ROLES)
def role_findings(deployment: Deployment) -> Iterator[Finding]:
    """Check that the functions' roles match the template."""
    client = deployment.session.client("iam", config=IMPATIENT)
    expected = _policies_of_template(deployment)
    found = (
        finding
        for logical_id, policies in expected.items()
        for finding in catch_aws_errors(f"role {logical_id}", _role(deployment, client, logical_id, policies))
    )
    yield from or_ok(found, ROLES, f"All {len(expected)} functions have exactly the permissions of the template.")


def _policies_of_template(deployment: Deployment) -> Mapping[str, Mapping[str, PolicyDocument]]:
    """Return the inline policies of each role in the template as CloudFormation has processed it, by name.

    SAM's role for CodeDeploy has none.
    """
    cloudformation = deployment.session.client("cloudformation", config=IMPATIENT)
    reply = cloudformation.get_template(StackName=deployment.stack_name, TemplateStage="Processed")
    body: Any = reply["TemplateBody"]
    template = json.loads(body) if isinstance(body, str) else body
    return {
        logical_id: {
            policy["PolicyName"]: PolicyDocument.model_validate(policy["PolicyDocument"])
            for policy in resource.get("Properties", {}).get("Policies", ())
        }
        for logical_id, resource in sorted(template["Resources"].items())
        if resource["Type"] == ROLE and "Policies" in resource["Properties"]
    }


def _role(
    deployment: Deployment, client: IAMClient, logical_id: str, policies: Mapping[str, PolicyDocument]
) -> Iterator[Finding]:
    check, name = f"role {logical_id}", deployment.physical_id(logical_id)
    function = f"{logical_id.removesuffix('Role')}Function"
    fix = (
        f"Someone has changed the role {name}, and a deployment does not undo that. Restore the policy that "
        f"template.yaml has under {logical_id} (IAM console, Roles)."
    )
    if name is None:
        yield failure(check, "The stack does not have this role.", f"To add it, {deployment.redeploy}.")
        return
    try:
        for policy, document in policies.items():
            actual = set(_permissions(_document(client.get_role_policy(RoleName=name, PolicyName=policy))))
            expected = set(_permissions(document))
            for permission in sorted(expected - actual, key=str):
                yield failure(check, f"{function} lacks the permission {permission}.", fix)
            for permission in sorted(actual - expected, key=str):
                yield _unexpected_permission(check, function, permission, fix)
        added = [one for one in client.list_role_policies(RoleName=name)["PolicyNames"] if one not in policies]
        attached = [one["PolicyName"] for one in client.list_attached_role_policies(RoleName=name)["AttachedPolicies"]]
    except ClientError as error:
        if error.response["Error"]["Code"] != NO_SUCH_ENTITY:
            raise
        yield failure(check, f"The role or its policy does not exist, so {function} has no permissions.", fix)
        return
    if added or attached:
        names = ", ".join([*added, *attached])
        yield warning(
            check,
            f"{function} has policies that are not in the template: {names}.",
            f"Remove them from the role {name} (IAM console, Roles).",
        )


def _unexpected_permission(check: str, function: str, permission: Permission, fix: str) -> Finding:
    if permission.effect == "Deny":
        return failure(check, f"{function} is denied {permission}.", fix)
    return warning(check, f"{function} has a permission that is not in the template: {permission}.", fix)


def _document(reply: Mapping[str, object]) -> PolicyDocument:
    """Return the document of a policy: an object from boto3, percent-encoded JSON from IAM itself."""
    document = reply["PolicyDocument"]
    try:
        return PolicyDocument.model_validate_json(
            unquote(document) if isinstance(document, str) else json.dumps(document)
        )
    except ValidationError:
        return PolicyDocument(Statement=())


def _permissions(document: PolicyDocument) -> Iterator[Permission]:
    for statement in document.statements:
        actions = statement.action
        yield Permission(
            statement.sid, statement.effect, (actions,) if isinstance(actions, str) else tuple(sorted(actions))
        )
