"""The prepared call plan at run time: which flow takes a call, and the verbs it is answered with.

The plan is prepared at build (`callhooks plan build`) into the package `callhooks_plan`: a JSON file with every
flow already checked. Nothing is checked again while a caller waits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TypeAlias

from aws_lambda_powertools import Logger

from callhooks.event import canonical_party

Verbs: TypeAlias = Sequence[Mapping[str, object]]

PLAN_PACKAGE = "callhooks_plan"
PLAN_FILE = "plan.json"
PLAN_FORMAT = 1

LAST_RESORT: Verbs = (
    {"verb": "say", "text": "We are sorry, we cannot take your call right now. Please try again later."},
    {"verb": "hangup"},
)
"""Answered when even the plan's own fallback cannot be read."""

logger = Logger(child=True)


class PlanUnavailable(Exception):
    """The prepared plan is missing or cannot be read."""


@dataclass(frozen=True, slots=True)
class PartyPattern:
    """Matches a calling or called party: exactly, or by its first characters."""

    text: str
    prefix: bool = False

    def matches(self, party: str) -> bool:
        """Compare with a canonical party (see `canonical_party`)."""
        return party.startswith(self.text) if self.prefix else party == self.text


@dataclass(frozen=True, slots=True)
class Route:
    """Sends a call to a flow. An empty condition holds for every call."""

    flow: str
    to: tuple[PartyPattern, ...] = ()
    from_: tuple[PartyPattern, ...] = ()
    direction: str | None = None

    def matches(self, call: CallToRoute) -> bool:
        """Whether all conditions of the route hold; a member the call lacks matches no condition on it."""
        return (
            _any_matches(self.to, call.to)
            and _any_matches(self.from_, call.from_)
            and (self.direction is None or self.direction == call.direction)
        )


@dataclass(frozen=True, slots=True)
class CallToRoute:
    """What routes look at; a bare `GET` knows nothing of its call."""

    to: str | None = None
    from_: str | None = None
    direction: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Routes in order, of which the last takes every call, and the named flows of verbs."""

    routes: tuple[Route, ...]
    flows: Mapping[str, Verbs]
    fallback: Verbs

    def flow_for(self, call: CallToRoute) -> str:
        """The flow of the first route that matches."""
        return next((route.flow for route in self.routes if route.matches(call)), self.routes[-1].flow)

    def verbs_for(self, call: CallToRoute) -> Verbs:
        """The verbs that a new call is answered with."""
        return self.flows[self.flow_for(call)]


def read_plan(text: str) -> Plan:
    """Read a prepared plan.

    Raises:
        PlanUnavailable: the text is not a prepared plan of this version.
    """
    try:
        document = json.loads(text)
        if document["format"] != PLAN_FORMAT:
            raise PlanUnavailable(f"the plan has format {document['format']}, this version reads {PLAN_FORMAT}")
        plan = Plan(
            routes=tuple(_read_route(route) for route in document["routes"]),
            flows=document["flows"],
            fallback=document["fallback"],
        )
        answers = [plan.fallback, *(plan.flows[route.flow] for route in plan.routes)]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise PlanUnavailable(f"the prepared plan is broken: {type(error).__name__}") from error
    if not plan.routes or not all(_is_answer(verbs) for verbs in answers):
        raise PlanUnavailable("the plan has no route, or a flow or a fallback without verbs")
    return plan


def installed_plan() -> Plan:
    """The plan of the call plan layer; the last resort alone where it is missing or broken.

    A call is answered all the same, so a broken plan is logged as an error and never raised.
    """
    try:
        return read_plan((files(PLAN_PACKAGE) / PLAN_FILE).read_text("utf-8"))
    except Exception as error:  # noqa: BLE001 - a call gets an answer whatever is wrong with the plan
        logger.error("the call plan cannot be read, every call gets the last resort", extra={"reason": str(error)})
        return Plan(routes=(Route("last_resort"),), flows={"last_resort": LAST_RESORT}, fallback=LAST_RESORT)


def _is_answer(verbs: object) -> bool:
    return isinstance(verbs, list) and bool(verbs) and all(isinstance(verb, dict) for verb in verbs)


def _read_route(route: Mapping[str, object]) -> Route:
    return Route(
        flow=str(route["flow"]),
        to=_read_patterns(route.get("to")),
        from_=_read_patterns(route.get("from")),
        direction=None if route.get("direction") is None else str(route["direction"]),
    )


def _read_patterns(patterns: object) -> tuple[PartyPattern, ...]:
    if patterns is None:
        return ()
    if not isinstance(patterns, list):
        raise TypeError("patterns are a list")
    return tuple(parse_pattern(pattern) for pattern in patterns)


def parse_pattern(pattern: str) -> PartyPattern:
    """`+14155551234` matches that number, `+1415*` every number that begins so, `*` every party there is."""
    text = pattern.removesuffix("*")
    return PartyPattern(canonical_party(text), prefix=text != pattern)


def _any_matches(patterns: tuple[PartyPattern, ...], party: str | None) -> bool:
    if not patterns:
        return True
    return party is not None and any(pattern.matches(canonical_party(party)) for pattern in patterns)
