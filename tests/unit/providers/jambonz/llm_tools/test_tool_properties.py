"""For any request, a model gets an object in the shape that its vendor's adapter accepts, and nothing raises."""

from __future__ import annotations

import json
from typing import Any

from callhooks.providers.jambonz.llm_tools.toolbox import PreparedCall, ToolOutcome, ToolRequest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties import examples
from tests.tool_caller import FakeEvents, ToolContainer, call_with, tool_event, toolbox_of

VENDORS = ("openai", "microsoft", "ultravox", "elevenlabs", "deepgram", "voiceagent", "google", "another")
REQUIRED = {
    "openai": {"type": "conversation.item.create"},
    "microsoft": {"type": "conversation.item.create"},
    "elevenlabs": {"type": "client_tool_result"},
    "deepgram": {"type": "FunctionCallResponse"},
    "voiceagent": {"type": "FunctionCallResponse"},
}
"""Without this `type`, at the top level or under `data`, the adapter drops the response."""

texts = st.text(st.characters(), max_size=40)  # lone surrogates included
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(["count", "echo"]) | texts
calls = st.fixed_dictionaries({}, optional={"id": texts | json_values, "name": names, "args": json_values})
hooks = st.fixed_dictionaries(
    {},
    optional={
        "tool_call_id": texts | json_values,
        "name": names | json_values,
        "args": json_values | st.fixed_dictionaries({"number": json_values}),
        "type": texts,
        "function_calls": st.lists(calls, max_size=4) | json_values,
    },
)


def count(number: int = 0, text: str = "") -> object:
    """Count."""
    return {"number": number, "text": text}


def echo(value: Any = None) -> object:
    """Return the argument."""
    return value


@given(
    body=hooks.map(lambda hook: json.dumps(hook).encode())
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=200),
    vendor=st.sampled_from(VENDORS) | texts,
    query=st.sampled_from(["", "call=abc", "call=%ED%A0%80", "call=a&call=b", "&&=", "call"]),
)
@examples(300)
def test_any_request_gets_an_object_in_the_shape_of_its_vendor(body: bytes, vendor: str, query: str) -> None:
    container = ToolContainer(toolbox_of(count, echo))
    answer = container.receive(tool_event(body, vendor=vendor, query=query))
    assert answer.statusCode == 200
    assert answer.headers["content-type"] == "application/json"
    document = json.loads(answer.body)
    assert isinstance(document, dict)
    if "toolResponse" in document:
        responses = document["toolResponse"]["functionResponses"]
        assert responses
        assert all(isinstance(response["response"], dict) for response in responses)
    elif vendor in REQUIRED:
        assert document.get("data", document)["type"] == REQUIRED[vendor]["type"]
    else:
        assert isinstance(document["result"], str)
    assert len(container.database.items) == 1
    json.dumps(container.database.item, default=repr, ensure_ascii=False).encode()  # no lone surrogate is left


@given(name=names, arguments=json_values | st.fixed_dictionaries({"number": json_values, "text": json_values}))
@examples(300)
def test_any_arguments_run_the_tool_or_return_a_reason(name: str, arguments: object) -> None:
    prepared = toolbox_of(count, echo).prepare(ToolRequest(name, arguments))
    outcome = prepared.run(call_with(FakeEvents())) if isinstance(prepared, PreparedCall) else prepared
    assert isinstance(outcome, ToolOutcome)
    text = json.dumps(outcome.value, allow_nan=False)
    if outcome.is_error:
        assert list(json.loads(text)) == ["error"]
        assert "pydantic" not in text.lower()


@given(times=st.integers(1, 4), containers=st.integers(1, 3), names=st.lists(st.just("act"), min_size=1, max_size=3))
@examples(50)
def test_tools_run_once_for_any_number_of_duplicates_and_containers(
    times: int, containers: int, names: list[str]
) -> None:
    runs: list[int] = []

    def act() -> int:
        """Act."""
        runs.append(1)
        return len(runs)

    first = ToolContainer(toolbox_of(act))
    everywhere = [first, *(first.another_container() for _ in range(containers))]
    requests = [{"id": f"fc-{number}", "name": name} for number, name in enumerate(names)]
    event = tool_event({"tool_call_id": "function_call_id", "type": "toolCall", "function_calls": requests})
    answers = {container.receive(event).body for _ in range(times) for container in everywhere}
    assert len(answers) == 1
    assert len(runs) == len(names)
    assert len(first.database.items) == 1
