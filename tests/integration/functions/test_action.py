"""The deployed function for action hooks: its answers and its variables."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from callhooks_tools.providers.jambonz.plan.verb_profiles import Profile, verb_faults
from jambonz_sdk.validator import JambonzValidator

from tests.integration.conftest import Aws, Handler, fresh
from tests.integration.functions.test_event_functions import in_a_new_call
from tests.support import EVENTS, recorded, signed

FOLDER = "jambonz_action"
RECORDED = sorted(f"jambonz/{path.stem}" for path in (EVENTS / "jambonz").glob("action_*.json"))


@pytest.fixture
def handler(new_container: Callable[..., Handler]) -> Handler:
    return new_container(FOLDER)


def test_every_recorded_hook_is_answered_with_verbs_valid_in_both_versions(aws: Aws, handler: Handler) -> None:
    validator, answers = JambonzValidator(), []
    for name in RECORDED:
        answer = handler(in_a_new_call(name))
        assert answer.statusCode == 200
        verbs = json.loads(answer.body)
        assert verbs, f"the default plan knows {name}"
        assert validator.validate_app(verbs) == []
        assert [error for verb in verbs for error in validator.validate_verb(verb)] == []
        assert [fault for verb in verbs for profile in Profile for fault in verb_faults(verb, profile)] == []
        answers.append(("call.verb", answer.body))
    assert sorted((item["kind"]["S"], item["answer"]["S"]) for item in aws.items()) == sorted(answers)


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
