"""Tools: typed Python functions that a language model may call in the middle of a phone call.

A tool is a public function in a module of one folder. The first paragraph of its docstring is its description, and its
annotated parameters are its arguments. callhooks fills in a parameter annotated with `ToolCall`; the model does not see
it. Every error becomes a `ToolOutcome` with a message for the model.
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
"""Limit of calls that run in one request; models make a few at once."""
MAX_RESULT_BYTES = 64 * 1024
MAX_REPORTED_PROBLEMS = 10
MAX_NAME_LENGTH = 100
PACKAGE = "callhooks_own_tools"
"""Name of the package that holds the modules of the folder, so that they can import each other."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)
"""Function names that every vendor accepts."""
_SHOULD = re.compile(r"^\w+ should ")
_WITHHELD = frozenset({"", "anonymous", "private", "restricted", "unavailable", "unknown", "withheld", "266696687"})
"""Numbers of callers who withhold theirs; 266696687 spells ANONYMOUS."""

logger = Logger(child=True)


class Answering(Protocol):
    """The flow that takes the calls to a number, and the parties that it may ring."""

    @property
    def flow(self) -> str:
        """Return the name of the flow."""

    @property
    def rings(self) -> tuple[str, ...]:
        """Return numbers, users, SIP URIs and queues."""


class PlanFacts(Protocol):
    """The call plan as tools see it; moments are aware."""

    def open_calendars(self, now: datetime) -> Mapping[str, bool]:
        """Return for each calendar of the plan whether it is open."""

    def next_change(self, calendar: str, now: datetime) -> datetime | None:
        """Return when a calendar next opens or closes."""

    def who_answers(self, number: str, now: datetime) -> Answering:
        """Return the flow that takes a call to a number now, and the parties that it may ring."""


@dataclass(frozen=True, slots=True)
class Parties:
    """Parties of a call, from its first webhook; `direction` as in an event."""

    caller: str | None = None
    called: str | None = None
    direction: str | None = None

    @property
    def other(self) -> str | None:
        """Return the remote party: the caller, or the callee of an outbound call; `None` if the number is withheld."""
        party = self.called if self.direction == OUTBOUND else self.caller
        return None if party is None or canonical_party(party) in _WITHHELD else party


class ToolCall:
    """The call in which a tool was requested.

    `call_sid` is `None` if the URL of the tool hook does not identify a call. `now` is aware. `caller`, `called` and
    `other_party` are looked up on first use; they are `None` if the call's first webhook is not stored.
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
        """Return the calling number or SIP user."""
        return self._parties.caller

    @property
    def called(self) -> str | None:
        """Return the called number or SIP user."""
        return self._parties.called

    @property
    def other_party(self) -> str | None:
        """Return the party that the model talks with: the caller, or the called party of an outbound call."""
        return self._parties.other

    def last_calls(self, limit: int) -> tuple[PastCall, ...]:
        """Return the calls that the other party made before this one, the newest first."""
        party = self.other_party
        if party is None:
            return ()
        calls = self._past_calls.of_caller(party, limit=limit + 1)
        return tuple(call for call in calls if call.call_id != self.call_sid)[:limit]


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A request of a model for a tool: `id` is the vendor's, `arguments` are unchecked."""

    name: str
    arguments: object = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """The response to a model: a value that JSON can hold."""

    value: object
    is_error: bool = False


def failed(problem: str) -> ToolOutcome:
    """Return an outcome that describes a problem to the model."""
    return ToolOutcome({"error": problem}, is_error=True)


@dataclass(frozen=True, slots=True)
class Tool:
    """Function that models may call. `parameters` is the JSON schema of its arguments, without references."""

    name: str
    description: str
    parameters: Mapping[str, object]
    function: Callable[..., object]
    arguments: type[BaseModel]
    context: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """Tool with checked arguments."""

    tool: Tool
    arguments: Mapping[str, object]

    def run(self, call: ToolCall, *, max_bytes: int = MAX_RESULT_BYTES) -> ToolOutcome:
        """Run the tool and return its outcome, even if it raises."""
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
                "a tool's result has no JSON form", extra={"tool": self.tool.name, "failure": describe_exception(error)}
            )
            return failed("The tool's result cannot be returned.")
        if size > max_bytes:
            logger.error("a tool's result is too large", extra={"tool": self.tool.name, "size": size})
            return failed("The tool's result is too large.")
        return ToolOutcome(value)


