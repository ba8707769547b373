"""Tools: which functions qualify, the arguments they accept, and the errors that a model gets."""

from __future__ import annotations

import enum
import io
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import pytest
from callhooks.events.event_item import Item
from callhooks.providers.jambonz.llm_tools.toolbox import (
    MAX_RESULT_BYTES,
    InvalidTool,
    Parties,
    PreparedCall,
    Toolbox,
    ToolCall,
    ToolOutcome,
    ToolRequest,
    load_toolbox,
    tool_of,
)
from pydantic import AfterValidator, BaseModel, Field

from tests.support import NOW, ROOT
from tests.tool_caller import CALL_SID, Answering, FakeEvents, FakePlan, call_with, toolbox_of

OWN_TOOLS = ROOT / "functions" / "jambonz_tool" / "tools"


class Size(enum.StrEnum):
    SMALL = "small"
    LARGE = "large"


class Address(BaseModel):
    """Postal address."""

    street: str
    title: str = ""


def _even(number: int) -> int:
    if number % 2:
        raise ValueError("must be even")
    return number


def _broken(value: str) -> str:
    raise LookupError(value)


def order(
    call: ToolCall,
    *,
    number: int,
    copy: str = "",
    size: Size = Size.SMALL,
    kind: Literal["tea", "coffee"] = "tea",
    few: Annotated[int, Field(ge=1, le=10, description="How many.")] = 1,
    even: Annotated[int, AfterValidator(_even)] = 2,
    day: date | None = None,
    address: Address | None = None,
    price: float = 0,
) -> object:
    """Order
    something.

    The rest of the docstring is not for the model.
    """
    return {"call": call.call_sid, "number": number, "copy": copy, "size": size, "day": day, "price": price}


def do_nothing() -> None:
    """Do nothing."""


def prepare(arguments: object, function: Callable[..., object] = order) -> PreparedCall | ToolOutcome:
    return toolbox_of(function).prepare(ToolRequest(function.__name__, arguments))


def checked(arguments: object, function: Callable[..., object] = order) -> dict[str, object]:
    prepared = prepare(arguments, function)
    assert isinstance(prepared, PreparedCall), prepared
    return dict(prepared.arguments)


def problem(arguments: object, function: Callable[..., object] = order) -> str:
    outcome = prepare(arguments, function)
    assert isinstance(outcome, ToolOutcome)
    return error_of(outcome)


def error_of(outcome: ToolOutcome) -> str:
    assert outcome.is_error
    assert isinstance(outcome.value, dict)
    assert list(outcome.value) == ["error"]
    return str(outcome.value["error"])


def run(function: Callable[..., object], arguments: object = None, call: ToolCall | None = None) -> ToolOutcome:
    prepared = prepare(arguments, function)
    assert isinstance(prepared, PreparedCall), prepared
    return prepared.run(call or call_with(FakeEvents()))


