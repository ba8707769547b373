"""Tool hooks of jambonz at /webhooks/tool/{vendor}: the response to the model, and the stored event."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
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
    WEBHOOK_SECRET,
    Answer,
    Event,
    FakeSecrets,
    call_in_url,
    detail_attributes,
    recorded,
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

THROTTLED: Any = {"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "slow down"}}
OUTAGES = [
    ClientError(THROTTLED, "PutItem"),
    ConnectTimeoutError(endpoint_url="https://dynamodb"),
    ReadTimeoutError(endpoint_url="https://dynamodb"),
]
SINGLE = ("openai", "microsoft", "ultravox", "elevenlabs", "deepgram", "voiceagent", "somebody-new")


def add(a: int, b: int = 0) -> object:
    """Add two numbers."""
    return {"sum": a + b}


def greet() -> str:
    """Greet."""
    return "Hello"


def broken() -> None:
    """Fail."""
    raise RuntimeError("the password is s3cr3t")


def by_get(event: Event) -> Event:
    context = event["requestContext"]
    return {**event, "requestContext": {**context, "http": {**context["http"], "method": "GET"}}}


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


class TestEachVendor:
    """The shapes that jambonz's adapters accept; any other is dropped and the model waits for ever."""

    @pytest.mark.parametrize("vendor", ["openai", "microsoft", "OpenAI"])
    def test_openai_gets_a_conversation_item(self, vendor: str) -> None:
        answer = container_with(add).receive(tool_event(one_call("add", {"a": 1, "b": 2}), vendor=vendor))
        assert body(answer) == {
            "type": "conversation.item.create",
            "item": {"type": "function_call_output", "call_id": "call_1", "output": '{"sum": 3}'},
        }

    @pytest.mark.parametrize("vendor", ["ultravox", "somebody-new", ""])
    def test_ultravox_and_unknown_vendors_get_the_documented_result(self, vendor: str) -> None:
        # jambonz adds `type` and `invocation_id` if there is no `type`.
        answer = container_with(add).receive(tool_event(one_call("add", {"a": 1, "b": 2}), vendor=vendor))
        assert body(answer) == {"result": '{"sum": 3}'}

    def test_elevenlabs_gets_a_client_tool_result_under_data(self) -> None:
        answer = container_with(add).receive(tool_event(one_call("add", {"a": 1}), vendor="elevenlabs"))
        assert body(answer) == {
            "data": {
                "type": "client_tool_result",
                "tool_call_id": "call_1",
                "result": '{"sum": 1}',
                "is_error": False,
            }
        }

    @pytest.mark.parametrize("vendor", ["deepgram", "voiceagent"])
    def test_deepgram_gets_a_function_call_response_under_data(self, vendor: str) -> None:
        answer = container_with(add).receive(tool_event(one_call("add", {"a": 1}), vendor=vendor))
        assert body(answer) == {
            "data": {"type": "FunctionCallResponse", "id": "call_1", "name": "add", "content": '{"sum": 1}'}
        }

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

    def test_google_with_a_single_call_gets_its_shape(self) -> None:
        answer = container_with(greet).receive(tool_event(one_call("greet"), vendor="google"))
        response = {"id": "call_1", "name": "greet", "response": {"output": "Hello"}}
        assert body(answer) == {"toolResponse": {"functionResponses": [response]}}

    @pytest.mark.parametrize("vendor", SINGLE)
    def test_a_list_of_calls_gets_the_shape_of_google_for_any_vendor(self, vendor: str) -> None:
        calls = many_calls({"id": "fc-1", "name": "greet"}, {"id": "fc-2", "name": "greet"})
        answer = container_with(greet).receive(tool_event(calls, vendor=vendor))
        assert len(body(answer)["toolResponse"]["functionResponses"]) == 2

    @pytest.mark.parametrize("vendor", [*SINGLE, "google"])
    def test_a_text_stays_a_text(self, vendor: str) -> None:
        answer = container_with(greet).receive(tool_event(one_call("greet"), vendor=vendor))
        assert '"Hello"' in answer.body
        assert '\\"Hello' not in answer.body

    @pytest.mark.parametrize("vendor", [*SINGLE, "google"])
    def test_an_error_has_the_same_shape(self, vendor: str) -> None:
        container = container_with(greet, broken)
        fine = body(container.receive(tool_event(tool_request("greet"), vendor=vendor)))
        bad = body(container.receive(tool_event(tool_request("broken"), vendor=vendor)))
        assert list(bad) == list(fine)
        assert "The tool failed." in json.dumps(bad)

    def test_elevenlabs_gets_an_error_flag(self) -> None:
        answer = container_with(broken).receive(tool_event(tool_request("broken"), vendor="elevenlabs"))
        assert body(answer)["data"]["is_error"] is True

    def test_a_missing_id_stays_missing(self) -> None:
        for vendor in (*SINGLE, "google"):
            answer = container_with(greet).receive(tool_event({"name": "greet"}, vendor=vendor))
            assert "null" not in answer.body


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

    @pytest.mark.parametrize("vendor", [*SINGLE, "google"])
    @pytest.mark.parametrize("letter", ["\u00e9", '"', "\\", "\U0001f4de", "\ud800"])
    def test_have_a_storable_response_for_any_name_or_id(self, vendor: str, letter: str) -> None:
        text = letter * (60_000 // len(json.dumps(letter, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")))
        container = container_with(greet)
        sent = json.dumps({"tool_call_id": text, "name": text}, ensure_ascii=False)
        answer = container.receive(tool_event(sent.replace("\ud800", "\\ud800")[:MAX_BODY_BYTES]))
        assert answer.statusCode == 200
        answer.body.encode()
        assert_storable(container.database.item)


class TestAToolCall:
    def test_runs_the_tool_with_the_arguments(self) -> None:
        assert container_with(add).result("add", {"a": "40", "b": 2}) == {"sum": 42}

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

    def test_of_several_tools_names_them_all(self) -> None:
        container = container_with(greet)
        container.receive(tool_event(many_calls({"name": "greet", "id": "1"}, {"name": "other", "id": "2"})))
        item = container.database.item
        assert item["event_name"] == {"S": "greet, other"}
        assert detail_attributes(item) == {"vendor": {"S": "google"}, "tool_call_id": {"S": "1, 2"}}

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "call=",
            "other=1",
            f"call={CALL_SID}",
            f"call={CALL_SID}&sig=0123",
            call_in_url("another").replace("another", CALL_SID),
            f"{call_in_url('another')}&call={CALL_SID}",
            call_in_url(CALL_SID, key=PASSWORD),
        ],
    )
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

    def test_with_the_same_arguments_but_another_id_runs_again(self, bell: Bell) -> None:
        container = ToolContainer(bell.toolbox())
        assert container.result("ring") == "rang 1"
        assert container.result("ring") == "rang 2"
        assert len(container.database.items) == 2

    def test_leaves_no_caller_and_no_argument_in_the_log(
        self, log: io.StringIO, capsys: pytest.CaptureFixture[str]
    ) -> None:
        container = container_with(add, broken)
        container.database.has_call({"call_sid": CALL_SID, "from": "+12125550187", "to": "+14155550123"})
        container.ask("add", {"a": "+12125550187x"})
        container.ask("broken")
        container.ask("+12125550187")
        container.receive(tool_event("not JSON"))
        written = log.getvalue() + capsys.readouterr().out
        assert len(written.splitlines()) >= 4
        for hidden in ("2125550187", "s3cr3t", "password", WEBHOOK_SECRET):
            assert hidden not in written

    @pytest.mark.parametrize(
        "change",
        [
            lambda event: without_header(event, "authorization"),
            lambda event: with_header(event, "authorization", "Basic d3Jvbmc6d3Jvbmc="),
            lambda event: without_header(event, "jambonz-signature"),
            lambda event: by_get(without_header(event, "jambonz-signature")),
            lambda event: with_header(event, "jambonz-signature", "t=1795242600,v1=00"),
            lambda event: {**event, "body": event["body"].replace("ring", "king")},
        ],
    )
    def test_without_authentication_is_rejected_and_runs_nothing(self, change: Any, bell: Bell) -> None:
        container = ToolContainer(bell.toolbox())
        assert container.receive(change(tool_event(tool_request("ring")))).statusCode == 401
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


