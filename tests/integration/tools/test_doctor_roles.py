"""Findings of the doctor about permissions: as in the template, fewer, more, or none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest
from callhooks_tools.doctor.roles import role_findings
from callhooks_tools.stack.deployment import Deployment
from callhooks_tools.stack.findings import Finding, FindingLevel
from callhooks_tools.stack.stack import StackResource
from moto import mock_aws

from tests.processed_template import processed_template, resources
from tests.stacks import stack_outputs

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
ANYTHING = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
)
POLICY = "permissions"


class Session(boto3.session.Session):
    """Session whose CloudFormation returns the template."""

    def client(self, service_name: str, *args: Any, **kwargs: Any) -> Any:
        return self if service_name == "cloudformation" else super().client(service_name, *args, **kwargs)  # type: ignore[call-overload]

    def get_template(self, **_: object) -> dict[str, object]:
        return {"TemplateBody": json.loads(json.dumps(processed_template()))}


@dataclass
class Account:
    """The roles of a stack, with methods that change them."""

    deployment: Deployment
    iam: Any

    def findings(self) -> list[Finding]:
        return list(role_findings(self.deployment))

    def statements(self, role: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.iam.get_role_policy(RoleName=role, PolicyName=POLICY)["PolicyDocument"][
            "Statement"
        ]
        return found

    def put(self, role: str, statements: list[dict[str, Any]]) -> None:
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.iam.put_role_policy(RoleName=role, PolicyName=POLICY, PolicyDocument=document)


@pytest.fixture
def account() -> Iterator[Account]:
    outputs = stack_outputs()
    with mock_aws():
        iam = boto3.client("iam", region_name="us-east-1")
        roles = resources("AWS::IAM::Role")
        deployment = Deployment(
            Session(region_name="us-east-1"),
            "callhooks",
            None,
            outputs,
            [StackResource("AWS::IAM::Role", name, name) for name in roles],
        )
        made = Account(deployment, iam)
        for name, properties in roles.items():
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
            (policy,) = properties["Policies"]
            made.put(name, [{**one, "Resource": "*"} for one in policy["PolicyDocument"]["Statement"]])
        yield made


def test_the_roles_of_the_template_pass(account: Account) -> None:
    (finding,) = account.findings()
    assert finding.level is FindingLevel.OK
    assert finding.message == "All 11 functions have exactly the permissions of the template."


def test_a_missing_permission_is_named(account: Account) -> None:
    for function, sid, action in (
        ("CallProjector", "Publish", "events:PutEvents"),
        ("JambonzClientAuth", "FindClients", "dynamodb:GetItem"),
        ("SpillDrainer", "StoreEvents", "dynamodb:PutItem"),
        ("WavixCall", "SpillEvents", "sqs:SendMessage"),
        ("BirdVoice", "WriteLog", "logs:PutLogEvents"),
    ):
        role = f"{function}Role"
        statements = account.statements(role)
        account.put(role, [one for one in statements if one["Sid"] != sid])
        (finding,) = account.findings()
        assert (finding.check, finding.level) == (f"role {role}", FindingLevel.FAILURE)
        assert finding.message == f"{function}Function lacks the permission {action} ({sid})."
        assert "Restore the policy that template.yaml has" in finding.remedy
        account.put(role, statements)


def test_an_additional_permission_or_denial_is_named(account: Account) -> None:
    more = {"Sid": "More", "Effect": "Allow", "Action": ["s3:PutObject", "s3:GetObject"], "Resource": "*"}
    denied = {"Sid": "Freeze", "Effect": "Deny", "Action": "dynamodb:PutItem", "Resource": "*"}
    added = "has a permission that is not in the template: s3:GetObject, s3:PutObject (More)."
    statements = account.statements("WavixCallRole")
    for further, level, message in (
        (more, FindingLevel.WARNING, added),
        (denied, FindingLevel.FAILURE, "is denied dynamodb:PutItem (Freeze)."),
    ):
        account.put("WavixCallRole", [*statements, further])
        (finding,) = account.findings()
        assert (finding.level, finding.message) == (level, f"WavixCallFunction {message}")


def test_an_additional_policy_is_named(account: Account) -> None:
    arn = account.iam.create_policy(PolicyName="anything", PolicyDocument=ANYTHING)["Policy"]["Arn"]
    account.iam.attach_role_policy(RoleName="BirdVoiceRole", PolicyArn=arn)
    account.iam.put_role_policy(RoleName="BirdVoiceRole", PolicyName="by-hand", PolicyDocument=ANYTHING)
    (finding,) = account.findings()
    assert finding.level is FindingLevel.WARNING
    assert finding.message == "BirdVoiceFunction has policies that are not in the template: by-hand, anything."


def test_a_deleted_policy_or_role_is_named(account: Account) -> None:
    account.iam.delete_role_policy(RoleName="JambonzNewCallRole", PolicyName=POLICY)
    (finding,) = account.findings()
    assert (finding.check, finding.level) == ("role JambonzNewCallRole", FindingLevel.FAILURE)
    assert finding.message == "The role or its policy does not exist, so JambonzNewCallFunction has no permissions."
    left = [one for one in account.deployment.resources if one.logical_id != "CallLogRole"]
    account.deployment = replace(account.deployment, resources=left)
    checks = {one.check: one.message for one in account.findings()}
    assert checks["role CallLogRole"] == "The stack does not have this role."