class TestAFunction:
    def test_becomes_a_tool_from_its_name_docstring_and_parameters(self) -> None:
        tool = tool_of(order)
        assert (tool.name, tool.description) == ("order", "Order something.")
        schema: Any = tool.parameters
        assert list(schema["properties"]) == [
            "number", "copy", "size", "kind", "few", "even", "day", "address", "price",
        ]  # fmt: skip
        assert (schema["required"], schema["additionalProperties"]) == (["number"], False)
        assert schema["properties"]["few"] == {
            "default": 1, "description": "How many.", "minimum": 1, "maximum": 10, "type": "integer",
        }  # fmt: skip
        assert schema["properties"]["size"] == {"default": "small", "enum": ["small", "large"], "type": "string"}
        address = schema["properties"]["address"]["anyOf"][0]
        assert address["properties"] == {"street": {"type": "string"}, "title": {"default": "", "type": "string"}}
        assert "$ref" not in json.dumps(schema)

    @pytest.mark.parametrize(
        ("code", "why"),
        [
            ("def f(): pass", "no docstring"),
            ("def f(a):\n 'x'", "the parameter a without a type"),
            ("def f(*a: int):\n 'x'", "every parameter must be passable by name"),
            ("def f(**a: int):\n 'x'", "every parameter must be passable by name"),
            ("def f(a: int, /):\n 'x'", "every parameter must be passable by name"),
            ("async def f():\n 'x'", "is asynchronous"),
            ("def f(a: Missing):\n 'x'", "an annotation that cannot be read: NameError"),
            ("def f(a: object()):\n 'x'", "of a type that no model can fill in"),
            ("def f(a: threading.Thread):\n 'x'", "of a type that no model can fill in"),
            ("def f(a: int = pydantic.Field(5)):\n 'x'", "write Annotated"),
            (f"def {'f' * 65}():\n 'x'", "a name that not every vendor accepts"),
            ("def größe():\n 'x'", "a name that not every vendor accepts"),
        ],
    )
    def test_is_not_a_tool_if_a_model_could_not_use_it(self, code: str, why: str) -> None:
        namespace: dict[str, Any] = {"threading": threading, "pydantic": pydantic}
        exec(code, namespace)  # noqa: S102
        function = next(value for name, value in namespace.items() if name.startswith(("f", "g")) and callable(value))
        with pytest.raises(InvalidTool, match=why):
            tool_of(function)


class TestArguments:
    @pytest.mark.parametrize("given", [None, {}, "", "{}"])
    def test_may_be_missing_if_the_tool_has_none(self, given: object) -> None:
        assert tool_of(do_nothing).parameters == {"additionalProperties": False, "properties": {}, "type": "object"}
        assert checked(given, do_nothing) == {}

    @pytest.mark.parametrize(
        ("given", "name", "expected"),
        [
            ({"number": "3"}, "number", 3),
            ({"number": 3.0}, "number", 3),
            ({"number": 1, "copy": 5}, "copy", "5"),
            ({"number": 1, "copy": " x "}, "copy", "x"),
            ({"number": 1, "size": "large"}, "size", Size.LARGE),
            ({"number": 1, "few": None}, "few", 1),
            ({"number": 1, "day": "2026-11-21"}, "day", date(2026, 11, 21)),
            ({"number": 1, "price": "2.5"}, "price", 2.5),
            ('{"number": 4}', "number", 4),
        ],
    )
    def test_are_converted_if_the_intention_is_clear(self, given: object, name: str, expected: object) -> None:
        assert checked(given)[name] == expected

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({}, "Wrong arguments. number: is missing."),
            ({"number": "many"}, "Wrong arguments. number: must be a valid integer."),
            ({"number": None}, "Wrong arguments. number: must be a valid integer."),
            ({"number": 1, "few": 11}, "Wrong arguments. few: must be less than or equal to 10."),
            ({"number": 1, "kind": "gin"}, "Wrong arguments. kind: must be 'tea' or 'coffee'."),
            ({"number": 1, "size": "huge"}, "Wrong arguments. size: must be 'small' or 'large'."),
            ({"number": 1, "even": 3}, "Wrong arguments. even: must be even."),
            ({"number": 1, "address": {}}, "Wrong arguments. address.street: is missing."),
            ({"number": 1, "numbr": 2}, "Wrong arguments. numbr: is unknown."),
            ({"number": 1, "call": {}}, "Wrong arguments. call: is unknown."),
            ({"number": 1, "argument_0": 2}, "Wrong arguments. argument_0: is unknown."),
            ({"few": "no"}, "Wrong arguments. number: is missing. few: must be a valid integer."),
            ([], "The arguments are not a JSON object."),
            (7, "The arguments are not a JSON object."),
            ("many", "The arguments are not a JSON object."),
            ("[" * 100_000, "The arguments are not a JSON object."),
        ],
    )
    def test_that_are_wrong_are_reported_by_name_and_problem(self, given: object, message: str) -> None:
        assert problem(given) == message

    def test_that_are_wrong_in_great_number_give_a_short_response(self) -> None:
        message = problem({f"{number}{'x' * 1000}": 1 for number in range(1000)})
        assert len(message) < 1500

    def test_whose_validator_breaks_are_an_error_of_the_tool(self, log: io.StringIO) -> None:
        def picky(value: Annotated[str, AfterValidator(_broken)]) -> None:
            """Check."""

        assert problem({"value": "s3cr3t"}, picky) == "The tool failed."
        assert "LookupError" in log.getvalue()
        assert "s3cr3t" not in log.getvalue()

    def test_for_an_unknown_tool_return_the_names_of_the_tools(self) -> None:
        outcome = toolbox_of(order, do_nothing).prepare(ToolRequest("get_weather"))
        assert isinstance(outcome, ToolOutcome)
        assert error_of(outcome) == "There is no tool with this name. Available tools: order, do_nothing."
        outcome = Toolbox().prepare(ToolRequest("get_weather"))
        assert isinstance(outcome, ToolOutcome)
        assert error_of(outcome) == "There is no tool with this name. There are no tools."


