"""Given a tool hook, what the deployed function does and which AWS calls it makes for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from boto3.dynamodb.types import TypeSerializer
from callhooks.calls.repository import CallStore
from callhooks_tools.providers.jambonz.plan.tool_declarations import Vendor

from tests.calls import fold
from tests.integration.conftest import TABLE, TOOL_CALLS_TABLE, Aws, Handler
from tests.support import EVENTS, Event, body_of, call_in_url, recorded, signed
from tests.tool_caller import openai_result, tool_event, tool_request

CALL_SID = body_of("new_call")["call_sid"]
CALLER = "12125550187"
RECORDED = sorted(path.stem for path in (EVENTS / "jambonz").glob("tool_*.json"))


def fresh(name: str) -> Event:
    """A recorded delivery signed for the real time, which the function asks, and with its call signed."""
    return signed({**recorded(name), "rawQueryString": call_in_url(CALL_SID)}, now=datetime.now(UTC))


def ask(name: str, arguments: object = None, call_sid: str = CALL_SID) -> Event:
    return tool_event(tool_request(name, arguments), query=call_in_url(call_sid), now=datetime.now(UTC))


def keep_calls(aws: Aws, party: str, count: int, *, provider: str = "jambonz") -> None:
    """Call items as the projector writes them: the first is the oldest."""
    for number in range(count):
        started_at = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=number)
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
            "started_at": started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "answered_at": started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "ended_at": started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "ring_seconds": 4,
            "talk_seconds": 31 + number,
        }
        aws.dynamodb.put_item(
            TableName=TABLE, Item={name: TypeSerializer().serialize(value) for name, value in item.items()}
        )


def project(aws: Aws, pk: str) -> None:
    """Write a call's item, as the projector does."""
    calls = CallStore(aws.dynamodb, TABLE)
    assert calls.keep(pk, fold(calls.events_of(pk).events), expires_at=None)


def tool_calls(aws: Aws) -> list[dict[str, Any]]:
    return aws.dynamodb.scan(TableName=TOOL_CALLS_TABLE, ConsistentRead=True)["Items"]


@pytest.fixture
def handler(aws: Aws, new_container: Callable[..., Handler]) -> Handler:
    return new_container("jambonz_tool")


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_delivery_is_answered_with_an_object_and_kept(name: str, aws: Aws, handler: Handler) -> None:
    answer = handler(fresh(name))
    assert answer.statusCode == 200
    assert isinstance(json.loads(answer.body), dict)
    assert ("There is no tool with this name" in answer.body) is name.startswith("tool_unknown")
    (item,) = aws.items()
    assert item["pk"] == {"S": f"jambonz#{CALL_SID}"}
    assert item["kind"] == {"S": "tool.called"}
    assert item["answer"] == {"S": answer.body}


def test_there_is_a_recorded_delivery_of_every_adapter() -> None:
    vendors = {recorded(name)["pathParameters"]["vendor"] for name in RECORDED}
    assert vendors == set(Vendor) - {Vendor.MICROSOFT, Vendor.VOICEAGENT}


def test_a_tool_call_is_noted_run_completed_and_kept(aws: Aws, handler: Handler) -> None:
    handler(ask("opening_hours"))
    aws.calls.clear()
    handler(ask("opening_hours"))
    assert aws.calls == ["PutItem", "UpdateItem", "PutItem"]
    record = tool_calls(aws)[0]
    assert record["id"]["S"].startswith("tool#")
    assert record["status"] == {"S": "COMPLETED"}
    left = int(record["expiration"]["N"]) - datetime.now(UTC).timestamp()
    assert left == pytest.approx(86_400, abs=600)


def test_a_repeat_in_another_container_runs_nothing_and_gets_the_first_answer(
    aws: Aws, handler: Handler, new_container: Callable[..., Handler]
) -> None:
    event = ask("opening_hours")
    first = handler(event)
    other = new_container("jambonz_tool")
    other(ask("opening_hours"))
    aws.calls.clear()
    event["requestContext"] = {**event["requestContext"], "requestId": "another"}
    again = other(event)
    assert aws.calls == ["PutItem", "PutItem"]
    assert (again.body, again.replayed) == (first.body, True)


def test_a_request_that_was_begun_and_never_completed_is_not_begun_again(
    aws: Aws, handler: Handler, new_container: Callable[..., Handler]
) -> None:
    event = ask("opening_hours")
    handler(event)
    (record,) = tool_calls(aws)
    aws.dynamodb.put_item(TableName=TOOL_CALLS_TABLE, Item={**record, "status": {"S": "INPROGRESS"}})
    for item in aws.items():
        aws.dynamodb.delete_item(TableName=TABLE, Key={"pk": item["pk"], "sk": item["sk"]})
    assert openai_result(new_container("jambonz_tool")(event)) == {
        "error": "The tool is still running for this request."
    }


