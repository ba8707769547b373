"""Tool hooks of jambonz at /webhooks/tool/{vendor}: the response to the model, and the stored event."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from callhooks.providers.jambonz.llm_tools.runner import RECORD_SECONDS
from callhooks.providers.jambonz.llm_tools.toolbox import MAX_RESULT_BYTES, Toolbox, ToolCall
from callhooks.providers.jambonz.tool_hook import MAX_ANSWERED, parse_tool_hook
from callhooks.runtime.http import Request
from callhooks.webhooks.pipeline import MAX_BODY_BYTES
from pydantic import AfterValidator

from tests.limits import assert_storable
from tests.support import (
    NOW,
    OUT_OF_ORDER,
    PASSWORD,
    Answer,
    Event,
    FakeSecrets,
    call_in_url,
    detail_attributes,
    unstored,
    with_header,
    without_header,
)
from tests.tool_caller import (
    CALL_SID,
    FakeEvents,
    FakeToolCalls,
    ToolContainer,
    container_with,
    openai_result,
    tool_event,
    tool_request,
    toolbox_of,
)

THROTTLED = ClientError({"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "slow"}}, "PutItem")
OUTAGES = [
    THROTTLED,
    ConnectTimeoutError(endpoint_url="https://dynamodb"),
    ReadTimeoutError(endpoint_url="https://dynamodb"),
]


def add(a: int, b: int = 0) -> object:
    """Add two numbers."""
    return {"sum": a + b}


def greet() -> str:
    """Greet."""
    return "Hello"


CHECKED: list[int] = []


def _checked(number: int) -> int:
    CHECKED.append(number)
    return number


def pick(number: Annotated[int, AfterValidator(_checked)]) -> int:
    """Pick a number."""
    return number


class Bell:
    """Tool with a side effect."""

    def __init__(self) -> None:
        self.rings = 0

    def toolbox(self) -> Toolbox:
        def ring() -> str:
            """Ring the bell."""
            self.rings += 1
            return f"rang {self.rings}"

        return toolbox_of(ring)


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Event for tools that wait; set at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


def body(answer: Answer) -> Any:
    assert answer.statusCode == 200
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.body)


def one_call(name: str, arguments: object = None) -> dict[str, object]:
    return {"tool_call_id": "call_1", "name": name, "args": {} if arguments is None else arguments}


def many_calls(*calls: object) -> dict[str, object]:
    return {"tool_call_id": "function_call_id", "type": "toolCall", "function_calls": list(calls)}


def _openai(output: str) -> dict[str, object]:
    item = {"type": "function_call_output", "call_id": "call_1", "output": output}
    return {"type": "conversation.item.create", "item": item}


def _elevenlabs(result: str) -> dict[str, object]:
    is_error = result.startswith('{"error"')
    members = {"type": "client_tool_result", "tool_call_id": "call_1", "result": result, "is_error": is_error}
    return {"data": members}


def _deepgram(content: str) -> dict[str, object]:
    return {"data": {"type": "FunctionCallResponse", "id": "call_1", "name": "tool", "content": content}}


def _google(result: str) -> dict[str, object]:
    value = json.loads(result) if result.startswith("{") else {"output": result}
    return {"toolResponse": {"functionResponses": [{"id": "call_1", "name": "tool", "response": value}]}}


def _result(result: str) -> dict[str, object]:
    # jambonz adds `type` and `invocation_id` if there is no `type`.
    return {"result": result}


SHAPES: dict[str, Callable[[str], dict[str, object]]] = {
    "openai": _openai, "microsoft": _openai, "OpenAI": _openai, "elevenlabs": _elevenlabs, "deepgram": _deepgram,
    "voiceagent": _deepgram, "google": _google, "ultravox": _result, "somebody-new": _result, "": _result,
}  # fmt: skip


class TestEachVendor:
    """The shapes that jambonz's adapters accept; any other is dropped and the model waits for ever."""

    @pytest.mark.parametrize("vendor", SHAPES)
    @pytest.mark.parametrize(
        ("returned", "written"),
        [({"sum": 3}, '{"sum": 3}'), ("Hello", "Hello"), (RuntimeError(), '{"error": "The tool failed."}')],
    )
    def test_gets_its_shape(self, vendor: str, returned: object, written: str) -> None:
        def tool() -> object:
            """Return something, or fail."""
            if isinstance(returned, Exception):
                raise returned
            return returned

        container = container_with(tool)
        assert body(container.receive(tool_event(one_call("tool"), vendor=vendor))) == SHAPES[vendor](written)
        nameless = body(container.receive(tool_event({"tool_call_id": "call_1"}, vendor=vendor)))
        assert list(nameless) == list(SHAPES[vendor](written))
        assert ("call_1" in json.dumps(nameless)) is (SHAPES[vendor] is not _result)
        without_id = container.receive(tool_event({"name": "tool"}, vendor=vendor))
        assert "null" not in without_id.body, "a missing id stays missing"
        list_of_calls = many_calls({"id": "fc-1", "name": "tool"}, {"id": "fc-2", "name": "tool"})
        assert len(responses(container.receive(tool_event(list_of_calls, vendor=vendor)))) == 2

    def test_google_gets_a_response_for_each_of_its_calls(self) -> None:
        calls = many_calls(
            {"id": "fc-1", "name": "add", "args": {"a": 1}},
            {"id": "fc-2", "name": "missing", "args": {}},
            {"name": "greet"},
            {"id": "fc-4"},
        )
        answer = container_with(add, greet).receive(tool_event(calls, vendor="google"))
        unknown = {"error": "There is no tool with this name. Available tools: add, greet."}
        assert body(answer) == {
            "toolResponse": {
                "functionResponses": [
                    {"id": "fc-1", "name": "add", "response": {"sum": 1}},
                    {"id": "fc-2", "name": "missing", "response": unknown},
                    {"name": "greet", "response": {"output": "Hello"}},
                    {"id": "fc-4", "name": "", "response": unknown},
                ]
            }
        }