CIRCLE: list[object] = []
CIRCLE.append(CIRCLE)


@dataclass
class Row:
    moment: datetime
    amount: Decimal


class TestAResult:
    def test_may_be_json_or_have_an_obvious_json_form(self) -> None:
        def rows() -> object:
            """List."""
            return {"rows": [Row(NOW, Decimal("1.50"))], "size": Size.LARGE, "address": Address(street="x"), 1: None}

        assert run(rows) == ToolOutcome(
            {
                "rows": [{"moment": "2026-11-21T06:30:00.250000Z", "amount": "1.50"}],
                "size": "large",
                "address": {"street": "x", "title": ""},
                "1": None,
            }
        )

    @pytest.mark.parametrize("result", [object(), float("nan"), b"\xff", lambda: 1, {"a": {1, object()}}, CIRCLE])
    def test_without_a_json_form_is_an_error(self, result: object) -> None:
        def odd() -> object:
            """Be odd."""
            return result

        assert error_of(run(odd)) == "The tool's result cannot be returned."

    @pytest.mark.parametrize(("size", "is_error"), [(MAX_RESULT_BYTES - 2, False), (MAX_RESULT_BYTES, True)])
    def test_may_have_64_kilobytes(self, size: int, is_error: bool) -> None:
        def long() -> str:
            """Return a long text."""
            return "x" * size

        assert run(long).is_error is is_error

    @pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, RecursionError])
    def test_of_a_tool_that_raises_is_a_fixed_text(self, error: type[BaseException], log: io.StringIO) -> None:
        def failing() -> None:
            """Fail."""
            raise error("s3cr3t")

        assert error_of(run(failing)) == "The tool failed."
        assert f"{error.__name__} at toolbox.py" in log.getvalue()
        assert "s3cr3t" not in log.getvalue()


class TestTheContextOfATool:
    def test_is_the_call_the_time_and_the_plan(self) -> None:
        seen: list[ToolCall] = []

        def look(call: ToolCall) -> None:
            """Look."""
            seen.append(call)

        plan = FakePlan()
        run(look, call=call_with(FakeEvents(), plan=plan))
        assert (seen[0].call_sid, seen[0].now, seen[0].plan) == (CALL_SID, NOW, plan)
        assert (seen[0].caller, seen[0].called) == ("+12125550187", "+14155550123")

    @pytest.mark.parametrize(
        ("parties", "other"),
        [
            (Parties("+12125550187", "+14155550123", "inbound"), "+12125550187"),
            (Parties("+14155550123", "+12125550187", "outbound"), "+12125550187"),
            (Parties("+12125550187", None, None), "+12125550187"),
            (Parties("Anonymous", "+14155550123", "inbound"), None),
            (Parties("sip:anonymous@anonymous.invalid", "+14155550123", "inbound"), None),
            (Parties(" ", "+14155550123", "inbound"), None),
            (Parties(), None),
        ],
    )
    def test_knows_the_party_that_the_model_talks_with(self, parties: Parties, other: str | None) -> None:
        assert call_with(FakeEvents(), parties=parties).other_party == other


