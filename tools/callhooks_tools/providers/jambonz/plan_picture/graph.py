"""A call plan as a graph for the picture: routes, flows with their verbs, and outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from callhooks.providers.jambonz.plan.call_facts import HEADER_PREFIX
from callhooks.providers.jambonz.plan.patterns import PartyPattern, TextCondition
from callhooks.providers.jambonz.plan.plan import Choose, Continue, End, Go, Plan, Repeat, Route, Target, Verb

from callhooks_tools.providers.jambonz.plan_picture.picture import Edge, Graph, Node, Shape

END = Node("end", Shape.END, "Call ends")
MAX_LINE = 88
_NO_BREAK = str.maketrans(" -", "\u00a0\u2011")
_SHOWN = ("name", "url", "referTo", "method", "length", "status", "dtmf", "vendor", "to", "message")
_QUIET_HOOKS = ("actionHook", "transcriptionHook")


def graph_of(plan: Plan, title: str) -> Graph:
    """Return the graph of a plan; a flow that is only the fallback gets an entry "when something is broken"."""
    nodes: list[Node] = []
    edges: list[Edge] = []
    for number, route in enumerate(plan.routes):
        nodes.append(Node(f"route {number}", Shape.ENTRY, _calls_of(route)))
        edges.append(Edge(f"route {number}", f"flow {route.flow}", ()))
    for name, flow in plan.flows.items():
        nodes.append(Node(f"flow {name}", Shape.FLOW, name, tuple(_line(verb) for verb in flow.verbs)))
        edges += _edges(plan, name)
    for name, flow in plan.flows.items():
        if flow.verbs == plan.fallback and not any(edge.target == f"flow {name}" for edge in edges):
            nodes.append(Node("fallback", Shape.ENTRY, "when something is broken"))
            edges.append(Edge("fallback", f"flow {name}", ()))
    return Graph(title, (*nodes, END), tuple(edges))


def _edges(plan: Plan, name: str) -> Iterator[Edge]:
    flow = plan.flows[name]
    for step in flow.steps.values():
        only = sum(1 for following in step.hooks.values() for _ in following.targets) == 1
        leads: dict[str, list[str]] = {}
        for hook, following in step.hooks.items():
            for word, target in following.targets:
                for node, note in _leads(target, name):
                    leads.setdefault(node, []).append(
                        "next" if only and not note and word == "otherwise" else _label(hook, word, note)
                    )
        for node, labels in leads.items():
            yield Edge(f"flow {name}", node, tuple(labels), step.index)
    for index, verb in enumerate(flow.verbs):
        if verb["verb"] in ("hangup", "sip:decline"):
            yield Edge(f"flow {name}", END.id, (), index)


def _leads(target: Target, flow: str) -> Iterator[tuple[str, str]]:
    match target:
        case Go(name):
            yield f"flow {name}", ""
        case Choose(routes):
            for route in routes:
                yield f"flow {route.flow}", _calls_of(route, otherwise="otherwise")
        case End():
            yield END.id, ""
        case Repeat(times, then):
            yield f"flow {flow}", f"{times}\u00d7"
            for node, note in _leads(then, flow):
                yield node, f"then{' ' + note if note else ''}"
        case Continue():
            return


def _label(hook: str, word: str, note: str) -> str:
    member = hook.rpartition(".")[2]
    subject = "" if member in _QUIET_HOOKS else member.removesuffix("Hook")
    words = [subject, "" if word == "otherwise" and subject else word or "finish key only", note]
    return " ".join(text for text in words if text)


def _line(verb: Verb) -> str:
    name = str(verb["verb"])
    parts = [*_texts(verb), *_targets(verb)]
    parts += [str(verb[member]) for member in _SHOWN if isinstance(verb.get(member), str | int | float)]
    line = " ".join([name, *(text for text in parts if text)])
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 1].rstrip()}\u2026"


def _texts(verb: Verb) -> Iterator[str]:
    spoken = verb.get("say")
    for text in (verb.get("text"), spoken.get("text") if isinstance(spoken, dict) else None):
        if isinstance(text, str):
            yield f"\u201c{text}\u201d"
        elif isinstance(text, list) and text:
            yield f"\u201c{text[0]}\u201d"


def _targets(verb: Verb) -> Iterator[str]:
    targets = verb.get("target")
    for target in targets if isinstance(targets, list) else ():
        if isinstance(target, dict):
            yield _target(target)


def _target(target: Mapping[str, object]) -> str:
    address = next((target[key] for key in ("number", "sipUri", "name") if key in target), target.get("type"))
    return str(address).translate(_NO_BREAK)


def _calls_of(route: Route, otherwise: str = "every other call") -> str:
    parts = [
        *(["outbound"] if route.direction == "outbound" else ["inbound"] if route.direction else []),
        *_parties("to", route.to),
        *_parties("from", route.from_),
        *(_text_condition(condition) for condition in route.texts),
        *([f"during {' or '.join(route.during)}"] if route.during else []),
        *([f"outside {' and '.join(route.outside)}"] if route.outside else []),
    ]
    return ", ".join(parts) or otherwise


def _parties(word: str, patterns: tuple[PartyPattern, ...]) -> Iterator[str]:
    if patterns:
        parts = [f"{pattern.text}{'*' if pattern.prefix else ''}".translate(_NO_BREAK) for pattern in patterns]
        yield f"{word} {' or '.join(parts)}"


def _text_condition(condition: TextCondition) -> str:
    mark = ":" if condition.member.startswith(HEADER_PREFIX) else ""
    return f"{condition.name}{mark} {' or '.join('*'.join(pattern.parts) for pattern in condition.patterns)}"
