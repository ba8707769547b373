"""Notes on a valid plan: unreachable flows, endless silent loops, needless phrases, public phone numbers, and values
that cannot be dialled."""

from __future__ import annotations

import re
from collections.abc import Iterator

from callhooks.providers.jambonz.plan.numbers import PHONE_DIGITS, plain_characters
from callhooks.providers.jambonz.plan.parties import dialled_number
from callhooks.providers.jambonz.plan.placeholders import TextContext, context_of, is_required, placeholders_in
from callhooks.providers.jambonz.plan.plan import Choose, Continue, Flow, Go, Next, Plan, Repeat, Target

from callhooks_tools.providers.jambonz.plan.document import PlanPath, PlanProblem
from callhooks_tools.providers.jambonz.plan.flows import texts_in

SILENCE = "timeout"
GATHER = "gather.actionHook"
MIN_UNQUOTED_DIGITS = 10
"""A shorter value of the type number is usually a duration or an amount."""

_KIND = {TextContext.NUMBER: "a number", TextContext.USER: "a number or SIP user", TextContext.KEYS: "phone keys"}
_DIALS = ("name", "number")

_SCHEME = re.compile(r"\s*(tel|callto|sips?):(//)?", re.IGNORECASE)
_AFTER_A_NUMBER = re.compile(r"[@;].*|\s*(ext\.?|x|#)\s*[0-9]+\s*$", re.IGNORECASE | re.DOTALL)
_NUMBER_IN_A_TEXT = re.compile(r"(?<![0-9A-Za-z])(?:\+|00)[1-9](?:[\s\-.()/]*[0-9]){6,14}(?![0-9])", re.ASCII)


def notes_on(plan: Plan) -> Iterator[str]:
    """Yield one line for each unreachable flow and each endless loop."""
    reached = _reached(plan)
    for name, flow in plan.flows.items():
        if name not in reached and flow.verbs != plan.fallback:
            yield f"flows.{name}: no route and no hook leads to this flow"
    for loop in _silent_loops(plan):
        yield f"flows.{loop[0]}: a silent caller never leaves this loop: {_shown(loop)}"


def public_numbers(plan: Plan) -> Iterator[PlanProblem]:
    """Yield a note for each `default` and `enum` of a variable that contains a phone number."""
    for name, variable in plan.variables.items():
        choices = variable.schema.get("enum")
        declared = [("default", variable.schema.get("default"))]
        declared += [("enum", choice) for choice in (choices if isinstance(choices, list) else ())]
        for member in dict.fromkeys(member for member, value in declared if is_phone_number(value)):
            yield PlanProblem(
                "contains a phone number that anyone can read (OPTIONS needs no credentials): use a default that may "
                "be public and set the number in jambonz, or write the number in the flow",
                ("variables", name, member),
            )


def needless_phrases(plan: Plan) -> Iterator[PlanProblem]:
    """Yield a note for each phrase of speech that an earlier one with the same target makes unnecessary."""
    for name, flow in plan.flows.items():
        for step in flow.steps.values():
            for hook, following in step.hooks.items():
                phrases = [phrase for phrase, _ in following.phrases]
                for number, phrase in enumerate(phrases):
                    earlier = next((one for one in phrases[:number] if one.is_in(phrase.words)), None)
                    if earlier is not None:
                        place: PlanPath = ("flows", name, step.index, *hook.split(".")[1:], "speech", phrase.text)
                        yield PlanProblem(f"not needed: {earlier.text!r} comes first and has the same target", place)


def undialled_values(plan: Plan) -> Iterator[PlanProblem]:
    """Yield a note for each placeholder whose value may be unfit to be dialled, with what happens then."""
    for name, flow in plan.flows.items():
        for index, verb in enumerate(flow.verbs):
            for text, key, within, place in texts_in(verb, ("flows", name, index), str(verb["verb"])):
                kind = _KIND.get(context_of(key, within, text))
                facts = [one for one in placeholders_in(text) if one.name not in plan.variables and not one.default]
                if kind is not None and facts:
                    then = _without_value(flow, index, key, within)
                    yield PlanProblem(f"{{{facts[0].name}}} might not be {kind}: then {then}", place)


def _without_value(flow: Flow, index: int, key: str, within: str) -> str:
    verb = flow.verbs[index]
    step = next((step for step in flow.steps.values() if step.index == index), None)
    following = step.hooks.get(f"{step.verb}.actionHook") if step else None
    after = "the next verb follows; write otherwise in next to choose a flow"
    if following is not None and following.otherwise != Continue():
        after = f"the target of otherwise{_named(following.otherwise)} follows"
    if within == "target" and key in _DIALS:
        return f"jambonz does not ring this target, and without another target {after}"
    return after if is_required(key, verb) else f"{key} is left out"


def _named(target: Target) -> str:
    while isinstance(target, Repeat):
        target = target.then
    return f" ({target.flow})" if isinstance(target, Go) else ""


def is_phone_number(value: object) -> bool:
    """Return whether a value is a phone number in any notation, a list of them, or a string that contains one."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return False
    if isinstance(value, int):
        return MIN_UNQUOTED_DIGITS <= len(str(value)) <= PHONE_DIGITS[-1]
    text = plain_characters(value)
    return _NUMBER_IN_A_TEXT.search(text) is not None or any(map(_is_number, re.split(r"[,|\n]|;(?!\w+=)", text)))


def _is_number(text: str) -> bool:
    number = dialled_number(_AFTER_A_NUMBER.sub("", _SCHEME.sub("", text, count=1)))
    return number is not None and len(number.removeprefix("+")) in PHONE_DIGITS


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


def _silent_loops(plan: Plan) -> Iterator[tuple[str, ...]]:
    onward = {name: _after_silence(plan, name) for name in plan.flows}
    reported: set[frozenset[str]] = set()
    for start in plan.flows:
        path: list[str] = []
        flow: str | None = start
        while flow is not None and flow not in path:
            path.append(flow)
            flow = onward.get(flow)
        if flow is not None and frozenset(path[path.index(flow) :]) not in reported:
            loop = path[path.index(flow) :]
            reported.add(frozenset(loop))
            yield tuple(loop)


def _after_silence(plan: Plan, name: str) -> str | None:
    """Return the flow that a silent caller reaches from the first gather of a flow; `None` if there is none."""
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


def _shown(loop: tuple[str, ...]) -> str:
    return " \u2192 ".join((*loop, loop[0]))