class TestADuplicate:
    def test_runs_the_tool_once_and_gets_the_first_response(self, bell: Bell) -> None:
        container = ToolContainer(bell.toolbox())
        event = tool_event(tool_request("ring"))
        first, again = container.receive(event), container.receive(event)
        elsewhere = container.another_container().receive(event)
        assert openai_result(first) == "rang 1"
        assert first.body == again.body == elsewhere.body
        assert (first.replayed, again.replayed, elsewhere.replayed) == (False, True, True)
        assert bell.rings == 1
        assert len(container.database.items) == 1

    @pytest.mark.parametrize("spelt", ["{}, {}", "{},{},v1=junk", "{},{},x=1", "{1},{0}"])
    def test_with_another_spelling_of_the_signature_runs_the_tool_once(self, bell: Bell, spelt: str) -> None:
        container = ToolContainer(bell.toolbox())
        event = tool_event(tool_request("ring"))
        first = container.receive(event)
        elements = event["headers"]["jambonz-signature"].split(",")
        respelt = with_header(event, "jambonz-signature", spelt.format(*elements))
        for one in (container, container.another_container()):
            assert one.receive(respelt).body == first.body
        assert (bell.rings, len(container.database.items)) == (1, 1)

    @pytest.mark.parametrize("query", [f"{call_in_url(CALL_SID)}&x=1", f"call=zzz&{call_in_url(CALL_SID)}"])
    @pytest.mark.parametrize("vendor", ["openai", "OpenAI", "google"])
    def test_with_another_spelling_of_the_url_runs_the_tool_once(self, bell: Bell, query: str, vendor: str) -> None:
        container = ToolContainer(bell.toolbox())
        event = tool_event(tool_request("ring"))
        container.receive(event)
        respelt = {**event, "rawQueryString": query, "pathParameters": {"vendor": vendor}}
        for one in (container, container.another_container()):
            assert "rang 1" in one.receive({**respelt, "rawPath": f"/webhooks/tool/{vendor}"}).body
        assert bell.rings == 1

    def test_is_detected_by_the_body_if_no_signature_can_be_verified(self, bell: Bell) -> None:
        container = ToolContainer(bell.toolbox(), secrets=FakeSecrets(webhook_secrets=[]))
        answers = [
            container.receive(with_header(tool_event(tool_request("ring")), "jambonz-signature", "t=1"))
            for _ in range(2)
        ]
        assert [openai_result(answer) for answer in answers] == ["rang 1", "rang 2"]
        assert len(container.database.items) == 2

    def test_of_several_calls_runs_none_again(self, bell: Bell) -> None:
        container = ToolContainer(bell.toolbox())
        event = tool_event(many_calls({"id": "1", "name": "ring"}, {"id": "2", "name": "ring"}))
        first = container.receive(event)
        assert container.another_container().receive(event).body == first.body
        assert bell.rings == 2

    def test_gets_the_outcome_if_the_event_could_not_be_stored_at_first(self, bell: Bell) -> None:
        container = ToolContainer(bell.toolbox())
        container.database.fault = OUTAGES[0]
        event = tool_event(tool_request("ring"))
        first = container.receive(event)
        container.database.fault = None
        again = container.another_container().receive(event)
        assert (openai_result(first), again.body) == ("rang 1", first.body)
        assert bell.rings == 1
        assert container.database.item["answer"] == {"S": first.body}

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

    def test_costs_one_write_in_another_container_and_none_in_the_same(self, bell: Bell) -> None:
        container, event = ToolContainer(bell.toolbox()), tool_event(tool_request("ring"))
        container.receive(event)
        container.receive(event)
        assert (container.tool_calls.puts, container.database.calls) == (1, 1)
        container.another_container().receive(event)
        assert (container.tool_calls.puts, container.database.calls) == (2, 2)


