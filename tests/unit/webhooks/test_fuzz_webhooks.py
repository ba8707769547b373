"""Any request to a webhook is stored completely or rejected, in bounded time; the response repeats none of it."""

from __future__ import annotations

import base64
import itertools
import json
import tracemalloc
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from callhooks.events.event_item import body_of_item, details_of_item
from callhooks.webhooks.pipeline import MAX_BODY_BYTES
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import (
    CANARY,
    EXTREMES,
    LITERALS,
    UNFRIENDLY,
    as_json,
    at,
    bodies,
    changed,
    in_bounded_time,
    mutated,
    paths_in,
    raw,
    texts,
)
from tests.limits import assert_storable
from tests.properties import examples
from tests.senders import TOKEN
from tests.support import Answer, Event
from tests.webhook_functions import FUNCTIONS, Function, raw_body, recordings

every_function = pytest.mark.parametrize("name", FUNCTIONS)
SIGNED = [name for name in FUNCTIONS if name not in ("wavix", "voipstudio")]
INTERNALS = ("Traceback", "pydantic", 'File "', "validation error")
MAX_MEMORY_BYTES = 100 * 1024 * 1024
CREDENTIAL_HEADERS = frozenset(
    {"authorization", "jambonz-signature", "messagebird-signature", "messagebird-request-timestamp"}
)

_members = st.tuples(st.sampled_from(["call", "hook", "hop", "repeated", "call_sid", "nc"]) | texts, texts)
queries = texts | st.lists(_members, max_size=5).map(lambda members: urlencode(members, errors="replace"))
names = texts.filter(lambda text: text.lower() not in CREDENTIAL_HEADERS)


@st.composite
def deliveries(draw: st.DrawFn, name: str) -> Event:
    """An authenticated delivery in which everything that the signature does not restrict is arbitrary."""
    recorded: Event = draw(st.sampled_from(recordings(name)))
    body = draw(bodies([raw_body(one) for one in recordings(name)]))
    event = {**recorded, "headers": {**recorded["headers"], **draw(st.dictionaries(names, texts, max_size=3))}}
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        text = None
    encoded = text is None or draw(st.booleans())
    event |= {"body": base64.b64encode(body).decode() if encoded else text, "isBase64Encoded": encoded}
    if draw(st.integers(0, 3)) == 0:
        event["rawQueryString"] = draw(queries)
    if draw(st.integers(0, 3)) == 0:
        given = draw(st.dictionaries(st.sampled_from(["flow", "step", "vendor", "channel_id"]), texts))
        event["pathParameters"] = {**event.get("pathParameters", {}), **given}
    if draw(st.integers(0, 5)) == 0:
        event["rawPath"] = f"/{draw(texts)}"
    signed: Event = FUNCTIONS[name]().sign(event)
    return signed


