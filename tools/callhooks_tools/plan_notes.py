"""What is odd in a plan that jambonz takes: flows that nobody reaches, rounds that a silent caller never leaves."""

from __future__ import annotations

from collections.abc import Iterator

from callhooks.plan import Choose, Go, Next, Plan, Repeat, Target

SILENCE = "timeout"
GATHER = "gather.actionHook"


def notes_on(plan: Plan) -> Iterator[str]:
    """A line for each oddity."""
    reached = _reached(plan)
    for name, flow in plan.flows.items():
        if name not in reached and flow.verbs != plan.fallback:
            yield f"flows.{name}: nothing leads here"
    for circle in _silent_circles(plan):
        yield f"flows.{circle[0]}: a caller who stays silent goes round for ever: {_told(circle)}"


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
