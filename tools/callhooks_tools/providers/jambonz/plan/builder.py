"""Check of a call plan, and its preparation for the functions that answer calls.

jambonz rejects a whole array of verbs for one unknown member. So the check sees the verbs as jambonz will receive them:
with placeholders and hooks filled in, for the version of jambonz that the plan names. The prepared plan holds the verbs
as written; the check adds no defaults.
"""

from __future__ import annotations

import importlib.util
import json
import re
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from callhooks.calls.call import Result
from callhooks.events.call_event import canonical_party
from callhooks.providers.jambonz.plan.call_facts import FACT_PREFIXES
from callhooks.providers.jambonz.plan.loader import PLAN_FILE, PLAN_FORMAT, PLAN_PACKAGE, PlanUnavailable, read_plan
from callhooks.providers.jambonz.plan.numbers import plain_characters, visible
from callhooks.providers.jambonz.plan.parties import read_pasted
from callhooks.providers.jambonz.plan.patterns import ADDRESSES, TEXT_CONDITIONS, parse_pattern
from callhooks.providers.jambonz.plan.placeholders import placeholders_in
from callhooks.providers.jambonz.plan.plan import HOOK, Flow, Links, Plan, Turn, Variable, Verb
from pydantic import JsonValue

from callhooks_tools.providers.jambonz.plan.calendars import prepared_calendar
from callhooks_tools.providers.jambonz.plan.document import (
    PlanDocument,
    PlanPath,
    PlanProblem,
    PlanProblems,
    did_you_mean,
    read_document,
)
from callhooks_tools.providers.jambonz.plan.flows import (
    EXAMPLE_NUMBER,
    AnyNumber,
    FlowReader,
    PreparedFlow,
    canonical_verb,
    lead_problems,
    texts_in,
)
from callhooks_tools.providers.jambonz.plan.numbers import number_fault, pattern_fault, plain_pattern
from callhooks_tools.providers.jambonz.plan.schema_errors import EMPTY
from callhooks_tools.providers.jambonz.plan.server_rules import markup_fault
from callhooks_tools.providers.jambonz.plan.verb_profiles import Profile, check_verb, verb_faults

MEMBERS = ("jambonz", "variables", "calendars", "routes", "fallback", "flows", "python")
FLOW_MEMBERS = ("counts_as", "verbs")
RESULTS = tuple(result.value for result in Result if result is not Result.IN_PROGRESS)
MODEL_VERBS = frozenset({"agent", "dialogflow", "lex", "llm", "rasa"})
"""Verbs that let a model serve the call."""
ROUTE_MEMBERS = ("flow", "to", "from", "direction", *TEXT_CONDITIONS, "header", "during", "outside")
VARIABLE_MEMBERS = ("type", "description", "default", "required", "enum", "obscure", "uiHint", "jambonzResource")
DIRECTIONS = ("inbound", "outbound")
TYPES: Mapping[str, tuple[type, ...]] = {"string": (str,), "number": (int, float), "boolean": (bool,)}
FALLBACK_VERBS = frozenset({"answer", "config", "hangup", "pause", "play", "say", "sip:decline", "tag"})
"""Verbs that need neither a webhook nor another party."""

_LIKE_A_DIAL_PATTERN = re.compile(r"\+?[0-9]+(?:[XZN]|\[[0-9-]+\])[0-9XZN\[\]!.-]*", re.ASCII)
_VARIABLE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_HEADER_NAME = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+", re.ASCII)


class CheckedPlan(NamedTuple):
    """A plan without faults, prepared for the functions, and warnings about verbs that jambonz may treat otherwise."""

    prepared: str
    warnings: tuple[PlanProblem, ...]


def read_plan_file(path: Path, profile: Profile | None = None) -> str:
    """Read and check a call plan, and return it prepared for the functions (`plan.loader.read_plan` of the layer).

    `profile` overrides the version of jambonz that the plan names.

    Raises:
        PlanProblems: the plan has faults; the exception holds all of them.
        OSError: the file cannot be read.
    """
    return check_plan_file(path, profile).prepared