def test_an_unknown_tool_costs_nothing_but_its_event(aws: Aws, handler: Handler) -> None:
    handler(ask("opening_hours"))
    aws.calls.clear()
    handler(ask("get_weather"))
    assert aws.calls == ["PutItem"]


def test_a_refusal_is_no_call(aws: Aws, handler: Handler) -> None:
    handler(ask("opening_hours"))
    aws.calls.clear()
    assert handler(recorded("tool_openai")).statusCode == 401
    assert aws.calls == []


def test_the_opening_hours_are_those_of_the_plan(handler: Handler) -> None:
    told = openai_result(handler(ask("opening_hours")))
    assert isinstance(told["calendars"], list)


def test_who_answers_is_what_the_plan_says(handler: Handler) -> None:
    told = openai_result(handler(ask("who_answers", {"number": "+14155550123"})))
    assert told["flow"] in told["description"]
    assert isinstance(told["rings"], list)


def test_the_last_calls_are_those_of_the_caller_of_the_call(
    aws: Aws, handler: Handler, new_container: Callable[..., Handler]
) -> None:
    new_container()(fresh("new_call"))
    keep_calls(aws, CALLER, 12)
    keep_calls(aws, "14155550199", 3)
    aws.calls.clear()
    told = openai_result(handler(ask("last_calls", {"limit": 3})))
    assert [call["talk_seconds"] for call in told["calls"]] == [42, 41, 40]
    assert told["calls"][0] == {
        "started_at": "2026-11-01T11:00:00.000Z",
        "to": "+14155550123",
        "outcome": "answered",
        "talk_seconds": 42,
    }
    assert [call for call in aws.calls if call != "GetSecretValue"] == [
        "PutItem", "GetItem", "Query", "BatchGetItem", "UpdateItem", "PutItem",
    ]  # fmt: skip


def test_the_last_calls_are_ten_at_most_and_of_every_provider(
    aws: Aws, handler: Handler, new_container: Callable[..., Handler]
) -> None:
    new_container()(fresh("new_call"))
    keep_calls(aws, CALLER, 8)
    keep_calls(aws, CALLER, 8, provider="wavix")
    assert len(openai_result(handler(ask("last_calls", {"limit": 10})))["calls"]) == 10


def test_a_call_is_among_the_last_ones_from_its_beginning(
    aws: Aws, handler: Handler, new_container: Callable[..., Handler]
) -> None:
    first = recorded("new_call")
    document = json.loads(first["body"])
    for call_sid in ("one-call", "another-call"):
        event = {**first, "body": json.dumps({**document, "call_sid": call_sid})}
        assert new_container()(signed(event, now=datetime.now(UTC))).statusCode == 200
        project(aws, f"jambonz#{call_sid}")
    (listed,) = openai_result(handler(ask("last_calls", call_sid="another-call")))["calls"]
    assert (listed["to"], listed["outcome"]) == ("+14155550123", "initiated")


@pytest.mark.parametrize("call_sid", ["", "another-call"])
def test_without_the_beginning_of_the_call_nobody_s_calls_are_told(call_sid: str, aws: Aws, handler: Handler) -> None:
    keep_calls(aws, CALLER, 3)
    told = openai_result(handler(ask("last_calls", call_sid=call_sid)))
    assert told == {"calls": [], "note": "The caller's number is unknown."}


def test_without_its_table_of_tool_calls_no_tool_is_run(aws: Aws, handler: Handler) -> None:
    aws.dynamodb.delete_table(TableName=TOOL_CALLS_TABLE)
    assert openai_result(handler(ask("opening_hours"))) == {
        "error": "The tool cannot run at the moment. Nothing was done."
    }
    assert len(aws.items()) == 1


def test_without_the_table_of_events_the_result_goes_out_all_the_same(aws: Aws, handler: Handler) -> None:
    aws.dynamodb.delete_table(TableName=TABLE)
    assert "calendars" in openai_result(handler(ask("opening_hours")))


def test_without_its_secrets_nobody_is_let_in(aws: Aws, handler: Handler) -> None:
    for name in ("credentials", "webhook-secrets"):
        boto3.client("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    assert handler(ask("opening_hours")).statusCode == 503
    assert tool_calls(aws) == []


def test_sam_local_needs_no_secret_store(
    aws: Aws, new_container: Callable[..., Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = json.loads((EVENTS / "local-env.json").read_text())["JambonzToolFunction"]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert new_container("jambonz_tool")(recorded("tool_openai")).statusCode == 200
    assert "GetSecretValue" not in aws.calls