@dataclass(frozen=True, slots=True)
class Toolbox:
    """Tools by name. `problems` has one line for each tool that cannot be used."""

    tools: Mapping[str, Tool] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def prepare(self, request: ToolRequest) -> PreparedCall | ToolOutcome:
        """Find a tool and check its arguments; return an error outcome if the request is wrong.

        Arguments are converted where the intention is clear: `"3"` is accepted as a number, an object as JSON text, and
        `null` stands for the default.
        """
        tool = self.tools.get(request.name)
        if tool is None:
            known = f"Available tools: {', '.join(self.tools)}." if self.tools else "There are no tools."
            return failed(f"There is no tool with this name. {known}")
        received = _as_object(request.arguments)
        if received is None:
            return failed("The arguments are not a JSON object.")
        optional = {info.alias for info in tool.arguments.model_fields.values() if not info.is_required()}
        supplied = {name: value for name, value in received.items() if value is not None or name not in optional}
        try:
            arguments = tool.arguments.model_validate(supplied)
        except ValidationError as error:
            return failed(f"Wrong arguments. {_describe_errors(error)}")
        except Exception as error:  # noqa: BLE001 - a tool's validator may raise anything
            logger.error(
                "a tool's arguments cannot be checked", extra={"tool": tool.name, "failure": describe_exception(error)}
            )
            return failed("The tool failed.")
        checked = {str(info.alias): getattr(arguments, name) for name, info in tool.arguments.model_fields.items()}
        return PreparedCall(tool, checked)


def load_toolbox(folder: Path) -> Toolbox:
    """Load the tools of every module in a folder, except modules whose name begins with `_`.

    A module that cannot be imported, a function that cannot be a tool, and tools with the same name are left out and
    listed in the `problems` of the toolbox.
    """
    found: dict[str, list[tuple[str, Tool]]] = {}
    problems: list[str] = []
    _begin_package(folder)
    for path in sorted(folder.glob("[!_]*.py")):
        try:
            module = importlib.import_module(f"{PACKAGE}.{path.stem}")
        except BaseException as error:  # noqa: BLE001 - one broken module must not disable the other tools
            problems.append(f"{path.name} cannot be imported: {type(error).__name__}: {error}")
            continue
        for function in _public_functions(module):
            try:
                tool = tool_of(function)
            except InvalidTool as error:
                problems.append(f"{path.name}: {function.__name__} {error}")
            else:
                found.setdefault(tool.name, []).append((path.name, tool))
    problems += [
        f"{' and '.join(file for file, _ in tools)} each define a tool {name}: none of them is used; rename all but one"
        for name, tools in found.items()
        if len(tools) > 1
    ]
    tools = {name: tools[0][1] for name, tools in found.items() if len(tools) == 1}
    return Toolbox(MappingProxyType(tools), tuple(problems))


class InvalidTool(CallhooksError):
    """A function cannot be a tool, for the stated reason."""


def tool_of(function: Callable[..., object]) -> Tool:
    """Make a tool from a function.

    Raises:
        InvalidTool: the function has no docstring, or a parameter that no model can fill in.
    """
    name = getattr(function, "__name__", "")
    if not _NAME.fullmatch(name):
        raise InvalidTool("has a name that not every vendor accepts: use up to 64 letters, digits and underscores")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidTool("is asynchronous: write a plain function")
    description = " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())
    if not description:
        raise InvalidTool("has no docstring: write one, it is the description for the model")
    members, context = _members_of(function)
    try:
        arguments = create_model(name, __config__=_ARGUMENTS, **members)
        schema = arguments.model_json_schema()
        parameters = _plain(schema, schema.get("$defs", {}))
    except Exception as error:  # noqa: BLE001 - Pydantic raises many kinds of errors for a type
        raise InvalidTool(f"has a parameter of a type that no model can fill in: {type(error).__name__}") from None
    return Tool(name, description, parameters, function, arguments, context)


def _members_of(function: Callable[..., object]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the fields for a model of the function's arguments, and the parameters that callhooks fills in."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception as error:  # noqa: BLE001 - an annotation is the tool's code
        raise InvalidTool(f"has an annotation that cannot be read: {type(error).__name__}: {error}") from None
    members: dict[str, Any] = {}
    context: list[str] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise InvalidTool(f"has the parameter {parameter}: every parameter must be passable by name")
        if name not in hints:
            raise InvalidTool(f"has the parameter {name} without a type")
        if isinstance(parameter.default, FieldInfo):
            raise InvalidTool(f"has a Field as the default of {name}: write Annotated[type, Field(...)] = default")
        if hints[name] is ToolCall:
            context.append(name)
        else:
            default = ... if parameter.default is parameter.empty else parameter.default
            # Fields get generated names, because a parameter may have the name of a Pydantic attribute.
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


def _describe_errors(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return " ".join(_describe_error(fault) for fault in faults[:MAX_REPORTED_PROBLEMS])


def _describe_error(fault: ErrorDetails) -> str:
    name = ".".join(str(part) for part in fault["loc"])[:MAX_NAME_LENGTH] or "arguments"
    match fault["type"]:
        case "missing":
            problem = "is missing"
        case "extra_forbidden":
            problem = "is unknown"
        case kind:
            text = fault["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
            # Details about Pydantic's parser do not help a model.
            problem = _SHOULD.sub("must ", text.partition(", ")[0] if kind.endswith("_parsing") else text)
    return f"{name}: {problem}."


def _plain(node: Any, definitions: Mapping[str, Any]) -> Any:
    """Remove references and titles from a JSON schema, because not every vendor accepts them."""
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
