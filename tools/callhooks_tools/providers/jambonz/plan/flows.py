"""Check of a plan's flows: verbs, `next`, and the targets of hooks."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from callhooks.providers.jambonz.plan.call_facts import FACT_PREFIXES, KNOWN_FACTS
from callhooks.providers.jambonz.plan.outcomes import OUTCOMES
from callhooks.providers.jambonz.plan.parties import dialled_number
from callhooks.providers.jambonz.plan.patterns import Phrase, parse_digits
from callhooks.providers.jambonz.plan.placeholders import (
    HEADERS,
    OWN_DATA,
    PARTIES,
    SPELLED,
    Placeholder,
    TextContext,
    Value,
    context_of,
    fill_in,
    placeholders_in,
    stray_braces,
)
from callhooks.providers.jambonz.plan.plan import HOOK
from callhooks.providers.jambonz.plan.speech import parse_phrase
from pydantic import JsonValue

from callhooks_tools.providers.jambonz.plan.document import PlanPath, did_you_mean
from callhooks_tools.providers.jambonz.plan.numbers import NumberReader
from callhooks_tools.providers.jambonz.plan.server_rules import HOOK_NAME, WITHOUT_HOOKS, markup_fault
from callhooks_tools.providers.jambonz.plan.verb_profiles import long_form

RESERVED = ("end", "continue", "events", "tools")
MAX_REPEATS = 20
EXAMPLE_NUMBER = "4155550150"
STEP_ID_LENGTH = 12

ALIASES = {"stream": "listen", "s2s": "llm", "room": "conference"}
ACTION_HOOK = {"transcribe": "transcriptionHook"}
"""Hook that `next` stands for, unless it is `actionHook`."""
WITHOUT_ACTION_HOOK = frozenset(
    {"alert", "answer", "config", "dtmf", "dub", "hangup", "leave", "pause", "say", "sip:decline", "tag"}
)
"""Verbs without an action hook."""
NESTED_WITH_NEXT = frozenset({"amd", "bargeIn"})
"""Members of a verb with a separate `next`."""

EVENTS_ONLY = frozenset(
    {
        "conference.statusHook",
        "config.bargeIn.partialResultHook",
        "dial.dtmfHook",
        "gather.partialResultHook",
        "llm.eventHook",
        "redirect.statusHook",
        "sip:refer.eventHook",
    }
)
"""Hooks whose response feature-server 0.9.8 ignores, as it does for a listen or transcribe in another verb."""
_ROOM = frozenset({"play", "say", "pause"})
ALLOWED_VERBS = {
    "enqueue.waitHook": _ROOM | {"leave", "tag"},
    "conference.waitHook": _ROOM,
    "conference.enterHook": _ROOM,
    "dial.onHoldHook": _ROOM,
    "dial.confirmHook": _ROOM | {"config", "gather", "hangup", "tag"},
}
"""Hooks that accept only these verbs; feature-server 0.9.8 drops a response with any other verb."""
HOOKS_THAT_CAN_END = frozenset({"enqueue.waitHook", "dial.confirmHook"})
"""Hooks for which jambonz accepts `end`: it leaves the queue, or declines the call."""
REPLACING_IN_CONFIRM = frozenset({"config", "gather", "say", "tag"})

_FLOW_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_URL = re.compile(r"(https?|wss?)://[^/\s]", re.IGNORECASE)
_HOST_IS_COMPLETE = re.compile(r"(?:(?:https?|wss?)://[^/?#\\\s]+[/?#]|\{[A-Za-z][A-Za-z0-9_]*\}/)", re.IGNORECASE)
_KEYS = re.compile(r"[0-9A-D*#]{0,64}", re.ASCII)

Report = Callable[[PlanPath, str], None]


@dataclass(frozen=True, slots=True)
class Lead:
    """A hook that leads to flows: its name as in `OUTCOMES`, and every flow that may follow.

    `ends` and `repeats`: the hook may end the call, or repeat its flow.
    """

    place: PlanPath
    hook: str
    flows: tuple[str, ...]
    ends: bool
    repeats: bool


@dataclass(slots=True)
class PreparedFlow:
    """A flow as the functions read it, and the hooks in it that lead to flows."""

    verbs: list[dict[str, JsonValue]] = field(default_factory=list)
    steps: dict[str, JsonValue] = field(default_factory=dict)
    leads: list[Lead] = field(default_factory=list)
    counts_as: str | None = None

    @property
    def document(self) -> dict[str, JsonValue]:
        """Return the flow as it is in the prepared plan."""
        counts_as: dict[str, JsonValue] = {"counts_as": self.counts_as} if self.counts_as else {}
        return {"verbs": list(self.verbs), "steps": self.steps, **counts_as}


class AnyNumber:
    """A call and variables in which every value is the same number."""

    def fact(self, name: str) -> str | None:  # noqa: ARG002
        """Return the number."""
        return EXAMPLE_NUMBER

    def variable(self, name: str) -> Value | None:  # noqa: ARG002
        """Return `None`: a fact serves as well."""
        return None

    def env_vars(self) -> Mapping[str, object]:
        """Return no variables."""
        return {}


class FlowReader:
    """Reader of flows.

    Args:
        flows: names of all flows.
        variables: the declarations of all variables, by name.
        read_routes: prepares a list of routes, as at the top of the plan.
        report: receives the place and the message of each problem.

    `numbers` reads the numbers in the verbs.
    """

    def __init__(
        self,
        flows: Collection[str],
        variables: Mapping[str, JsonValue],
        read_routes: Callable[[JsonValue, PlanPath], list[JsonValue]],
        report: Report,
    ) -> None:
        self._flows = flows
        self._variables = variables
        self._read_routes = read_routes
        self.report = report
        self.numbers = NumberReader(report)

    def read(self, name: str, written: JsonValue, place: PlanPath) -> PreparedFlow:
        """Prepare one flow."""
        flow = PreparedFlow()
        if not _FLOW_NAME.fullmatch(name) or name in RESERVED:
            reserved = ", ".join(RESERVED)
            self.report(
                place, f"{name!r} is not a valid flow name: use letters, digits, - and _ (reserved: {reserved})"
            )
        if not isinstance(written, list):
            self.report(place, "must be a list of verbs, or a mapping with counts_as and verbs")
            return flow
        if not written:
            self.report(place, "has no verbs: jambonz rejects a call if the response is empty")
        for number, item in enumerate(written):
            self._verb(flow, name, item, (*place, number))
        return flow

    def target(self, written: JsonValue, place: PlanPath) -> tuple[JsonValue, tuple[str, ...]]:
        """Return a target as the functions read it, and the flows that it may lead to."""
        if written in ("end", "continue"):
            return written, ()
        if isinstance(written, str):
            if written not in self._flows:
                self.report(place, self._no_flow(written))
            return {"flow": written}, (written,)
        if isinstance(written, list) and written:
            routes = self._read_routes(written, place)
            return {"routes": routes}, tuple(str(route["flow"]) for route in routes if isinstance(route, dict))
        if isinstance(written, dict) and "repeat" in written:
            return self._repeat(written, place)
        hint = "; put yes, no, on and off in quotes" if isinstance(written, bool) else ""
        self.report(
            place, f"must be the name of a flow, end, continue, {{repeat: 2, then: ...}} or a list of routes{hint}"
        )
        return "continue", ()

    def _repeat(self, written: Mapping[str, JsonValue], place: PlanPath) -> tuple[JsonValue, tuple[str, ...]]:
        known = ("repeat", "say", "then")
        for name in written.keys() - set(known):
            quotes = "; put a string with a comma in quotes" if written[name] is None else ""
            self.report((*place, name), f"unknown member{did_you_mean(name, known) or quotes}")
        times, say = written["repeat"], written.get("say")
        if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= MAX_REPEATS:
            self.report((*place, "repeat"), f"must be a number from 1 to {MAX_REPEATS}")
            times = 1
        if say is not None and (not isinstance(say, str) or not say.strip()):
            self.report((*place, "say"), "must be a string")
        if "then" not in written:
            self.report(place, "needs then: the target after the last repeat, such as end or a flow")
            return "continue", ()
        then, flows = self.target(written["then"], (*place, "then"))
        if isinstance(say, str):
            self._placeholders(say, TextContext.SPEECH, (*place, "say"))
            return {"repeat": times, "say": say, "then": then}, flows
        return {"repeat": times, "then": then}, flows

    def _verb(self, flow: PreparedFlow, flow_name: str, item: JsonValue, place: PlanPath) -> None:
        if not isinstance(item, dict):
            self.report(place, "must be a verb, such as {verb: say, text: Hello}")
            return
        try:
            written = long_form(_with_next_apart(item))
        except ValueError as error:
            self.report(place, str(error))
            return
        verb = str(written["verb"])
        step_id = self._step_id(written, place)
        reader = _HookReader(self, (flow_name, step_id), written)
        prepared = self.numbers.verb(reader.members(written, (), place), place)
        for text, key, within, location in texts_in(prepared, place, verb):
            self._placeholders(text, context_of(key, within, text), location)
        if reader.hooks:
            if step_id in flow.steps:
                relation = "has the same id as" if "id" in written else "is the same as"
                self.report(place, f"{relation} an earlier verb in this flow: give one of them a unique id")
            flow.steps[step_id] = {"index": len(flow.verbs), "verb": canonical_verb(verb), "hooks": reader.hooks}
        flow.leads += reader.leads
        flow.verbs.append(prepared)

    def _step_id(self, written: Mapping[str, JsonValue], place: PlanPath) -> str:
        own = written.get("id")
        if own is None:
            content = json.dumps(_without_hooks(written), sort_keys=True, ensure_ascii=False)
            return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:STEP_ID_LENGTH]
        if not isinstance(own, str) or not _FLOW_NAME.fullmatch(own):
            self.report((*place, "id"), "must consist of letters, digits, - and _, because it is part of a URL")
        return str(own)

    def _placeholders(self, text: str, place: TextContext, location: PlanPath) -> None:
        self._check_number(text, place, location)
        if place is TextContext.SPEECH and (fault := markup_fault(str(fill_in(text, place, AnyNumber())))):
            self.report(location, fault)
        for slip in stray_braces(text):
            self.report(location, f"{slip!r} is not a valid placeholder; write {{{{ and }}}} for braces")
        for one in placeholders_in(text):
            known = {*self._variables, *KNOWN_FACTS}
            is_variable = one.name in self._variables
            if one.name not in known and not one.name.startswith(FACT_PREFIXES):
                hint = did_you_mean(one.name, known) or "; write {{ for a brace"
                self.report(location, f"unknown placeholder {{{one.name}}}{hint}")
            elif one.form not in (None, SPELLED):
                self.report(location, f"{{{one.name}:{one.form}}}: unknown form; write {{{one.name}:{SPELLED}}}")
            elif not is_variable and place is TextContext.ADDRESS and chooses_the_host(text, one):
                self.report(
                    location,
                    f"{{{one.name}}} comes from the caller and must not choose a host: write it, or use a variable",
                )
            elif not is_variable and place is TextContext.SPEECH and one.before.rfind("<") > one.before.rfind(">"):
                self.report(location, f"{{{one.name}}} comes from the caller and must not be inside a tag")

    def _check_number(self, text: str, place: TextContext, location: PlanPath) -> None:
        if fill_in(text, place, AnyNumber()) is None:
            self.report(location, f"{text!r} can never be a number, so jambonz would never receive it")
        for one in placeholders_in(text) if place is TextContext.NUMBER else ():
            for value in _declared_values(self._variables.get(one.name)) if one.is_all else ():
                if value != "" and dialled_number(str(value)) is None:
                    self.report(location, f"must be a number, but {{{one.name}}} can be {value!r}")

    def _no_flow(self, name: str) -> str:
        return f"there is no flow {name!r}{did_you_mean(name, [*self._flows, *RESERVED[:2]])}"


class _HookReader:
    """Reader of one verb: prepares its members, and collects its hooks that lead into the plan."""

    def __init__(
        self,
        reader: FlowReader,
        step: tuple[str, str],
        written: Mapping[str, JsonValue],
    ) -> None:
        self._target = reader.target
        self._report = reader.report
        self.leads: list[Lead] = []
        self.hooks: dict[str, JsonValue] = {}
        self._step = step
        self._verb = canonical_verb(str(written["verb"]))
        self._vendor = str(written.get("vendor") or str(written["verb"]).removesuffix("_s2s"))

    def members(self, written: Mapping[str, JsonValue], path: tuple[str, ...], place: PlanPath) -> dict[str, JsonValue]:
        prepared: dict[str, JsonValue] = {}
        accepts_next = not path or path[-1] in NESTED_WITH_NEXT
        for key, value in written.items():
            location = (*place, key)
            if key == "next" and accepts_next:
                hook = ACTION_HOOK.get(self._verb, "actionHook") if not path else "actionHook"
                if not path and self._verb in WITHOUT_ACTION_HOOK:
                    self._report(
                        location, f"{self._verb} does not report back: remove next; the verb after it follows anyway"
                    )
                    continue
                if hook in written:
                    self._report(location, f"next is another name for {hook}: remove one of them")
                prepared[hook] = self._hook(value, (*path, hook), location)
            elif HOOK_NAME.fullmatch(key) and not (path and path[0] in WITHOUT_HOOKS):
                prepared[key] = self._hook(value, (*path, key), location)
            else:
                prepared[key] = self._member(value, (*path, key), location)
        return prepared

    def _member(self, value: JsonValue, path: tuple[str, ...], place: PlanPath) -> JsonValue:
        if path[0] in WITHOUT_HOOKS:
            return value
        if isinstance(value, dict):
            return self.members(value, path, place)
        if isinstance(value, list):
            return [self._member(member, path, (*place, number)) for number, member in enumerate(value)]
        return value

    def _hook(self, value: JsonValue, path: tuple[str, ...], place: PlanPath) -> JsonValue:
        if isinstance(value, str) and ("/" in value or ":" in value or value.startswith("{")):
            if not _URL.match(value) and not value.startswith("{"):
                self._report(
                    place, "must be the name of a flow or a whole URL: a relative URL leads to callhooks itself"
                )
            return value
        if isinstance(value, dict) and "url" in value:
            return value
        name = self._name(path)
        url = self._link(name, value, place)
        # The JSON Schema of a target rejects a string here, although the server accepts it.
        return {"url": url, "method": "POST"} if path[:1] == ("target",) else url

    def _name(self, path: tuple[str, ...]) -> str:
        if "amd" in path:
            return f"amd.{path[-1]}"
        return ".".join((self._verb, *(part for part in path if part != "target")))

    def _link(self, name: str, value: JsonValue, place: PlanPath) -> JsonValue:
        nested = name.count(".") > 1 and not name.startswith("config.bargeIn.")
        if name.endswith(".toolHook"):
            if value != "tools":
                self._report(place, "must be tools or a URL")
            return {HOOK: ["tools", self._vendor]}
        if name in EVENTS_ONLY or nested:
            if value != "events":
                self._report(place, "jambonz ignores the response to this hook: write events or a URL")
            return {HOOK: ["events", name]}
        if value == "events":
            return {HOOK: ["events", name]}
        following, flows = self._next(name, value, place)
        if self.hooks.get(name, following) != following:
            self._report(place, "all targets of a dial must have the same confirmHook")
        self.hooks[name] = following
        self.leads.append(Lead(place, name, flows, ends=_holds(following, "end"), repeats=_holds(following, "repeat")))
        return {HOOK: ["flows", *self._step, name]}

    def _next(self, name: str, value: JsonValue, place: PlanPath) -> tuple[JsonValue, tuple[str, ...]]:
        if not isinstance(value, dict) or "repeat" in value:
            target, flows = self._target(value, place)
            return {"otherwise": target}, flows
        known = OUTCOMES.get(name)
        prepared: dict[str, JsonValue] = {}
        outcomes: dict[str, JsonValue] = {}
        all_flows: list[str] = []
        for key, written in value.items():
            location = (*place, key)
            word = key.lower().replace("_", "-").replace(" ", "-")
            if word == "digits" and isinstance(written, dict) and "repeat" not in written:
                prepared["digits"], leads = self._digits(written, location)
            elif word == "speech" and isinstance(written, dict) and "repeat" not in written:
                prepared["phrases"], leads = self._phrases(written, location)
            else:
                target, leads = self._target(written, location)
                if word == "otherwise":
                    prepared["otherwise"] = target
                else:
                    outcomes[word] = target
            all_flows += leads
            if word != "otherwise" and word not in (known or ()) and (known or not name.endswith("eventHook")):
                suggestion = did_you_mean(word, [*(known or ()), "otherwise"])
                self._report(location, f"{name} has no outcome {key!r}{suggestion}")
        return {**prepared, "outcomes": outcomes}, tuple(all_flows)

    def _digits(self, written: Mapping[str, JsonValue], place: PlanPath) -> tuple[JsonValue, tuple[str, ...]]:
        pairs: list[JsonValue] = []
        flows: list[str] = []
        for keys, value in written.items():
            target, leads = self._target(value, (*place, keys))
            flows += leads
            pairs.append([keys, target])
            if not _is_keys(keys):
                self._report(
                    (*place, keys), f"{keys!r}: write keys of a phone, such as 1 or 12#, or a dial pattern such as _2XX"
                )
        return pairs, tuple(flows)

    def _phrases(self, written: Mapping[str, JsonValue], place: PlanPath) -> tuple[JsonValue, tuple[str, ...]]:
        earlier: list[tuple[Phrase, JsonValue]] = []
        flows: list[str] = []
        for text, value in written.items():
            target, leads = self._target(value, (*place, text))
            flows += leads
            phrase = parse_phrase(text)
            if any(placeholders_in(text)):
                self._report((*place, text), f"{text!r} is compared as written: a phrase has no placeholders")
            if not phrase.words:
                self._report((*place, text), f"{text!r} never matches: it has no letter and no digit")
                continue
            shadow = next(((one, its) for one, its in earlier if one.is_in(phrase.words)), None)
            if shadow is not None and shadow[1] != target:
                is_same = shadow[0].words == phrase.words
                relation, remedy = (
                    ("is the same phrase", "remove one") if is_same else ("is part of it", "move the longer phrase up")
                )
                self._report(
                    (*place, text),
                    f"{text!r} never matches: {shadow[0].text!r} comes first and {relation}; {remedy}",
                )
            earlier.append((phrase, target))
        return [[phrase.text, target, phrase.words] for phrase, target in earlier], tuple(flows)


def _holds(following: JsonValue, word: str) -> bool:
    if isinstance(following, dict):
        return word in following or any(_holds(member, word) for member in following.values())
    return any(_holds(member, word) for member in following) if isinstance(following, list) else following == word


def _declared_values(schema: JsonValue) -> Iterator[JsonValue]:
    """Yield the default of a variable and the values that it may have."""
    if isinstance(schema, dict):
        choices = schema.get("enum")
        default = schema.get("default", "")
        yield default
        yield from (choice for choice in (choices if isinstance(choices, list) else ()) if choice != default)


def canonical_verb(verb: str) -> str:
    """Resolve the aliases of verbs: to jambonz, `stream` is `listen`."""
    return "llm" if verb.endswith("_s2s") else ALIASES.get(verb, verb)


def lead_problems(flows: Mapping[str, PreparedFlow]) -> Iterator[tuple[PlanPath, str]]:
    """Yield the place and message of each hook that leads to something jambonz does not accept there."""
    for flow in flows.values():
        for lead in flow.leads:
            allowed = ALLOWED_VERBS.get(lead.hook)
            if allowed is None:
                continue
            if lead.ends and lead.hook not in HOOKS_THAT_CAN_END:
                yield lead.place, "must not end the call: jambonz does not accept hangup here"
            if lead.repeats:
                yield lead.place, "must not repeat: jambonz requests this hook again anyway"
            for name in lead.flows:
                for used in sorted(_verbs_used(flows.get(name)) - allowed):
                    only = ", ".join(sorted(allowed))
                    yield lead.place, f"leads to {name!r}, but jambonz does not accept {used} here, only {only}"
            if lead.hook == "dial.confirmHook":
                yield from _confirm_problems(flows, lead)


def _confirm_problems(flows: Mapping[str, PreparedFlow], lead: Lead) -> Iterator[tuple[PlanPath, str]]:
    seen: set[str] = set(lead.flows)
    ahead = list(lead.flows)
    while ahead:
        flow = flows.get(ahead.pop())
        for onward in flow.leads if flow else ():
            if onward.ends:
                yield (
                    onward.place,
                    "must not end a call that is being confirmed: write continue, and put hangup later in the flow",
                )
            for name in onward.flows:
                for used in sorted(_verbs_used(flows.get(name)) - REPLACING_IN_CONFIRM):
                    yield (
                        onward.place,
                        f"leads to {name!r} while a call is being confirmed, but jambonz does not accept {used} then",
                    )
                if name not in seen:
                    seen.add(name)
                    ahead.append(name)


def _verbs_used(flow: PreparedFlow | None) -> set[str]:
    return {str(verb["verb"]) for verb in flow.verbs} if flow else set()


def _is_keys(text: str) -> bool:
    if not text.startswith("_"):
        return _KEYS.fullmatch(text) is not None
    try:
        parse_digits(text)
    except ValueError:
        return False
    return True


def chooses_the_host(text: str, one: Placeholder) -> bool:
    """Return whether a placeholder may become a part of an address before its path."""
    if re.match(r"\s*<?\s*(sips?|tel):", text, re.IGNORECASE):
        return "@" in one.before or "@" not in text
    return _HOST_IS_COMPLETE.match(one.before) is None


def _without_hooks(value: JsonValue | Mapping[str, JsonValue]) -> JsonValue:
    if isinstance(value, Mapping):
        return {
            key: _without_hooks(member)
            for key, member in value.items()
            if key != "next" and not HOOK_NAME.fullmatch(key)
        }
    return [_without_hooks(member) for member in value] if isinstance(value, list) else value


def _with_next_apart(item: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """Move a `next` that is next to a short form into it: the short form has exactly one key."""
    if "verb" in item or "next" not in item or len(item) != 2:
        return item
    ((name, members),) = ((key, value) for key, value in item.items() if key != "next")
    return {name: {**members, "next": item["next"]}} if isinstance(members, dict) else item


def texts_in(
    value: object, place: PlanPath, within: str = "", key: str = ""
) -> Iterator[tuple[str, str, str, PlanPath]]:
    """Yield every text of a verb: the text, the name of its member, the name around that, and its place."""
    if isinstance(value, str):
        yield value, key, within, place
    elif isinstance(value, dict) and HOOK not in value:
        inner = key if key in OWN_DATA | HEADERS | PARTIES and within not in OWN_DATA else within
        for name, member in value.items():
            if name != "verb":
                yield from texts_in(member, (*place, name), inner, name)
    elif isinstance(value, Sequence):
        for number, member in enumerate(value):
            yield from texts_in(member, (*place, number), within, key)