def check_plan_file(path: Path, profile: Profile | None = None) -> CheckedPlan:
    """Read and check a call plan as `read_plan_file` does, and return the warnings, too."""
    builder = _Builder(read_document(path), path.parent, profile)
    return CheckedPlan(builder.prepared(), tuple(builder.warnings))


def write_package(prepared: str, folder: Path) -> Path:
    """Write the package `callhooks_plan` into a folder, and return the path of the prepared plan.

    It is a package, because an import finds it on Lambda and on the local engine alike.
    """
    package = folder / PLAN_PACKAGE
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text('"""The prepared call plan."""\n', "utf-8")
    target = package / PLAN_FILE
    target.write_text(prepared, "utf-8")
    return target


class _Builder:
    """Builder of one prepared plan, which collects all problems on the way."""

    def __init__(self, document: PlanDocument, folder: Path, profile: Profile | None) -> None:
        self._document = document
        self._members = document.members
        self._folder = folder
        self._problems: list[PlanProblem] = []
        self.warnings: list[PlanProblem] = []
        self._profile = profile or self._written_profile()
        self._calendars: dict[str, JsonValue] = {}
        self._flow_names: tuple[str, ...] = ()
        self._counts_as: dict[str, str] = {}

    def prepared(self) -> str:
        for name in self._members.keys() - set(MEMBERS):
            self._report((name,), f"unknown member{did_you_mean(name, MEMBERS)}")
        variables = self._variables()
        for name, calendar in self._mapping("calendars").items():
            prepared = prepared_calendar(calendar, ("calendars", name), self._report)
            if prepared is not None:
                self._calendars[name] = prepared
        written = self._flows()
        self._flow_names = tuple(written)
        reader = FlowReader(written, variables, self._routes, self._report)
        flows = {name: reader.read(name, flow, ("flows", name)) for name, flow in written.items()}
        for name, flow in flows.items():
            flow.counts_as = self._counts_as.get(name) or _default_result(flow)
        variables = self._with_plain_numbers(variables, reader.numbers.placeholders)
        routes = self._top_routes()
        fallback = self._fallback(flows)
        self._problems += (PlanProblem(text, place, self._line(place)) for place, text in lead_problems(flows))
        self._check_verbs(flows, variables)
        if self._problems:
            raise PlanProblems(sorted(self._problems, key=lambda problem: problem.line or 0))
        return _checked(
            {
                "format": PLAN_FORMAT,
                "jambonz": self._profile.value,
                "variables": variables,
                "numbers": [name for name in sorted(variables) if name in reader.numbers.placeholders],
                "calendars": self._calendars,
                "routes": routes,
                "flows": {name: flow.document for name, flow in flows.items()},
                "fallback": [] if fallback is None else _static(fallback),
            }
        )

    def _report(self, place: PlanPath, message: str) -> None:
        self._problems.append(PlanProblem(message, place, self._line(place)))

    def _line(self, place: PlanPath) -> int | None:
        return self._document.line_of(place)

    def _mapping(self, name: str) -> Mapping[str, JsonValue]:
        value = self._members.get(name)
        if isinstance(value, dict):
            return value
        if value is not None:
            self._report((name,), "must be a mapping")
        return {}

    def _written_profile(self) -> Profile:
        written = self._members.get("jambonz", Profile.OSS.value)
        try:
            return Profile(str(written))
        except ValueError:
            self._report(("jambonz",), f"must be one of {', '.join(repr(profile.value) for profile in Profile)}")
            return Profile.OSS

    def _variables(self) -> dict[str, JsonValue]:
        variables: dict[str, JsonValue] = {}
        for name, schema in self._mapping("variables").items():
            place: PlanPath = ("variables", name)
            if not _VARIABLE_NAME.fullmatch(name):
                self._report(
                    place, f"{name!r} is not a valid variable name: use letters, digits and _, beginning with a letter"
                )
            if isinstance(schema, dict):
                self._check_variable(schema, place)
                variables[name] = schema
            else:
                self._report(place, "must be a mapping with type, description and default")
        return variables

    def _check_variable(self, schema: Mapping[str, JsonValue], place: PlanPath) -> None:
        for name in schema.keys() - set(VARIABLE_MEMBERS):
            self._report((*place, name), f"unknown member{did_you_mean(name, VARIABLE_MEMBERS)}")
        if not isinstance(schema.get("description"), str):
            self._report((*place, "description"), "must be a string: jambonz's portal shows it")
        for flag in ("required", "obscure"):
            if not isinstance(schema.get(flag, False), bool):
                self._report((*place, flag), "must be true or false")
        kind = schema.get("type")
        if isinstance(kind, str) and kind in TYPES:
            self._check_default(schema, kind, place)
        else:
            self._report((*place, "type"), f"must be one of {', '.join(TYPES)}")

    def _check_default(self, schema: Mapping[str, JsonValue], kind: str, place: PlanPath) -> None:
        default, choices = schema.get("default"), schema.get("enum")
        if "default" not in schema and (kind != "string" or schema.get("required") is not True):
            self._report(place, f"a {kind} needs a default, for calls without a value")
        if "default" in schema and not _is_of_type(default, kind):
            self._report((*place, "default"), f"must be a {kind}, because type is {kind}")
        for member, text in (("default", default), *(("enum", one) for one in _listed(choices))):
            if isinstance(text, str) and (fault := markup_fault(text)):
                self._report((*place, member), fault)
        if "enum" not in schema:
            return
        if not (isinstance(choices, list) and choices and all(_is_of_type(one, kind) for one in choices)):
            self._report((*place, "enum"), f"must be a list of {kind} values")
        elif default is not None and default not in choices:
            self._report((*place, "default"), "must be one of the values in enum")

    def _with_plain_numbers(self, variables: Mapping[str, JsonValue], used: Collection[str]) -> dict[str, JsonValue]:
        """Return the variables, with plain numbers in each variable that is used as a number."""
        prepared = dict(variables)
        for name in variables.keys() & used:
            schema = variables[name]
            if isinstance(schema, dict):
                prepared[name] = {
                    member: self._plain(value, ("variables", name, member)) if member in ("default", "enum") else value
                    for member, value in schema.items()
                }
        return prepared

    def _plain(self, value: JsonValue, place: PlanPath) -> JsonValue:
        if isinstance(value, list):
            return [self._plain(one, (*place, number)) for number, one in enumerate(value)]
        if not isinstance(value, str):
            return value
        if fault := number_fault(value):
            self._report(place, fault)
        return read_pasted(value).text

    def _flows(self) -> dict[str, JsonValue]:
        written = dict(self._mapping("flows"))
        if "flows" not in self._members:
            self._report(("flows",), "is missing")
        for name, flow in self._python_flows().items():
            if name in written:
                self._report(
                    ("flows", name), "is defined in the plan and in its Python file: rename or remove one of them"
                )
            written[name] = flow
        return {name: self._verbs(flow, ("flows", name)) for name, flow in written.items()}

    def _verbs(self, flow: JsonValue, place: PlanPath) -> JsonValue:
        """Return the verbs of a flow; its long form also says what the flow counts as."""
        if not isinstance(flow, dict):
            return flow
        for member in flow.keys() - set(FLOW_MEMBERS):
            self._report((*place, member), f"unknown member{did_you_mean(member, FLOW_MEMBERS)}")
        if "counts_as" in flow:
            result = str(flow["counts_as"])
            if result not in RESULTS:
                self._report(
                    (*place, "counts_as"), f"must be one of {', '.join(RESULTS)}{did_you_mean(result, RESULTS)}"
                )
            self._counts_as[str(place[-1])] = result
        return flow.get("verbs")

    def _python_flows(self) -> Mapping[str, JsonValue]:
        """Return the flows that `flows()` builds in the Python file that the plan names."""
        name = self._members.get("python")
        if name is None:
            return {}
        if not isinstance(name, str):
            self._report(("python",), "must be the name of a Python file next to the plan")
            return {}
        try:
            return _flows_of_module(self._folder / name)
        # The user's code may raise anything, and sys.exit() in it must not end the check with success.
        except (Exception, SystemExit) as error:
            first_line = f"{error}".partition("\n")[0]
            self._report(("python",), f"{name}{_line_in(error, name)}: {type(error).__name__}: {first_line}")
            # Without its flows, every reference to them would look wrong as well.
            raise PlanProblems(self._problems) from error

    def _top_routes(self) -> list[JsonValue]:
        written = self._members.get("routes")
        if not isinstance(written, list) or not written:
            self._report(("routes",), "must be a list of routes; the last one takes every call: {flow: NAME}")
            return []
        return self._routes(written, ("routes",))

    def _routes(self, written: JsonValue, place: PlanPath) -> list[JsonValue]:
        routes: list[JsonValue] = []
        members = written if isinstance(written, list) else []
        for number, route in enumerate(members):
            location = (*place, number)
            if not isinstance(route, dict):
                self._report(location, 'must be a mapping with a flow, such as {to: "+1415*", flow: sales}')
                continue
            routes.append(self._route(route, location))
            is_open = not route.keys() - {"flow"}
            if is_open and number < len(members) - 1:
                self._report(
                    location, "takes every call, so no later route is reached: add a condition or move it to the end"
                )
            if not is_open and number == len(members) - 1:
                self._report(
                    location, "the last route must take every call: remove its conditions, or add {flow: NAME} after it"
                )
        return routes

    def _route(self, route: Mapping[str, JsonValue], place: PlanPath) -> dict[str, JsonValue]:
        for name in route.keys() - set(ROUTE_MEMBERS):
            self._report((*place, name), f"unknown member{did_you_mean(name, ROUTE_MEMBERS)}")
        flow = route.get("flow")
        if flow is None:
            self._report(place, "has no flow: write flow: NAME")
        elif flow not in self._flow_names:
            self._report((*place, "flow"), f"there is no flow {flow!r}{did_you_mean(str(flow), self._flow_names)}")
        if route.get("direction", "inbound") not in DIRECTIONS:
            self._report((*place, "direction"), "must be inbound or outbound")
        readers: Mapping[str, Callable[[JsonValue, PlanPath], JsonValue]] = {
            "flow": lambda written, _: written,
            "direction": lambda written, _: written,
            "to": self._parties,
            "from": self._parties,
            **dict.fromkeys(TEXT_CONDITIONS, self._texts),
            "during": self._calendar_names,
            "outside": self._calendar_names,
            "header": self._headers,
        }
        return {name: readers[name](value, (*place, name)) for name, value in route.items() if name in readers}

    def _parties(self, written: JsonValue, place: PlanPath) -> list[JsonValue]:
        patterns = written if isinstance(written, list) else [written]
        if not patterns:
            self._report(place, "is empty: write a number, a pattern or a list of them")
        prepared: list[JsonValue] = []
        for number, pattern in enumerate(patterns):
            location = (*place, number) if isinstance(written, list) else place
            # YAML reads an unquoted 0301234567 as an octal number.
            if not isinstance(pattern, str):
                self._report(location, 'must be a number in quotes, a pattern such as "+1415*", or a list of them')
                continue
            plain = plain_pattern(pattern)
            form = _form_fault(plain_characters(pattern).strip())
            if fault := (form or pattern_fault(pattern)) if plain.isascii() else (pattern_fault(pattern) or form):
                self._report(location, fault)
            prepared.append(plain)
        return prepared

    def _texts(self, written: JsonValue, place: PlanPath) -> list[JsonValue]:
        texts = [
            visible(text) if isinstance(text, str) else text
            for text in (written if isinstance(written, list) else [written])
        ]
        if not texts or not all(isinstance(text, str) and text for text in texts):
            self._report(place, "must be a string (* matches anything) or a list of strings")
        if place[-1] in ADDRESSES and any("/" in str(text) for text in texts):
            self._report(
                place, 'must be an address or its beginning, such as "198.51.100.*": networks are not compared'
            )
        return [text for text in texts if isinstance(text, str)]

    def _calendar_names(self, written: JsonValue, place: PlanPath) -> list[JsonValue]:
        names = written if isinstance(written, list) else [written]
        known = self._mapping("calendars")
        if not names:
            self._report(place, "is empty: name at least one calendar")
        for name in names:
            if not isinstance(name, str) or name not in known:
                self._report(place, f"there is no calendar {name!r}{did_you_mean(str(name), known)}")
        return list(names)

    def _headers(self, written: JsonValue, place: PlanPath) -> dict[str, JsonValue]:
        if not isinstance(written, dict) or not written:
            self._report(place, "must be a mapping, such as {X-Department: sales}")
            return {}
        for name in written:
            if not _HEADER_NAME.fullmatch(name):
                self._report((*place, name), "is not a valid name of a SIP header")
        return {name: self._texts(text, (*place, name)) for name, text in written.items()}

    def _fallback(self, flows: Mapping[str, PreparedFlow]) -> PreparedFlow | None:
        name = self._members.get("fallback")
        place: PlanPath = ("fallback",)
        if name is None:
            self._report(place, "is missing: name the flow that answers when something is broken")
            return None
        if not isinstance(name, str) or name not in flows:
            self._report(place, f"there is no flow {name!r}{did_you_mean(str(name), flows)}")
            return None
        flow = flows[name]
        needs_others = sorted({str(verb["verb"]) for verb in flow.verbs} - FALLBACK_VERBS)
        if needs_others:
            self._report(
                place, f"the flow {name!r} must work while everything else is broken: remove {', '.join(needs_others)}"
            )
        if HOOK in json.dumps(flow.verbs):
            self._report(
                place, f"the flow {name!r} must work while everything else is broken: remove next and all other hooks"
            )
        if any(True for text, *_ in texts_in(list(flow.verbs), place) for _ in placeholders_in(text)):
            self._report(place, f"the flow {name!r} must work while everything else is broken: remove the placeholders")
        return flow

    def _check_verbs(self, flows: Mapping[str, PreparedFlow], variables: Mapping[str, JsonValue]) -> None:
        """Check the verbs of every flow as jambonz would receive them, with an example value for each placeholder."""
        declared = {name: _example_of(schema) for name, schema in variables.items() if isinstance(schema, dict)}
        for name, flow in flows.items():
            for number, verb in _examples_of(flow, declared, AnyNumber()):
                place: PlanPath = ("flows", name, number)
                for fault in check_verb(_as_json(verb), self._profile):
                    add = self._warn if fault.is_warning else self._report
                    add((*place, *fault.location), f"{fault.message}{self._in_verb(verb, fault.location)}")
            for number, verb in _examples_of(flow, declared, _CallWithoutData()):
                for fault in verb_faults(_as_json(verb), self._profile):
                    self._warn_if_empty(("flows", name, number, *fault.location), fault.message)

    def _warn(self, place: PlanPath, message: str) -> None:
        self.warnings.append(PlanProblem(message, place, self._line(place)))

    def _warn_if_empty(self, place: PlanPath, message: str) -> None:
        if message == EMPTY and all(problem.place != place for problem in self._problems):
            self._warn(
                place,
                "is empty in a call without this header or data, and jambonz then rejects the whole response: "
                "write a default, such as {sip.X-Room|lobby}",
            )

    def _in_verb(self, verb: Verb, location: Sequence[int | str]) -> str:
        return f" ({verb['verb']}, jambonz {self._profile.value})" if location else ""