class TestAnOutage:
    @pytest.mark.parametrize("fault", OUTAGES)
    def test_of_the_table_of_tool_calls_runs_no_tool(self, fault: Exception, bell: Bell, log: io.StringIO) -> None:
        container = ToolContainer(bell.toolbox(), tool_calls=FakeToolCalls(fault=fault))
        assert container.result("ring") == {"error": "The tool cannot run at the moment. Nothing was done."}
        assert bell.rings == 0
        assert type(fault).__name__ in log.getvalue()
        assert len(container.database.items) == 1

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

    @pytest.mark.parametrize("fault", OUTAGES)
    def test_of_the_table_of_events_loses_neither_result_nor_event(self, fault: Exception, bell: Bell) -> None:
        container = ToolContainer(bell.toolbox(), database=FakeEvents(fault=fault))
        assert container.result("ring") == "rang 1"
        assert [item["event_name"] for item in container.queue.items] == [{"S": "ring"}]

    def test_of_table_and_queue_loses_neither_result_nor_event(self, bell: Bell, log: io.StringIO) -> None:
        container = ToolContainer(bell.toolbox(), database=FakeEvents(fault=OUTAGES[0]))
        container.queue.fault = OUT_OF_ORDER
        assert container.result("ring") == "rang 1"
        assert [item["event_name"] for item in unstored(log.getvalue())] == [{"S": "ring"}]

    def test_of_the_secret_store_runs_no_tool(self, bell: Bell) -> None:
        container = ToolContainer(bell.toolbox())
        container.secrets.fault = RuntimeError("gone")
        assert container.ask("ring").statusCode == 503
        assert bell.rings == 0

    def test_during_a_lookup_of_the_tool_is_an_error_of_the_tool(self) -> None:
        def look(call: ToolCall) -> object:
            """Look."""
            return call.last_calls(3)

        container = container_with(look)
        container.database.has_call({"from": "+12125550187"})
        container.database.query_fault = OUTAGES[0]
        assert container.result("look") == {"error": "The tool failed."}


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

    @pytest.mark.parametrize("vendor", [*SINGLE, "google"])
    def test_gets_a_response_in_the_vendors_shape_with_the_id(self, vendor: str) -> None:
        container = container_with(greet)
        fine = body(container.receive(tool_event(one_call("greet"), vendor=vendor)))
        nameless = body(container.receive(tool_event({"tool_call_id": "call_1"}, vendor=vendor)))
        assert list(nameless) == list(fine)
        assert ("call_1" in json.dumps(nameless)) is ("call_1" in json.dumps(fine))

    def test_sent_twice_is_one_item(self) -> None:
        container = container_with(greet)
        first, again = container.receive(tool_event("not JSON")), container.receive(tool_event("not JSON"))
        assert (first.body, again.replayed) == (again.body, True)
        assert len(container.database.items) == 1

    def test_gets_a_response_even_if_it_cannot_be_stored(self) -> None:
        container = container_with(greet, database=FakeEvents(fault=OUTAGES[0]))
        assert "The body is not JSON." in json.dumps(body(container.receive(tool_event("not JSON"))))

    def test_with_too_large_a_body_gets_an_error_and_is_not_stored(self) -> None:
        container = container_with(greet)
        answer = container.receive(tool_event("x" * (MAX_BODY_BYTES + 1)))
        assert (answer.statusCode, "larger than" in answer.body) == (200, True)
        assert container.database.items == {}

    @pytest.mark.parametrize("depth", [100, 254, 500, 960, 5000])
    def test_with_deeply_nested_arguments_gets_a_response(self, depth: int) -> None:
        nested = '{"a":' * depth + "1" + "}" * depth
        answer = container_with(greet).receive(tool_event(f'{{"tool_call_id":"x","name":"greet","args":{nested}}}'))
        assert answer.statusCode == 200
        assert isinstance(json.loads(answer.body), dict)


@pytest.mark.parametrize("name", ["tool_unknown", "tool_unknown_google"])
def test_a_recorded_request_for_an_unknown_tool_returns_the_tool_names(name: str) -> None:
    event = recorded(name)
    vendor = event["pathParameters"]["vendor"]
    answer = container_with(add, greet).receive(tool_event(event["body"], vendor=vendor))
    assert "There is no tool with this name. Available tools: add, greet." in json.dumps(body(answer))
