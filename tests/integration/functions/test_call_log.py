"""The deployed call log: its answers, and the AWS calls it makes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from callhooks.calls.call import Call, CallStatus, Outcome
from callhooks.calls.repository import DAY_SHARDS, CallStore
from callhooks.events.call_event import utc_text
from callhooks.events.event_item import partition_key

from tests.call_table import a_call, newest_first, path_of
from tests.calls import SEQUENCES, delivered_items
from tests.console import api_event, basic, cookie_in
from tests.integration.conftest import TABLE, Aws, Handler, use_local_env
from tests.support import EVENTS, Event

FOLDER = "call_log"
TODAY = "2026-11-21"


@pytest.fixture
def call_log(aws: Aws, new_container: Callable[..., Handler]) -> Callable[..., Any]:
    """Sends requests to a container of the call log with Basic credentials."""
    handler = new_container(FOLDER)

    def get(path: str, **query: object) -> Any:
        answer = handler(api_event(path, query=query, headers={"authorization": basic()}))
        assert answer.statusCode == 200, answer.body
        return json.loads(answer.body)

    return get


def store_calls(aws: Aws, *calls: Call) -> None:
    store = CallStore(aws.dynamodb, TABLE)
    for call in calls:
        store.write_if_newer(partition_key(call.provider, call.call_id), call, expires_at=None)


def walk(call_log: Callable[..., Any], **query: object) -> list[str]:
    page = call_log("/calls", **query)
    paths = [call["path"] for call in page["calls"]]
    return paths + (walk(call_log, **{**query, "cursor": page["cursor"]}) if page["cursor"] else [])


def test_the_pages_of_a_day_contain_each_call_once(aws: Aws, call_log: Callable[..., Any]) -> None:
    # Four calls start at each time, so that pages end between calls with the same time.
    calls = [a_call(f"call-{number}", milliseconds=number // 4) for number in range(50)]
    store_calls(aws, *calls, a_call("yesterday", milliseconds=-86_400_000))
    for limit in (7, 50, 200):
        aws.calls.clear()
        assert walk(call_log, day=TODAY, limit=limit) == newest_first(calls)
    assert [call for call in aws.calls if call != "GetSecretValue"] == ["Query"] * DAY_SHARDS


def test_a_number_is_found_on_either_side_and_a_self_call_once(aws: Aws, call_log: Callable[..., Any]) -> None:
    calls = [
        a_call("made", milliseconds=1),
        a_call("taken", milliseconds=2, from_="+14155550199", to="+14155550100"),
        a_call("own", milliseconds=3, to="+14155550100"),
        a_call("earlier", milliseconds=-86_400_000),
    ]
    store_calls(aws, *calls, a_call("other", from_="+14155550199"))
    assert walk(call_log, number="+1 415 555 0100", limit=1) == newest_first(calls)
    assert walk(call_log, number="14155550100", day=TODAY) == newest_first(calls[:3])
    assert aws.calls.count("Query") == 2 * 4 + 2


def test_filters_use_the_attributes_of_the_indexes(aws: Aws, call_log: Callable[..., Any]) -> None:
    calls = [
        a_call("call-0", milliseconds=0, outcome=Outcome.BUSY, status=CallStatus.BUSY),
        a_call("call-1", milliseconds=1, direction="outbound"),
        a_call("call-2", milliseconds=2, provider="wavix"),
        a_call("call-3", milliseconds=3),
    ]
    busy, outbound, of_wavix, _ = map(path_of, calls)
    store_calls(aws, *calls)
    for number in ({}, {"number": "+14155550123"}):
        assert walk(call_log, day=TODAY, outcome="busy", **number) == [busy]
        assert walk(call_log, day=TODAY, status="busy", **number) == [busy]
        assert walk(call_log, day=TODAY, direction="outbound", **number) == [outbound]
        assert walk(call_log, day=TODAY, provider="wavix", **number) == [of_wavix]
        assert walk(call_log, day=TODAY, outcome="under_way", **number) == newest_first(calls[1:])


def test_stats_count_the_calls_of_a_day(aws: Aws, call_log: Callable[..., Any]) -> None:
    ended: dict[str, Any] = {"status": CallStatus.COMPLETED, "outcome": Outcome.ANSWERED, "talk_seconds": 2.25}
    store_calls(aws, *(a_call(f"call-{number}", **ended) for number in range(30)), a_call("running", provider="bird"))
    start = {"start": "2026-11-21T06:00:00+00:00", "hour": 6, "number": None, "trunk": None}
    assert call_log("/stats", day=TODAY)["counts"] == [
        {**start, "provider": "bird", "outcome": "under_way", "result": "in_progress", "calls": 1, "talk_seconds": 0},
        {
            **start,
            "provider": "jambonz",
            "outcome": "answered",
            "result": "in_progress",
            "calls": 30,
            "talk_seconds": 67.5,
        },
    ]


def test_a_week_of_a_zone_is_listed_counted_and_searched(aws: Aws, call_log: Callable[..., Any]) -> None:
    day = 86_400_000
    calls = [
        a_call(f"call-{number}", milliseconds=-number * day, trunk="carrier", caller_name="Jane Doe")
        for number in range(9)
    ]
    store_calls(aws, *calls)
    week: dict[str, Any] = {"since": "2026-11-16", "until": "2026-11-23", "tz": "America/New_York"}
    assert walk(call_log, limit=2, **week) == newest_first(calls[:6])
    assert walk(call_log, q="jane", **week) == newest_first(calls[:6])
    # A number is found on all days, an id with one request.
    assert walk(call_log, q="+1 415 555 0123", limit=4, **week) == newest_first(calls)
    aws.calls.clear()
    assert walk(call_log, q="call-8", **week) == [path_of(calls[8])]
    assert aws.calls == ["BatchGetItem"]
    for per, value in (("number", "+14155550123"), ("trunk", "carrier")):
        (count,) = call_log("/stats", by="week", per=per, **week)["counts"]
        assert (count["start"], count[per], count["calls"]) == ("2026-11-16T00:00:00-05:00", value, 6)


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_call_is_read_with_its_events_and_its_legs(sequence: str, aws: Aws, call_log: Callable[..., Any]) -> None:
    items = list(delivered_items(sequence))
    for item in items:
        aws.dynamodb.put_item(TableName=TABLE, Item=item)
    pk = items[0]["pk"]["S"]
    provider, _, key = pk.partition("#")
    call = call_log(f"/calls/{provider}/{key}")
    assert len(call["timeline"]) == len([item for item in items if item["pk"]["S"] == pk])
    table_requests = aws.calls[1:]
    assert table_requests in (["Query", "Query"], ["Query", "Query", "BatchGetItem"])

    leg = a_call("leg", provider=provider, conversation_id=call["call"]["conversation_id"])
    store_calls(aws, leg)
    assert path_of(leg) in [one["path"] for one in call_log(f"/calls/{provider}/{key}")["legs"]]


def test_a_list_without_a_day_shows_today(aws: Aws, call_log: Callable[..., Any]) -> None:
    # Midnight may pass before the requests.
    days = [datetime.now(UTC) + timedelta(days=number) for number in (0, 1)]
    calls = [a_call(f"of {day:%A}").model_copy(update={"started_at": day}) for day in days]
    store_calls(aws, *calls, a_call("long ago", milliseconds=-(10**11)))
    assert call_log("/stats")["day"] in [utc_text(day)[:10] for day in days]
    assert [one["path"] for one in call_log("/calls")["calls"]] in [[path_of(call)] for call in calls]


def test_the_page_or_a_rejection_costs_no_aws_call_and_the_secret_is_read_once(
    aws: Aws, new_container: Callable[..., Handler]
) -> None:
    handler = new_container(FOLDER)
    answer = handler(api_event("/"))
    assert answer.statusCode == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<!doctype html>" in answer.body.lower()
    assert handler(api_event("/calls")).statusCode == 401
    assert aws.calls == []
    for _ in range(3):
        assert handler(api_event("/stats", headers={"authorization": basic()})).statusCode == 200
    assert aws.calls.count("GetSecretValue") == 1


def recorded(name: str) -> Event:
    event: Event = json.loads((EVENTS / FOLDER / f"{name}.json").read_text("utf-8"))
    return event


def test_recorded_requests_work_with_the_credentials_of_sam_local(
    aws: Aws, new_container: Callable[..., Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_local_env(monkeypatch)
    handler = new_container(FOLDER)
    answered = {path.stem: handler(recorded(path.stem)).statusCode for path in (EVENTS / FOLDER).glob("*.json")}
    assert answered == {"page": 200, "sign_in": 204, "list_calls": 200, "read_call": 404, "count_calls": 200}
    assert handler(api_event("/calls", cookies=(cookie_in(handler(recorded("sign_in"))),))).statusCode == 200
    assert "GetSecretValue" not in aws.calls


def test_a_missing_table_returns_503(aws: Aws, new_container: Callable[..., Handler], log: io.StringIO) -> None:
    aws.dynamodb.delete_table(TableName=TABLE)
    answer = new_container(FOLDER)(api_event("/calls", headers={"authorization": basic()}))
    assert (answer.statusCode, answer.problem["title"]) == (503, "Unavailable")
    assert "ResourceNotFoundException at app.py" in log.getvalue()