def object_in(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a body."""
    try:
        document = json.loads(body.decode("utf-8-sig"), parse_int=lambda _: 0)  # however many digits it has
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def is_call(body: bytes) -> bool:
    """Return whether a body is a call: an object whose `call_sid` is text."""
    call_sid = (object_in(body) or {}).get("call_sid")
    return isinstance(call_sid, str) and bool(call_sid.strip(" \t\r\n"))


def assert_discloses_nothing(answer: Answer) -> None:
    """Fail for a response that is not JSON, or that discloses internals."""
    assert answer.headers["content-type"] in ("application/json", "application/problem+json")
    assert not any(word in answer.body for word in INTERNALS), answer.body
    assert all(ord(letter) >= 32 for text in answer.headers.values() for letter in text)
    if answer.statusCode != 204:
        json.loads(answer.body, parse_constant=pytest.fail)


def assert_repeats_nothing(answer: Answer) -> None:
    """Fail for a response that contains data from a hostile request."""
    assert CANARY not in answer.body
    assert len(answer.body) < 300


def assert_verbs(answer: Answer, *, least: int) -> None:
    assert answer.statusCode == 200
    verbs = answer.verbs
    assert isinstance(verbs, list)
    assert len(verbs) >= least
    assert all(isinstance(verb, dict) and isinstance(verb.get("verb"), str) for verb in verbs)


def assert_handled(function: Function, event: Event) -> None:
    """Send an authenticated delivery three times, and check the responses and the table."""
    name, body = function.name, raw_body(event)
    method = _method(event)
    with in_bounded_time():
        answer = function.deliver(event)
    assert answer.statusCode in (200, 202, 204, 400, 413), answer.body
    assert_discloses_nothing(answer)
    document = json.loads(answer.body or "null")
    status = document.get("status") if isinstance(document, dict) else None
    if answer.statusCode != 200:
        assert_repeats_nothing(answer)
    if name == "jambonz call" and method == "POST" and is_call(body) and len(body) <= MAX_BODY_BYTES:
        assert answer.statusCode == 200
    if name == "jambonz event" and object_in(body) is not None and len(body) <= MAX_BODY_BYTES:
        assert answer.statusCode == 200, "any object is an event"
    if name == "jambonz call" and answer.statusCode == 200 and method != "OPTIONS":
        assert_verbs(answer, least=1)
    elif name == "jambonz action":
        assert_verbs(answer, least=0) if answer.statusCode == 200 else assert_repeats_nothing(answer)
    elif name == "jambonz client":
        assert status in ("ok", "fail")
    if len(body) > MAX_BODY_BYTES:
        # Too large to store, but a sender that waits still gets an answer.
        assert function.items == []
        assert answer.statusCode == (200 if function.waits and name != "jambonz call" else 413)
        return
    if status == "ignored" or method == "OPTIONS" or answer.statusCode >= 400:
        assert function.items == []
        assert function.waits or answer.statusCode != 400
        return
    (item,) = function.items
    assert_storable(item)
    assert body_of_item(item) == body
    assert "details" not in item or not {None, ""} & set(details_of_item(item).values())
    assert item["pk"]["S"].startswith("quarantine#") == (answer.statusCode == 202 or "reason" in item)
    if not function.handles_repeats_as_new:
        again = [function.deliver(event), function.deliver(event, new_container=True)]
        assert {(one.statusCode, one.body) for one in again} == {(answer.statusCode, answer.body)}
        assert [one.replayed for one in again] == [True, True]
        assert function.items == [item]


@every_function
@given(data=st.data())
@examples(80)
def test_any_authenticated_delivery_is_stored_once_or_rejected(name: str, data: st.DataObject) -> None:
    assert_handled(FUNCTIONS[name](), data.draw(deliveries(name)))


@every_function
@given(data=st.data())
@examples(60)
def test_every_http_api_event_gets_a_response(name: str, data: st.DataObject) -> None:
    function = FUNCTIONS[name]()
    recorded = function.sign(data.draw(st.sampled_from(recordings(name))))
    event = data.draw(mutated(recorded))
    with in_bounded_time():
        answer = function.receive(event)
    assert answer.statusCode in (200, 202, 204, 400, 401, 413), answer.body
    assert_discloses_nothing(answer)
    for item in function.items:
        assert_storable(item)
    if answer.statusCode >= 400:
        assert_repeats_nothing(answer)
        assert function.items == []


@pytest.mark.parametrize("name", ["wavix", "bird", "voipstudio", "jambonz event"])
@given(data=st.data())
@examples(50)
def test_each_event_is_stored_once_in_any_order_with_duplicates(name: str, data: st.DataObject) -> None:
    function, in_order = FUNCTIONS[name](), FUNCTIONS[name]()
    signed = [function.sign(event) for event in recordings(name)]
    duplicates = data.draw(st.lists(st.sampled_from(signed), max_size=10))
    for number, event in enumerate([*data.draw(st.permutations(signed)), *duplicates]):
        assert function.deliver(event, new_container=number % 2 == 0).statusCode == 200
    for event in signed:
        in_order.deliver(event)
    assert function.table.items.keys() == in_order.table.items.keys()
    assert len(function.items) == sum(raw_body(event).strip() != b"" for event in signed)  # VoIPstudio probes are empty


@st.composite
def forgeries(draw: st.DrawFn, name: str) -> Event:
    """An authenticated delivery with one change that invalidates its credentials."""
    event = draw(deliveries(name))
    headers: dict[str, str] = event["headers"]
    if name not in SIGNED:
        other = texts | st.sampled_from(
            [None, 1, True, [TOKEN], {"token": TOKEN}, TOKEN[:-1], f"{TOKEN}x", TOKEN.upper()]
        )
        return {
            **event,
            "pathParameters": {**event["pathParameters"], "token": draw(other.filter(lambda one: one != TOKEN))},
        }
    credential_headers = sorted(CREDENTIAL_HEADERS & headers.keys())
    if draw(st.booleans()):
        body = raw_body(event) + draw(st.binary(min_size=1, max_size=8))
        event = {**event, "body": base64.b64encode(body).decode(), "isBase64Encoded": True}
        if _method(event) != "GET":
            return event
    # The signature of a GET is not checked.
    header = draw(st.sampled_from(credential_headers)) if _method(event) != "GET" else "authorization"
    genuine = headers[header]
    wrong = draw((texts | st.sampled_from(wrong_credentials(genuine))).filter(lambda one: one != genuine))
    return {**event, "headers": {**headers, header: wrong}}


def wrong_credentials(genuine: str) -> list[Any]:
    """Return wrong values for credentials, some of which cannot be compared at all."""
    return [
        None, 7, [genuine], "", genuine[:-4], f"{genuine}\u00e9", genuine.replace("1", "\u0661"), genuine[::-1],
        genuine.encode().hex(), f"\x00{genuine}", genuine.encode("utf-16").decode("latin-1"), f"{genuine}\ud800",
        "Bearer x", "Basic \ud800", f"Basic {'A' * 100_000}", "t=1795242600,v1=\u00e9", "t=1795242600,v1=\ud800",
        "t=1795242600,v1=" * 5000, "t=\u0661,v1=\ud800", "t=" + "9" * 12 + ",v1=00",
    ]  # fmt: skip


def _method(event: Event) -> str:
    return str(event["requestContext"]["http"]["method"])


@every_function
@given(data=st.data())
@examples(60)
def test_no_forged_delivery_is_stored(name: str, data: st.DataObject) -> None:
    function, forged = FUNCTIONS[name](), data.draw(forgeries(name))
    with in_bounded_time():
        answer = function.deliver(forged)
    # The variables of the plan need no authentication.
    assert answer.statusCode == (200 if _method(forged) == "OPTIONS" and name == "jambonz call" else 401)
    assert_discloses_nothing(answer)
    assert answer.statusCode == 200 or CANARY not in answer.body
    assert function.table.calls == 0


@every_function
def test_malformed_credentials_get_401(name: str) -> None:
    event = FUNCTIONS[name]().sign(next(one for one in recordings(name) if _method(one) == "POST"))
    tokens = [TOKEN] if "token" in event.get("pathParameters", {}) else []
    wrong = [
        *({**event, "pathParameters": {"token": one}} for token in tokens for one in wrong_credentials(token)),
        *(
            {**event, "headers": {**event["headers"], header: one}}
            for header in CREDENTIAL_HEADERS & event["headers"].keys()
            for one in wrong_credentials(event["headers"][header])
        ),
    ]
    for forged in wrong:
        if forged != event:
            function = FUNCTIONS[name]()
            assert function.deliver(forged).statusCode == 401
            assert function.table.calls == 0


@every_function
@pytest.mark.parametrize(
    "body",
    [
        b'["%s"]',
        b'{"%s": "%s"}',
        b'{"args": "%s", "name": ["%s"]}',
        b'{"call_sid": ["%s"]}',
        b'"%s"',
        b'{"%s',
        b"\xff%s",
    ],
)
def test_the_answer_to_an_unparsable_delivery_repeats_none_of_it(name: str, body: bytes) -> None:
    recorded = next(one for one in recordings(name) if _method(one) == "POST")
    encoded = base64.b64encode(body.replace(b"%s", CANARY.encode())).decode()
    function = FUNCTIONS[name]()
    answer = function.deliver(function.sign({**recorded, "body": encoded, "isBase64Encoded": True}))
    assert answer.statusCode < 500
    assert_discloses_nothing(answer)
    assert CANARY not in answer.body


@every_function
@pytest.mark.parametrize("body", [None, b"[]"])
def test_any_text_outside_of_the_body_gets_a_response(name: str, body: bytes | None) -> None:
    recorded = next(one for one in recordings(name) if _method(one) == "POST")
    if body is not None:
        recorded = {**recorded, "body": body.decode(), "isBase64Encoded": False}
    for make, length in itertools.product(UNFRIENDLY, (1, 1000)):
        text = make(length)
        event = {
            **recorded,
            "rawPath": f"{recorded['rawPath']}/{text}",
            "rawQueryString": f"{recorded['rawQueryString']}&{text}={text}",
            "headers": {**recorded["headers"], **dict.fromkeys(("user-agent", "messagebird-request-id", text), text)},
            "pathParameters": dict.fromkeys(recorded.get("pathParameters", {}), text),
        }
        function = FUNCTIONS[name]()
        assert_handled(function, function.sign(event))


@every_function
@pytest.mark.parametrize("extreme", EXTREMES)
def test_extreme_bodies_are_handled_in_bounded_time_and_memory(name: str, extreme: str) -> None:
    function = FUNCTIONS[name]()
    event = {**recordings(name)[0], "body": base64.b64encode(EXTREMES[extreme]).decode(), "isBase64Encoded": True}
    event["requestContext"] = {**event["requestContext"], "http": {"method": "POST", "path": event["rawPath"]}}
    event = function.sign(event)
    assert_handled(function, event)
    # Measuring makes the code several times as slow, so only one delivery is measured.
    tracemalloc.start()
    try:
        FUNCTIONS[name]().deliver(event)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MAX_MEMORY_BYTES


def filled(recorded: Event, make: Callable[[int], str]) -> Event:
    """Return a delivery whose texts are all as long as the limit of the body allows."""
    document = json.loads(raw_body(recorded))
    members = [path for path in paths_in(document) if isinstance(at(document, path), str)]
    written = len(json.dumps(make(1000))) // 1000 + 1
    for path in members:
        document = changed(document, path, make(MAX_BODY_BYTES // 2 // written // len(members)))
    return {**recorded, "body": as_json(document).decode(), "isBase64Encoded": False}


@every_function
def test_long_texts_take_bounded_time_in_any_member(name: str) -> None:
    documents = [one for one in recordings(name) if raw_body(one)[:1] == b"{"]
    pairs = list(itertools.product(UNFRIENDLY, documents))
    # Covers every text and every document.
    for make, recorded in pairs[:: len(documents) + 1] + pairs[: len(documents)]:
        function = FUNCTIONS[name]()
        assert_handled(function, function.sign(filled(recorded, make)))


@every_function
def test_any_literal_in_place_of_a_number_or_unknown_member_is_handled(name: str) -> None:
    recorded = next(one for one in recordings(name) if raw_body(one)[:1] == b"{")
    for literal in LITERALS:
        document = {**json.loads(raw_body(recorded)), "unknown": raw(literal)}
        for path in paths_in(document):
            if isinstance(at(document, path), int | float):
                document = changed(document, path, raw(literal))
        encoded = {"body": base64.b64encode(as_json(document)).decode(), "isBase64Encoded": True}
        function = FUNCTIONS[name]()
        assert_handled(function, function.sign({**recorded, **encoded}))


@every_function
def test_thousands_of_headers_and_query_members_are_handled(name: str) -> None:
    for recorded in recordings(name)[:2]:
        event = {
            **recorded,
            "headers": {**recorded["headers"], **{f"x-{number}": "1" for number in range(20_000)}},
            "rawQueryString": "&".join([recorded["rawQueryString"], *(f"a{number}=1" for number in range(20_000))]),
            "cookies": ["a=b; c=d"] * 5_000,
        }
        function = FUNCTIONS[name]()
        assert_handled(function, function.sign(event))