NOT_RUN = {"error": "Not run: at most 16 at once. Ask again."}


def responses(answer: Answer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body(answer)["toolResponse"]["functionResponses"]
    return found


class TestManyCallsAtOnce:
    @pytest.mark.parametrize("number", [1, 15, 16, 17, 40, 2000])
    def test_run_up_to_sixteen_and_report_each_of_the_others(self, number: int, bell: Bell) -> None:
        container = ToolContainer(bell.toolbox())
        calls = [{"id": f"fc-{n}", "name": "ring", "args": {}} for n in range(number)]
        event = tool_event(many_calls(*calls), vendor="google")
        answer = container.receive(event)
        result = responses(answer)
        assert [(one["id"], one["name"]) for one in result] == [(call["id"], call["name"]) for call in calls]
        assert [one["response"] for one in result[:16]] == [{"output": f"rang {n + 1}"} for n in range(min(number, 16))]
        assert all(one["response"] == NOT_RUN for one in result[16:])
        assert container.another_container().receive(event).body == answer.body
        assert bell.rings == min(number, 16)

    @pytest.mark.parametrize("first", [{"name": "missing"}, {"name": "pick", "args": 7}, None, "ring", {}, 5, ["ring"]])
    def test_count_calls_that_cannot_run_and_still_run_the_others(self, first: Any) -> None:
        CHECKED.clear()
        picked = [{"id": n, "name": "pick", "args": {"number": n}} for n in range(20)]
        result = responses(container_with(pick).receive(tool_event(many_calls(first, first, *picked))))
        assert len(result) == 22
        assert [one["response"] for one in result[2:]] == [{"output": n} for n in range(14)] + [NOT_RUN] * 6
        assert [one.get("id") for one in result[2:]] == [str(n) for n in range(20)]
        assert list(range(14)) == CHECKED

    @pytest.mark.parametrize(
        ("call", "result"),
        [
            ({"id": "a", "name": " ring "}, {"id": "a", "name": "ring"}),
            ({"id": 7, "name": 8}, {"id": "7", "name": "8"}),
            ({"id": 1.5}, {"id": "1.5", "name": ""}),
            ({"id": " ", "name": None}, {"name": ""}),
            ({"id": True, "name": False}, {"name": ""}),
            ({"id": ["a"], "name": {}}, {"name": ""}),
            ({"id": " a "}, {"id": " a ", "name": ""}),
            ({}, {"name": ""}),
            (None, {"name": ""}),
            ("ring", {"name": ""}),
        ],
    )
    def test_are_reported_with_their_name_and_id_whether_they_run_or_not(self, call: Any, result: Any) -> None:
        requests = many_calls({"name": "greet"}, call, *[{"name": "greet"}] * 14, call)
        answered = responses(container_with(greet).receive(tool_event(requests)))
        for one in (answered[1], answered[16]):
            assert {name: one[name] for name in one if name != "response"} == result

    @pytest.mark.parametrize("letter", ["a", "\u00e9", '"', "\U0001f4de"])
    @pytest.mark.parametrize("number", [17, 300, 2000])
    def test_are_all_reported_even_with_large_ids(self, number: int, letter: str) -> None:
        written = json.dumps(letter, ensure_ascii=False)[1:-1]
        bare = b",".join([b'{"id":"","name":"a"}'] * number)
        room = (MAX_BODY_BYTES - len(b'{"function_calls":[]}') - len(bare)) // number
        call = f'{{"id":"{written * (room // len(written.encode()))}","name":"a"}}'
        container = container_with(greet)
        answer = container.receive(tool_event(f'{{"function_calls":[{",".join([call] * number)}]}}'.encode()))
        assert len(responses(answer)) == number
        assert_storable(container.database.item)
        assert container.database.item["answer"] == {"S": answer.body}

    @pytest.mark.parametrize(("call", "number"), [("{}", 43_000), ("0", 65_000), ('{"name":"greet"}', 7_000)])
    @pytest.mark.parametrize("first", ["{}", '{"name":"greet"}'])
    def test_get_as_many_errors_as_can_be_stored(self, call: str, number: int, first: str) -> None:
        container = container_with(greet)
        event = tool_event(f'{{"function_calls":[{first}{f",{call}" * number}]}}')
        answer = container.receive(event)
        result = responses(answer)
        assert 2_000 < len(result) < number
        assert len(answer.body.encode()) <= 256 * 1024 + 100
        assert_storable(container.database.item)
        assert container.another_container().receive(event).body == answer.body

    def test_are_read_only_as_far_as_they_are_answered(self) -> None:
        calls = [{"id": str(n), "name": "greet", "args": {"a": n}} for n in range(20)]
        requests = parse_tool_hook(Request("POST", "/", body=json.dumps(many_calls(*calls)).encode())).requests
        assert [request.arguments for request in requests] == [{"a": n} for n in range(16)] + [None] * 4
        many = Request("POST", "/", body=b'{"function_calls":[{"name":"greet"}' + b",{}" * 40_000 + b"]}")
        assert len(parse_tool_hook(many).requests) == MAX_ANSWERED


class TestAToolCall:
    def test_is_stored_with_its_raw_body_and_its_response(self) -> None:
        container = container_with(add)
        event = tool_event(one_call("add", {"a": 1}))
        answer = container.receive(event)
        item = container.database.item
        assert item["pk"] == {"S": f"jambonz#{CALL_SID}"}
        assert item["body"]["B"] == event["body"].encode()
        assert item["answer"] == {"S": answer.body}
        texts = {"provider": "jambonz", "call_id": CALL_SID, "kind": "tool.called", "event_name": "add"}
        assert {name: item[name]["S"] for name in texts} == texts
        assert item["occurred_at"] == {"S": "2026-11-21T06:30:00.000Z"}
        assert detail_attributes(item) == {"vendor": {"S": "openai"}, "tool_call_id": {"S": "call_1"}}

    def test_of_several_tools_is_stored_with_all_names(self) -> None:
        container = container_with(greet)
        container.receive(tool_event(many_calls({"name": "greet", "id": "1"}, {"name": "other", "id": "2"})))
        item = container.database.item
        assert item["event_name"] == {"S": "greet, other"}
        assert detail_attributes(item) == {"vendor": {"S": "google"}, "tool_call_id": {"S": "1, 2"}}

    @pytest.mark.parametrize("query", ["", f"call={CALL_SID}", call_in_url(CALL_SID, key=PASSWORD)])
    def test_without_a_signed_call_in_its_url_runs_without_the_calls_data(self, query: str) -> None:
        seen: list[ToolCall] = []

        def look(call: ToolCall) -> None:
            """Look."""
            seen.append(call)

        container = container_with(look)
        container.database.has_call({"call_sid": CALL_SID, "from": "+12125550187", "to": "+14155550123"})
        assert openai_result(container.ask("look", query=query)) is None
        assert [pk for pk, _ in container.database.items][1:] == ["jambonz#none#2026-11-21"]
        assert (seen[0].call_sid, seen[0].caller, container.database.reads) == (None, None, 0)

    def test_without_authentication_is_rejected_and_runs_nothing(self, bell: Bell) -> None:
        container, event = ToolContainer(bell.toolbox()), tool_event(tool_request("ring"))
        for forged in (
            without_header(event, "authorization"),
            with_header(event, "authorization", "Basic d3Jvbmc6d3Jvbmc="),
            without_header(event, "jambonz-signature"),
            {**event, "body": event["body"].replace("ring", "king")},
        ):
            assert container.receive(forged).statusCode == 401
        assert (bell.rings, container.tool_calls.puts, container.database.calls) == (0, 0, 0)


class TestTheCallOfATool:
    @pytest.fixture
    def container(self) -> ToolContainer:
        def look(call: ToolCall) -> object:
            """Look."""
            return [call.call_sid, call.caller, call.called, call.other_party, call.now]

        def look_away(call: ToolCall) -> str:
            """Look away."""
            return "nothing seen"

        return container_with(look, look_away)

    def test_comes_from_its_first_webhook(self, container: ToolContainer) -> None:
        container.database.has_call(
            {"call_sid": CALL_SID, "from": "+14155550123", "to": "+12125550187", "direction": "outbound"}
        )
        now = NOW.isoformat().replace("+00:00", "Z")
        assert container.result("look") == [CALL_SID, "+14155550123", "+12125550187", "+12125550187", now]
        assert container.database.reads == 1

    def test_is_looked_up_only_for_a_tool_that_uses_it(self, container: ToolContainer) -> None:
        assert container.result("look_away") == "nothing seen"
        assert container.database.reads == 0

    @pytest.mark.parametrize("document", [None, {}, {"from": ["+1"], "to": {}, "direction": 7}])
    def test_may_be_unknown(self, container: ToolContainer, document: dict[str, object] | None) -> None:
        if document is not None:
            container.database.has_call(document)
        assert container.result("look")[1:4] == [None, None, None]


SPELT = [
    lambda event: event,
    *(
        lambda event, spelt=spelt: with_header(
            event, "jambonz-signature", spelt.format(*event["headers"]["jambonz-signature"].split(","))
        )
        for spelt in ("{}, {}", "{},{},v1=junk", "{},{},x=1", "{1},{0}")
    ),
    *(
        lambda event, query=query, vendor=vendor: {
            **event,
            "rawQueryString": query,
            "rawPath": f"/webhooks/tool/{vendor}",
            "pathParameters": {"vendor": vendor},
        }
        for query in (f"{call_in_url(CALL_SID)}&x=1", f"call=zzz&{call_in_url(CALL_SID)}")
        for vendor in ("openai", "OpenAI", "google")
    ),
]
"""The same request, with its signature or its URL spelt differently."""


class TestADuplicate:
    @pytest.mark.parametrize("spelt", SPELT)
    @pytest.mark.parametrize("fault", [None, THROTTLED])
    def test_runs_the_tool_once_in_any_spelling(
        self, spelt: Callable[[Event], Event], fault: Exception | None, bell: Bell
    ) -> None:
        container = ToolContainer(bell.toolbox())
        container.database.fault = fault
        event = tool_event(tool_request("ring"))
        assert openai_result(container.receive(event)) == "rang 1"
        container.database.fault = None
        for one in (container, container.another_container()):
            assert "rang 1" in one.receive(spelt(event)).body
        assert bell.rings == 1

    def test_costs_one_write_in_another_container_and_none_in_the_same(self, bell: Bell) -> None:
        container, event = ToolContainer(bell.toolbox()), tool_event(tool_request("ring"))
        first, again = container.receive(event), container.receive(event)
        assert (container.tool_calls.puts, container.database.calls) == (1, 1)
        elsewhere = container.another_container().receive(event)
        assert (container.tool_calls.puts, container.database.calls) == (2, 2)
        assert first.body == again.body == elsewhere.body
        assert (first.replayed, again.replayed, elsewhere.replayed) == (False, True, True)
        assert len(container.database.items) == 1
        assert container.result("ring") == "rang 2", "another id"

    def test_is_detected_by_the_body_if_no_signature_can_be_verified(self, bell: Bell) -> None:
        container = ToolContainer(bell.toolbox(), secrets=FakeSecrets(webhook_secrets=[]))
        answers = [
            container.receive(with_header(tool_event(tool_request("ring")), "jambonz-signature", "t=1"))
            for _ in range(2)
        ]
        assert [openai_result(answer) for answer in answers] == ["rang 1", "rang 2"]
        assert len(container.database.items) == 2

    def test_does_not_run_a_failed_tool_again(self) -> None:
        attempts = []

        def half() -> None:
            """Do half of it."""
            attempts.append(1)
            raise RuntimeError("the other half")

        container, event = container_with(half), tool_event(tool_request("half"))
        first = container.receive(event)
        assert openai_result(first) == {"error": "The tool failed."}
        assert container.another_container().receive(event).body == first.body
        assert len(attempts) == 1

    def test_during_the_run_of_its_tool_gets_an_error(self, gate: threading.Event) -> None:
        started = threading.Event()
        runs = []

        def slow() -> str:
            """Take a while."""
            runs.append(1)
            started.set()
            gate.wait()
            return "done"

        container = container_with(slow)
        event = tool_event(tool_request("slow"))
        first: list[Answer] = []
        thread = threading.Thread(target=lambda: first.append(container.receive(event)))
        thread.start()
        started.wait()
        assert openai_result(container.another_container().receive(event)) == {
            "error": "The tool is still running for this request."
        }
        gate.set()
        thread.join()
        assert len(runs) == 1

    def test_after_a_crash_does_not_run_the_tool_again(self, bell: Bell) -> None:
        # The tool may have acted before its container was lost.
        container, event = ToolContainer(bell.toolbox()), tool_event(tool_request("ring"))
        container.tool_calls.update_fault = OUTAGES[2]
        assert openai_result(container.receive(event)) == "rang 1"
        container.database.items.clear()
        assert "still running" in container.another_container().receive(event).body
        assert bell.rings == 1
        record = container.tool_calls.item
        seconds = int(record["in_progress_expiration"]["N"]) / 1000 - int(record["expiration"]["N"])
        assert abs(seconds) <= 2
        assert RECORD_SECONDS == 86_400


class TestAnOutage:
    @pytest.mark.parametrize("fault", OUTAGES)
    def test_of_the_table_of_tool_calls_runs_no_tool(self, fault: Exception, bell: Bell, log: io.StringIO) -> None:
        container = ToolContainer(bell.toolbox(), tool_calls=FakeToolCalls(fault=fault))
        assert container.result("ring") == {"error": "The tool cannot run at the moment. Nothing was done."}
        assert bell.rings == 0
        assert type(fault).__name__ in log.getvalue()
        assert len(container.database.items) == 1

    @pytest.mark.parametrize("fault", OUTAGES)
    @pytest.mark.parametrize("queue_fault", [None, OUT_OF_ORDER])
    def test_of_the_table_of_events_loses_neither_result_nor_event(
        self, fault: Exception, queue_fault: Exception | None, bell: Bell, log: io.StringIO
    ) -> None:
        container = ToolContainer(bell.toolbox(), database=FakeEvents(fault=fault))
        container.queue.fault = queue_fault
        assert container.result("ring") == "rang 1"
        stored = [*container.queue.items, *unstored(log.getvalue())]
        assert [item["event_name"] for item in stored] == [{"S": "ring"}]
        assert "The body is not JSON." in json.dumps(body(container.receive(tool_event("not JSON"))))

    def test_of_idempotency_itself_runs_no_tool(self, bell: Bell, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("POWERTOOLS_IDEMPOTENCY_DISABLED", "true")
        container = ToolContainer(bell.toolbox())
        with pytest.warns(UserWarning, match="Disabling idempotency"):
            result = container.result("ring")
        assert result == {"error": "The tool cannot run at the moment. Nothing was done."}
        assert bell.rings == 0

    @pytest.mark.parametrize("fault", OUTAGES)
    def test_after_the_tool_has_run_does_not_lose_its_result(
        self, fault: Exception, bell: Bell, log: io.StringIO
    ) -> None:
        container = ToolContainer(bell.toolbox(), tool_calls=FakeToolCalls(update_fault=fault))
        assert container.result("ring") == "rang 1"
        assert "the outcome of a tool could not be recorded" in log.getvalue()


class TestATool:
    def test_that_takes_too_long_gets_an_error(self, gate: threading.Event, log: io.StringIO) -> None:
        def slow() -> str:
            """Take for ever."""
            gate.wait()
            return "too late"

        container, event = container_with(slow, seconds=0.01), tool_event(tool_request("slow"))
        first = container.receive(event)
        assert openai_result(first) == {"error": "The tool took too long. It may still finish."}
        assert container.another_container().receive(event).body == first.body
        assert "a tool took too long" in log.getvalue()

    def test_without_time_left_is_not_started(self, bell: Bell) -> None:
        container = container_with()

        def long() -> str:
            """Use up all the time."""
            container.clock.advance(6)
            return "done"

        tools = {**toolbox_of(long).tools, **bell.toolbox().tools}
        container = ToolContainer(Toolbox(tools))
        calls = many_calls({"id": "1", "name": "long"}, {"id": "2", "name": "ring"})
        responses = body(container.receive(tool_event(calls)))["toolResponse"]["functionResponses"]
        assert [response["response"] for response in responses] == [
            {"output": "done"},
            {"error": "No time was left for this tool. Nothing was done."},
        ]
        assert bell.rings == 0

    def test_shares_the_size_limit_with_the_others_of_its_request(self) -> None:
        def long() -> str:
            """Return a long text."""
            return "x" * (MAX_RESULT_BYTES // 2)

        container = container_with(long)
        assert container.result("long") == "x" * (MAX_RESULT_BYTES // 2)
        calls = many_calls({"id": "1", "name": "long"}, {"id": "2", "name": "long"})
        assert "too large" in container.receive(tool_event(calls)).body

    def test_that_could_not_be_loaded_is_logged(self, log: io.StringIO) -> None:
        ToolContainer(Toolbox(problems=("broken.py cannot be imported: SyntaxError",)))
        assert "broken.py cannot be imported: SyntaxError" in log.getvalue()


class TestAnInvalidRequest:
    @pytest.mark.parametrize(
        ("sent", "reason"),
        [
            ("not JSON", "The body is not JSON."),
            ("[]", "The body is not a JSON object."),
            ("null", "The body is not a JSON object."),
            (b"\xff\xfe", "The body is not valid UTF-8."),
            ("[" * 100_000, "The body is nested too deeply."),
            ("{}", "There is no name of a tool."),
            ('{"name": " "}', "There is no name of a tool."),
            ('{"name": ["add"]}', "There is no name of a tool."),
            ('{"function_calls": []}', "There is no name of a tool."),
            ('{"function_calls": [{"id": "1"}]}', "There is no name of a tool."),
            ('{"function_calls": [1]}', "There is no name of a tool."),
        ],
    )
    def test_returns_an_error_to_the_model_and_goes_to_quarantine(self, sent: Any, reason: str) -> None:
        container = container_with(add)
        answer = container.receive(tool_event(sent, vendor="ultravox"))
        result = body(answer)
        assert reason in json.dumps(result)
        item = container.database.item
        assert item["pk"] == {"S": "quarantine#jambonz#2026-11-21"}
        assert (item["reason"], item["answer"]) == ({"S": reason}, {"S": answer.body})
        assert item["path_parameters"]["M"] == {"vendor": {"S": "ultravox"}}
        again = container.receive(tool_event(sent, vendor="ultravox"))
        assert (again.body, again.replayed, len(container.database.items)) == (answer.body, True, 1)

    def test_with_too_large_a_body_gets_an_error_and_is_not_stored(self) -> None:
        container = container_with(greet)
        answer = container.receive(tool_event("x" * (MAX_BODY_BYTES + 1)))
        assert (answer.statusCode, "larger than" in answer.body) == (200, True)
        assert container.database.items == {}
