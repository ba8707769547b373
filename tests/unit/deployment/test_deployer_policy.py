"""The policy in the documentation allows what a deployment needs, and little more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from tests.processed_template import processed_template, resources, texts_in
from tests.support import ROOT

DOCUMENT = json.loads((ROOT / "docs" / "examples" / "deployer-policy.json").read_text("utf-8"))
MAX_CHARACTERS = 6_144
"""Limit of a managed policy, without white space."""
CANARY = {
    "AWS::Lambda::Version", "AWS::Lambda::Alias", "AWS::CodeDeploy::Application", "AWS::CodeDeploy::DeploymentGroup",
}  # fmt: skip
"""Types that SAM adds for aliases and gradual deployments."""
TYPES = sorted({one["Type"] for one in processed_template()["Resources"].values()} | CANARY)
UNUSED = {
    "an own key, a network, a file system, a capacity provider or code signing": (
        "kms:*", "ec2:*", "elasticfilesystem:*", "s3files:*", "lambda:PassCapacityProvider",
        "lambda:AssociateRuntimeAlias", "lambda:PutFunctionCodeSigningConfig", "lambda:*FunctionScalingConfig",
        "lambda:PutProvisionedConcurrencyConfig", "lambda:DeleteProvisionedConcurrencyConfig",
        "logs:AssociateKmsKey", "logs:DisassociateKmsKey",
    ),
    "imported, replicated or streamed tables": (
        "kinesis:*", "dynamodb:ImportTable", "dynamodb:*Item", "dynamodb:Query", "dynamodb:Scan",
        "dynamodb:*TableReplica",
        "dynamodb:*KinesisStreamingDestination", "dynamodb:UpdateContributorInsights",
        "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents", "s3:GetObjectMetadata",
    ),
    "policies on resources, a boundary, data protection or indexes of logs": (
        "dynamodb:PutResourcePolicy", "dynamodb:DeleteResourcePolicy", "events:*Permission",
        "iam:*PermissionsBoundary", "sns:PutDataProtectionPolicy", "logs:PutDataProtectionPolicy",
        "logs:DeleteDataProtectionPolicy", "logs:PutIndexPolicy", "logs:DeleteIndexPolicy", "logs:DeleteResourcePolicy",
        "logs:PutBearerTokenAuthentication", "logs:PutLogGroupDeletionProtection", "firehose:*", "s3:REST.PUT.OBJECT",
    ),
    "secrets in several regions": (
        "secretsmanager:ReplicateSecretToRegions", "secretsmanager:RemoveRegionsFromReplication",
    ),
    "servers": ("codedeploy:RegisterOnPremisesInstance",),
}  # fmt: skip
"""Permissions of CloudFormation's resource types for features that the template does not use."""
SAM = {
    "cloudformation:CreateChangeSet", "cloudformation:DescribeChangeSet", "cloudformation:ExecuteChangeSet",
    "cloudformation:DeleteChangeSet", "cloudformation:ListChangeSets", "cloudformation:DescribeStacks",
    "cloudformation:DescribeStackEvents", "cloudformation:GetTemplate", "cloudformation:GetTemplateSummary",
    "cloudformation:ListStackResources", "cloudformation:DeleteStack", "cloudformation:TagResource",
    "cloudformation:UntagResource", "cloudformation:ValidateTemplate", "cloudformation:UpdateTerminationProtection",
    "s3:CreateBucket", "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock", "s3:PutBucketTagging", "s3:TagResource",
    "s3:PutBucketVersioning", "s3:PutEncryptionConfiguration", "s3:GetObject", "s3:GetObjectTagging", "s3:PutObject",
    "s3:DeleteObject", "s3:ListBucket", "s3:ListBucketVersions", "s3:ListTagsForResource",
}  # fmt: skip
"""Requests of `sam deploy --resolve-s3` and `sam delete`, with the bucket that sam creates for artifacts."""
ACCESS_LOG = {
    f"logs:{name}"
    for name in (
        "CreateLogDelivery", "GetLogDelivery", "UpdateLogDelivery", "DeleteLogDelivery", "ListLogDeliveries",
        "PutResourcePolicy", "DescribeResourcePolicies", "DescribeLogGroups",
    )
}  # fmt: skip
"""Requests of API Gateway, with the permissions of the caller, when the access log is turned on or off."""
CUSTOM_DOMAIN = {"iam:CreateServiceLinkedRole"}
"""Requests of API Gateway, with the permissions of the caller, for the first custom domain in an account."""
STUCK = {f"cloudformation:{name}" for name in ("ContinueUpdateRollback", "CancelUpdateStack", "RollbackStack")}
"""Requests that end an update that neither completes nor rolls back."""
REMOVAL = {"events:ListRules"}
"""Requests of `make remove`."""
PRUNING = {"lambda:ListAliases", "lambda:ListVersionsByFunction", "lambda:DeleteFunction"}
"""Requests of `callhooks prune`."""