def _default_result(flow: PreparedFlow) -> str | None:
    has_model = any(canonical_verb(str(verb["verb"])) in MODEL_VERBS for verb in flow.verbs)
    return Result.SELF_SERVICE.value if has_model else None


def _form_fault(pattern: str) -> str:
    if pattern.startswith("_"):
        try:
            parse_pattern(plain_pattern(pattern))
        except ValueError:
            return f"{pattern!r} is not a dial pattern: write _, then digits, X, Z, N or [2-5]; . or ! at the end"
    elif _LIKE_A_DIAL_PATTERN.fullmatch(pattern):
        return f"{pattern!r} looks like a dial pattern: begin it with _"
    elif "*" in pattern[:-1]:
        return f"{pattern!r}: * is allowed only at the end"
    elif pattern != "*" and canonical_party(pattern.removesuffix("*")) in ("", "+"):
        return f'{pattern!r} matches no number; write "*" to match every number'
    return ""


def _static(flow: PreparedFlow) -> list[JsonValue]:
    """Return the verbs of a flow that has no placeholders and no hooks."""
    return [_as_json(verb) for _, verb in _examples_of(flow, {}, AnyNumber())]


def _examples_of(flow: PreparedFlow, variables: Mapping[str, Variable], call: AnyNumber) -> Iterator[tuple[int, Verb]]:
    """Yield the verbs of a flow with their index as jambonz would receive them in a call."""
    links = Links("https://hooks.example.com", "example")
    for number, verb in enumerate(flow.verbs):
        # A default that is no number leaves out the verb that needs one.
        for declared in (variables, dict.fromkeys(variables, Variable("string", EXAMPLE_NUMBER, {}))):
            plan = Plan(routes=(), flows={"": Flow([verb])}, fallback=(), variables=declared)
            ((_, filled),) = plan.filled_verbs(Turn(""), call, links)
            if filled is not None:
                yield number, filled
                break


