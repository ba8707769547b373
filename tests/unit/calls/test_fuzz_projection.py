"""Any stored event is projected, published and shown. A poisoned item stays in its queue and blocks no other."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace

import pytest
from callhooks.calls.event_bus import MAX_REQUEST_BYTES
from callhooks.events.event_item import is_call_partition, pack_item
from hypothesis import given
from hypothesis import strategies as st

from tests.console import Console
from tests.hostile import as_json, at, bodies, changed, in_bounded_time, mutated, paths_in, raw, texts, values
from tests.limits import assert_storable
from tests.projection import bus_schema, queue_batch, stored_item, stream_batch
from tests.properties import examples
from tests.unit.calls.test_projector import ANSWERED_CALL, World
from tests.unit.events.test_spill_queue import Drain
from tests.webhook_functions import FUNCTIONS, raw_body, recordings

every_function = pytest.mark.parametrize("name", FUNCTIONS)


@every_function
@given(data=st.data())
@examples(25)
def test_every_stored_event_is_folded_published_and_shown(name: str, data: st.DataObject) -> None:
    function, world = FUNCTIONS[name](), World()
    recorded = [one for one in recordings(name) if raw_body(one)[:1] == b"{"]
    for event in data.draw(st.lists(st.sampled_from(recorded), min_size=1, max_size=4)):
        body = as_json(data.draw(mutated(json.loads(raw_body(event)))))
        encoded = {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
        assert function.deliver(function.sign({**event, **encoded})).statusCode < 500
    events = [item for item in function.items if item["sk"]["S"].startswith("event#")]
    world.table.update({(item["pk"]["S"], item["sk"]["S"]): item for item in events})
    with in_bounded_time():
        world.stream(events)
    assert world.retries == []
    assert len(world.published) == len(events)
    for detail in world.published:
        bus_schema().validate(detail)
        assert len(json.dumps(detail, ensure_ascii=False).encode()) <= MAX_REQUEST_BYTES
    for pk in {item["pk"]["S"] for item in events if is_call_partition(item["pk"]["S"])}:
        call = world.call(pk)
        assert call is not None
        assert_storable(call)
        console = Console()
        console.table.put(*world.table.values())
        provider, _, key = pk.partition("#")
        shown = console.json(f"/calls/{provider}/{key}")
        assert len(shown["timeline"]) == int(call["event_count"]["N"])
        listed = console.json("/calls", day=call["started_at"]["S"][:10])["calls"]
        assert shown["call"]["path"] in [one["path"] for one in listed]


@every_function
@pytest.mark.parametrize("number", ["9e38", "-9e38", "9" * 38, "1" + "0" * 37, "0." + "123456789" * 4])
def test_a_call_with_any_number_is_stored(name: str, number: str) -> None:
    for recorded in recordings(name):
        document = json.loads(raw_body(recorded) or b"{}")
        for path in paths_in(document):
            if isinstance(at(document, path), int | float):
                document = changed(document, path, raw(number))
        function, world = FUNCTIONS[name](), World()
        encoded = {"body": base64.b64encode(as_json(document)).decode(), "isBase64Encoded": True}
        function.deliver(function.sign({**recorded, **encoded}))
        events = [item for item in function.items if item["sk"]["S"].startswith("event#")]
        world.table.update({(item["pk"]["S"], item["sk"]["S"]): item for item in events})
        world.stream(events)
        assert world.retries == []
        for item in world.table.values():
            assert_storable(item)


@given(data=st.data())
@examples(60)
def test_a_poisoned_event_delays_no_other_call(data: st.DataObject) -> None:
    world = World()
    well = world.store(*ANSWERED_CALL)
    other = replace(ANSWERED_CALL[0], call_id="other")
    batch = stream_batch([well[0], stored_item(other), *well[1:]])
    image = batch["Records"][1]["dynamodb"]["NewImage"]
    # Every item in a table has a key.
    keys = {name: image.pop(name) for name in ("pk", "sk")}
    poisoned = data.draw(mutated(image).filter(lambda item: isinstance(item, dict)))
    batch["Records"][1]["dynamodb"]["NewImage"] = {**poisoned, **keys}
    with in_bounded_time():
        assert world.project(batch) == []
    assert world.call() is not None
    assert len(world.published) >= len(ANSWERED_CALL)


@given(body=texts | values.map(json.dumps) | st.binary(max_size=99).map(lambda raw: base64.b64encode(raw).decode()))
@examples(60)
def test_only_an_invalid_key_stays_in_the_retry_queue(body: str) -> None:
    world = World()
    (item, *_) = world.store(*ANSWERED_CALL)
    key = json.dumps({"pk": item["pk"]["S"], "sk": item["sk"]["S"]})
    with in_bounded_time():
        assert world.retry(key, body, key) == ["message-1"]
    assert world.call() is not None


def packed(raw: bytes) -> str:
    return base64.b64encode(gzip.compress(raw)).decode()


@given(
    body=texts
    | st.binary(max_size=99).map(lambda raw: base64.b64encode(raw).decode())
    | st.binary(max_size=99).map(packed)
    | values.map(as_json).map(packed)
    | st.sampled_from([b"[" * 100_000, b"0" * 50_000_000, b'{"pk":{"S":"a"},"sk":{"S":1}}']).map(packed)
)
@examples(60)
def test_only_an_invalid_item_stays_in_the_spill_queue(body: str) -> None:
    drain = Drain()
    first, second = (pack_item(stored_item(event)) for event in ANSWERED_CALL[:2])
    with in_bounded_time():
        assert drain.run(queue_batch([first, body, second])) == ["message-1"]
    assert len(drain.table.items) == 2


@every_function
@given(data=st.data())
@examples(15)
def test_any_item_leaves_the_spill_queue_unchanged(name: str, data: st.DataObject) -> None:
    function = FUNCTIONS[name]()
    event = data.draw(st.sampled_from(recordings(name)))
    body = data.draw(bodies([raw_body(event)]))
    function.deliver(function.sign({**event, "body": base64.b64encode(body).decode(), "isBase64Encoded": True}))
    drain = Drain()
    assert drain.run(queue_batch([pack_item(item) for item in function.items * 2])) == []
    assert drain.table.items == function.table.items
