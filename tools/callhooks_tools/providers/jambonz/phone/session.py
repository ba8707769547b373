"""Execution of the verbs of one leg, and their replacement by the responses of hooks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import JsonValue

from callhooks_tools.providers.jambonz.phone.bodies import Body, Leg
from callhooks_tools.providers.jambonz.phone.requests import Check, Hook, Outside, RequestFailed, Requestor
from callhooks_tools.providers.jambonz.phone.steps import Choice, HangUp, Noted, Pressed, Refused, Said, Side, Walk

NEEDS_MEDIA = frozenset(
    {"answer", "conference", "dequeue", "dialogflow", "dtmf", "dub", "enqueue", "gather", "lex", "listen", "llm"}
) | {"play", "rasa", "say", "transcribe"}
"""Verbs that answer the call, unless they use early media."""
NEEDS_AN_ANSWERED_CALL = frozenset({"hangup", "sip:refer", "sip:request"})
NEEDS_AN_UNANSWERED_CALL = frozenset({"sip:decline"})
ALLOWED_WHILE_CONFIRMING = frozenset({"config", "gather", "say", "tag"})
"""Verbs that jambonz accepts from an action hook on a leg that is still being confirmed."""
_ALIASES = {"stream": "listen", "s2s": "llm"}
_S2S = "_s2s"


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb under jambonz's internal name: `stream` is a `listen`, `openai_s2s` an `llm` with that vendor."""

    name: str
    data: Mapping[str, JsonValue]

    def text(self, name: str) -> str | None:
        """Return a string member; `None` if it is not a string."""
        value = self.data.get(name)
        return value if isinstance(value, str) else None

    def number(self, name: str) -> float | None:
        """Return a numeric member; `None` if it is not a number."""
        value = self.data.get(name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def whole_number(self, name: str) -> int | None:
        """Return a numeric member as an integer."""
        value = self.number(name)
        return None if value is None else int(value)

    def part(self, name: str) -> Mapping[str, JsonValue]:
        """Return an object member; empty if it is not an object."""
        value = self.data.get(name)
        return value if isinstance(value, dict) else {}

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the strings of a member that is a string or a list."""
        value = self.data.get(name)
        return tuple(item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str))

    def hook(self, name: str) -> Hook | None:
        """Return a hook member; `None` if it is not a hook."""
        return Hook.read(self.data.get(name))


class Malformed(Exception):
    """jambonz rejects the verbs in a response, for the stated reason (in jambonz's words if possible)."""


def read_verbs(answer: JsonValue, check: Check) -> list[Verb]:
    """Return the verbs of a response.

    Raises:
        Malformed: the response is not an array, or one of its verbs is wrong: then jambonz rejects all of them.
    """
    if not isinstance(answer, list):
        raise Malformed("malformed jambonz payload: must be array")
    written = [_written_out(item) for item in answer]
    faults = check(written)
    if faults:
        raise Malformed("; ".join(faults))
    return [_verb(item) for item in written]


def _written_out(item: JsonValue) -> Mapping[str, JsonValue]:
    if not isinstance(item, dict):
        raise Malformed("malformed jambonz payload: must be array of objects")
    if "verb" in item:
        return item
    # The short form: {"say": {"text": "Hello"}}
    [(name, data), *others] = item.items() or [("", None)]
    if others or not isinstance(data, dict):
        raise Malformed("malformed jambonz payload: missing verb property")
    return {"verb": name, **data}


def _verb(item: Mapping[str, JsonValue]) -> Verb:
    name = str(item["verb"])
    data = {key: value for key, value in item.items() if key != "verb"}
    if name.endswith(_S2S):
        return Verb("llm", {"vendor": name.removesuffix(_S2S), **data})
    return Verb(_ALIASES.get(name, name), data)


Handler = Callable[["Session", Verb], Walk[None]]


class Line:
    """State that all legs of a call share.

    Args:
        status: sends a status event of a leg, with further members, if the application has a call status hook.
    """

    def __init__(
        self,
        outside: Outside,
        requestor: Requestor,
        handlers: Mapping[str, Handler],
        status: Callable[[Leg, Body], Walk[None]],
    ) -> None:
        self.caller = outside.caller
        self.check = outside.check
        self.clock = outside.clock
        self.new_id = outside.new_id
        self.requestor = requestor
        self.handlers = handlers
        self.status = status
        self.seconds = 0.0

    def wait(self, seconds: float) -> None:
        """Let call time pass."""
        self.seconds += seconds
        self.clock.pass_call_time(seconds)

    def request(self, name: str, hook: Hook, body: Body, *, traced: bool = True) -> Walk[JsonValue]:
        """Send a request to the application; the response time counts as call time."""
        started = self.clock.monotonic()
        try:
            return (yield from self.requestor.request(name, hook, body, traced=traced))
        finally:
            self.seconds += self.clock.monotonic() - started

    def notify(self, name: str, hook: Hook | None, body: Body, *, traced: bool = True) -> Walk[None]:
        """Send a request, if there is a hook for it, whose response does not matter."""
        if hook is not None:
            try:
                yield from self.request(name, hook, body, traced=traced)
            except RequestFailed as error:
                yield Refused(name, str(error))

    def request_verbs(self, name: str, hook: Hook, body: Body, *, traced: bool = True) -> Walk[list[Verb] | None]:
        """Request verbs; the list may be empty. `None` if the request failed or jambonz rejects the verbs."""
        try:
            answer = yield from self.request(name, hook, body, traced=traced)
            return read_verbs(answer, self.check) if isinstance(answer, list) else []
        except (RequestFailed, Malformed) as error:
            yield Refused(name, str(error))
            return None


@dataclass(frozen=True, slots=True)
class HookFailure:
    """Failure of an action hook."""

    reason: str
    malformed: bool


class Role(StrEnum):
    """Role of a leg whose verbs run."""

    CALLER = "caller"
    CALLEE = "callee"
    """A dialled leg that is not confirmed yet."""
    WAITING = "waiting"
    """The caller, during another verb (a wait hook, for example): no action hook replaces the verbs."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Callbacks for hanging up (with who did), and for answering (`None` if the leg is answered)."""

    on_hang_up: Callable[[str], Walk[None]]
    on_answer: Callable[[], Walk[None]] | None = None


class Session:
    """Execution of the verbs of one leg. `generation` counts how often they were replaced."""

    def __init__(self, line: Line, leg: Leg, verbs: Iterable[Verb], role: Role, ends: Ends) -> None:
        self.line = line
        self.leg = leg
        self.side = Side.CALLEE if role is Role.CALLEE else Side.CALLER
        self.barge_in: Callable[[Pressed | Said], Walk[None]] | None = None
        self.ended_by: str | None = None
        self.generation = 0
        self._role = role
        self._verbs = deque(verbs)
        self._on_hang_up = ends.on_hang_up
        self._on_answer = ends.on_answer

    def is_over(self) -> bool:
        """Return whether the leg has ended."""
        return self.ended_by is not None

    @property
    def answered(self) -> bool:
        """Return whether the leg is answered."""
        return self._on_answer is None

    def run(self) -> Walk[None]:
        """Run the verbs until none are left or the call has ended."""
        while self._verbs and not self.is_over():
            verb = self._verbs.popleft()
            handler = self.line.handlers.get(verb.name)
            if handler is None:
                yield Noted(f"{verb.name} is not simulated: skipped")
            elif (yield from self._is_ready_for(verb)):
                yield from handler(self, verb)

    def answer(self) -> Walk[None]:
        """Answer the call if it is not answered yet."""
        if self._on_answer is not None:
            on_answer, self._on_answer = self._on_answer, None
            yield from on_answer()

    def hang_up(self, by: str = "caller") -> Walk[None]:
        """End the leg: its party hangs up (`caller`), or `jambonz` does."""
        if not self.is_over():
            self.ended_by = by
            yield from self._on_hang_up(by)

    def choose(self, verb: str, *outcomes: str) -> Walk[str]:
        """Let the caller choose one of a verb's outcomes; the first one is usual."""
        choice = Choice(verb, outcomes)
        yield choice
        return self.line.caller.at_choice(choice)

    def give_up(self) -> None:
        """Drop the remaining verbs, so that jambonz ends the call."""
        self._verbs.clear()

    def within(self, verbs: Iterable[Verb]) -> Walk[None]:
        """Run verbs during another verb, such as those of a wait hook; hooks do not replace them."""
        inner = Session(self.line, self.leg, verbs, Role.WAITING, Ends(self.hang_up))
        yield from inner.run()

    def perform(
        self, verb: Verb, member: str, body: Body, *, replaces: bool = True, name: str | None = None
    ) -> Walk[HookFailure | None]:
        """Send the result of a verb to its hook, and continue with the verbs of the response.

        On an error, return it; the call continues with the next verb unless the caller of this method ends it.
        """
        hook = verb.hook(member)
        if hook is None:
            return None
        name = name or f"{verb.name}.{member}"
        verb_id = verb.text("id")
        try:
            answer = yield from self.line.request(name, hook, {**body, **({"verb_id": verb_id} if verb_id else {})})
            if replaces and isinstance(answer, list):
                yield from self._replace(read_verbs(answer, self.line.check))
        except RequestFailed as error:
            yield Refused(name, str(error))
            return HookFailure(str(error), malformed=False)
        except Malformed as error:
            yield Refused(name, str(error))
            return HookFailure(str(error), malformed=True)
        return None

    def interrupted(self) -> Walk[bool]:
        """Let the party interrupt the current sound; return whether they did."""
        decision = self.line.caller.while_heard(self.side, barge_in=self.barge_in is not None)
        if isinstance(decision, HangUp):
            yield from self.hang_up()
            return True
        if decision is None or self.barge_in is None:
            return False
        yield from self.barge_in(decision)
        return True

    def _is_ready_for(self, verb: Verb) -> Walk[bool]:
        if verb.name in NEEDS_AN_ANSWERED_CALL and not self.answered:
            yield Refused(verb.name, "preconditions not met: call was not answered")
            return False
        if verb.name in NEEDS_AN_UNANSWERED_CALL and self.answered:
            yield Refused(verb.name, "preconditions not met: final sip status already sent")
            return False
        if _needs_media(verb) and not _has_early_media(verb):
            yield from self.answer()
        return not self.is_over()

    def _replace(self, verbs: list[Verb]) -> Walk[None]:
        if not verbs or self._role is Role.WAITING:
            return
        # jambonz silently drops all others, including hangup: this response cannot decline the leg.
        allowed = (
            [verb for verb in verbs if verb.name in ALLOWED_WHILE_CONFIRMING] if self._role is Role.CALLEE else verbs
        )
        if len(allowed) < len(verbs):
            dropped = ", ".join(verb.name for verb in verbs if verb not in allowed)
            yield Refused("dial.confirmHook", f"removing verbs that are not allowed for confirmSession call: {dropped}")
        if allowed:
            self._verbs = deque(allowed)
            self.generation += 1


def _needs_media(verb: Verb) -> bool:
    if verb.name != "config":
        return verb.name in NEEDS_MEDIA
    barge_in, transcribe = verb.part("bargeIn"), verb.part("transcribe")
    return bool(
        barge_in.get("enable") is True
        or transcribe.get("enable") is True
        or verb.part("record").get("action")
        or verb.part("listen").get("url")
        or verb.part("amd")
    )


def _has_early_media(verb: Verb) -> bool:
    prompts = (verb.part("say"), verb.part("play")) if verb.name == "gather" else (verb.data,)
    return any(prompt.get("earlyMedia") is True for prompt in prompts)
