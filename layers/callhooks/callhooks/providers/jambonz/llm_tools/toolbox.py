"""Tools: typed Python functions that a language model may call in the middle of a phone call.

A tool is a public function in a module of one folder. Its name is the tool's name, the first paragraph of its
docstring the description, its annotated parameters the arguments. A parameter annotated with `ToolCall` is filled in
by us and is no argument of the model. Whatever goes wrong becomes an `ToolOutcome` with a text that the model can read.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any, Protocol, get_type_hints

from aws_lambda_powertools import Logger
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, to_jsonable_python

from callhooks.calls.caller_history import PastCall, PastCalls
from callhooks.events.call_event import OUTBOUND, canonical_party
from callhooks.runtime.errors import CallhooksError, describe_exception
from callhooks.runtime.json_values import finite_float, read_json

MAX_CALLS = 16
"""Calls of one request that are run; models ask for a few at once."""
MAX_RESULT_BYTES = 64 * 1024
MAX_PROBLEMS_TOLD = 10
MAX_NAME_TOLD = 100
PACKAGE = "callhooks_own_tools"
"""The package that the modules of the folder are imported into, so that they can share code among each other."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)
"""What every vendor takes as the name of a function."""
_SHOULD = re.compile(r"^\w+ should ")
_WITHHELD = frozenset({"", "anonymous", "private", "restricted", "unavailable", "unknown", "withheld", "266696687"})
"""Callers who do not tell who they are; the number spells ANONYMOUS."""

logger = Logger(child=True)


class Answering(Protocol):
    """Who answers for a number: the flow that takes its calls, and whom it may ring."""

    @property
    def flow(self) -> str:
        """The flow's name."""

    @property
    def rings(self) -> tuple[str, ...]:
        """Numbers, users, SIP URIs and queues."""


class PlanFacts(Protocol):
    """What tools may ask of the call plan; moments are aware."""

    def open_calendars(self, now: datetime) -> Mapping[str, bool]:
        """The plan's calendars, and whether each is open."""

    def next_change(self, calendar: str, now: datetime) -> datetime | None:
        """When a calendar next opens or closes."""

    def who_answers(self, number: str, now: datetime) -> Answering:
        """The flow that takes a call to a number now, and whom it may ring."""


@dataclass(frozen=True, slots=True)
class Parties:
    """Who is in a call, as its first webhook told; `direction` as in an event."""

    caller: str | None = None
    called: str | None = None
    direction: str | None = None

    @property
    def other(self) -> str | None:
        """Who is at the other end: the caller, or whom we called; `None` for who withholds the number."""
        party = self.called if self.direction == OUTBOUND else self.caller
        return None if party is None or canonical_party(party) in _WITHHELD else party


class ToolCall:
    """What a tool may know of the call in which it was asked for.

    `call_sid` is `None` where the tool hook's URL names no call. `now` is aware. `caller`, `called` and
    `other_party` are `None` where nothing is stored of the call's beginning; they are looked up when they are first
    asked for.
    """

    def __init__(
        self,
        *,
        call_sid: str | None,
        now: datetime,
        plan: PlanFacts,
        parties: Callable[[], Parties],
        past_calls: PastCalls,
    ) -> None:
        self.call_sid = call_sid
        self.now = now
        self.plan = plan
        self._read_parties = parties
        self._past_calls = past_calls

    @cached_property
    def _parties(self) -> Parties:
        return self._read_parties()

    @property
    def caller(self) -> str | None:
        """The calling number or SIP user."""
        return self._parties.caller

    @property
    def called(self) -> str | None:
        """The called number or SIP user."""
        return self._parties.called

    @property
    def other_party(self) -> str | None:
        """Whom the model talks with: the caller, or in a call that we made, the called party."""
        return self._parties.other

    def last_calls(self, most: int) -> tuple[PastCall, ...]:
        """The calls that the other party made before this one, the newest first."""
        party = self.other_party
        if party is None:
            return ()
        calls = self._past_calls.of_caller(party, most=most + 1)
        return tuple(call for call in calls if call.call_id != self.call_sid)[:most]


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A model's wish: `id` is the vendor's, `arguments` is whatever was sent for them."""

    name: str
    arguments: object = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What a model is told: a value that JSON can hold."""

    value: object
    is_error: bool = False


