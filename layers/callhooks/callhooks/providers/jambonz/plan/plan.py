"""The prepared call plan at run time: the flow for a call, its verbs, and the response to each hook.

Every flow was checked when the plan was built, so nothing is checked while a caller waits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeAlias
from urllib.parse import quote, urlencode, urlsplit

from callhooks.events.call_event import canonical_party, direction_of
from callhooks.providers.jambonz.plan.call_signature import call_signature
from callhooks.providers.jambonz.plan.opening_hours import Calendar
from callhooks.providers.jambonz.plan.outcomes import VerbOutcome
from callhooks.providers.jambonz.plan.parties import read_pasted
from callhooks.providers.jambonz.plan.patterns import PartyPattern, Phrase, TextCondition
from callhooks.providers.jambonz.plan.placeholders import (
    HEADERS,
    OWN_DATA,
    PARTIES,
    Value,
    context_of,
    fill_in,
    is_required,
)

Verb: TypeAlias = Mapping[str, object]
Verbs: TypeAlias = Sequence[Verb]

HOOK = "@hook"
"""The only member of an object that marks the position of a hook's URL in a prepared verb."""
RETRY_FRAGMENT = "#rc=2&rp=all"

VOICEMAIL, SELF_SERVICE, NOT_ANSWERED = "voicemail", "self_service", "not_answered"
"""Results of calls, as in `callhooks.calls.call.Result`, which the functions that answer calls do not import."""
_OUTCOMES_WITH_RESULT: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    VOICEMAIL: {
        "listen.actionHook": ("completed",),
        "transcribe.transcriptionHook": ("speech",),
        "gather.actionHook": ("speech",),
        "dial.actionHook": ("completed",),
    },
    SELF_SERVICE: {"llm.actionHook": ("completed", "disconnected", "tool-error")},
}
"""A message was left if it was recorded, recognised, or taken by a mailbox that was dialled."""
_ENDS = frozenset({"completed", "busy", "no-answer", "failed"})
_WITH_A_PARTY = {
    "dial.actionHook": "completed",
    "enqueue.actionHook": "bridged",
    "dequeue.actionHook": "complete",
    "sip:refer.actionHook": "completed",
}

HANGUP: Verbs = ({"verb": "hangup"},)
LEAVE: Verbs = ({"verb": "leave"},)
_REDIRECT = "redirect."
BUILTIN_VERBS: Verbs = (
    {"verb": "say", "text": "We are sorry, we cannot take your call right now. Please try again later."},
    {"verb": "hangup"},
)
"""Response to a call if even the fallback of the plan cannot be read."""


class CallFacts(Protocol):
    """Data of a call, for the conditions of routes and for placeholders."""

    def fact(self, name: str) -> str | None:
        """Return a fact by jambonz's name of the member, `sip.<header>` or similar; `None` if unknown."""

    def env_vars(self) -> Mapping[str, object]:
        """Return the application's variables as set in jambonz."""


class Route(NamedTuple):
    """Rule that sends a call to a flow. An empty condition holds for every call."""

    flow: str
    to: tuple[PartyPattern, ...] = ()
    from_: tuple[PartyPattern, ...] = ()
    direction: str | None = None
    texts: tuple[TextCondition, ...] = ()
    during: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    def matches(self, call: CallFacts, calendars: Mapping[str, Calendar], now: datetime) -> bool:
        """Return whether all conditions hold; a condition on a member that the call lacks does not."""
        return (
            (not self.during or any(calendars[name].is_open(now) for name in self.during))
            and not any(calendars[name].is_open(now) for name in self.outside)
            and (self.direction is None or self.direction == direction_of(call.fact("direction")))
            and _party_matches(self.to, call, "to")
            and _party_matches(self.from_, call, "from")
            and all(_text_matches(condition, call) for condition in self.texts)
        )


class Go(NamedTuple):
    """Continue with another flow."""

    flow: str


class Choose(NamedTuple):
    """Continue with the flow of the first matching route."""

    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class End:
    """End the call; in the wait hook of a queue, leave the queue."""


@dataclass(frozen=True, slots=True)
class Continue:
    """Let jambonz continue with the verbs that it has."""


class Repeat(NamedTuple):
    """Repeat the flow from this verb on, at most `times` times, after speaking `say`; then go to `then`."""

    times: int
    then: Target
    say: str | None = None