class TestTheFolder:
    def test_of_the_project_has_tools_and_a_missing_one_has_none(self, tmp_path: Path) -> None:
        toolbox = load_toolbox(OWN_TOOLS)
        assert toolbox.problems == ()
        assert list(toolbox.tools) == ["last_calls", "opening_hours", "who_answers"]
        assert load_toolbox(tmp_path / "nowhere") == Toolbox()

    def test_may_have_several_tools_in_a_module_and_share_code(self, tmp_path: Path) -> None:
        (tmp_path / "_shared.py").write_text("def helper() -> int:\n    'Help.'\n    return 7\n")
        (tmp_path / "one.py").write_text(
            "from __future__ import annotations\n"
            "from callhooks.providers.jambonz.llm_tools.toolbox import ToolCall\n"
            "from ._shared import helper\n"
            "def _private() -> int: return helper()\n"
            "def first(call: ToolCall) -> int:\n    'One.'\n    return _private()\n"
            "def second(call: ToolCall) -> int:\n    'Two.'\n    return 2\n"
            "alias = second\n"
            "class Thing:\n    'A thing.'\n"
        )
        (tmp_path / "notes.txt").write_text("no module")
        toolbox = load_toolbox(tmp_path)
        assert (list(toolbox.tools), toolbox.problems) == (["first", "second"], ())
        prepared = toolbox.prepare(ToolRequest("first"))
        assert isinstance(prepared, PreparedCall)
        assert prepared.run(call_with(FakeEvents())) == ToolOutcome(7)

    @pytest.mark.parametrize(
        ("code", "problem"),
        [
            ("import no_such_module", "broken.py cannot be imported: ModuleNotFoundError: No module named"),
            ("def (", "broken.py cannot be imported: SyntaxError"),
            ("raise SystemExit(1)", "broken.py cannot be imported: SystemExit: 1"),
            ("def bad(a):\n    'Bad.'", "broken.py: bad has the parameter a without a type"),
        ],
    )
    def test_still_has_its_other_tools_if_one_is_broken(self, code: str, problem: str, tmp_path: Path) -> None:
        (tmp_path / "broken.py").write_text(code)
        (tmp_path / "fine.py").write_text("def fine() -> int:\n    'Fine.'\n    return 1\n")
        toolbox = load_toolbox(tmp_path)
        assert list(toolbox.tools) == ["fine"]
        (message,) = toolbox.problems
        assert message.startswith(problem)

    def test_offers_neither_of_two_tools_that_share_a_name(self, tmp_path: Path) -> None:
        for name in ("first", "second"):
            (tmp_path / f"{name}.py").write_text(f"def same() -> int:\n    'Same.'\ndef {name}() -> int:\n    'Own.'\n")
        toolbox = load_toolbox(tmp_path)
        assert list(toolbox.tools) == ["first", "second"]
        (tmp_path / "third.py").write_text("def third() -> int:\n    'Third.'\n")
        assert list(load_toolbox(tmp_path).tools) == ["first", "second", "third"], "read again each time"
        assert toolbox.problems == (
            "first.py and second.py each define a tool same: none of them is used; rename all but one",
        )


def own(name: str, arguments: object = None, **context: Any) -> Any:
    """Return the result of one of the project's tools."""
    database = context.pop("database", FakeEvents())
    prepared = load_toolbox(OWN_TOOLS).prepare(ToolRequest(name, arguments))
    assert isinstance(prepared, PreparedCall), prepared
    outcome = prepared.run(call_with(database, **context))
    assert not outcome.is_error
    return outcome.value


