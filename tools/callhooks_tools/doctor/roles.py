"""Whether every function may do what the template says, and nothing besides."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from callhooks_tools.stack.deployment import IMPATIENT, Deployment
from callhooks_tools.stack.findings import Finding, failure, fine, looked_at, warning

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

ROLES = "permissions"
ROLE = "AWS::IAM::Role"
NOT_THERE = "NoSuchEntity"


class Statement(BaseModel):
    """A statement of a policy, as far as it is compared: resources are ARNs in one place and names in the other."""

    model_config = ConfigDict(frozen=True)

    sid: str = Field(default="", alias="Sid")
    effect: str = Field(default="Allow", alias="Effect")
    action: str | tuple[str, ...] = Field(alias="Action")


class PolicyDocument(BaseModel):
    """A policy's statements."""

    model_config = ConfigDict(frozen=True)

    statements: tuple[Statement, ...] = Field(alias="Statement")


class Policy(BaseModel):
    """A policy in a role of the template."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(alias="PolicyName")
    document: PolicyDocument = Field(alias="PolicyDocument")


class RoleProperties(BaseModel):
    """A role of the template."""

    model_config = ConfigDict(frozen=True)

    policies: tuple[Policy, ...] = Field(default=(), alias="Policies")


class Resource(BaseModel):
    """A resource of the template."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(alias="Type")
    properties: Mapping[str, object] = Field(default={}, alias="Properties")


class Template(BaseModel):
    """What CloudFormation has made of the template."""

    model_config = ConfigDict(frozen=True)

    resources: Mapping[str, Resource] = Field(alias="Resources")


@dataclass(frozen=True, slots=True)
class Permission:
    """What a statement allows, or denies."""

    sid: str
    effect: str
    actions: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(self.actions)} ({self.sid})" if self.sid else ", ".join(self.actions)


def role_findings(deployment: Deployment) -> Iterator[Finding]:
    """Whether the roles of the functions are those of the template."""
    yield from looked_at(ROLES, _roles(deployment))


def _roles(deployment: Deployment) -> Iterator[Finding]:
    client = deployment.session.client("iam", config=IMPATIENT)
    expected = _policies_of_template(deployment)
    found = [
        finding
        for logical_id, policies in expected.items()
        for finding in looked_at(f"role {logical_id}", _role(deployment, client, logical_id, policies))
    ]
    yield from found
    if not found:
        yield fine(ROLES, f"All {len(expected)} functions may do what the template says, and nothing besides.")


def _policies_of_template(deployment: Deployment) -> Mapping[str, Sequence[Policy]]:
    cloudformation = deployment.session.client("cloudformation", config=IMPATIENT)
    body: object = cloudformation.get_template(StackName=deployment.stack_name, TemplateStage="Processed")[
        "TemplateBody"
    ]
    template = Template.model_validate_json(body if isinstance(body, str) else json.dumps(body))
    return {
        logical_id: RoleProperties.model_validate(resource.properties).policies
        for logical_id, resource in sorted(template.resources.items())
        if resource.type == ROLE
    }


def _role(deployment: Deployment, client: IAMClient, logical_id: str, policies: Sequence[Policy]) -> Iterator[Finding]:
    check, name = f"role {logical_id}", deployment.physical_id(logical_id)
    function = f"{logical_id.removesuffix('Role')}Function"
    mend = (
        f"Somebody has changed the role {name}, and a deployment leaves it so: put back what template.yaml has under "
        f"{logical_id} (IAM's console, Roles)."
    )
    if name is None:
        yield failure(check, "The stack has no such role.", "Deploy it again.")
        return
    try:
        for policy in policies:
            there = set(_permissions(_document(client.get_role_policy(RoleName=name, PolicyName=policy.name))))
            wanted = set(_permissions(policy.document))
            for permission in sorted(wanted - there, key=str):
                yield failure(check, f"{function} may not do {permission} any more.", mend)
            for permission in sorted(there - wanted, key=str):
                yield _more(check, function, permission, mend)
        known = {policy.name for policy in policies}
        further = [one for one in client.list_role_policies(RoleName=name)["PolicyNames"] if one not in known]
        attached = [one["PolicyName"] for one in client.list_attached_role_policies(RoleName=name)["AttachedPolicies"]]
    except ClientError as error:
        if error.response["Error"]["Code"] != NOT_THERE:
            raise
        yield failure(check, f"Its policy, or all of it, is not there: {function} may do nothing.", mend)
        return
    if further or attached:
        names = ", ".join([*further, *attached])
        yield warning(check, f"{function} may do more than the template says, by {names}.", "Take that away.")


def _more(check: str, function: str, permission: Permission, mend: str) -> Finding:
    if permission.effect == "Deny":
        return failure(check, f"{function} is denied {permission}.", mend)
    return warning(check, f"{function} may do more than the template says: {permission}.", mend)


def _document(reply: Mapping[str, object]) -> PolicyDocument:
    """The document of a policy: an object from boto3, percent-encoded JSON from IAM itself."""
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