Target: TypeAlias = "Go | Choose | End | Continue | Repeat"


class Next(NamedTuple):
    """Targets of a hook: by the digits entered, by a phrase spoken, or by the name of the outcome."""

    outcomes: Mapping[str, Target] = MappingProxyType({})
    digits: tuple[tuple[PartyPattern, Target], ...] = ()
    phrases: tuple[tuple[Phrase, Target], ...] = ()
    otherwise: Target = Continue()

    def after(self, outcome: VerbOutcome) -> Target:
        """Return the target of an outcome; `otherwise` if it has none."""
        if outcome.digits is not None:
            for pattern, target in self.digits:
                if pattern.matches(outcome.digits):
                    return target
        if outcome.speech and self.phrases:
            from callhooks.providers.jambonz.plan.speech import spoken_words  # noqa: PLC0415 - few calls need it

            for transcript in outcome.speech:
                spoken = spoken_words(transcript)
                for phrase, target in self.phrases:
                    if phrase.is_in(spoken):
                        return target
        return next((self.outcomes[name] for name in outcome.names if name in self.outcomes), self.otherwise)

    @property
    def targets(self) -> Iterator[tuple[str, Target]]:
        """Yield every target with the word that selects it, in the order of the plan."""
        yield from ((pattern.text, target) for pattern, target in self.digits)
        yield from ((phrase.text, target) for phrase, target in self.phrases)
        yield from self.outcomes.items()
        if self.otherwise != Continue():
            yield "otherwise", self.otherwise


@dataclass(frozen=True, slots=True)
class Step:
    """A verb that reports back: its index in the flow, and the targets of each of its hooks."""

    index: int
    verb: str
    hooks: Mapping[str, Next]


class Flow(NamedTuple):
    """Verbs with placeholders and hooks to fill in; `steps` are the verbs that report back, by id.

    `counts_as` is the result that a call has through this flow, `None` if the flow says nothing about it.
    """

    verbs: Verbs
    steps: Mapping[str, Step] = MappingProxyType({})
    counts_as: str | None = None

    @property
    def counts_when_entered(self) -> bool:
        """Return whether the flow counts as soon as a call enters it, because none of its hooks reports the result."""
        return not any(self.reports_on(step, hook) for step in self.steps.values() for hook in step.hooks)

    def reports_on(self, step: Step, hook: str) -> tuple[str, ...]:
        """Return the outcomes of a hook that give a call the result of this flow."""
        if hook == "gather.actionHook" and "speech" not in str(self.verbs[step.index].get("input")):
            return ()
        return _OUTCOMES_WITH_RESULT.get(self.counts_as or "", {}).get(hook, ())


class Variable(NamedTuple):
    """A variable of the application; `schema` is its declaration for jambonz (`AppEnv`).

    `is_number` says that the plan dials it, or uses it as a caller id.
    """

    type: str
    default: Value
    schema: Mapping[str, object]
    is_number: bool = False

    def value_of(self, configured: object) -> Value:
        """Return the value set in jambonz if it has, or converts to, the declared type; otherwise the default."""
        value = self._read(configured)
        if self.is_number and isinstance(value, str):
            value = read_pasted(value).text
        choices = self.schema.get("enum")
        return value if not isinstance(choices, list) or value in choices else self.default

    def _read(self, configured: object) -> Value:
        if configured is None or configured == "":
            return self.default
        if self.type == "string":
            return (
                str(configured)
                if isinstance(configured, str | int) and not isinstance(configured, bool)
                else self.default
            )
        if self.type == "boolean":
            return _FLAGS.get(str(configured).lower(), self.default)
        return _number(configured, self.default)


@dataclass(frozen=True, slots=True)
class Turn:
    """The next response: a flow from one of its verbs on, after an optional text to speak.

    `repeated` counts the repeats of the first step, including this one.
    """

    flow: str
    index: int = 0
    say: str | None = None
    repeated: int = 0


