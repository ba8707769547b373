"""Checks a call plan and prepares it for the functions that answer calls.

Verbs are checked with the strict models of jambonz's own Python SDK, because jambonz rejects a whole array for one
unknown member. What the plan says is answered as it stands: the models fill in defaults, so they only check.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import yaml
from callhooks.event import canonical_party
from callhooks.plan import PLAN_FILE, PLAN_FORMAT, PLAN_PACKAGE, CallToRoute, Verbs, read_plan
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator
from pydantic_core import ErrorDetails
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, ScalarNode

Verb = dict[str, JsonValue]

FALLBACK_VERBS = frozenset({"answer", "config", "hangup", "pause", "play", "say", "sip:decline", "tag"})
"""Verbs that need no webhook and no other party."""


class PlanProblems(Exception):
    """A call plan that cannot be used; `problems` has one line for each fault."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class RouteSpec(BaseModel):
    """A route as it is written; numbers may be one or several."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flow: str
    to: tuple[str, ...] = ()
    from_: tuple[str, ...] = Field(default=(), alias="from")
    direction: Literal["inbound", "outbound"] | None = None

    @field_validator("to", "from_", mode="before")
    @classmethod
    def _as_texts(cls, value: object) -> list[object]:
        patterns = value if isinstance(value, list) else [value]
        # YAML reads an unquoted 0301234567 as an octal number, which no caller has.
        if not patterns:
            raise ValueError("has no number")
        for pattern in patterns:
            if not isinstance(pattern, str):
                raise ValueError('must be a number in quotes, a pattern such as "+1415*", or a list of them')  # noqa: TRY004
            if "*" in pattern[:-1]:
                raise ValueError(f"{pattern!r}: a * belongs at the end")
            if pattern != "*" and canonical_party(pattern.removesuffix("*")) in ("", "+"):
                raise ValueError(f'{pattern!r} matches nobody; "*" matches everybody')
        return patterns

    @property
    def takes_every_call(self) -> bool:
        """Whether the route has no condition."""
        return not (self.to or self.from_ or self.direction)


class PlanSpec(BaseModel):
    """A call plan as it is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    routes: list[RouteSpec] = Field(min_length=1)
    flows: dict[str, list[Verb]]
    fallback: str


