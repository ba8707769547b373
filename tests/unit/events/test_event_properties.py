"""Any delivery from Wavix, Bird or VoIPstudio gets a response, is not lost, and fits into an item."""

from __future__ import annotations

import json
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer
from hypothesis import given
from hypothesis import strategies as st

from tests.properties import examples
from tests.senders import SENDERS, Sender, document_of
from tests.support import EVENTS, with_header

texts = st.text(st.characters(), max_size=40)  # lone surrogates included
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
moments = st.datetimes().map(str) | st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat())
values = json_values | moments | st.decimals(allow_nan=False).map(str) | st.integers(-(10**45), 10**45)

RECORDED = {
    provider: [
        document_of(provider, path.stem)
        for path in sorted((EVENTS / provider).glob("*.json"))
        if not path.name.startswith("probe_")
    ]
    for provider in SENDERS
}
every_provider = pytest.mark.parametrize("provider", SENDERS)


def changed(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a recorded document with other members, at the top level or in Bird's payload."""
    payload = document.get("payload")
    if isinstance(payload, dict):
        return {**document, "payload": {**payload, **changes}}
    return {**document, **changes}


def members(provider: str) -> st.SearchStrategy[str]:
    names = {name for document in RECORDED[provider] for name in {**document, **(document.get("payload") or {})}}
    return st.sampled_from(sorted(names)) | texts


def assert_storable(sender: Sender) -> None:
    for item in sender.items:
        assert len(item["pk"]["S"].encode()) <= 2048
        assert len(item["sk"]["S"].encode()) <= 1024
        json.dumps(item, default=repr, ensure_ascii=False).encode()  # no lone surrogate is left
        TypeDeserializer().deserialize({"M": item})  # every number has at most 38 digits


@every_provider
@given(data=st.data())
@examples(100)
def test_a_recorded_event_with_changed_members_is_stored_or_quarantined(provider: str, data: st.DataObject) -> None:
    document = data.draw(st.sampled_from(RECORDED[provider]))
    changes = data.draw(st.dictionaries(members(provider), values, max_size=6))
    sender = SENDERS[provider]()
    body = json.dumps(changed(document, changes))
    answer = sender.send(body)
    assert answer.statusCode in (200, 202)
    (item,) = sender.items
    assert item["pk"]["S"].startswith(f"{provider}#" if answer.statusCode == 200 else f"quarantine#{provider}#")
    assert_storable(sender)
    assert sender.another_container().send(body).replayed
    assert len(sender.items) == 1


@every_provider
@given(body=st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
@examples(100)
def test_every_body_gets_a_response(provider: str, body: bytes) -> None:
    sender = SENDERS[provider]()
    assert sender.send(body).statusCode in (200, 202)
    assert_storable(sender)


@every_provider
@given(
    data=st.data(),
    number=st.from_regex(r"-?(0|[1-9][0-9]{0,50})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,9})?", fullmatch=True),
)
@examples(100)
def test_an_event_with_any_number_is_stored(provider: str, data: st.DataObject, number: str) -> None:
    document = data.draw(st.sampled_from(RECORDED[provider]))
    name = data.draw(members(provider))
    body = json.dumps(changed(document, {name: "a number"})).replace('"a number"', number)
    sender = SENDERS[provider]()
    assert sender.send(body).statusCode in (200, 202)
    assert_storable(sender)


@every_provider
@given(
    changes=st.dictionaries(
        st.sampled_from(
            ["rawPath", "rawQueryString", "headers", "requestContext", "body", "isBase64Encoded", "pathParameters"]
        ),
        json_values
        | st.fixed_dictionaries({"http": st.fixed_dictionaries({"method": json_values, "sourceIp": json_values})})
        | st.fixed_dictionaries({"domainName": json_values, "http": json_values, "routeKey": json_values})
        | st.fixed_dictionaries({"token": json_values, "channel_id": json_values}),
        max_size=4,
    )
)
@examples(100)
def test_every_http_api_event_gets_a_response(provider: str, changes: dict[str, Any]) -> None:
    sender = SENDERS[provider]()
    event = {**sender.event(RECORDED[provider][0]), **changes}
    assert sender.deliver(event).statusCode in (200, 202, 400, 401)
    assert_storable(sender)


@every_provider
@given(name=st.sampled_from(["messagebird-signature", "messagebird-request-timestamp", "x"]), value=texts)
@examples(100)
def test_every_header_gets_a_response(provider: str, name: str, value: str) -> None:
    sender = SENDERS[provider]()
    answer = sender.receive(with_header(sender.event(RECORDED[provider][0]), name, value))
    assert answer.statusCode == (401 if provider == "bird" and name != "x" else 200)


@every_provider
@given(data=st.data())
@examples(50)
def test_each_event_is_stored_once_in_any_order_with_duplicates(provider: str, data: st.DataObject) -> None:
    order = data.draw(st.permutations(RECORDED[provider]))
    repeats = data.draw(st.lists(st.sampled_from(RECORDED[provider]), max_size=10))
    first = SENDERS[provider]()
    containers = [first, first.another_container()]
    for number, document in enumerate([*order, *repeats]):
        assert containers[number % 2].send(document).statusCode == 200
    in_order = SENDERS[provider]()
    for document in RECORDED[provider]:
        in_order.send(document)
    assert first.database.items.keys() == in_order.database.items.keys()
    assert len(first.items) == len(RECORDED[provider])