def failed(problem: str) -> ToolOutcome:
    """An outcome that tells the model what is wrong."""
    return ToolOutcome({"error": problem}, is_error=True)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that models may call. `parameters` is the JSON schema of its arguments, without references."""

    name: str
    description: str
    parameters: Mapping[str, object]
    function: Callable[..., object]
    arguments: type[BaseModel]
    context: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A tool with arguments that were checked."""

    tool: Tool
    arguments: Mapping[str, object]

    def run(self, call: ToolCall, *, largest: int = MAX_RESULT_BYTES) -> ToolOutcome:
        """Run the tool; whatever it does, there is an outcome."""
        try:
            result = self.tool.function(**self.arguments, **dict.fromkeys(self.tool.context, call))
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a tool must not leave the model without an answer
            logger.error("a tool failed", extra={"tool": self.tool.name, "failure": describe_exception(error)})
            return failed("The tool failed.")
        try:
            value = to_jsonable_python(result)
            size = len(json.dumps(value, allow_nan=False))
        except Exception as error:  # noqa: BLE001 - a result may be of any kind
            logger.error(
                "a tool's result is no JSON", extra={"tool": self.tool.name, "failure": describe_exception(error)}
            )
            return failed("The tool's result cannot be passed on.")
        if size > largest:
            logger.error("a tool's result is too large", extra={"tool": self.tool.name, "size": size})
            return failed("The tool's result is too large.")
        return ToolOutcome(value)


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The tools by name. `problems` tells in one line each what kept others out."""

    tools: Mapping[str, Tool] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def prepare(self, request: ToolRequest) -> PreparedCall | ToolOutcome:
        """Find a tool and check its arguments; an outcome tells what is wrong with the request.

        Models are taken at their meaning: `"3"` is a number where one is wanted, an object may come as its JSON text,
        `null` stands for a default.
        """
        tool = self.tools.get(request.name)
        if tool is None:
            known = f"There are: {', '.join(self.tools)}." if self.tools else "There are none."
            return failed(f"There is no tool of this name. {known}")
        given = _as_object(request.arguments)
        if given is None:
            return failed("The arguments are no JSON object.")
        optional = {info.alias for info in tool.arguments.model_fields.values() if not info.is_required()}
        stated = {name: value for name, value in given.items() if value is not None or name not in optional}
        try:
            arguments = tool.arguments.model_validate(stated)
        except ValidationError as error:
            return failed(f"Wrong arguments. {_told(error)}")
        except Exception as error:  # noqa: BLE001 - a validator of a tool's own may raise anything
            logger.error(
                "a tool's arguments cannot be checked", extra={"tool": tool.name, "failure": describe_exception(error)}
            )
            return failed("The tool failed.")
        checked = {str(info.alias): getattr(arguments, name) for name, info in tool.arguments.model_fields.items()}
        return PreparedCall(tool, checked)


def load_toolbox(folder: Path) -> Toolbox:
    """The tools of every module in a folder but those whose name begins with `_`.

    A module that cannot be imported, a function that cannot be a tool, and tools that share a name are left out, and
    are told of in the toolbox's `problems`.
    """
    found: dict[str, list[tuple[str, Tool]]] = {}
    problems: list[str] = []
    _begin_package(folder)
    for path in sorted(folder.glob("[!_]*.py")):
        try:
            module = importlib.import_module(f"{PACKAGE}.{path.stem}")
        except BaseException as error:  # noqa: BLE001 - one broken module must not take the other tools away
            problems.append(f"{path.name} cannot be imported: {type(error).__name__}: {error}")
            continue
        for function in _public_functions(module):
            try:
                tool = tool_of(function)
            except NoTool as error:
                problems.append(f"{path.name}: {function.__name__} {error}")
            else:
                found.setdefault(tool.name, []).append((path.name, tool))
    problems += [
        f"{' and '.join(file for file, _ in tools)} have a tool {name} each: none of them is used"
        for name, tools in found.items()
        if len(tools) > 1
    ]
    tools = {name: tools[0][1] for name, tools in found.items() if len(tools) == 1}
    return Toolbox(MappingProxyType(tools), tuple(problems))


class NoTool(CallhooksError):
    """A function that cannot be a tool; says why."""


def tool_of(function: Callable[..., object]) -> Tool:
    """The tool that a function is.

    Raises:
        NoTool: it lacks a docstring, or it has parameters that no model can fill in.
    """
    name = getattr(function, "__name__", "")
    if not _NAME.fullmatch(name):
        raise NoTool("has a name that not every vendor takes: up to 64 letters, digits and underscores")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise NoTool("is asynchronous: a tool is a plain function")
    description = " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())
    if not description:
        raise NoTool("has no docstring, which tells the model what it is for")
    members, context = _members_of(function)
    try:
        arguments = create_model(name, __config__=_ARGUMENTS, **members)
        schema = arguments.model_json_schema()
        parameters = _plain(schema, schema.get("$defs", {}))
    except Exception as error:  # noqa: BLE001 - Pydantic tells in many ways that it cannot handle a type
        raise NoTool(f"has a parameter of a type that no model can fill in: {type(error).__name__}") from None
    return Tool(name, description, parameters, function, arguments, context)


def _members_of(function: Callable[..., object]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The members of the model of a function's arguments, and the parameters that we fill in."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception as error:  # noqa: BLE001 - an annotation is code of the tool's own
        raise NoTool(f"has an annotation that cannot be read: {type(error).__name__}: {error}") from None
    members: dict[str, Any] = {}
    context: list[str] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise NoTool(f"has the parameter {parameter}: every parameter must be passed by its name")
        if name not in hints:
            raise NoTool(f"has the parameter {name} without a type")
        if isinstance(parameter.default, FieldInfo):
            raise NoTool(f"has a Field as the default of {name}: write Annotated[type, Field(...)] = default")
        if hints[name] is ToolCall:
            context.append(name)
        else:
            default = ... if parameter.default is parameter.empty else parameter.default
            # Members have names of our own, since a parameter may be named like anything that Pydantic's models have.
            members[f"argument_{len(members)}"] = (hints[name], Field(default=default, alias=name))
    return members, tuple(context)


_ARGUMENTS = ConfigDict(extra="forbid", coerce_numbers_to_str=True, str_strip_whitespace=True)


def _begin_package(folder: Path) -> None:
    for name in [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]:
        del sys.modules[name]
    package = ModuleType(PACKAGE)
    package.__path__ = [str(folder)]
    sys.modules[PACKAGE] = package


def _public_functions(module: ModuleType) -> Iterator[FunctionType]:
    for name, value in vars(module).items():
        is_own = isinstance(value, FunctionType) and value.__module__ == module.__name__ and value.__name__ == name
        if is_own and not name.startswith("_"):
            yield value


def _as_object(arguments: object) -> Mapping[str, object] | None:
    if arguments is None:
        return {}
    if isinstance(arguments, str):
        try:
            arguments = read_json(arguments or "{}", parse_float=finite_float)
        except (ValueError, RecursionError):
            return None
    return arguments if isinstance(arguments, dict) else None


def _told(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return " ".join(_told_of(fault) for fault in faults[:MAX_PROBLEMS_TOLD])


def _told_of(fault: ErrorDetails) -> str:
    name = ".".join(str(part) for part in fault["loc"])[:MAX_NAME_TOLD] or "arguments"
    match fault["type"]:
        case "missing":
            problem = "is missing"
        case "extra_forbidden":
            problem = "is not known"
        case kind:
            text = fault["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
            # What Pydantic tells of its parser is of no use to a model.
            problem = _SHOULD.sub("must ", text.partition(", ")[0] if kind.endswith("_parsing") else text)
    return f"{name}: {problem}."


def _plain(node: Any, definitions: Mapping[str, Any]) -> Any:
    """A JSON schema without references and titles, which not every vendor takes."""
    if isinstance(node, list):
        return [_plain(member, definitions) for member in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        others = {name: value for name, value in node.items() if name != "$ref"}
        return _plain({**definitions[node["$ref"].rpartition("/")[2]], **others}, definitions)
    plain = {}
    for name, value in node.items():
        if name == "properties":
            plain[name] = {member: _plain(schema, definitions) for member, schema in value.items()}
        elif name in ("default", "const", "enum"):
            plain[name] = value
        elif name not in ("title", "$defs", "discriminator"):
            plain[name] = _plain(value, definitions)
    return plain
