"""Properties of jambonz's events: any event, in any order and number, is stored once and answered with no verbs."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from callhooks_tools.stack.recordings import read_delivery
from hypothesis import given
from hypothesis import strategies as st

from tests.properties import examples
from tests.senders import Sender, jambonz_event
from tests.support import EVENTS, JAMBONZ_EVENT_PATHS, NOW, Event
from tests.unit.events.test_event_properties import assert_storable, texts, values

DELIVERIES = [read_delivery(path) for path in sorted((EVENTS / "jambonz").glob("*.json"))]
EVENT_DELIVERIES = [delivery for delivery in DELIVERIES if delivery.request.path in JAMBONZ_EVENT_PATHS]
RECORDED = [dict(delivery.event) for delivery in EVENT_DELIVERIES]
DOCUMENTS = [json.loads(delivery.request.body) for delivery in EVENT_DELIVERIES]

member_names = st.sampled_from(sorted({name for document in DOCUMENTS for name in document})) | texts
queries = st.dictionaries(st.sampled_from(["call", "hook"]) | texts, texts, max_size=3).map(
    lambda query: "&".join(
        f"{quote(name, errors='replace')}={quote(value, errors='replace')}" for name, value in query.items()
    )
)


def assert_stored_once(sender: Sender, event: Event) -> None:
    answers = [sender.receive(event), sender.another_container().receive(event), sender.receive(event)]
    assert {(answer.statusCode, answer.body) for answer in answers} == {(200, "[]")}
    assert [answer.replayed for answer in answers] == [False, True, True]
    assert len(sender.items) == 1
    assert_storable(sender)


@given(members=st.dictionaries(member_names, values, max_size=8), query=queries)
@examples(300)
def test_any_json_object_is_stored_once(members: dict[str, Any], query: str) -> None:
    sender = jambonz_event()
    assert_stored_once(sender, sender.event(json.dumps(members), rawQueryString=query))


@given(document=st.sampled_from(DOCUMENTS), changes=st.dictionaries(member_names, values, max_size=6), query=queries)
@examples(300)
def test_a_recorded_event_with_changed_members_is_stored_once(
    document: dict[str, Any], changes: dict[str, Any], query: str
) -> None:
    sender = jambonz_event()
    assert_stored_once(sender, sender.event(json.dumps({**document, **changes}), rawQueryString=query))


@given(body=st.binary(max_size=300) | values.map(lambda value: json.dumps(value).encode()), query=texts)
@examples(300)
def test_any_body_and_query_are_accepted(body: bytes, query: str) -> None:
    sender = jambonz_event()
    assert sender.send(body, rawQueryString=query).statusCode in (200, 202)
    assert_storable(sender)


@given(data=st.data())
@examples(50)
def test_events_in_any_order_and_number_are_each_stored_once(data: st.DataObject) -> None:
    order = data.draw(st.permutations(RECORDED))
    duplicates = data.draw(st.lists(st.sampled_from(RECORDED), max_size=10))
    first = jambonz_event()
    containers = [first, first.another_container()]
    for number, event in enumerate([*order, *duplicates]):
        assert containers[number % 2].receive(first.sign(event, NOW)).statusCode == 200
    in_order = jambonz_event()
    for event in RECORDED:
        in_order.receive(in_order.sign(event, NOW))
    assert first.database.items.keys() == in_order.database.items.keys()
    assert len(first.items) == len(RECORDED)