def actions() -> list[str]:
    listed = [statement["Action"] for statement in DOCUMENT["Statement"]]
    return [action for one in listed for action in ([one] if isinstance(one, str) else one)]


def matches(action: str, patterns: Iterator[str] | list[str] | tuple[str, ...]) -> bool:
    return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)


def unused() -> list[str]:
    return [pattern for patterns in UNUSED.values() for pattern in patterns]


def permissions_of(resource_type: str) -> set[str]:
    """Return what CloudFormation may do to create, read, update and delete a resource, according to its schema."""
    handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource_type).schema["handlers"]
    return {
        permission
        for name in ("create", "read", "update", "delete")
        for permission in handlers.get(name, {}).get("permissions", [])
    }


@pytest.mark.parametrize("resource_type", TYPES)
def test_a_deployer_may_do_everything_with_a_resource_of(resource_type: str) -> None:
    needed = permissions_of(resource_type)
    assert needed, "the schema has no permissions"
    assert sorted(one for one in needed if not matches(one, unused()) and not matches(one, actions())) == []


@pytest.mark.parametrize(
    "needed",
    [SAM, ACCESS_LOG, CUSTOM_DOMAIN, STUCK, REMOVAL, PRUNING],
    ids=["sam", "access log", "custom domain", "stuck update", "removal", "pruning"],
)
def test_a_deployer_may_send_the_requests_of(needed: set[str]) -> None:
    assert sorted(one for one in needed if not matches(one, actions())) == []


def test_nothing_is_allowed_that_a_deployment_does_not_need() -> None:
    requests = SAM | ACCESS_LOG | CUSTOM_DOMAIN | STUCK | REMOVAL | PRUNING
    needed = requests.union(*map(permissions_of, TYPES))
    assert [pattern for pattern in actions() if not any(matches(one, [pattern]) for one in needed)] == []
    assert [pattern for pattern in unused() if not any(matches(one, [pattern]) for one in needed)] == []
    assert not {"*", "iam:*", "s3:*", "dynamodb:*"} & set(actions())


def test_stored_events_cannot_be_read() -> None:
    for action in ("dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan", "logs:GetLogEvents", "sqs:ReceiveMessage"):
        assert not matches(action, actions())


def statement_of(action: str) -> dict[str, Any]:
    (found,) = [one for one in DOCUMENT["Statement"] if matches(action, one["Action"])]
    statement: dict[str, Any] = found
    return statement


def test_roles_are_limited_to_those_of_the_stack_and_passed_to_services_that_it_uses() -> None:
    statements = [one for one in DOCUMENT["Statement"] if "iam:" in str(one["Action"])]
    roles = [one["Resource"] for one in statements if one is not statement_of("iam:CreateServiceLinkedRole")]
    assert set(roles) == {"arn:aws:iam::*:role/callhooks*"}
    assert statement_of("iam:PassRole")["Condition"]["StringEquals"]["iam:PassedToService"] == [
        "codedeploy.amazonaws.com", "lambda.amazonaws.com",
    ]  # fmt: skip


def test_only_the_managed_policy_of_the_template_can_be_attached() -> None:
    attached = [
        arn
        for resource in processed_template(CallCanary="on")["Resources"].values()
        for arn in resource.get("Properties", {}).get("ManagedPolicyArns", [])
    ]
    condition = statement_of("iam:AttachRolePolicy")["Condition"]
    assert [condition] == [{"ArnEquals": {"iam:PolicyARN": arn}} for arn in attached]


def test_the_only_service_linked_role_is_for_custom_domains() -> None:
    statement = statement_of("iam:CreateServiceLinkedRole")
    service = "ops.apigateway.amazonaws.com"
    assert statement["Resource"] == f"arn:aws:iam::*:role/aws-service-role/{service}/AWSServiceRoleForAPIGateway"
    assert statement["Condition"] == {"StringEquals": {"iam:AWSServiceName": service}}


def test_only_secrets_that_are_named_as_those_of_the_template_can_be_read() -> None:
    # CloudFormation begins the name of a secret with its logical id, without the name of the stack.
    logical_ids = resources("AWS::SecretsManager::Secret")
    assert not any("Name" in secret for secret in logical_ids.values())
    names = [arn.partition(":secret:")[2] for arn in statement_of("secretsmanager:GetSecretValue")["Resource"]]
    assert not any(name.startswith("*") for name in names)
    assert sorted(names) == sorted(f"{name}-*" for name in logical_ids)


def test_the_policy_fits_into_a_managed_policy() -> None:
    assert len(json.dumps(DOCUMENT, separators=(",", ":"))) <= MAX_CHARACTERS


def test_resources_are_named_after_the_stacks_of_the_settings() -> None:
    names = re.findall(r'^stack_name = "(.*)"$', (ROOT / "samconfig.toml").read_text("utf-8"), re.MULTILINE)
    assert all(name.startswith("callhooks") for name in names)
    assert any("callhooks*" in text for text in texts_in(DOCUMENT))
