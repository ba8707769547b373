"""The deployed function for new calls: its answers, also when something is missing."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable

import boto3
import pytest
from jambonz_sdk.validator import JambonzValidator

from tests.integration.conftest import TABLE, Aws, Handler, fresh
from tests.integration.functions.test_event_functions import in_a_new_call
from tests.support import EVENTS, recorded

RECORDED = sorted(
    f"jambonz/{path.stem}"
    for path in (EVENTS / "jambonz").glob("*.json")
    if json.loads(path.read_text())["routeKey"] in ("POST /webhooks/call", "GET /webhooks/call")
)


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


def test_every_recorded_delivery_gets_verbs_that_match_jambonz_s_schemas(
    aws: Aws, new_container: Callable[[], Handler]
) -> None:
    handler, validator, bodies = new_container(), JambonzValidator(), []
    for name in RECORDED:
        event = in_a_new_call(name)
        answer = handler(event)
        assert answer.statusCode == 200
        verbs = json.loads(answer.body)
        assert verbs
        assert validator.validate_app(verbs) == []
        assert [error for verb in verbs for error in validator.validate_verb(verb)] == []
        bodies.append(event.get("body") or "")
    assert sorted(gzip.decompress(item["body"]["B"]).decode() for item in aws.items()) == sorted(bodies)


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
