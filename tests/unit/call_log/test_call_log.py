"""Requests to the call log: authentication, responses, errors and log lines."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import ANY
from urllib.parse import quote, urlencode

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from callhooks.call_log.routes import METHODS, PUBLIC_ROUTES
from callhooks.calls.call import CallStatus, Outcome, Result
from callhooks.events.call_event import Kind
from callhooks.events.event_item import event_item, partition_key
from callhooks.runtime.http import Request, Response
from hypothesis import given
from hypothesis import strategies as st

from tests.call_table import FakeTable, a_call, newest_first, path_of, table_of
from tests.calls import SEQUENCES, delivered_items, make_event
from tests.console import PASSWORD, USERNAME, Console, ConsoleSecret, api_event, basic, cookie_in
from tests.support import NOW, Answer

CALLER, CALLED = "+14155550100", "+14155550123"
ALLOWED = (
    "Allowed: context, cursor, day, direction, flow, format, legs, limit, number, outcome, provider, q, queue, result, "
    "since, status, tz, until."
)
DATA = ["/calls", "/calls/jambonz/one-call", "/stats"]
WITH_BASIC = {"authorization": basic()}
every_data_path = pytest.mark.parametrize("path", DATA)


def events(call_id: str, *bodies: bytes, **more: str) -> FakeTable:
    """Return a table with the events of a call, one for each body, a second apart."""
    table = FakeTable()
    put_events(table, call_id, *bodies, **more)
    return table


def put_events(
    table: FakeTable, call_id: str, *bodies: bytes, provider: str = "jambonz", answer: str = "[]", query: str = ""
) -> None:
    request = Request("POST", "/webhooks/call", raw_query=query)
    for number, body in enumerate(bodies):
        kind = Kind.INITIATED if number == 0 else Kind.VERB
        event = make_event(kind, number, provider=provider, from_=CALLER, to=CALLED, key=f"key-{number:06}")
        event = replace(event, call_id=call_id, received_at=NOW + timedelta(seconds=number))
        table.put(event_item(event, request._replace(body=body), Response(200, answer), retention_days=90))


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


# Authentication.


@every_data_path
def test_data_requires_credentials(path: str) -> None:
    console = Console(events("one-call", b"{}"))
    answer = console.answer(api_event(path))
    assert (answer.statusCode, answer.problem["title"]) == (401, "Unauthorized")
    assert console.table.queries == 0
    assert answer.headers["www-authenticate"] == 'Basic realm="callhooks"'
    assert console.get(path).statusCode == 200


def test_a_request_of_the_page_gets_no_basic_challenge() -> None:
    # A browser would open its own prompt on top of the page's form.
    for cookies in [(), ("__Host-callhooks_session=1.2.3",)]:
        answer = Console().with_cookies("/calls", *cookies)
        assert answer.statusCode == 401
        assert "www-authenticate" not in answer.headers


def test_signing_in_sets_a_cookie_that_gives_access() -> None:
    console = Console(events("one-call", b"{}"))
    answer = console.sign_in()
    assert (answer.statusCode, answer.body) == (204, "")
    assert answer.cookies[0].endswith("; Path=/; Max-Age=3599; HttpOnly; Secure; SameSite=Strict")
    assert [console.with_cookies(path, cookie_in(answer)).statusCode for path in DATA] == [200, 200, 200]
    assert console.get("/calls").cookies == []


LOCAL_STACK = "http://127.0.0.1:8080"


def test_the_cookie_of_a_local_stack_needs_no_tls() -> None:
    console = Console(public_url=LOCAL_STACK)
    answer = console.sign_in()
    name, *attributes = answer.cookies[0].split("; ")
    assert name.startswith("callhooks_session=")
    assert attributes == ["Path=/", "Max-Age=3599", "HttpOnly", "SameSite=Strict"]
    assert console.with_cookies("/calls", cookie_in(answer)).statusCode == 200
    assert "Secure" in Console(public_url="").sign_in().cookies[0]


@pytest.mark.parametrize("public_url", ["", "https://hooks.example.com", "https://example.com/callhooks"])
def test_over_tls_a_cookie_planted_by_a_sibling_subdomain_is_rejected(public_url: str) -> None:
    console = Console(public_url=public_url)
    genuine = cookie_in(console.sign_in())
    planted = genuine.removeprefix("__Host-")
    assert console.with_cookies("/calls", planted).statusCode == 401
    assert console.with_cookies("/calls", planted, genuine).statusCode == 200
    # A planted cookie does not affect Basic credentials.
    assert console.answer(api_event("/calls", cookies=(planted,), headers=WITH_BASIC)).statusCode == 200


ANSWERS = [
    (200, api_event("/")),
    (200, api_event("/", method="HEAD")),
    (200, api_event("/openapi.json")),
    (200, api_event("/calls", headers=WITH_BASIC)),
    (200, api_event("/calls", method="HEAD", headers=WITH_BASIC)),
    (204, api_event("/session", method="DELETE")),
    (400, api_event("/stats", query={"dya": 1}, headers=WITH_BASIC)),
    (400, {"body": 7}),
    (401, api_event("/calls")),
    (401, api_event("/calls", method="HEAD", headers={"sec-fetch-mode": "cors"})),
    (404, api_event("/nothing")),
    (404, api_event("/calls/jambonz/none", headers=WITH_BASIC)),
    (405, api_event("/calls", method="PUT")),
    (415, api_event("/session", method="POST")),
]


@pytest.mark.parametrize(
    ("public_url", "expected"),
    [("", "max-age=31536000"), ("https://hooks.example.com", "max-age=31536000"), (LOCAL_STACK, None)],
)
def test_responses_have_hsts_over_tls_and_not_on_a_local_stack(public_url: str, expected: str | None) -> None:
    answers = [(status, Console(public_url=public_url).answer(event)) for status, event in ANSWERS]
    broken = Console(secret=ConsoleSecret(fault=RuntimeError()), public_url=public_url)
    answers.append((503, broken.answer(api_event("/calls", headers=WITH_BASIC))))
    for status, answer in answers:
        assert (answer.statusCode, answer.headers.get("strict-transport-security")) == (status, expected)


def test_a_session_is_renewed_while_in_use_and_expires_otherwise() -> None:
    console = Console()
    cookie = cookie_in(console.sign_in())
    console.clock.advance(60)
    assert console.with_cookies("/calls", cookie).cookies == []
    console.clock.advance(1800)
    renewed = console.with_cookies("/calls", cookie)
    console.clock.advance(2400)
    assert console.with_cookies("/calls", cookie_in(renewed)).statusCode == 200
    assert console.with_cookies("/calls", cookie).statusCode == 401


def test_signing_out_removes_the_cookie() -> None:
    # Without Secure, a browser ignores a `__Host-` cookie and its removal.
    for public_url, name, secure in [
        ("", "__Host-callhooks_session", True),
        (LOCAL_STACK, "callhooks_session", False),
    ]:
        answer = Console(public_url=public_url).with_cookies("/session", method="DELETE")
        assert (answer.statusCode, answer.body) == (204, "")
        assert answer.cookies[0].startswith(f"{name}=; Path=/; Max-Age=0;")
        assert ("; Secure" in answer.cookies[0]) is secure


@pytest.mark.parametrize(
    ("username", "password"), [(USERNAME, "wrong"), ("x", PASSWORD), ("Console", PASSWORD), ("\ud800", "\udfff")]
)
def test_a_wrong_password_is_rejected_and_counted(
    username: str, password: str, log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = Console().sign_in(password, username)
    assert (answer.statusCode, answer.cookies) == (401, [])
    (metric,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (metric["ConsoleRefused"], metric["provider"], metric["reason"]) == (
        [1.0], "console", "wrong user name or password",
    )  # fmt: skip
    (line,) = lines(log)
    assert (line["level"], line["route"], line["status"]) == ("WARNING", "POST /session", 401)
    assert json.dumps(password) not in log.getvalue()


def test_wrong_basic_credentials_are_counted_and_expired_sessions_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.with_cookies("/calls", "__Host-callhooks_session=1.2.3")
    console.answer(api_event("/calls"))
    assert capsys.readouterr().out == ""
    console.answer(api_event("/calls", headers={"authorization": basic(password="wrong")}))
    assert json.loads(capsys.readouterr().out)["reason"] == "wrong Basic credentials"


def test_a_changed_password_works_within_a_minute_and_ends_old_sessions() -> None:
    console = Console()
    cookie = cookie_in(console.sign_in())
    console.secret.password = "another-password"
    console.clock.advance(61)
    assert console.sign_in("another-password").statusCode == 204
    assert console.with_cookies("/calls", cookie).statusCode == 401
    assert console.secret.reads == 2


def test_rejected_requests_put_no_load_on_the_secret_store() -> None:
    console = Console()
    console.clock.advance(61)
    for _ in range(20):
        assert console.sign_in("wrong").statusCode == 401
    assert console.secret.reads <= 2


def test_further_passwords_are_valid_in_addition_to_the_first() -> None:
    console = Console()
    console.secret.further = ["added-password", "elevenchars"]
    assert console.with_cookies("/calls", cookie_in(console.sign_in("added-password"))).statusCode == 200
    assert [console.sign_in(*password).statusCode for password in ((), ("elevenchars",))] == [204, 401]


def test_without_the_secret_store_the_page_loads_and_data_is_unavailable(log: io.StringIO) -> None:
    console = Console()
    console.secret.fault = EndpointConnectionError(endpoint_url="https://secret.example.com")
    assert [console.get(path).statusCode for path in [*DATA, "/", "/openapi.json"]] == [503, 503, 503, 200, 200]
    assert console.sign_in().statusCode == 503
    assert console.problem("/calls") == (503, "Calls are temporarily unavailable.")
    assert "secret.example.com" not in log.getvalue()


def test_cached_credentials_survive_an_outage_of_the_secret_store() -> None:
    console = Console()
    cookie = cookie_in(console.sign_in())
    console.secret.fault = RuntimeError()
    console.clock.advance(600)
    assert console.with_cookies("/calls", cookie).statusCode == 200


# Routes.


def test_the_page_and_the_description_are_public() -> None:
    console = Console()
    page, description = console.answer(api_event("/")), console.answer(api_event("/openapi.json"))
    assert (page.statusCode, page.body, page.headers["x-page"]) == (200, "<!doctype html>", "yes")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert json.loads(description.body)["openapi"].startswith("3.1")
    assert console.secret.reads == 0


def test_every_route_of_the_api_is_described() -> None:
    document = json.loads(Console().get("/openapi.json").body)
    described = {path: {method.upper() for method in operations} for path, operations in document["paths"].items()}
    expected = {path: set(methods) - {"HEAD"} for path, methods in METHODS.items() if path != "/openapi.json"}
    assert described == expected
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) is (path in PUBLIC_ROUTES)
            assert "422" not in operation["responses"]


def test_only_calls_are_looked_up_in_the_table() -> None:
    console = Console(events("one-call", b"{}", provider="quarantine"))
    odd = [
        "/calls/quarantine/one-call",
        "/calls/Jambonz/one-call",
        "/calls/jambonz%23/one-call",
        "/calls/",
        "/calls//x",
    ]
    for path in (*odd, "/call", "/calls/jambonz", "/calls/jambonz/", "/session/", "//", "/favicon.ico"):
        assert console.get(path).statusCode == 404
    assert console.table.queries == 0


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [("/session", "GET", "POST, DELETE"), *((path, "PUT", "GET, HEAD") for path in ("/", "/openapi.json", *DATA))]
    + [("/calls", method, "GET, HEAD") for method in ("POST", "DELETE", "OPTIONS", "PATCH", "TRACE")],
)
def test_other_methods_are_rejected_with_the_allowed_ones(path: str, method: str, allowed: str) -> None:
    answer = Console().answer(api_event(path, method=method, headers=WITH_BASIC))
    assert (answer.statusCode, answer.headers["allow"]) == (405, allowed)
    assert answer.problem["detail"] == f"Allowed methods: {allowed}."


@pytest.mark.parametrize("path", ["/", "/openapi.json", *DATA])
def test_head_is_get_without_the_body(path: str) -> None:
    console = Console(events("one-call", b"{}"))
    head, get = console.answer(api_event(path, method="HEAD", headers=WITH_BASIC)), console.get(path)
    assert (head.statusCode, head.headers, head.body) == (get.statusCode, get.headers, "")


def test_an_api_mapping_can_prefix_the_paths() -> None:
    console = Console(public_url="https://hooks.example.com/voice/")
    for path in ("/voice/calls", "/calls", "/voice/"):
        assert console.get(path).statusCode == 200
    assert console.get("/voiced/calls").statusCode == 404


@pytest.mark.parametrize("path", [*DATA, "/session", "/nowhere", "/openapi.json"])
def test_responses_must_not_be_cached(path: str) -> None:
    for answer in (Console().get(path), Console(events("one-call", b"{}")).get(path)):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


# Lists and counts.


def test_without_a_day_or_a_number_the_calls_of_today_are_listed() -> None:
    calls = [a_call(f"call-{number}", milliseconds=number) for number in range(7)]
    console = Console(table_of([*calls, a_call("yesterday", milliseconds=-86_400_000)]))
    answer = console.json("/calls")
    assert [call["path"] for call in answer["calls"]] == newest_first(calls)
    assert answer["cursor"] is None
    console.clock.advance(-86_400)
    assert [call["call_id"] for call in console.json("/calls")["calls"]] == ["yesterday"]


def test_a_listed_call_has_all_members_even_if_they_are_unknown() -> None:
    (call,) = Console(table_of([a_call("one")])).json("/calls")["calls"]
    unknown = (
        "outcome", "answered_at", "ended_at", "ring_seconds", "talk_seconds", "caller_name", "cause", "parent_call_id",
        "context", "queue", "trunk",
    )  # fmt: skip
    assert call == {
        **dict.fromkeys(unknown),
        "provider": "jambonz", "call_id": "one", "status": "initiated", "direction": "inbound",
        "from": CALLER, "to": CALLED, "started_at": "2026-11-21T06:30:00.000Z", "result": "in_progress", "flows": [],
        "path": "/calls/jambonz/one",
    }  # fmt: skip


def test_legs_can_be_left_out_of_lists_and_counts() -> None:
    calls = [a_call("parent"), a_call("leg", milliseconds=5, parent_call_id="parent", flows=("sales",))]
    console = Console(table_of(calls))
    for query, ids in (({}, ["leg", "parent"]), ({"legs": "true"}, ["leg", "parent"]), ({"legs": "false"}, ["parent"])):
        assert [call["call_id"] for call in console.json("/calls", **query)["calls"]] == ids
        assert [count["calls"] for count in console.json("/stats", **query)["counts"]] == [len(ids)]
    (leg, _) = console.json("/calls")["calls"]
    assert (leg["parent_call_id"], leg["flows"]) == ("parent", ["sales"])
    assert console.problem("/calls", legs="some") == (400, "legs must be true or false.")
    cursor = console.json("/calls", limit="1")["cursor"]
    assert console.problem("/calls", limit="1", legs="false", cursor=cursor)[0] == 400


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("provider=wavix", "b"), ("status=completed", "a"), ("outcome=busy", "b"), ("outcome=under_way", "c"),
        ("direction=inbound", "ac"), ("direction=inbound&provider=jambonz&outcome=answered", "a"),
        ("result=voicemail", "a"), ("result=in_progress", "bc"), ("flow=sales", "a"), ("flow=sale", ""),
        ("context=queue", "c"), ("queue=SUPPORT", "c"), ("queue=support&result=voicemail", ""),
        ("day=2026-11-20", ""),
    ],
)  # fmt: skip
def test_every_filter_narrows_the_list(query: str, ids: str) -> None:
    calls = [
        a_call(
            "a",
            status=CallStatus.COMPLETED,
            outcome=Outcome.ANSWERED,
            result=Result.VOICEMAIL,
            flows=("sales", "voicemail"),
        ),
        a_call("b", provider="wavix", status=CallStatus.BUSY, outcome=Outcome.BUSY, direction="outbound"),
        a_call("c", provider="bird", context="QUEUE", queue="Support"),
    ]
    answer = Console(table_of(calls)).answer(api_event("/calls", raw_query=query, headers=WITH_BASIC))
    assert sorted(call["call_id"] for call in json.loads(answer.body)["calls"]) == list(ids)


@pytest.mark.parametrize(
    "query", [f"number={CALLER}", "number=%2B14155550100", "number=%252B14155550100", "number=1+(415)+555-0100"]
)
def test_a_number_is_found_in_any_notation_and_encoding(query: str) -> None:
    console = Console(table_of([a_call("one"), a_call("other", from_=CALLED), a_call("back", from_=CALLED, to=CALLER)]))
    answer = console.answer(api_event("/calls", raw_query=query, headers=WITH_BASIC))
    assert sorted(call["call_id"] for call in json.loads(answer.body)["calls"]) == ["back", "one"]


def test_a_party_name_can_contain_a_comma() -> None:
    console = Console(table_of([a_call("one", from_="jane,doe")]))
    assert len(console.json("/calls", number="jane,doe")["calls"]) == 1
    assert console.json("/calls", number="jane")["calls"] == []


def test_the_next_page_continues_the_list_even_after_midnight() -> None:
    calls = [a_call(f"call-{number}", milliseconds=number) for number in range(5)]
    console = Console(table_of(calls))
    first = console.json("/calls", limit=3)
    console.clock.advance(86_400)
    second = console.json("/calls", limit=3, cursor=first["cursor"])
    assert [call["path"] for call in first["calls"] + second["calls"]] == newest_first(calls)
    assert second["cursor"] is None


def test_the_cursor_of_another_list_is_rejected() -> None:
    console = Console(table_of(a_call(f"call-{number}") for number in range(5)))
    cursor = console.json("/calls", limit=3)["cursor"]
    wrong = (400, "cursor does not belong to this list. Leave it out to start again.")
    assert console.problem("/calls", cursor=cursor, provider="wavix") == wrong
    assert console.problem("/stats", cursor="x") == wrong


def test_the_calls_of_a_day_are_counted_by_hour_provider_outcome_and_result() -> None:
    hour = 3_600_000
    calls = [
        a_call("a", status=CallStatus.COMPLETED, outcome=Outcome.ANSWERED, talk_seconds=7.5, result=Result.REACHED),
        a_call("b", status=CallStatus.COMPLETED, outcome=Outcome.ANSWERED, talk_seconds=4.5, result=Result.REACHED),
        a_call("v", status=CallStatus.COMPLETED, outcome=Outcome.ANSWERED, talk_seconds=9, result=Result.VOICEMAIL),
        a_call("c", provider="wavix", milliseconds=hour),
        a_call("d", provider="wavix", milliseconds=hour, outcome=Outcome.BUSY, result=Result.NOT_ANSWERED),
    ]
    span = {"day": "2026-11-21", "since": "2026-11-21T00:00:00.000Z", "until": "2026-11-22T00:00:00.000Z"}
    rest = {"cursor": None, "read_to": "2026-11-21T00:00:00.000Z"}
    six, seven = ({"start": f"2026-11-21T0{hour}:00:00+00:00", "hour": hour, **NO_PARTS} for hour in (6, 7))
    jambonz, wavix = {**six, "provider": "jambonz", "outcome": "answered"}, {**seven, "provider": "wavix"}
    assert Console(table_of(calls)).json("/stats", day="2026-11-21") == {
        **span, **rest,
        "counts": [
            {**jambonz, "result": "reached", "calls": 2, "talk_seconds": 12},
            {**jambonz, "result": "voicemail", "calls": 1, "talk_seconds": 9},
            {**wavix, "outcome": "busy", "result": "not_answered", "calls": 1, "talk_seconds": 0},
            {**wavix, "outcome": "under_way", "result": "in_progress", "calls": 1, "talk_seconds": 0},
        ],
    }  # fmt: skip
    assert Console().json("/stats") == {**span, **rest, "counts": []}


NO_PARTS = {"number": None, "trunk": None}


def test_calls_are_counted_by_month_per_number_and_per_trunk() -> None:
    month = 31 * 86_400_000
    calls = [
        a_call("in", trunk="carrier"),
        a_call("out", direction="outbound", from_=CALLED, to=CALLER),
        a_call("before", milliseconds=-month, to=CALLER),
    ]
    console = Console(table_of(calls))

    def counts(per: str) -> list[tuple[str, str | None, int]]:
        answer = console.json("/stats", since="2026-10-01", until="2026-12-01", tz="Europe/Berlin", by="month", per=per)
        assert (answer["day"], answer["read_to"]) == (None, answer["since"] if not answer["cursor"] else ANY)
        rest = console.json(
            "/stats", since="2026-10-01", until="2026-12-01", tz="Europe/Berlin", by="month", per=per,
            cursor=answer["cursor"],
        )  # fmt: skip
        assert rest["cursor"] is None
        return [(one["start"], one[per], one["calls"]) for one in (*answer["counts"], *rest["counts"])]

    october, november = "2026-10-01T00:00:00+02:00", "2026-11-01T00:00:00+01:00"
    assert counts("number") == [(november, CALLED, 2), (october, CALLER, 1)]
    assert counts("trunk") == [(november, None, 1), (november, "carrier", 1), (october, None, 1)]


# Spans, zones and search.


def test_today_a_day_and_a_span_follow_the_zone() -> None:
    hour = 3_600_000
    # START is 06:30 UTC on the 21st: still the 20th in Honolulu.
    calls = [a_call("now"), a_call("before", milliseconds=-21 * hour), a_call("later", milliseconds=4 * hour)]
    console = Console(table_of(calls))
    for query, expected in (
        ({}, ["later", "now"]),
        ({"tz": "Pacific/Honolulu"}, ["now"]),
        ({"tz": "Pacific/Honolulu", "day": "2026-11-21"}, ["later"]),
        ({"tz": "Europe/Berlin", "day": "2026-11-20"}, ["before"]),
        ({"since": "2026-11-20T09:30:00Z", "until": "2026-11-21T07:30:00+01:00"}, ["before"]),
        ({"since": "2026-11-20T10:30:00 01:00", "until": "2026-11-21T06:30:00.001Z"}, ["now", "before"]),
        ({"since": "2026-11-20", "until": "2026-11-21", "tz": "Pacific/Honolulu"}, ["now"]),
        ({"since": "2026-11-21t06:30:00z"}, ["later", "now"]),
        ({"until": "2026-11-21"}, ["before"]),
        ({"since": "2026-11-21", "number": CALLER}, ["later", "now"]),
        ({"since": "2026-11-01", "until": "8999-12-31"}, ["later", "now", "before"]),
        ({"since": "2027-01-01"}, []),
    ):
        assert [call["call_id"] for call in console.json("/calls", **query)["calls"]] == expected, query


def test_a_search_finds_a_call_of_any_provider_by_its_id() -> None:
    console = Console(table_of([a_call("a b", provider="wavix", milliseconds=-86_400_000), a_call("other")]))
    (call,) = console.json("/calls", q=" a b ")["calls"]
    assert call["path"] == path_of(a_call("a b", provider="wavix"))
    assert console.table.queries == 0
    assert console.json("/calls", q="a b", provider="jambonz")["calls"] == []


def test_a_list_names_the_time_back_to_which_it_has_read() -> None:
    console = Console(table_of([a_call("rare", milliseconds=-40 * 86_400_000, caller_name="Jane Doe")]))
    answer = console.get("/calls", since="2026-10-01", q="jane")
    page = json.loads(answer.body)
    assert (page["calls"], page["read_to"]) == ([], "2026-10-21T00:00:00.000Z")
    assert answer.headers["callhooks-read-to"] == page["read_to"]
    rest = console.json("/calls", since="2026-10-01", q="jane", cursor=page["cursor"])
    assert [call["call_id"] for call in rest["calls"]] == ["rare"]
    assert (rest["cursor"], rest["read_to"]) == (None, "2026-10-01T00:00:00.000Z")


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"day": "2026-11-21", "since": "2026-11-21"}, "Give day, or since and until, not both."),
        ({"since": "2026-11-21", "until": "2026-11-21"}, "until must be later than since."),
        ({"q": "Jane", "number": CALLER}, "Give q or number, not both."),
    ],
)
def test_contradicting_parameters_are_rejected(query: dict[str, str], detail: str) -> None:
    assert Console().problem("/calls", **query) == (400, detail)


@pytest.mark.parametrize(
    ("name", "values", "detail"),
    [
        ("day", ["", "21.11.2026", "2026-02-30", "1969-12-31", "1795240200", "2026-11-21T00:00:00", "٢٠٢٦-11-21"],
         "day must be a date such as 2026-11-21."),
        ("number", ["", "  ", "1" * 201], "number must have 1 to 200 characters."),
        *((end, ["yesterday", "2026-11-21T06:30", "20261121", "0001-01-01", "9999-12-31T00:00:00Z"],
           f"{end} must be a time with a zone such as 2026-11-21T06:30:00Z, or a date.") for end in ("since", "until")),
        ("tz", ["", "Berlin", "europe/berlin", "../UTC", "/etc/passwd", "Europe", "Europe/", "tzdata.zi"],
         "tz must be the name of a time zone such as Europe/Berlin."),
        ("q", ["", " ", "123", "+1 (2)", "x" * 201],
         "q must have at least 4 digits of a number, or 1 to 200 other characters."),
        ("format", ["xml"], "format must be json or csv."),
        ("provider", ["Wavix", "wavix\n"], "provider must consist of lower-case letters."),
        ("status", ["lost"], f"status must be one of {', '.join(CallStatus)}."),
        ("outcome", ["lost"], f"outcome must be one of {', '.join(Outcome)}, under_way."),
        ("direction", ["sideways"], "direction must be inbound or outbound."),
        ("result", ["lost", "answered"], f"result must be one of {', '.join(Result)}."),
        ("flow", ["a b", "x" * 65, "sales\n"], "flow must be the name of a flow: letters, digits, - and _."),
        ("context", [" "], "context must have 1 to 200 characters."),
        ("queue", [" "], "queue must have 1 to 200 characters."),
        ("limit", ["0", "201", "many", "1e1"], "limit must be a number from 1 to 200."),
        ("colour", ["red"], f"Unknown parameter 'colour'. {ALLOWED}"),
        *((odd, ["red"], f"Unknown parameter. {ALLOWED}") for odd in ("Colour", CALLER, "<b>", "x" * 21)),
    ],
)  # fmt: skip
def test_an_invalid_parameter_is_rejected_with_an_explanation(name: str, values: list[str], detail: str) -> None:
    assert [Console().problem("/calls", **{name: value}) for value in values] == [(400, detail)] * len(values)


def test_a_repeated_parameter_is_rejected() -> None:
    console = Console()
    answer = console.answer(api_event("/calls", raw_query="provider=wavix&provider=bird", headers=WITH_BASIC))
    assert (answer.statusCode, answer.problem["detail"]) == (400, "Give each parameter only once.")


def test_paths_without_parameters_reject_them() -> None:
    console = Console(events("one-call", b"{}"))
    assert console.problem("/calls/jambonz/one-call", day="2026-11-21") == (
        400, "Unknown parameter 'day'. This path takes no parameters.",
    )  # fmt: skip
    assert console.problem("/stats", provider="wavix") == (
        400, "Unknown parameter 'provider'. Allowed: by, cursor, day, legs, per, since, tz, until.",
    )  # fmt: skip
    assert console.answer(api_event("/", raw_query="utm_source=mail")).statusCode == 200


# One call.


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_call_of_each_provider_has_its_events_in_order(sequence: str) -> None:
    items = list(delivered_items(sequence))
    table = FakeTable()
    table.put(*items)
    provider, _, key = items[0]["pk"]["S"].partition("#")
    answer = Console(table).json(f"/calls/{provider}/{key}")
    times = [event["occurred_at"] for event in answer["timeline"] if event["kind"] != "call.billed"]
    assert times == sorted(times)
    assert len(answer["timeline"]) == len([item for item in items if item["pk"] == items[0]["pk"]])
    assert (answer["call"]["provider"], answer["call"]["path"]) == (provider, f"/calls/{provider}/{key}")
    assert answer["call"]["event_count"] == len(answer["timeline"])
    assert (answer["omitted_events"], answer["legs"]) == (0, [])
    assert all(json.loads(event["body"]) for event in answer["timeline"] if not event["body_is_base64"])


def test_an_event_has_its_raw_body_and_the_response_to_it() -> None:
    body = b'{"call_sid": "one-call",  "x": "\xc3\xa9"}'
    console = Console(events("one-call", body, answer='[{"verb":"say","text":"Hello"}]', query="a=1&b=%20"))
    (event,) = console.json("/calls/jambonz/one-call")["timeline"]
    assert event == {
        "key": "key-000000", "kind": "call.initiated", "name": "call.initiated", "status": None, "direction": None,
        "from": CALLER, "to": CALLED, "details": {},
        "occurred_at": "2026-11-21T06:30:00.000Z", "received_at": "2026-11-21T06:30:00.250Z",
        "body": body.decode(), "body_is_base64": False, "body_omitted": False, "query": "a=1&b=%20",
        "answer": [{"verb": "say", "text": "Hello"}], "answer_status": 200,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "shown"),
    [("", None), ("OK", "OK"), ("[1,", "[1,"), ("NaN", "NaN"), ('{"a":null}', {"a": None}), ("0", 0)],
)
def test_a_response_that_is_not_json_is_returned_as_text(answer: str, shown: object) -> None:
    (event,) = Console(events("one-call", b"{}", answer=answer)).json("/calls/jambonz/one-call")["timeline"]
    assert event["answer"] == shown


@given(st.binary(max_size=3000))
def test_any_body_is_returned_unchanged(body: bytes) -> None:
    (event,) = Console(events("one-call", body)).json("/calls/jambonz/one-call")["timeline"]
    text: str = event["body"]
    assert (base64.b64decode(text) if event["body_is_base64"] else text.encode()) == body


def test_a_call_is_folded_when_it_is_requested_and_has_its_legs() -> None:
    stale = a_call("one-call", status=CallStatus.COMPLETED, outcome=Outcome.ANSWERED)
    console = Console(table_of([stale, a_call("leg", milliseconds=5, conversation_id="one-call")]))
    put_events(console.table, "one-call", b"{}")
    document = console.json("/calls/jambonz/one-call")
    assert document["call"]["outcome"] is None
    assert [leg["path"] for leg in document["legs"]] == ["/calls/jambonz/leg"]


ODD_IDS = ["a/b", f"{CALLER}@sip.example.com", "x" * 300, "a b?c#d%2Fe", "é", "sha256-" + "0" * 64, "..%2f", "a//b/"]


@pytest.mark.parametrize("call_id", ODD_IDS)
def test_a_call_with_an_odd_id_is_found_by_id_and_by_path(call_id: str) -> None:
    console = Console(events(call_id, b"{}"))
    key = partition_key("jambonz", call_id).partition("#")[2]
    # API Gateway passes the path decoded, the local front undecoded.
    for path in (f"/calls/jambonz/{key}", f"/calls/jambonz/{quote(call_id, safe='')}", f"/calls/jambonz/{call_id}"):
        call = console.json(path)["call"]
        assert (call["call_id"], call["path"]) == (call_id, f"/calls/jambonz/{key}")


def test_the_path_in_a_list_leads_to_the_call() -> None:
    calls = [a_call(call_id, milliseconds=number) for number, call_id in enumerate([*ODD_IDS, "plain"])]
    console = Console(table_of(calls))
    for call in calls:
        put_events(console.table, call.call_id, b"{}")
    listed = console.json("/calls")["calls"]
    assert [call["path"] for call in listed] == [path_of(call) for call in reversed(calls)]
    assert [console.json(call["path"])["call"]["call_id"] for call in listed] == [call["call_id"] for call in listed]


@pytest.mark.parametrize(
    "call", ["jambonz/other", "wavix/one-call", "twilio/one-call", "quarantine/x", "voipstudio/sms"]
)
def test_a_call_without_events_is_not_found(call: str) -> None:
    assert Console(events("one-call", b"{}")).problem(f"/calls/{call}") == (404, "No such call.")


MAX_ANSWER_BYTES = 6 * 1024 * 1024


@pytest.mark.parametrize("letter", [b'"', b"a", "é".encode(), b"\xff", b"\x01", "😀".encode()])
def test_a_call_with_large_bodies_fits_into_a_lambda_response(letter: bytes) -> None:
    body = (letter * 131_072)[:131_072]
    console = Console(events("one-call", *[body] * 60))
    answer = console.get("/calls/jambonz/one-call")
    payload = {"statusCode": answer.statusCode, "headers": answer.headers, "body": answer.body}
    assert 3_000_000 < len(json.dumps(payload)) < MAX_ANSWER_BYTES
    document = json.loads(answer.body)
    omitted = [event["body_omitted"] for event in document["timeline"]]
    assert omitted == sorted(omitted)
    assert omitted[-1]
    assert all((event["body"] is None) is event["body_omitted"] for event in document["timeline"])
    assert (len(document["timeline"]), document["omitted_events"]) == (60, 0)


def test_a_call_with_very_many_events_counts_the_omitted_ones() -> None:
    verbs = json.dumps([{"verb": "say", "text": "x" * 50_000}])
    console = Console(events("one-call", *[b"{}"] * 200, answer=verbs))
    answer = console.get("/calls/jambonz/one-call")
    assert len(json.dumps({"body": answer.body})) < MAX_ANSWER_BYTES
    document = json.loads(answer.body)
    assert document["omitted_events"] == 200 - len(document["timeline"]) > 0
    assert document["call"]["event_count"] == 200
    assert [event["key"] for event in document["timeline"]] == [
        f"key-{number:06}" for number in range(len(document["timeline"]))
    ]


# Sign-in with JSON or a form.


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "multipart/form-data", "application/jsonp", "x, application/json"]
)
def test_other_content_types_are_rejected(content_type: str | None) -> None:
    answer = Console().post(json.dumps({"username": USERNAME, "password": PASSWORD}), content_type)
    assert (answer.statusCode, answer.cookies) == (415, [])


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_or_a_form_signs_in(content_type: str) -> None:
    fields = {"username": USERNAME, "password": PASSWORD, "x": 1}
    assert Console().post(json.dumps(fields), content_type).statusCode == 204
    form = Console().post(urlencode(fields), "application/x-www-form-urlencoded")
    assert (form.statusCode, len(form.cookies)) == (204, 1)
    assert Console().post("username=console", "application/x-www-form-urlencoded").statusCode == 400


@pytest.mark.parametrize(
    "body",
    [
        "", "{", "[]", "null", "7", '"x"', "{}", '{"username": "console"}', '{"username": "console", "password": null}',
        '{"username": "console", "password": 7}', '{"username": ["console"], "password": "x"}', "[" * 4000, b"\xff",
        '{"who": {"username": "console", "password": "x"}}', "\ud800",
    ],
)  # fmt: skip
def test_a_malformed_sign_in_is_rejected(body: str | bytes) -> None:
    answer = Console().post(body)
    expected = "The body must be a JSON object or a form with username and password."
    assert (answer.statusCode, answer.problem["detail"]) == (400, expected)
    assert Console().post(json.dumps({"username": "x" * 5000, "password": "x"})).statusCode == 413


# Failures and log lines.


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (EndpointConnectionError(endpoint_url=f"https://{CALLER}.example.com"), 503),
        (ClientError({"Error": {"Code": "Throttling", "Message": CALLER}}, "Query"), 503),
        (RuntimeError(CALLER), 500),
        (KeyError(CALLER), 500),
    ],
)
@every_data_path
def test_a_failure_is_logged_by_type_and_code_line_only(
    path: str, fault: Exception, status: int, log: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    console = Console()
    console.table.fault = fault
    answer = console.get(path)
    assert (answer.statusCode, answer.problem["status"]) == (status, status)
    (line,) = lines(log)
    assert (line["level"], line["status"]) == ("ERROR", status)
    assert line["reason"].startswith(f"{type(fault).__name__} at app.py:")
    printed = capfd.readouterr()
    assert CALLER not in log.getvalue() + printed.out + printed.err + answer.body


def test_a_request_is_one_log_line_with_its_route_and_no_number(
    log: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    odd_id = f"{CALLER}@sip.example.com"
    console = Console(events("one-call", b"{}"))
    put_events(console.table, odd_id, b"{}")
    the_call = "GET /calls/{provider}/{call_id}"
    requests: list[tuple[Answer, tuple[str | None, int, str | None]]] = [
        (console.get("/calls", number=CALLER, day="2026-11-21"), ("GET /calls", 200, None)),
        (console.get("/calls/jambonz/one-call"), (the_call, 200, "/calls/jambonz/one-call")),
        (console.get(f"/calls/jambonz/{odd_id}"), (the_call, 200, path_of(a_call(odd_id)))),
        (console.get(f"/calls/jambonz/{CALLER}"), (the_call, 404, None)),
        (console.get("/calls", q=CALLER, limit=1, format="csv"), ("GET /calls", 200, None)),
        (console.get("/calls", number=CALLER, limit=0), ("GET /calls", 400, None)),
        (console.get("/stats", **{CALLER: CALLED}), ("GET /stats", 400, None)),
        (console.answer(api_event(f"/{CALLER}")), (None, 404, None)),
    ]
    logged = [(line.get("route"), line["status"], line.get("call")) for line in lines(log)]
    assert logged == [line for _, line in requests]
    assert all(line["milliseconds"] == 0 for line in lines(log))
    printed = capfd.readouterr()
    for number in (CALLER, CALLED):
        assert number.removeprefix("+") not in log.getvalue() + printed.out + printed.err


def test_passwords_and_cookies_are_not_logged(log: io.StringIO) -> None:
    console = Console()
    cookie = cookie_in(console.sign_in())
    console.with_cookies("/calls", cookie)
    console.get("/calls")
    secrets = (PASSWORD, cookie, basic().partition(" ")[2], "callhooks_session")
    assert not [secret for secret in secrets if secret in log.getvalue()]