class TestOpeningHours:
    def test_list_every_calendar_with_its_state_and_next_change(self) -> None:
        zone = timezone(timedelta(hours=-5))
        plan = FakePlan(
            {
                "office": (False, datetime(2026, 11, 23, 9, 0, tzinfo=zone)),
                "hotline": (True, datetime(2026, 11, 21, 20, 0, tzinfo=UTC)),
                "always": (True, None),
            }
        )
        assert own("opening_hours", plan=plan)["calendars"] == [
            {
                "calendar": "office",
                "open": False,
                "now_there": {"weekday": "Saturday", "time": "2026-11-21T01:30-05:00"},
                "opens": {"weekday": "Monday", "time": "2026-11-23T09:00-05:00"},
            },
            {
                "calendar": "hotline",
                "open": True,
                "now_there": {"weekday": "Saturday", "time": "2026-11-21T06:30+00:00"},
                "closes": {"weekday": "Saturday", "time": "2026-11-21T20:00+00:00"},
            },
            {"calendar": "always", "open": True, "closes": None},
        ]
        assert own("opening_hours")["calendars"] == []


class TestWhoAnswers:
    def test_returns_the_flow_and_the_parties_that_it_may_ring(self) -> None:
        assert own("who_answers", {"number": "+14155550123"}) == {
            "flow": "reception",
            "rings": ["+14155550100", "queue support"],
            "description": "The flow reception takes a call to +14155550123. It may ring +14155550100, queue support.",
        }
        answer = own("who_answers", {"number": "100"}, plan=FakePlan(answering=Answering("closed", ())))
        assert answer["description"].endswith("It may ring nobody.")


def call_item(call_id: str, **members: str) -> Item:
    texts = {
        "pk": f"jambonz#{call_id}",
        "sk": "call",
        "call_id": call_id,
        "started_at": "2026-11-20T10:00:00.000Z",
        "to": "+1415",
    }
    return {name: {"S": text} for name, text in (texts | members).items()}


class TestLastCalls:
    @pytest.mark.parametrize(
        "parties",
        [
            Parties("+12125550187", "+14155550123", "inbound"),
            Parties("+14155550123", "+12125550187", "outbound"),
        ],
    )
    def test_belong_to_the_other_party_and_leave_out_dialled_legs(self, parties: Parties) -> None:
        answered = call_item("1", direction="inbound", outcome="answered") | {"talk_seconds": {"N": "31"}}
        database = FakeEvents(calls_found=[call_item("leg", direction="outbound"), answered])
        assert own("last_calls", database=database, parties=parties) == {
            "calls": [
                {"started_at": "2026-11-20T10:00:00.000Z", "to": "+1415", "outcome": "answered", "talk_seconds": 31}
            ]
        }
        assert [query["ExpressionAttributeValues"] for query in database.queries] == [{":party": {"S": "12125550187"}}]

    @pytest.mark.parametrize("arguments", [*({"limit": limit} for limit in (0, 11, "all")), {"number": "+14155550199"}])
    def test_are_one_to_ten_of_no_other_number(self, arguments: dict[str, object]) -> None:
        assert isinstance(load_toolbox(OWN_TOOLS).prepare(ToolRequest("last_calls", arguments)), ToolOutcome)

    def test_leave_this_call_out_and_respect_the_limit(self) -> None:
        database = FakeEvents(calls_found=[call_item(CALL_SID), *(call_item(str(number)) for number in range(20))])
        assert len(own("last_calls", {"limit": 3}, database=database)["calls"]) == 3
        database.calls_found.pop(0)
        assert len(own("last_calls", {"limit": "10"}, database=database)["calls"]) == 10

    @pytest.mark.parametrize("parties", [Parties(), Parties("anonymous", "+14155550123", "inbound")])
    def test_are_empty_if_the_number_is_withheld(self, parties: Parties) -> None:
        database = FakeEvents(calls_found=[call_item("1")])
        assert own("last_calls", database=database, parties=parties)["calls"] == []
        assert database.queries == []
