"""The deployed function for tools: its answers, and the AWS calls it makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from boto3.dynamodb.types import TypeSerializer
from callhooks.calls.repository import CallStore
from callhooks.events.call_event import utc_text
from callhooks_tools.providers.jambonz.plan.tool_declarations import Vendor

from tests.calls import fold
from tests.integration.conftest import TABLE, TOOL_CALLS_TABLE, Aws, Handler, fresh
from tests.integration.functions.test_event_functions import in_a_new_call
from tests.support import EVENTS, Event, body_of, call_in_url, recorded, signed
from tests.tool_caller import openai_result, tool_event, tool_request

CALL_SID = body_of("new_call")["call_sid"]
CALLER = "12125550187"
RECORDED = sorted(path.stem for path in (EVENTS / "jambonz").glob("tool_*.json"))


def tool_hook(name: str, arguments: object = None, call_sid: str = CALL_SID) -> Event:
    return tool_event(tool_request(name, arguments), query=call_in_url(call_sid), now=datetime.now(UTC))


def store_calls(aws: Aws, party: str, count: int, *, provider: str = "jambonz") -> None:
    """Store call items as the projector writes them, the oldest first."""
    for number in range(count):
        started_at = utc_text(datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=number))
        item = {
            "pk": f"{provider}#{party}-{number}",
            "sk": "call",
            "provider": provider,
            "call_id": f"{party}-{number}",
            "status": "completed",
            "outcome": "answered",
            "direction": "inbound",
            "from": f"+{party}",
            "to": "+14155550123",
            "from_party": party,
            "started_at": started_at,
            "answered_at": started_at,
            "ended_at": started_at,
            "ring_seconds": 4,
            "talk_seconds": 31 + number,
        }
        aws.dynamodb.put_item(
            TableName=TABLE, Item={name: TypeSerializer().serialize(value) for name, value in item.items()}
        )


def project(aws: Aws, pk: str) -> None:
    """Write a call's item as the projector does."""
    calls = CallStore(aws.dynamodb, TABLE)
    assert calls.write_if_newer(pk, fold(calls.events_of(pk).events), expires_at=None)


def tool_calls(aws: Aws) -> list[dict[str, Any]]:
    return aws.dynamodb.scan(TableName=TOOL_CALLS_TABLE, ConsistentRead=True)["Items"]


@pytest.fixture
def handler(aws: Aws, new_container: Callable[..., Handler]) -> Handler:
    return new_container("jambonz_tool")


def test_every_recorded_delivery_gets_an_object_and_is_stored(aws: Aws, handler: Handler) -> None:
    answers = []
    for name in RECORDED:
        answer = handler(in_a_new_call(f"jambonz/{name}"))
        assert answer.statusCode == 200
        assert isinstance(json.loads(answer.body), dict)
        assert ("There is no tool with this name" in answer.body) is name.startswith("tool_unknown")
        answers.append(("tool.called", answer.body))
    assert sorted((item["kind"]["S"], item["answer"]["S"]) for item in aws.items()) == sorted(answers)


def test_every_adapter_has_a_recorded_delivery() -> None:
    vendors = {recorded(name)["pathParameters"]["vendor"] for name in RECORDED}
    assert vendors == set(Vendor) - {Vendor.MICROSOFT, Vendor.VOICEAGENT}


def test_a_completed_tool_call_is_registered_for_a_day(aws: Aws, handler: Handler) -> None:
    handler(tool_hook("opening_hours"))
    (record,) = tool_calls(aws)
    assert record["id"]["S"].startswith("tool#")
    assert record["status"] == {"S": "COMPLETED"}
    left = int(record["expiration"]["N"]) - datetime.now(UTC).timestamp()
    assert left == pytest.approx(86_400, abs=600)


def test_an_interrupted_tool_call_is_not_started_again(
    aws: Aws, handler: Handler, new_container: Callable[..., Handler]
) -> None:
    event = tool_hook("opening_hours")
    handler(event)
    (record,) = tool_calls(aws)
    aws.dynamodb.put_item(TableName=TOOL_CALLS_TABLE, Item={**record, "status": {"S": "INPROGRESS"}})
    for item in aws.items():
        aws.dynamodb.delete_item(TableName=TABLE, Key={"pk": item["pk"], "sk": item["sk"]})
    assert openai_result(new_container("jambonz_tool")(event)) == {
        "error": "The tool is still running for this request."
    }


