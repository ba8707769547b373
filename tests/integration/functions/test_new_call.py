"""The deployed function for new calls: its answers, and the AWS calls it makes."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime

import boto3
import pytest
from jambonz_sdk.validator import JambonzValidator

from tests.integration.conftest import TABLE, Aws, Handler
from tests.support import EVENTS, Event, recorded, signed, signed_event, with_header

RECORDED = sorted(
    path.stem
    for path in (EVENTS / "jambonz").glob("*.json")
    if json.loads(path.read_text())["routeKey"] in ("POST /webhooks/call", "GET /webhooks/call")
)


def fresh(name: str) -> Event:
    """Return a recorded delivery signed with the real time, which the function uses."""
    return signed(recorded(name), now=datetime.now(UTC))


def test_a_cold_start_reads_two_secrets_and_writes_one_event(aws: Aws, new_container: Callable[[], Handler]) -> None:
    answer = new_container()(fresh("new_call"))
    assert answer.statusCode == 200
    assert aws.calls == ["GetSecretValue", "GetSecretValue", "PutItem"]
    (item,) = aws.items()
    assert item["answer"]["S"] == answer.body
    assert gzip.decompress(item["body"]["B"]).decode() == recorded("new_call")["body"]


def test_a_new_event_costs_one_put_item(aws: Aws, new_container: Callable[[], Handler]) -> None:
    handler = new_container()
    handler(fresh("new_call"))
    aws.calls.clear()
    handler(fresh("new_call_outbound"))
    assert aws.calls == ["PutItem"]


def test_a_duplicate_in_the_same_container_makes_no_aws_call(aws: Aws, new_container: Callable[[], Handler]) -> None:
    handler = new_container()
    first = handler(fresh("new_call"))
    aws.calls.clear()
    again = handler(fresh("new_call"))
    assert aws.calls == []
    assert again.body == first.body
    assert again.replayed


def test_a_duplicate_in_another_container_costs_one_put_item(aws: Aws, new_container: Callable[[], Handler]) -> None:
    first = new_container()(fresh("new_call"))
    other = new_container()
    other(fresh("new_call_outbound"))
    aws.calls.clear()
    event = fresh("new_call")
    event["requestContext"] = {**event["requestContext"], "requestId": "another"}
    again = other(event)
    assert aws.calls == ["PutItem"]
    assert again.body == first.body
    assert again.replayed
    assert len(aws.items()) == 2


def test_the_variables_of_the_plan_need_no_aws_call_and_no_credentials(
    aws: Aws, new_container: Callable[[], Handler]
) -> None:
    answer = new_container()(recorded("application_variables"))
    assert answer.statusCode == 200
    schema = json.loads(answer.body)
    assert schema
    for name, declared in schema.items():
        assert re.fullmatch(r"[a-zA-Z0-9_]+", name)
        assert declared["type"] in ("string", "number", "boolean")
        assert isinstance(declared["description"], str)
    assert aws.calls == []


def test_a_rejected_request_makes_no_aws_call(aws: Aws, new_container: Callable[[], Handler]) -> None:
    handler = new_container()
    handler(fresh("new_call"))
    aws.calls.clear()
    assert handler(recorded("new_call")).statusCode == 401
    assert handler(with_header(fresh("new_call"), "authorization", "Basic d3Jvbmc6d3Jvbmc=")).statusCode == 401
    assert handler(signed_event("not JSON", now=datetime.now(UTC))).statusCode == 400
    assert aws.calls == []


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_delivery_gets_verbs_that_match_jambonz_s_schemas(
    name: str, aws: Aws, new_container: Callable[[], Handler]
) -> None:
    answer = new_container()(fresh(name))
    assert answer.statusCode == 200
    verbs = json.loads(answer.body)
    assert verbs
    validator = JambonzValidator()
    assert validator.validate_app(verbs) == []
    assert [error for verb in verbs for error in validator.validate_verb(verb)] == []
    assert len(aws.items()) == 1


def test_without_its_table_a_call_still_gets_its_verbs(aws: Aws, new_container: Callable[[], Handler]) -> None:
    aws.dynamodb.delete_table(TableName=TABLE)
    assert new_container()(fresh("new_call")).verbs


def test_without_its_secrets_a_call_gets_the_fallback(aws: Aws, new_container: Callable[[], Handler]) -> None:
    for name in ("credentials", "webhook-secrets"):
        boto3.client("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    answer = new_container()(fresh("new_call"))
    assert answer.statusCode == 200
    assert answer.verbs
    assert aws.items() == []


@pytest.mark.parametrize(
    "variable", ["EVENTS_TABLE", "RETENTION_DAYS", "SPILL_QUEUE", "JAMBONZ_CREDENTIALS", "PUBLIC_URL"]
)
def test_a_function_that_cannot_start_gives_the_fallback_and_tries_again(
    variable: str, aws: Aws, new_container: Callable[[], Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    value = os.environ[variable]
    monkeypatch.delenv(variable)
    handler = new_container()
    answer = handler(fresh("new_call"))
    assert answer.statusCode == 200
    assert [verb["verb"] for verb in json.loads(answer.body)] == ["say", "hangup"]
    assert aws.items() == []
    monkeypatch.setenv(variable, value)
    assert handler(fresh("new_call")).verbs != answer.verbs
    assert len(aws.items()) == 1


def test_without_a_call_plan_a_call_gets_the_builtin_plan(
    aws: Aws, new_container: Callable[[], Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callhooks.providers.jambonz.plan.loader.PLAN_PACKAGE", "no_such_package")
    answer = new_container()(fresh("new_call"))
    assert answer.statusCode == 200
    assert answer.verbs
    assert len(aws.items()) == 1


def test_sam_local_needs_no_secret_store(
    aws: Aws, new_container: Callable[[], Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = json.loads((EVENTS / "local-env.json").read_text())["JambonzNewCallFunction"]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert new_container()(recorded("new_call")).statusCode == 200
    assert aws.calls == ["PutItem"]
