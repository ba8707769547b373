"""What is odd in a plan that jambonz takes: flows that nobody reaches, rounds that a silent caller never leaves."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from callhooks.providers.jambonz.plan.plan import Choose, Go, Next, Plan, Repeat, Target

from callhooks_tools.providers.jambonz.plan.document import PlanProblem

SILENCE = "timeout"
GATHER = "gather.actionHook"
PHONE_DIGITS = range(7, 16)
"""E.164 has 15 at most; with fewer than 7 it is an extension or a short code."""
FEWEST_DIGITS_WITHOUT_QUOTES = 10
"""A variable of the type number is more often a duration or an amount."""

_SCHEME = re.compile(r"\s*(tel|callto|sips?):(//)?", re.IGNORECASE)
_AFTER_A_NUMBER = re.compile(r"[@;].*|\s*(ext\.?|x|#)\s*[0-9]+\s*$", re.IGNORECASE | re.DOTALL)
_SEPARATORS = re.compile(r"[\s\-.()/\u00ad\u2010-\u2015\u200b-\u200f\u202a-\u202e\u2060-\u2069\u2212]+")
_NUMBER = re.compile(r"\+?([0-9]+)", re.ASCII)
_NUMBER_IN_A_TEXT = re.compile(r"(?<![0-9A-Za-z])(?:\+|00)[1-9](?:[\s\-.()/]*[0-9]){6,14}(?![0-9])", re.ASCII)
_NO_NUMBER = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(\.\..*)?|([0-9]{1,3}\.){3}[0-9]{1,3}", re.ASCII)
"""Dates and IP addresses."""


def notes_on(plan: Plan) -> Iterator[str]:
    """A line for each oddity."""
    reached = _reached(plan)
    for name, flow in plan.flows.items():
        if name not in reached and flow.verbs != plan.fallback:
            yield f"flows.{name}: nothing leads here"
    for circle in _silent_circles(plan):
        yield f"flows.{circle[0]}: a caller who stays silent goes round for ever: {_told(circle)}"


def public_numbers(plan: Plan) -> Iterator[PlanProblem]:
    """Yield a note for each phone number among what a plan declares of its variables."""
    for name, variable in plan.variables.items():
        choices = variable.schema.get("enum")
        declared = [("default", variable.schema.get("default"))]
        declared += [("enum", choice) for choice in (choices if isinstance(choices, list) else ())]
        for member in dict.fromkeys(member for member, value in declared if is_phone_number(value)):
            yield PlanProblem(
                "has a phone number, which OPTIONS shows to anybody: leave a default that may be public, and set the "
                "number in jambonz, or write it in the flow",
                ("variables", name, member),
            )


def is_phone_number(value: object) -> bool:
    """Return whether a value is a phone number, however it is written, a list of them, or a text with one in it."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return False
    if isinstance(value, int):
        return FEWEST_DIGITS_WITHOUT_QUOTES <= len(str(value)) <= PHONE_DIGITS[-1]
    text = unicodedata.normalize("NFKC", value)
    text = "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)
    return _NUMBER_IN_A_TEXT.search(text) is not None or any(map(_is_number, re.split(r"[,|\n]|;(?!\w+=)", text)))


def _is_number(text: str) -> bool:
    user = _AFTER_A_NUMBER.sub("", _SCHEME.sub("", text, count=1))
    if _NO_NUMBER.fullmatch(user.strip()):
        return False
    found = _NUMBER.fullmatch(_SEPARATORS.sub("", user))
    return found is not None and len(found[1]) in PHONE_DIGITS


def _reached(plan: Plan) -> set[str]:
    reached = {route.flow for route in plan.routes}
    ahead = list(reached)
    while ahead:
        for step in plan.flows[ahead.pop()].steps.values():
            for following in step.hooks.values():
                new = {flow for _, target in following.targets for flow in _flows_of(target)} - reached
                reached |= new
                ahead += new
    return reached


def _silent_circles(plan: Plan) -> Iterator[tuple[str, ...]]:
    onward = {name: _after_silence(plan, name) for name in plan.flows}
    told: set[frozenset[str]] = set()
    for start in plan.flows:
        path: list[str] = []
        flow: str | None = start
        while flow is not None and flow not in path:
            path.append(flow)
            flow = onward.get(flow)
        if flow is not None and frozenset(path[path.index(flow) :]) not in told:
            circle = path[path.index(flow) :]
            told.add(frozenset(circle))
            yield tuple(circle)


def _after_silence(plan: Plan, name: str) -> str | None:
    """The flow that a caller who does nothing gets to from the first gather of a flow, if there is one."""
    steps = sorted(plan.flows[name].steps.values(), key=lambda step: step.index)
    for step in steps:
        if GATHER in step.hooks:
            target = _target_of_silence(step.hooks[GATHER])
            return target.flow if isinstance(target, Go) else None
    return None


def _target_of_silence(following: Next) -> Target:
    target = following.outcomes.get(SILENCE, following.otherwise)
    while isinstance(target, Repeat):
        target = target.then
    return target


def _flows_of(target: Target) -> Iterator[str]:
    match target:
        case Go(flow):
            yield flow
        case Choose(routes):
            yield from (route.flow for route in routes)
        case Repeat(_, then):
            yield from _flows_of(then)


def _told(circle: tuple[str, ...]) -> str:
    return " \u2192 ".join((*circle, circle[0]))
