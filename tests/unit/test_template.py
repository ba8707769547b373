"""What must hold for the template, where neither linter nor local engine would notice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import Container, recorded, resource, signed, template


def functions() -> dict[str, dict[str, Any]]:
    return {
        name: body["Properties"]
        for name, body in template()["Resources"].items()
        if body["Type"] == "AWS::Serverless::Function"
    }


def test_generated_secrets_are_frozen() -> None:
    # A change here would generate new passwords at the next update of every stack: jambonz would be locked out.
    assert resource("JambonzCredentials")["GenerateSecretString"] == {
        "SecretStringTemplate": '{"username": "jambonz"}',
        "GenerateStringKey": "password",
        "PasswordLength": 40,
        "ExcludePunctuation": True,
    }
    # And here, it would overwrite what the operator has set.
    assert resource("JambonzWebhookSecrets")["SecretString"] == '{"webhook_secrets": []}'


def test_the_table_keeps_what_it_promises() -> None:
    table = resource("EventsTable")
    assert template()["Resources"]["EventsTable"]["DeletionPolicy"] == "Retain"
    assert "TableName" not in table
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}


def test_the_table_has_all_its_indexes_from_the_start() -> None:
    keys = {
        index["IndexName"]: [key["AttributeName"] for key in index["KeySchema"]]
        for index in resource("EventsTable")["GlobalSecondaryIndexes"]
    }
    assert keys == {
        "by_day": ["day_shard", "started_at"],
        "by_from": ["from_party", "started_at"],
        "by_to": ["to_party", "started_at"],
        "by_conversation": ["conversation_id", "started_at"],
    }


def test_no_event_pays_for_an_index() -> None:
    # Only call items carry the indexes' partition keys; an event with one would cost a write for each index.
    indexes = resource("EventsTable")["GlobalSecondaryIndexes"]
    partition_keys = {index["KeySchema"][0]["AttributeName"] for index in indexes}
    container = Container()
    container.receive(signed(recorded("new_call")))
    assert partition_keys.isdisjoint(container.database.item)


def test_calls_are_never_throttled_and_options_reaches_our_code() -> None:
    api = resource("Api")
    assert not {"DefaultRouteSettings", "RouteSettings", "CorsConfiguration"} & set(api)


def test_the_new_call_function_may_put_events_and_read_its_secrets_and_nothing_else() -> None:
    (policy,) = functions()["JambonzNewCallFunction"]["Policies"]
    allowed = {statement["Action"]: statement["Resource"] for statement in policy["Statement"]}
    assert set(allowed) == {"dynamodb:PutItem", "secretsmanager:GetSecretValue"}
    assert "*" not in json.dumps(allowed)


@pytest.mark.parametrize("name", functions())
def test_every_function_logs_to_a_group_that_forgets(name: str) -> None:
    group = functions()[name]["LoggingConfig"]["LogGroup"]["Ref"]
    assert resource(group)["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_parameters_and_outputs_are_described() -> None:
    for section in ("Parameters", "Outputs"):
        assert all(body.get("Description") for body in template()[section].values())
