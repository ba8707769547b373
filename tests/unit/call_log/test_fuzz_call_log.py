"""Hostile requests to the call log: documented status, bounded time, and no part of the request in an error."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from callhooks.call_log.session import SECURE_COOKIE
from hypothesis import given
from hypothesis import strategies as st

from tests.call_table import a_call, item_of
from tests.console import PASSWORD, USERNAME, Console, api_event, basic, cookie_in
from tests.hostile import CANARY, EXTREMES, as_json, in_bounded_time, mutated, texts, values
from tests.properties import examples
from tests.support import EVENTS, Answer, Event

DOCUMENTED = (200, 204, 400, 401, 404, 405, 413, 415)
RECORDED = [json.loads(path.read_text("utf-8")) for path in sorted((EVENTS / "call_log").glob("*.json"))]
PARAMETERS = (
    "day", "since", "until", "tz", "number", "q", "provider", "status", "outcome", "direction", "result", "flow",
    "context", "queue", "legs", "limit",
    "format", "by", "per", "cursor",
)  # fmt: skip
COOKIE = cookie_in(Console().sign_in())

_some = st.sampled_from(
    ["2026-11-21", "+14155550100", "jambonz", "answered", "inbound", "true", "200", "0", "", "-1", "1e3", "9" * 5000,
     "2026-02-30", "0001-01-01", "9999-12-31", "+292277026596-12-04",
     "8999-12-31T23:59:59.999999-23:59", "1970-01-01", "Asia/Kolkata", "Jane", "csv", "week", "trunk"]
)  # fmt: skip
_parts = st.tuples(st.none() | texts, texts, texts, texts).map(list)
cursors = (values | _parts).map(lambda value: base64.urlsafe_b64encode(as_json(value)).decode())
parameters = st.dictionaries(st.sampled_from(PARAMETERS) | texts, _some | texts | cursors, max_size=4)
_places = st.sampled_from(["/", "/calls", "/stats", "/session", "/openapi.json", "/calls/jambonz/one", "/calls/"])
paths = _places | st.builds(
    lambda provider, call_id: f"/calls/{provider}/{call_id}",
    st.sampled_from(["jambonz", "wavix"]) | texts,
    texts | texts.map(lambda text: quote(text, errors="replace")),
)
methods = st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "DELETE", "OPTIONS", "PATCH"]) | texts
content_types = st.sampled_from(["application/json", "application/x-www-form-urlencoded", "text/plain"]) | texts


def a_console() -> Console:
    console = Console()
    console.table.put(item_of(a_call("one")), item_of(a_call("two", milliseconds=5, parent_call_id="one")))
    return console


def assert_answered(answer: Answer) -> None:
    assert answer.statusCode in DOCUMENTED, answer.body
    if answer.statusCode >= 400 and answer.body:
        assert len(str(answer.problem["detail"])) < 200
        assert CANARY not in answer.body
    assert "Traceback" not in answer.body
    assert "validation error" not in answer.body
    assert all(ord(letter) >= 32 for text in (*answer.headers.values(), *answer.cookies) for letter in text)


@given(path=paths, query=parameters, raw_query=st.none() | texts, method=methods)
@examples(100)
def test_any_request_gets_a_documented_response(
    path: str, query: dict[str, str], raw_query: str | None, method: str
) -> None:
    raw_query = urlencode(query, errors="replace") if raw_query is None else raw_query
    with in_bounded_time():
        event = api_event(path, method=method, raw_query=raw_query, headers={"authorization": basic()})
        assert_answered(a_console().answer(event))


@given(event=st.sampled_from(RECORDED).flatmap(mutated))
@examples(60)
def test_a_mutated_api_event_gets_a_documented_response(event: Any) -> None:
    with in_bounded_time():
        assert_answered(a_console().answer(event))


@given(
    body=(values | st.dictionaries(st.sampled_from(["username", "password"]), values)).map(as_json) | st.binary(),
    content_type=content_types,
)
@examples(60)
def test_only_the_password_signs_in(body: bytes, content_type: str) -> None:
    with in_bounded_time():
        answer = Console().post(body, content_type)
    assert_answered(answer)
    assert answer.statusCode in (400, 401, 413, 415)
    assert answer.cookies == []


@pytest.mark.parametrize("extreme", EXTREMES)
@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_extreme_bodies_are_rejected_in_bounded_time(extreme: str, content_type: str) -> None:
    for length in (4096, len(EXTREMES[extreme])):
        with in_bounded_time():
            answer = Console().post(EXTREMES[extreme][:length], content_type)
        assert_answered(answer)
        assert answer.statusCode in (400, 413)


def _forged() -> st.SearchStrategy[dict[str, Any]]:
    token = basic().partition(" ")[2]
    genuine = (basic(), COOKIE)
    altered = st.sampled_from(
        [COOKIE[:-1], f"{COOKIE}0", COOKIE.upper(), COOKIE.replace("=", "==", 1), COOKIE.replace("1", "\u0661"),
         f"{SECURE_COOKIE}={'9' * 11}.{'9' * 11}.{'0' * 64}", f"{SECURE_COOKIE}=\ud800", f"{COOKIE[:-1]}\u00e9",
         f"{SECURE_COOKIE}={'1' * 100_000}", f"Basic {token[:-4]}", f"Basic {token}\u00e9", f"Basic {'A' * 100_000}",
         basic(password="\u00e9"), basic("\u00e9"), basic(USERNAME, PASSWORD[:-1]), f"Digest {token}", "Basic \ud800",
         COOKIE.removeprefix("__Host-")]
    )  # fmt: skip
    forgeries = (texts | altered).filter(lambda forged: forged not in genuine)
    return st.one_of(
        forgeries.map(lambda forged: {"headers": {"authorization": forged}}),
        forgeries.map(lambda forged: {"cookies": (forged,)}),
        st.lists(forgeries, max_size=3).map(lambda many: {"cookies": (*many, *(["a=b; c"] * 5_000))}),
    )


@given(forged=_forged(), path=st.sampled_from(["/calls", "/stats", "/calls/jambonz/one"]))
@examples(50)
def test_forged_credentials_are_rejected_before_the_table_is_read(forged: dict[str, Any], path: str) -> None:
    console = a_console()
    event: Event = api_event(path, **forged)
    with in_bounded_time():
        answer = console.answer(event)
    assert answer.statusCode == 401
    assert_answered(answer)
    assert console.table.queries == 0


def test_thousands_of_parameters_headers_and_cookies_get_a_400() -> None:
    event = api_event(
        "/calls",
        raw_query="&".join(f"day{number}=2026-11-21" for number in range(20_000)),
        headers={"authorization": basic(), **{f"x-{number}": "1" for number in range(20_000)}},
        cookies=tuple(f"name{number}=value" for number in range(20_000)),
    )
    with in_bounded_time():
        answer = a_console().answer(event)
    assert answer.statusCode == 400
    assert_answered(answer)
