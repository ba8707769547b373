"""The deployed function for action hooks: its answers, and the AWS calls it makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from callhooks_tools.providers.jambonz.plan.verb_profiles import Profile, verb_faults
from jambonz_sdk.validator import JambonzValidator

from tests.integration.conftest import Aws, Handler
from tests.support import EVENTS, Event, recorded, signed

FOLDER = "jambonz_action"
RECORDED = sorted(path.stem for path in (EVENTS / "jambonz").glob("action_*.json"))


def fresh(name: str) -> Event:
    """Return a recorded hook signed with the real time, which the function uses."""
    return signed(recorded(name), now=datetime.now(UTC))


@pytest.fixture
def handler(new_container: Callable[..., Handler]) -> Handler:
    return new_container(FOLDER)


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_hook_is_answered_with_verbs_valid_in_both_versions(
    name: str, aws: Aws, handler: Handler
) -> None:
    answer = handler(fresh(name))
    assert answer.statusCode == 200
    verbs = json.loads(answer.body)
    assert verbs, "the default plan knows them all"
    validator = JambonzValidator()
    assert validator.validate_app(verbs) == []
    assert [error for verb in verbs for error in validator.validate_verb(verb)] == []
    assert [fault for verb in verbs for profile in Profile for fault in verb_faults(verb, profile)] == []
    (item,) = aws.items()
    assert (item["kind"]["S"], item["answer"]["S"]) == ("call.verb", answer.body)


def test_a_cold_start_reads_two_secrets_and_writes_one_event(aws: Aws, handler: Handler) -> None:
    handler(fresh("action_gather_error"))
    assert aws.calls == ["GetSecretValue", "GetSecretValue", "GetItem", "PutItem"], "the menu names the company"


def test_a_hook_independent_of_the_first_webhook_costs_one_put_item(aws: Aws, handler: Handler) -> None:
    handler(fresh("action_gather_digits"))
    aws.calls.clear()
    handler(fresh("action_listen"))
    assert aws.calls == ["PutItem"]


def test_variables_come_from_the_stored_first_webhook(
    aws: Aws, handler: Handler, new_container: Callable[..., Handler]
) -> None:
    first = recorded("new_call")
    document = json.loads(first["body"])
    document["env_vars"] = {"RING_SECONDS": 11, "SALES_NUMBER": "+14155550177"}
    new_container()(signed({**first, "body": json.dumps(document)}, now=datetime.now(UTC)))
    _, dial = json.loads(handler(fresh("action_gather_digits")).body)
    assert (dial["timeout"], dial["target"][0]["number"]) == (11, "+14155550177")


def test_a_duplicate_in_another_container_gets_the_first_answer(
    aws: Aws, handler: Handler, new_container: Callable[..., Handler]
) -> None:
    event = fresh("action_dial_busy")
    first = handler(event)
    again = new_container(FOLDER)({**event, "requestContext": {**event["requestContext"], "requestId": "another"}})
    assert again.body == first.body
    assert again.replayed
    assert len(aws.items()) == 1


def test_a_rejected_request_makes_no_aws_call(aws: Aws, handler: Handler) -> None:
    handler(fresh("action_listen"))
    aws.calls.clear()
    assert handler(recorded("action_listen")).statusCode == 401
    assert aws.calls == []