def test_an_unknown_tool_costs_only_its_event(aws: Aws, handler: Handler) -> None:
    handler(tool_hook("opening_hours"))
    aws.calls.clear()
    handler(tool_hook("get_weather"))
    assert aws.calls == ["PutItem"]


def test_opening_hours_and_who_answers_come_from_the_plan(handler: Handler) -> None:
    result = openai_result(handler(tool_hook("opening_hours")))
    assert isinstance(result["calendars"], list)

    result = openai_result(handler(tool_hook("who_answers", {"number": "+14155550123"})))
    assert result["flow"] in result["description"]
    assert isinstance(result["rings"], list)


def test_last_calls_belong_to_the_caller(aws: Aws, handler: Handler, new_container: Callable[..., Handler]) -> None:
    new_container()(fresh("new_call"))
    store_calls(aws, CALLER, 12)
    store_calls(aws, "14155550199", 3)
    aws.calls.clear()
    result = openai_result(handler(tool_hook("last_calls", {"limit": 3})))
    assert [call["talk_seconds"] for call in result["calls"]] == [42, 41, 40]
    assert result["calls"][0] == {
        "started_at": "2026-11-01T11:00:00.000Z",
        "to": "+14155550123",
        "outcome": "answered",
        "talk_seconds": 42,
    }
    assert [call for call in aws.calls if call != "GetSecretValue"] == [
        "PutItem", "GetItem", "Query", "BatchGetItem", "UpdateItem", "PutItem",
    ]  # fmt: skip


def test_last_calls_are_at_most_ten_from_all_providers(
    aws: Aws, handler: Handler, new_container: Callable[..., Handler]
) -> None:
    new_container()(fresh("new_call"))
    store_calls(aws, CALLER, 8)
    store_calls(aws, CALLER, 8, provider="wavix")
    assert len(openai_result(handler(tool_hook("last_calls", {"limit": 10})))["calls"]) == 10


def test_a_call_in_progress_is_among_the_last_calls(
    aws: Aws, handler: Handler, new_container: Callable[..., Handler]
) -> None:
    first = recorded("new_call")
    document = json.loads(first["body"])
    for call_sid in ("one-call", "another-call"):
        event = {**first, "body": json.dumps({**document, "call_sid": call_sid})}
        assert new_container()(signed(event, now=datetime.now(UTC))).statusCode == 200
        project(aws, f"jambonz#{call_sid}")
    (listed,) = openai_result(handler(tool_hook("last_calls", call_sid="another-call")))["calls"]
    assert (listed["to"], listed["outcome"]) == ("+14155550123", "initiated")


@pytest.mark.parametrize("call_sid", ["", "another-call"])
def test_without_a_stored_first_webhook_no_calls_are_returned(call_sid: str, aws: Aws, handler: Handler) -> None:
    store_calls(aws, CALLER, 3)
    result = openai_result(handler(tool_hook("last_calls", call_sid=call_sid)))
    assert result == {"calls": [], "note": "The caller's number is unknown."}


def test_without_the_table_of_tool_calls_no_tool_is_run(aws: Aws, handler: Handler) -> None:
    aws.dynamodb.delete_table(TableName=TOOL_CALLS_TABLE)
    assert openai_result(handler(tool_hook("opening_hours"))) == {
        "error": "The tool cannot run at the moment. Nothing was done."
    }
    assert len(aws.items()) == 1


def test_without_the_table_of_events_the_result_is_still_returned(aws: Aws, handler: Handler) -> None:
    aws.dynamodb.delete_table(TableName=TABLE)
    assert "calendars" in openai_result(handler(tool_hook("opening_hours")))


def test_without_its_secrets_no_request_is_authenticated(aws: Aws, handler: Handler) -> None:
    for name in ("credentials", "webhook-secrets"):
        boto3.client("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    assert handler(tool_hook("opening_hours")).statusCode == 503
    assert tool_calls(aws) == []