class Links(NamedTuple):
    """Data for the URLs of hooks. `hop` counts the responses of a call, so that every hook URL is unique.

    `key` signs the call in the URLs of hooks whose body does not identify it; without a key they are not signed.
    """

    base_url: str
    call_sid: str
    hop: int = 0
    key: str = ""

    @property
    def call(self) -> dict[str, str]:
        """Return the query parameters that identify the call."""
        signature = {"sig": call_signature(self.key, self.call_sid)} if self.key and self.call_sid else {}
        return {"call": self.call_sid, **signature}


class PlanAnswer(NamedTuple):
    """Response to a hook: the verbs, the flows they come from, and the result that they give the call."""

    verbs: Verbs
    flows: tuple[str, ...] = ()
    counts_as: str | None = None


NO_ANSWER = PlanAnswer(())


class Answering(NamedTuple):
    """The flow that takes the calls to a number, and the parties that it may ring."""

    flow: str
    rings: tuple[str, ...]


class Plan(NamedTuple):
    """Routes in order (the last one takes every call), and flows by name.

    `uses_builtin_plan` is set if no plan could be read and this is the built-in one.
    """

    routes: tuple[Route, ...]
    flows: Mapping[str, Flow]
    fallback: Verbs
    calendars: Mapping[str, Calendar] = MappingProxyType({})
    variables: Mapping[str, Variable] = MappingProxyType({})
    uses_builtin_plan: bool = False

    def flow_for(self, call: CallFacts, now: datetime) -> str:
        """Return the flow of the first matching route."""
        return self._first_match(self.routes, call, now)

    def answer(self, turn: Turn, call: CallFacts, links: Links, now: datetime) -> PlanAnswer:
        """Return the verbs of a turn, with placeholders and hooks filled in, and the flows that the call enters.

        A verb that needs a number and has none is not sent. The target of its action hook's `otherwise` follows, as if
        it had failed; without one, the next verb does.
        """
        verbs: list[Verb] = []
        entered: list[str] = []
        after: Turn | Verbs = turn
        while isinstance(after, Turn) and after.flow not in entered:
            entered.append(after.flow)
            turn, after = after, ()
            for index, verb in self.filled_verbs(turn, call, links):
                if verb is not None:
                    verbs.append(verb)
                elif after := self._after_no_number(turn.flow, index, call, now):
                    break
        # A remaining turn leads to a flow that the answer already contains.
        verbs += HANGUP if isinstance(after, Turn) else after
        flows = [self.flows[name] for name in entered]
        marks = [flow.counts_as for flow in flows if flow.counts_as and flow.counts_when_entered]
        return PlanAnswer(verbs or HANGUP, tuple(entered), marks[-1] if marks else None)

    def answer_after(
        self, place: HookPlace, outcome: VerbOutcome, call: CallFacts, links: Links, now: datetime
    ) -> PlanAnswer:
        """Return the response to a hook; without verbs, jambonz continues with the ones that it has.

        A call that has ended enters no flow: jambonz requests the verbs, but nobody hears them.

        If the hook reports the result of its own flow, such as a message, that result counts, and not the results of
        the flows that follow. If it reports that a party took the call, none of them counts: the call has reached a
        person.
        """
        flow = self.flows.get(place.flow)
        step = flow.steps.get(place.step) if flow else None
        following = step.hooks.get(place.hook) if step else None
        if flow is None or step is None or following is None or outcome.is_interim:
            return NO_ANSWER
        turn = self._turn(following.after(outcome), step, place, call, now)
        answer = self.answer(turn, call, links, now) if isinstance(turn, Turn) else PlanAnswer(turn)
        if (call.fact("call_status") or "").lower() in _ENDS:
            answer = PlanAnswer(answer.verbs)
        reported = flow.reports_on(step, place.hook)
        if any(name in reported for name in outcome.names) and not _is_empty(place.hook, outcome, call):
            return answer._replace(counts_as=flow.counts_as)
        return answer._replace(counts_as=None) if _WITH_A_PARTY.get(place.hook) in outcome.names else answer

    def filled_verbs(self, turn: Turn, call: CallFacts, links: Links) -> Iterator[tuple[int, Verb | None]]:
        """Yield the verbs of a turn with their index, filled in; `None` for a verb that lacks a number it needs."""
        flow = self.flows[turn.flow]
        repeated = next((step_id for step_id, step in flow.steps.items() if step.index == turn.index), None)
        filling = _Filling(self, call, links, repeated if turn.repeated else None, turn.repeated)
        if turn.say:
            yield turn.index, filling.verb({"verb": "say", "text": turn.say})
        for index, verb in enumerate(flow.verbs[turn.index :], turn.index):
            yield index, filling.verb(verb)

    def _after_no_number(self, flow: str, index: int, call: CallFacts, now: datetime) -> Turn | Verbs:
        step = next((step for step in self.flows[flow].steps.values() if step.index == index), None)
        hook = f"{step.verb}.actionHook" if step else ""
        following = step.hooks.get(hook) if step else None
        if step is None or following is None:
            return ()
        target = following.otherwise
        while isinstance(target, Repeat):
            # The verb would lack its number again.
            target = target.then
        return self._turn(target, step, HookPlace(flow, "", hook), call, now)

    def variables_schema(self) -> Mapping[str, Mapping[str, object]]:
        """Return the declaration of the variables that jambonz's portal requests by `OPTIONS`."""
        return {name: variable.schema for name, variable in self.variables.items()}

    def open_calendars(self, now: datetime) -> Mapping[str, bool]:
        """Return for each calendar whether it is open."""
        return {name: calendar.is_open(now) for name, calendar in self.calendars.items()}

    def next_change(self, calendar: str, now: datetime) -> datetime | None:
        """Return when a calendar next opens or closes, in its time zone.

        Raises:
            KeyError: there is no such calendar.
        """
        hours = self.calendars[calendar]
        change = hours.next_change(now)
        return change.astimezone(hours.zone) if change else None

    def who_answers(self, number: str, now: datetime) -> Answering:
        """Return the flow that takes an inbound call to a number now, and all parties that it may ring."""
        call = _InboundCall(number)
        flow = self.flow_for(call, now)
        return Answering(flow, tuple(dict.fromkeys(self._rings(flow, call, now))))

    def _first_match(self, routes: Sequence[Route], call: CallFacts, now: datetime) -> str:
        matching = (route.flow for route in routes if route.matches(call, self.calendars, now))
        return next(matching, routes[-1].flow)

    def _turn(self, target: Target, step: Step, place: HookPlace, call: CallFacts, now: datetime) -> Turn | Verbs:
        match target:
            case Go(flow):
                return Turn(flow) if flow in self.flows else ()
            case Choose(routes):
                return Turn(self._first_match(routes, call, now))
            case End():
                return LEAVE if place.hook.endswith("enqueue.waitHook") else HANGUP
            case Continue():
                return ()
            case Repeat(times, then, say):
                if place.repeated < times:
                    return Turn(place.flow, step.index, say, place.repeated + 1)
                return self._turn(then, step, place, call, now)

    def _rings(self, first: str, call: CallFacts, now: datetime) -> Iterator[str]:
        seen: set[str] = set()
        ahead = [first]
        while ahead:
            name = ahead.pop(0)
            if name in seen:
                continue
            seen.add(name)
            flow = self.flows[name]
            filled = self.filled_verbs(Turn(name), call, Links("", ""))
            yield from _rung_by([verb for _, verb in filled if verb is not None])
            for step in flow.steps.values():
                for following in step.hooks.values():
                    for _, target in following.targets:
                        ahead.extend(self._flows_of(target, call, now))

    def _flows_of(self, target: Target, call: CallFacts, now: datetime) -> Iterator[str]:
        match target:
            case Go(flow):
                yield flow
            case Choose(routes):
                yield self._first_match(routes, call, now)
            case Repeat(_, then):
                yield from self._flows_of(then, call, now)


