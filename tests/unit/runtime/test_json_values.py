"""`NaN`, `Infinity` and `-Infinity` are not JSON: wherever one is sent, it is treated as absent."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from callhooks.events.event_item import body_of_item, details_of_item
from callhooks.providers.jambonz.llm_tools.toolbox import PreparedCall, ToolRequest
from callhooks.providers.payload import json_object, json_value
from callhooks.runtime.json_values import finite_float, read_json

from tests.hostile import Path, as_json, at, changed, paths_in, raw
from tests.limits import assert_storable
from tests.projection import bus_schema
from tests.support import Answer, Container, Event
from tests.tool_caller import container_with, openai_result, tool_event, toolbox_of
from tests.unit.calls.test_projector import World
from tests.webhook_functions import FUNCTIONS, raw_body, recordings

CONSTANTS = ("NaN", "Infinity", "-Infinity")
every_function = pytest.mark.parametrize("name", FUNCTIONS)
every_constant = pytest.mark.parametrize("constant", CONSTANTS)


def places(name: str) -> Iterator[tuple[Event, Any, Path]]:
    """Yield each path in the recorded documents of a function once, except the root."""
    known: set[Path] = {()}
    for recorded in recordings(name):
        document = json.loads(raw_body(recorded) or b"null")
        for path in set(paths_in(document)) - known:
            yield recorded, document, path
        known |= set(paths_in(document))


def with_body(recorded: Event, body: bytes) -> Event:
    return {**recorded, "body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def without(document: Any, path: Path) -> Any:
    """Return the document without the value at a path: the member is removed, a list element becomes `None`."""
    copy = changed(document, path, None)
    if isinstance(path[-1], str):
        del at(copy, path[:-1])[path[-1]]
    return copy


def outcome(name: str, recorded: Event, body: bytes) -> tuple[Answer, list[str]]:
    """Return the answer to a delivery and its stored items, without the body and values computed from the body."""
    function = FUNCTIONS[name]()
    answer = function.deliver(function.sign(with_body(recorded, body)))
    stored = []
    for item in function.items:
        assert body_of_item(item) == body
        computed = ("sk", "body", "body_encoding", "details", "headers", "request_id")
        attributes = {key: item[key] for key in item if key not in computed} | {"details": details_of_item(item)}
        stored.append(repr(attributes).replace(hashlib.sha256(body).hexdigest(), "the hash of the body"))
    return answer, stored


@every_function
def test_a_nan_or_infinity_is_treated_as_absent(name: str) -> None:
    for recorded, document, path in places(name):
        expected = outcome(name, recorded, as_json(without(document, path)))
        for constant in CONSTANTS:
            sent = as_json(changed(document, path, raw(constant)))
            assert outcome(name, recorded, sent) == expected, sent


@every_function
@pytest.mark.parametrize(
    "value", [*map(raw, CONSTANTS), *CONSTANTS, "nan", "-inf", raw("1e999"), raw("-1e999"), "1e999"]
)
def test_no_nan_or_infinity_reaches_the_table_a_call_or_the_bus(name: str, value: str) -> None:
    function, world = FUNCTIONS[name](), World()
    for recorded in recordings(name):
        document = json.loads(raw_body(recorded) or b"null")
        for path in paths_in(document):
            if path and not isinstance(at(document, path), dict | list | str):
                document = changed(document, path, value)
        if isinstance(document, dict):
            members = ("duration", "charge", "sip_status", "confidence", "hangupCauseCode", "length", "join_time")
            document |= dict.fromkeys(members, value)
        answer = function.deliver(function.sign(with_body(recorded, as_json(document))))
        assert answer.statusCode < 500
        assert_no_constant(answer.body)
    events = [item for item in function.items if item["sk"]["S"].startswith("event#")]
    for item in events:
        assert_storable(item)
        json.dumps(details_of_item(item), default=str, allow_nan=False)
    world.table.update({(item["pk"]["S"], item["sk"]["S"]): item for item in events})
    world.stream(events)
    assert world.retries == []
    assert len(world.published) == len(events)
    for detail in world.published:
        bus_schema().validate(detail)
        json.dumps(detail, allow_nan=False)
    for item in world.table.values():
        assert_storable(item)


def assert_no_constant(text: str) -> None:
    if text:
        json.loads(text, parse_constant=pytest.fail)


class TestANewCall:
    @every_constant
    def test_with_a_constant_as_its_call_sid_is_rejected(self, constant: str) -> None:
        container = Container()
        answer = container.receive_call(f'{{"call_sid": {constant}, "from": "+12125550187"}}')
        assert (answer.statusCode, answer.problem["detail"]) == (400, "call_sid is missing or empty.")
        assert container.database.items == {}
        assert container.receive_call({"call_sid": constant}).statusCode == 200, "as a text"

    @every_constant
    @pytest.mark.parametrize("member", ["from", "to", "call_status", "direction", "sip", "defaults", "env_vars", "odd"])
    def test_with_a_constant_as_any_other_member_is_answered(self, constant: str, member: str) -> None:
        container = Container()
        answer = container.receive_call(f'{{"call_sid": "d2515c3b", "{member}": {constant}, "call_status": "trying"}}')
        assert answer.verbs
        assert container.database.item["pk"] == {"S": "jambonz#d2515c3b"}


class TestAToolsArguments:
    @every_constant
    @pytest.mark.parametrize("as_text", [False, True])
    def test_omit_constants(self, constant: str, as_text: bool) -> None:
        def echo(value: Any = "default", values: Any = None) -> object:
            """Return the arguments."""
            return [value, values]

        arguments = f'{{"value": {constant}, "values": [1.5, {constant}, {{"a": {constant}}}]}}'
        body = f'{{"tool_call_id": "1", "name": "echo", "args": {json.dumps(arguments) if as_text else arguments}}}'
        assert openai_result(container_with(echo).receive(tool_event(body))) == ["default", [1.5, None, {}]]

    @every_constant
    def test_with_a_constant_as_a_required_member_are_invalid(self, constant: str) -> None:
        def half(number: float) -> float:
            """Halve a number."""
            return number / 2

        prepared = toolbox_of(half).prepare(ToolRequest("half", f'{{"number": {constant}}}'))
        assert not isinstance(prepared, PreparedCall)
        assert prepared.value == {"error": "Wrong arguments. number: is missing."}


class TestReading:
    @pytest.mark.parametrize(
        ("body", "value"),
        [
            ("NaN", None),
            ("[NaN]", [None]),
            ('[1, Infinity, [-Infinity, {"a": NaN, "b": 2}]]', [1, None, [None, {"b": 2}]]),
            ('{"a": NaN, "b": {"c": NaN, "d": [{"e": NaN}]}}', {"b": {"d": [{}]}}),
            ('{"a": 1, "a": NaN}', {}),
            ('{"a": NaN, "a": 1}', {"a": 1}),
            ('{"a": "NaN", "NaN": 1}', {"a": "NaN", "NaN": 1}),
            ('{"a": null, "b": NaN}', {"a": None}),
            ('{"a": NaN, "b": "\\ud800"}', {"b": "\\ud800"}),
            ('{"a": 1e999, "b": -1e999, "c": 1.10}', {"a": "1e999", "b": "-1e999", "c": "1.10"}),
        ],
    )
    def test_drops_constants_that_are_not_json(self, body: str, value: object) -> None:
        assert json_value(body.encode()) == value

    def test_accepts_the_deepest_nesting_of_the_parser(self) -> None:
        depth = 900
        value = json_object(b'{"a":' * depth + b"NaN" + b"}" * depth)
        for _ in range(depth - 1):
            value = value["a"]  # type: ignore[assignment]
        assert value == {}

    @pytest.mark.parametrize("text", ["nan", "inf", "+Infinity", "-NaN", "Infinity1", '{"a": nan}'])
    def test_rejects_other_spellings(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            read_json(text)

    @pytest.mark.parametrize(("digits", "number"), [("1.5", 1.5), ("1e999", "1e999"), ("-1e400", "-1e400")])
    def test_a_number_too_large_for_a_float_stays_text(self, digits: str, number: object) -> None:
        assert finite_float(digits) == number
