"""Permissions of each function in the processed template; everything else must be denied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.processed_template import processed_template, resources, texts_in

TABLE, STREAM = "EventsTable.Arn", "EventsTable.StreamArn"
CLIENTS, TOOL_CALLS = "ClientsTable.Arn", "ToolCallsTable.Arn"
SPILL_QUEUE, RETRIES, DISCARDED = "SpillQueue.Arn", "ProjectionRetryQueue.Arn", "ProjectionDiscardedQueue.Arn"
PUT, GET, QUERY, READ_MANY = "dynamodb:PutItem", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:BatchGetItem"
SEND, READ_SECRET = "sqs:SendMessage", "secretsmanager:GetSecretValue"

INDEXES = ("by_day", "by_from", "by_to", "by_conversation")

Permission = tuple[str, str]

STORE: set[Permission] = {(PUT, TABLE), (SEND, SPILL_QUEUE)}
JAMBONZ: set[Permission] = {*STORE, (READ_SECRET, "JambonzCredentials.Id"), (READ_SECRET, "JambonzWebhookSecrets.Id")}


def receive_from(queue: str) -> set[Permission]:
    """Return the permissions that the event source of a queue needs."""
    return {("sqs:ReceiveMessage", queue), ("sqs:DeleteMessage", queue), ("sqs:GetQueueAttributes", queue)}


ALLOWED: dict[str, set[Permission]] = {
    "JambonzNewCall": JAMBONZ,
    "JambonzAction": {*JAMBONZ, (GET, TABLE)},
    "JambonzEvent": JAMBONZ,
    "JambonzClientAuth": {*JAMBONZ, (GET, CLIENTS), (PUT, CLIENTS), ("dynamodb:UpdateItem", CLIENTS)},
    "JambonzTool": {
        *JAMBONZ,
        (GET, TABLE),
        (QUERY, "${EventsTable.Arn}/index/by_from"),
        (READ_MANY, TABLE),
        (PUT, TOOL_CALLS),
        ("dynamodb:UpdateItem", TOOL_CALLS),
    },
    "WavixCall": {*STORE, (READ_SECRET, "WavixCredentials.Id")},
    "BirdVoice": {*STORE, (READ_SECRET, "BirdCredentials.Id")},
    "VoipstudioEvent": {*STORE, (READ_SECRET, "VoipstudioCredentials.Id")},
    "SpillDrainer": {(PUT, TABLE), ("sqs:ChangeMessageVisibility", SPILL_QUEUE), *receive_from(SPILL_QUEUE)},
    "CallProjector": {
        (QUERY, TABLE),
        (GET, TABLE),
        (PUT, TABLE),
        ("events:PutEvents", "CallBus.Arn"),
        (SEND, RETRIES),
        (SEND, DISCARDED),
        *receive_from(RETRIES),
        ("dynamodb:DescribeStream", STREAM),
        ("dynamodb:GetShardIterator", STREAM),
        ("dynamodb:GetRecords", STREAM),
        ("dynamodb:ListStreams", "${EventsTable.Arn}/stream/*"),
    },
    "CallLog": {
        (READ_SECRET, "ConsoleCredentials.Id"),
        (QUERY, TABLE),
        *((QUERY, f"${{EventsTable.Arn}}/index/{index}") for index in INDEXES),
        (READ_MANY, TABLE),
    },
}


def resource_name(resource: Any) -> str:
    """Return the name of a statement's resource in the template."""
    ((function, named),) = resource.items()
    return ".".join(named) if function == "Fn::GetAtt" else str(named)


def statements(role: str) -> list[dict[str, Any]]:
    (policy,) = resources("AWS::IAM::Role")[role]["Policies"]
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


def permissions(role: str) -> Iterator[Permission]:
    for statement in statements(role):
        named = statement["Resource"]
        for one in named if isinstance(named, list) else [named]:
            yield statement["Action"], resource_name(one)


def test_every_function_has_its_own_role() -> None:
    functions = resources("AWS::Lambda::Function")
    roles = {name: function["Role"]["Fn::GetAtt"] for name, function in functions.items()}
    assert roles == {f"{name}Function": [f"{name}Role", "Arn"] for name in ALLOWED}
    assert set(resources("AWS::IAM::Role")) == {f"{name}Role" for name in ALLOWED}


@pytest.mark.parametrize("name", ALLOWED)
def test_a_function_has_only_its_permissions_and_its_log(name: str) -> None:
    log = f"{name}LogGroup.Arn"
    expected = {*ALLOWED[name], ("logs:CreateLogStream", log), ("logs:PutLogEvents", log)}
    assert set(permissions(f"{name}Role")) == expected
    for statement in statements(f"{name}Role"):
        assert statement.keys() == {"Sid", "Effect", "Action", "Resource"}
        assert statement["Effect"] == "Allow"


@pytest.mark.parametrize("name", ALLOWED)
def test_a_role_trusts_lambda_and_has_no_managed_policies(name: str) -> None:
    properties = resources("AWS::IAM::Role")[f"{name}Role"]
    # SAM's managed policies would let a function write all logs and read all queues of the account.
    assert properties.keys() == {"AssumeRolePolicyDocument", "Policies"}
    (trust,) = properties["AssumeRolePolicyDocument"]["Statement"]
    assert trust == {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}


def test_only_the_api_may_invoke_functions() -> None:
    for permission in resources("AWS::Lambda::Permission").values():
        assert permission["Action"] == "lambda:InvokeFunction"
        assert permission["Principal"] == "apigateway.amazonaws.com"
        assert {"__ApiId__": {"Ref": "Api"}}.items() <= permission["SourceArn"]["Fn::Sub"][1].items()


def test_only_roles_grant_permissions() -> None:
    kinds = {resource["Type"] for resource in processed_template()["Resources"].values()}
    assert {kind for kind in kinds if "::IAM::" in kind or kind.endswith("Policy")} == {"AWS::IAM::Role"}


def test_no_function_has_a_secret_in_its_environment() -> None:
    for function in resources("AWS::Lambda::Function").values():
        variables = function["Environment"]["Variables"]
        assert not [text for text in texts_in(variables) if "resolve:" in text]