class HookPlace(NamedTuple):
    """Position of a hook in the plan, from its URL; `repeated` counts the repeats of its step."""

    flow: str
    step: str
    hook: str
    repeated: int = 0


class _Filling:
    """Replacement of the placeholders and hooks in verbs; variables are looked up once."""

    def __init__(self, plan: Plan, call: CallFacts, links: Links, repeated_step: str | None, repeated: int) -> None:
        self._plan = plan
        self._call = call
        self._links = links
        self._repeated_step = repeated_step
        self._repeated = repeated
        self._env_vars: Mapping[str, object] | None = None

    def verb(self, verb: Verb) -> Verb | None:
        """Return the verb, without the members that have no valid value; `None` if one of them is required."""
        return self._members(verb, str(verb["verb"]))

    def variable(self, name: str) -> Value | None:
        variable = self._plan.variables.get(name)
        if variable is None:
            return None
        if self._env_vars is None:
            self._env_vars = self._call.env_vars()
        return variable.value_of(self._env_vars.get(name))

    def fact(self, name: str) -> str | None:
        return self._call.fact(name)

    def _members(self, members: Mapping[str, object], within: str) -> dict[str, object] | None:
        filled = {key: self._filled(value, key, within) for key, value in members.items()}
        left = {key: value for key, value in filled.items() if value is not None or members[key] is None}
        is_useless = any(is_required(key, members) for key in filled.keys() - left.keys())
        return None if is_useless or (members and not left) else left

    def _filled(self, value: object, key: str, within: str) -> object:
        if isinstance(value, str):
            return fill_in(value, context_of(key, within, value), self)
        if isinstance(value, list):
            filled = [self._filled(member, key, within) for member in value]
            left = [
                member for member, written in zip(filled, value, strict=True) if member is not None or written is None
            ]
            return left if left or not value else None
        if isinstance(value, dict):
            if HOOK in value:
                return self._url(value[HOOK])
            inner = key if key in OWN_DATA | HEADERS | PARTIES and within not in OWN_DATA else within
            return self._members(value, inner)
        return value

    def _url(self, hook: Sequence[str]) -> str:
        sort, *where = hook
        links = self._links
        if sort == "flows":
            flow, step, name = where
            query = {"hook": name, "hop": str(links.hop + 1)}
            if name.endswith(".eventHook"):
                # The body of a bot's event does not identify the call.
                query |= links.call
            if step == self._repeated_step:
                query["repeated"] = str(self._repeated)
            path = f"/webhooks/call/flows/{quote(flow, safe='')}/{quote(step, safe='')}"
        elif sort == "events":
            path, query = "/webhooks/call/events", {**links.call, "hook": where[0]}
        else:
            path, query = f"/webhooks/tool/{quote(where[0], safe='')}", links.call
        url = f"{path}?{urlencode(query, errors='surrogatepass')}"
        if where[-1].startswith(_REDIRECT):
            # jambonz sends no credentials to a redirect's URL on another origin than the call hook's, which may differ
            # from ours. It resolves a path against that origin, but sends a fragment to the server.
            return f"{urlsplit(links.base_url).path}{url}"
        return f"{links.base_url}{url}{RETRY_FRAGMENT}"