def read_plan_file(path: Path) -> PlanSpec:
    """Read and check a call plan.

    Raises:
        PlanProblems: with every fault that was found.
        OSError: the file cannot be read.
    """
    try:
        document = yaml.load(path.read_text("utf-8"), Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise PlanProblems([f"not YAML: {' '.join(str(error).split())}"]) from error
    except UnicodeDecodeError as error:
        raise PlanProblems(["not UTF-8"]) from error
    if not isinstance(document, dict):
        raise PlanProblems(["the plan must be a mapping with routes, flows and fallback"])
    try:
        plan = PlanSpec.model_validate(document)
    except ValidationError as error:
        faults = [_problem("", fault["loc"], _message(fault)) for fault in error.errors()]
        raise PlanProblems([*faults, *_flow_problems(document.get("flows"))]) from error
    problems = [*_route_problems(plan), *_flow_problems(plan.flows)]
    if problems:
        raise PlanProblems(problems)
    return plan


def prepare(plan: PlanSpec) -> str:
    """The plan as the functions read it (`callhooks.plan.read_plan`)."""
    document = {
        "format": PLAN_FORMAT,
        "routes": [route.model_dump(by_alias=True, exclude_defaults=True, mode="json") for route in plan.routes],
        "flows": plan.flows,
        "fallback": plan.flows[plan.fallback],
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


def write_package(plan: PlanSpec, folder: Path) -> Path:
    """Write the package `callhooks_plan` into a folder, and return the path of the prepared plan.

    A package and not a bare file, because it is found by import alike on Lambda and on the local engine.
    """
    package = folder / PLAN_PACKAGE
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text('"""The prepared call plan."""\n', "utf-8")
    target = package / PLAN_FILE
    target.write_text(prepare(plan), "utf-8")
    return target


def answer_for(plan: PlanSpec, *, to: str, from_: str, direction: str) -> tuple[str, Verbs]:
    """The flow that takes a call, and its verbs, as the functions work it out."""
    prepared = read_plan(prepare(plan))
    flow = prepared.flow_for(CallToRoute(to=to, from_=from_, direction=direction))
    return flow, prepared.flows[flow]


def verb_problems(verbs: Sequence[Mapping[str, JsonValue]], place: str) -> Iterator[str]:
    """What jambonz would refuse in a list of verbs, with the place of each fault."""
    # Half a second to import, which only a check of verbs should cost.
    from jambonz_sdk._models._registry import all_verb_models  # noqa: PLC0415

    models: dict[str, type[BaseModel]] = all_verb_models()
    for number, verb in enumerate(verbs):
        name = verb.get("verb")
        if not isinstance(name, str):
            yield f"{place}[{number}]: has no verb; write it as jambonz does: {{verb: say, text: Hello}}"
        elif name not in models:
            guesses = difflib.get_close_matches(name, models, n=1)
            yield f"{place}[{number}]: unknown verb {name!r}{f'; did you mean {guesses[0]!r}?' if guesses else ''}"
        else:
            yield from (
                _problem(f"{place}[{number}] ({name})", location, message)
                for location, message in _verb_faults(models[name], verb).items()
            )


def _verb_faults(model: type[BaseModel], verb: Mapping[str, JsonValue]) -> dict[tuple[int | str, ...], str]:
    faults: dict[tuple[int | str, ...], str] = {}
    try:
        # As on the wire: "1" is not 1.
        model.model_validate_json(json.dumps(verb, allow_nan=False), strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        faults.update((fault["loc"], _message(fault)) for fault in error.errors())
    except ValueError:
        faults[()] = "JSON has no infinite number"
    try:
        # Pydantic lets the Python name of a member (action_hook) pass in JSON, though not in a dictionary.
        model.model_validate(verb, by_alias=True, by_name=False)
    except ValidationError as error:
        unknown = (fault for fault in error.errors() if fault["type"] == "extra_forbidden")
        faults.update((fault["loc"], "unknown member") for fault in unknown)
    return faults


def _route_problems(plan: PlanSpec) -> Iterator[str]:
    for number, route in enumerate(plan.routes):
        if route.flow not in plan.flows:
            yield f"routes[{number}]: there is no flow {route.flow!r}"
        if route.takes_every_call and number < len(plan.routes) - 1:
            yield f"routes[{number}]: takes every call, so that no later route is ever reached"
    if not plan.routes[-1].takes_every_call:
        yield "routes: the last route must take every call: give it a flow and nothing else"
    if plan.fallback not in plan.flows:
        yield f"fallback: there is no flow {plan.fallback!r}"
    needs_others = sorted({str(verb.get("verb")) for verb in plan.flows.get(plan.fallback, [])} - FALLBACK_VERBS)
    if needs_others:
        yield f"fallback: the flow {plan.fallback!r} must work when nothing else does: no {', '.join(needs_others)}"


def _flow_problems(flows: object) -> Iterator[str]:
    """What is wrong with the verbs, as far as the flows are lists of them."""
    for name, verbs in flows.items() if isinstance(flows, dict) else ():
        if verbs == []:
            yield f"flows.{name}: has no verbs; jambonz rejects a call that is answered with none"
        if isinstance(verbs, list) and all(isinstance(verb, dict) for verb in verbs):
            yield from verb_problems(verbs, f"flows.{name}")


def _message(fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        return "unknown member"
    if fault["type"] in ("model_type", "dict_type"):
        return "must be a mapping"
    if fault["type"] == "value_error":
        return fault["msg"].removeprefix("Value error, ")
    return f"{fault['msg'][:1].lower()}{fault['msg'][1:]}"


def _problem(place: str, location: tuple[int | str, ...], message: str) -> str:
    for part in location:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
    return f"{place}: {message}"


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice; YAML itself would drop the first one silently."""

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, ScalarNode):
                raise ConstructorError(None, None, "a key is not a plain text", key_node.start_mark)
            if key_node.value in seen:
                raise ConstructorError(None, None, f"{key_node.value!r} stands twice", key_node.start_mark)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)
