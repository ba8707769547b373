"""Properties of the call hook: no request raises an exception, and every call is answered and can be stored."""

from __future__ import annotations

import json
from typing import Any

from callhooks.events.event_item import details_of_item
from hypothesis import given
from hypothesis import strategies as st

from tests.properties import examples
from tests.support import Container, signed_event, with_header

texts = st.text(st.characters(), max_size=40)  # lone surrogates included
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
member_names = st.sampled_from(
    ["from", "to", "direction", "call_status", "sip_status", "sip", "defaults", "env_vars", "caller_name", "call_id",
     "customerData", "participants", "has_recording", "trace_id", "originating_sip_trunk_name"]
)  # fmt: skip
call_sids = st.text(st.characters(), min_size=1, max_size=300).filter(lambda text: bool(text.strip(" \t\r\n")))


@given(call_sid=call_sids, members=st.dictionaries(member_names | texts, json_values, max_size=8))
@examples(300)
def test_any_document_with_a_call_sid_is_answered_and_stored(call_sid: str, members: dict[str, Any]) -> None:
    container = Container()
    answer = container.receive_call({**members, "call_sid": call_sid})
    assert answer.statusCode == 200
    assert answer.verbs
    item = container.database.item
    assert len(item["pk"]["S"].encode()) <= 2048
    assert len(item["sk"]["S"].encode()) <= 1024
    details = details_of_item(item)
    assert not {None, ""} & set(details.values())
    json.dumps(item, default=repr, ensure_ascii=False).encode()  # no lone surrogate is left


@given(body=st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
@examples(300)
def test_any_body_is_answered(body: bytes) -> None:
    container = Container()
    assert container.receive_call(body).statusCode in (200, 400)


@given(authorization=texts, signature=texts | texts.map(lambda text: f"t=1795242600,v1={text}"))
@examples(300)
def test_any_wrong_header_is_rejected(authorization: str, signature: str) -> None:
    event = signed_event({"call_sid": "abc"})
    container = Container()
    assert container.receive(with_header(event, "authorization", authorization)).statusCode == 401
    assert container.receive(with_header(event, "jambonz-signature", signature)).statusCode == 401
    assert container.database.calls == 0


@given(
    changes=st.dictionaries(
        st.sampled_from(["rawPath", "rawQueryString", "headers", "requestContext", "body", "isBase64Encoded"]),
        json_values
        | st.fixed_dictionaries({"http": json_values, "requestId": json_values})
        | st.fixed_dictionaries({"http": st.fixed_dictionaries({"method": json_values, "path": json_values})})
        | st.fixed_dictionaries({"authorization": json_values, "jambonz-signature": json_values}),
        max_size=4,
    )
)
@examples(300)
def test_any_event_is_answered(changes: dict[str, Any]) -> None:
    answer = Container().receive({**signed_event({"call_sid": "abc"}), **changes})
    assert answer.statusCode in (200, 400, 401)


@given(call_sid=call_sids, times=st.integers(1, 5), containers=st.integers(1, 3))
@examples(50)
def test_a_call_is_stored_once_across_deliveries_and_containers(call_sid: str, times: int, containers: int) -> None:
    first = Container()
    all_containers = [first, *(Container(first.database) for _ in range(containers))]
    answers = {
        container.receive_call({"call_sid": call_sid, "attempt": number}, request_id=f"{number}").body
        for number in range(times)
        for container in all_containers
    }
    assert len(answers) == 1
    assert len(first.database.items) == 1