class _InboundCall:
    """An inbound call with only the called number known."""

    def __init__(self, number: str) -> None:
        self._facts = {"to": number, "direction": "inbound"}

    def fact(self, name: str) -> str | None:
        return self._facts.get(name)

    def env_vars(self) -> Mapping[str, object]:
        return {}


def _is_empty(hook: str, outcome: VerbOutcome, call: CallFacts) -> bool:
    """Return whether a hook reports a recording of no length, or speech without words."""
    if hook == "listen.actionHook":
        return call.fact("dial_call_duration") == "0"
    return "speech" in outcome.names and not outcome.speech


def _party_matches(patterns: tuple[PartyPattern, ...], call: CallFacts, member: str) -> bool:
    if not patterns:
        return True
    party = call.fact(member)
    return party is not None and any(pattern.matches(canonical_party(party)) for pattern in patterns)


def _text_matches(condition: TextCondition, call: CallFacts) -> bool:
    text = call.fact(condition.member)
    return text is not None and condition.matches(text)


def _rung_by(verbs: Verbs) -> Iterator[str]:
    for verb in verbs:
        if verb["verb"] in ("enqueue", "dequeue", "conference", "room"):
            yield f"{'queue' if str(verb['verb']).endswith('queue') else 'conference'} {verb['name']}"
        targets = verb.get("target")
        for target in targets if isinstance(targets, list) else ():
            if isinstance(target, dict):
                yield str(next((target[key] for key in ("number", "sipUri", "name") if key in target), target["type"]))


_FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def _number(configured: object, default: Value) -> Value:
    if isinstance(configured, bool) or not isinstance(configured, str | int | float):
        return default
    try:
        number = float(configured)
    except ValueError:
        return default
    if not abs(number) < 1e15:
        return default
    return int(number) if number.is_integer() else number
