"""Loader of the prepared call plan: the file `plan.json` in the package `callhooks_plan`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NotRequired, TypedDict

from aws_lambda_powertools import Logger

from callhooks.providers.jambonz.plan.call_facts import HEADER_PREFIX
from callhooks.providers.jambonz.plan.opening_hours import Calendar, ClosedDays, Hours, read_zone
from callhooks.providers.jambonz.plan.patterns import (
    TEXT_CONDITIONS,
    Phrase,
    TextCondition,
    parse_digits,
    parse_pattern,
    parse_text_pattern,
)
from callhooks.providers.jambonz.plan.plan import (
    BUILTIN_VERBS,
    NOT_ANSWERED,
    Choose,
    Continue,
    End,
    Flow,
    Go,
    Next,
    Plan,
    Repeat,
    Route,
    Step,
    Target,
    Variable,
    Verbs,
)
from callhooks.runtime.errors import CallhooksError

PLAN_PACKAGE = "callhooks_plan"
PLAN_FILE = "plan.json"
PLAN_FORMAT = 2

logger = Logger(child=True)


class _PreparedStep(TypedDict):
    index: int
    verb: str
    hooks: dict[str, object]


class _PreparedFlow(TypedDict):
    verbs: Verbs
    steps: dict[str, _PreparedStep]
    counts_as: NotRequired[str]


class PlanUnavailable(CallhooksError):
    """The prepared plan is missing or cannot be read."""


def read_plan(text: str) -> Plan:
    """Read a prepared plan.

    Raises:
        PlanUnavailable: the text is not a prepared plan of this version.
    """
    try:
        document = json.loads(text)
        if document["format"] != PLAN_FORMAT:
            raise PlanUnavailable(
                f"the prepared plan has format {document['format']}, not {PLAN_FORMAT}: build it again"
            )
        plan = Plan(
            routes=tuple(_read_route(route) for route in document["routes"]),
            flows={name: _read_flow(flow) for name, flow in document["flows"].items()},
            fallback=document["fallback"],
            calendars={name: _read_calendar(calendar) for name, calendar in document["calendars"].items()},
            variables={
                name: _read_variable(schema, is_number=name in document.get("numbers", ()))
                for name, schema in document["variables"].items()
            },
        )
        answers = [plan.fallback, *(plan.flows[route.flow].verbs for route in plan.routes)]
        used_calendars = {name for route in plan.routes for name in (*route.during, *route.outside)}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise PlanUnavailable(f"the prepared plan is broken: {type(error).__name__}") from error
    if not plan.routes or not all(_is_answer(verbs) for verbs in answers):
        raise PlanUnavailable("the prepared plan has no routes, or a flow or the fallback has no verbs")
    if not used_calendars <= plan.calendars.keys():
        raise PlanUnavailable("a route of the prepared plan uses a calendar that does not exist")
    return plan


def installed_plan() -> Plan:
    """Return the plan of the call plan layer, or the built-in plan if it is missing or broken.

    Calls must be answered either way, so a broken plan is logged as an error and never raised.
    """
    try:
        package = Path(str(import_module(PLAN_PACKAGE).__file__))
        return read_plan(package.with_name(PLAN_FILE).read_text("utf-8"))
    except Exception as error:  # noqa: BLE001 - a call gets an answer even if the plan is broken
        logger.error("the call plan cannot be read: every call gets the built-in message", extra={"reason": str(error)})
        return Plan(
            routes=(Route("builtin"),),
            flows={"builtin": Flow(BUILTIN_VERBS, counts_as=NOT_ANSWERED)},
            fallback=BUILTIN_VERBS,
            uses_builtin_plan=True,
        )


def _is_answer(verbs: object) -> bool:
    return isinstance(verbs, list) and bool(verbs) and all(isinstance(verb, dict) for verb in verbs)


def _read_route(route: Mapping[str, object]) -> Route:
    header = route.get("header") or {}
    if not isinstance(header, dict):
        raise TypeError("headers must be a mapping")
    return Route(
        flow=str(route["flow"]),
        to=tuple(parse_pattern(text) for text in _texts(route.get("to"))),
        from_=tuple(parse_pattern(text) for text in _texts(route.get("from"))),
        direction=None if route.get("direction") is None else str(route["direction"]),
        texts=(
            *(_text_condition(name, TEXT_CONDITIONS[name], route[name]) for name in TEXT_CONDITIONS if route.get(name)),
            *(_text_condition(name, f"{HEADER_PREFIX}{name}", texts) for name, texts in header.items()),
        ),
        during=_texts(route.get("during")),
        outside=_texts(route.get("outside")),
    )


def _text_condition(name: str, member: str, texts: object) -> TextCondition:
    return TextCondition(name, member, tuple(parse_text_pattern(text) for text in _texts(texts)))


def _read_flow(flow: _PreparedFlow) -> Flow:
    steps = {
        step_id: Step(
            index=step["index"],
            verb=step["verb"],
            hooks={name: _read_next(following) for name, following in step["hooks"].items()},
        )
        for step_id, step in flow["steps"].items()
    }
    return Flow(flow["verbs"], steps, flow.get("counts_as"))


def _read_next(following: object) -> Next:
    if not isinstance(following, dict):
        raise TypeError("the targets of a hook must be a mapping")
    return Next(
        outcomes={name: _read_target(target) for name, target in following.get("outcomes", {}).items()},
        digits=tuple((parse_digits(keys), _read_target(target)) for keys, target in following.get("digits", [])),
        phrases=tuple(_read_phrase(*phrase) for phrase in following.get("phrases", [])),
        otherwise=_read_target(following.get("otherwise", "continue")),
    )


def _read_phrase(text: str, target: object, words: str | None = None) -> tuple[Phrase, Target]:
    # A plan that was built earlier has no text as written, only the words.
    return Phrase(text, text if words is None else words), _read_target(target)


def _read_target(target: object) -> Target:
    if target == "continue":
        return Continue()
    if target == "end":
        return End()
    if not isinstance(target, dict):
        raise TypeError("a target must be a mapping")
    if "flow" in target:
        return Go(str(target["flow"]))
    if "routes" in target:
        return Choose(tuple(_read_route(route) for route in target["routes"]))
    return Repeat(int(target["repeat"]), _read_target(target["then"]), target.get("say"))


def _read_calendar(calendar: Mapping[str, object]) -> Calendar:
    name, zone = str(calendar["timezone"]), str(calendar["zone"])
    week, closed, special = calendar["week"], calendar["closed"], calendar["special"]
    if not (isinstance(week, list) and len(week) == 7 and isinstance(closed, list) and isinstance(special, dict)):
        raise TypeError("a calendar must have a week, closed days and special days")
    return Calendar(
        timezone=name,
        zone=read_zone(name, zone),
        week=tuple(tuple(Hours(*hours) for hours in day) for day in week),
        closed=tuple(ClosedDays(*days) for days in closed),
        special={day: tuple(Hours(*hours) for hours in times) for day, times in special.items()},
    )


def _read_variable(schema: Mapping[str, object], *, is_number: bool) -> Variable:
    kind = str(schema["type"])
    default = schema.get("default", "")
    if not isinstance(default, str | int | float):
        raise TypeError("a default must be a string, a number or a boolean")
    return Variable(kind, default, schema, is_number)


def _texts(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError("patterns must be a list of strings")
    return tuple(value)