class _CallWithoutData(AnyNumber):
    """A call without SIP headers and without `customerData`."""

    def fact(self, name: str) -> str | None:
        return None if name.startswith(FACT_PREFIXES) else super().fact(name)


def _flows_of_module(path: Path) -> Mapping[str, JsonValue]:
    spec = importlib.util.spec_from_file_location("call_plan_flows", path)
    if spec is None or spec.loader is None:
        raise ValueError("is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    build = getattr(module, "flows", None)
    if build is None:
        raise ValueError("has no function flows()")
    built = build()
    if not isinstance(built, dict):
        raise TypeError("flows() must return a dictionary of flows by name")
    return {
        str(name): {**flow, "verbs": _as_list(flow.get("verbs"))} if isinstance(flow, dict) else _as_list(flow)
        for name, flow in built.items()
    }


def _as_list(verbs: object) -> JsonValue:
    """Convert a `VerbBuilder` of the SDK, or a list of verbs, to plain JSON."""
    listed: JsonValue = json.loads(json.dumps(verbs.to_list() if hasattr(verbs, "to_list") else verbs))
    for verb in listed if isinstance(listed, list) else ():
        for name in ("say", "play"):
            nested = verb.get(name) if isinstance(verb, dict) else None
            if isinstance(nested, dict) and nested.get("verb") == name:
                # The builder adds it, but jambonz 0.9 rejects it.
                del nested["verb"]
    return listed


def _line_in(error: BaseException, name: str) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).name == Path(name).name]
    return f":{lines[-1]}" if lines else ""


def _as_json(verb: Verb) -> dict[str, JsonValue]:
    plain: dict[str, JsonValue] = json.loads(json.dumps(verb))
    return plain


def _example_of(schema: Mapping[str, JsonValue]) -> Variable:
    kind = str(schema.get("type"))
    choices, default = schema.get("enum"), schema.get("default")
    if default is None:
        default = choices[0] if isinstance(choices, list) and choices else "1"
    return Variable(kind, default if isinstance(default, str | int | float) else "1", schema)


def _listed(value: JsonValue) -> Sequence[JsonValue]:
    return value if isinstance(value, list) else ()


def _is_of_type(value: JsonValue, kind: str) -> bool:
    is_finite = not isinstance(value, float) or isfinite(value)
    return is_finite and isinstance(value, TYPES[kind]) and isinstance(value, bool) == (kind == "boolean")


def _checked(document: Mapping[str, JsonValue]) -> str:
    """Serialise the prepared plan, and make sure that the functions can read it."""
    prepared = json.dumps(document, ensure_ascii=False, indent=1)
    try:
        read_plan(prepared)
    except PlanUnavailable as error:
        raise PlanProblems([PlanProblem(str(error))]) from error
    return prepared
