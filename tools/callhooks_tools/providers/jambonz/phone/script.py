"""A call written down: one decision in each line, taken when a verb asks for it.

`docs/phone.md` describes the lines.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from callhooks_tools.providers.jambonz.phone.steps import (
    AgentEnded,
    AgentTalks,
    Answered,
    Asked,
    Choice,
    ConferenceOver,
    Conferencing,
    HangUp,
    Joins,
    NotAnswered,
    Nothing,
    Pressed,
    Queued,
    QueueEnds,
    Rang,
    Recorded,
    Recording,
    Said,
    Side,
    SpeechFailed,
    ToolCalled,
    Transcribing,
    Unanswered,
    Waits,
)


class ScriptProblem(Exception):
    """A script that cannot be read, or that does not fit the call; names the line."""


@dataclass(frozen=True, slots=True)
class _Chosen:
    """An outcome of a verb that is not its usual one."""

    verb: str
    outcome: str


@dataclass(frozen=True, slots=True)
class _Interrupts:
    """What breaks into the next thing that is heard."""

    decision: Pressed | Said | HangUp


_Decision: TypeAlias = (
    Pressed
    | Said
    | Nothing
    | SpeechFailed
    | Answered
    | NotAnswered
    | Recorded
    | Waits
    | QueueEnds
    | Joins
    | ConferenceOver
    | ToolCalled
    | AgentEnded
    | HangUp
    | _Chosen
    | _Interrupts
)
_DecisionT = TypeVar("_DecisionT", bound=_Decision)


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str
    decision: _Decision

    def __str__(self) -> str:
        return f"line {self.number}: `{self.text}`"


class ScriptedCaller:
    """A `Caller` who does what a script says, and hangs up when it ends.

    Every method raises `ScriptProblem` where the next line is of another sort than what is asked.
    """

    def __init__(self, text: str) -> None:
        """Read a script.

        Raises:
            ScriptProblem: with every line that says nothing known.
        """
        self._lines = deque(_read(text))

    def at_gather(self, asked: Asked) -> Pressed | Said | Nothing | SpeechFailed | HangUp:
        """`press`, `say`, `low confidence`, `wait` or `error`; asked of the callee, too."""
        decision = self._next()
        if isinstance(decision, Pressed | Said | Nothing | SpeechFailed | HangUp):
            return self._use(decision)
        raise self._unfit("a gather" if asked.side is Side.CALLER else "a gather of the callee")

    def at_dial(self, _rang: Rang) -> Answered | NotAnswered | HangUp:
        """`dial`."""
        decision = self._next()
        if isinstance(decision, Answered | NotAnswered | HangUp):
            return self._use(decision)
        raise self._unfit("a dial")

    def at_listen(self, _recording: Recording) -> Recorded | HangUp:
        """`listen`."""
        decision = self._next()
        if isinstance(decision, Recorded | HangUp):
            return self._use(decision)
        raise self._unfit("a listen")

    def at_queue(self, _queued: Queued) -> Waits | QueueEnds | HangUp:
        """`queue`."""
        decision = self._next()
        if isinstance(decision, Waits | QueueEnds | HangUp):
            return self._use(decision)
        raise self._unfit("an enqueue")

    def at_conference(self, _conferencing: Conferencing) -> Waits | Joins | ConferenceOver | HangUp:
        """`conference`."""
        decision = self._next()
        if isinstance(decision, Waits | Joins | ConferenceOver | HangUp):
            return self._use(decision)
        raise self._unfit("a conference")

    def at_transcribe(self, _transcribing: Transcribing) -> Said | HangUp:
        """`say`."""
        decision = self._next()
        if isinstance(decision, Said | HangUp):
            return self._use(decision)
        raise self._unfit("a transcribe")

    def at_agent(self, _talks: AgentTalks) -> ToolCalled | AgentEnded | HangUp:
        """`llm`."""
        decision = self._next()
        if isinstance(decision, ToolCalled | AgentEnded | HangUp):
            return self._use(decision)
        raise self._unfit("an llm")

    def at_choice(self, choice: Choice) -> str:
        """The verb's own line where it is the next one, else the usual outcome."""
        decision = self._next()
        if not isinstance(decision, _Chosen) or decision.verb != choice.verb:
            return choice.outcomes[0]
        if decision.outcome not in choice.outcomes:
            raise ScriptProblem(f"{self._lines[0]}: {choice.verb} ends with one of {', '.join(choice.outcomes)}")
        return self._use(decision).outcome

    def while_heard(self, _side: Side, *, barge_in: bool) -> Pressed | Said | HangUp | None:
        """`interrupt`; keys and words wait for something that they can break into."""
        decision = self._next()
        if isinstance(decision, _Interrupts) and (barge_in or isinstance(decision.decision, HangUp)):
            return self._use(decision).decision
        return None

    def finish(self) -> None:
        """Check that the whole script was used.

        Raises:
            ScriptProblem: lines are left over.
        """
        if self._lines:
            others = len(self._lines) - 1
            raise ScriptProblem(
                f"{self._lines[0]}{f' and {others} more' if others else ''}: not used, the call was over before"
            )

    def _next(self) -> _Decision:
        return self._lines[0].decision if self._lines else HangUp()

    def _use(self, decision: _DecisionT) -> _DecisionT:
        if self._lines:
            self._lines.popleft()
        return decision

    def _unfit(self, place: str) -> ScriptProblem:
        return ScriptProblem(f"{self._lines[0]}, but the call is at {place}")


def _read(text: str) -> Iterator[_Line]:
    problems = []
    lines = []
    for number, written in enumerate(text.splitlines(), 1):
        line = " ".join(written.split())
        if line and not line.startswith("#"):
            try:
                lines += [_Line(number, line, decision) for decision in _decisions(line)]
            except ScriptProblem as error:
                problems.append(f"line {number}: `{line}`{error}")
    if problems:
        raise ScriptProblem("\n".join(problems))
    yield from lines


def _decisions(line: str) -> Sequence[_Decision]:
    for pattern, make in _FORMS:
        if (match := pattern.fullmatch(line)) is not None:
            return make(match)
    raise ScriptProblem(", which says nothing that a call can do")


def _dial_failed(match: re.Match[str]) -> Sequence[_Decision]:
    sip_status = None if match["sip"] is None else int(match["sip"])
    return [NotAnswered(Unanswered(match["outcome"]), sip_status)]


def _tool(match: re.Match[str]) -> Sequence[_Decision]:
    try:
        arguments = json.loads(match["arguments"] or "{}")
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise ScriptProblem(": what follows the tool's name is no JSON object")
    return [ToolCalled(match["name"], arguments)]


def _interrupt(match: re.Match[str]) -> Sequence[_Decision]:
    for decision in _decisions(match["what"]):
        if isinstance(decision, Pressed | Said | HangUp):
            return [_Interrupts(decision)]
    raise ScriptProblem(": only press, say and hang up can interrupt")


def _seconds(match: re.Match[str], usual: float) -> float:
    return usual if match["seconds"] is None else float(match["seconds"])


_SECONDS = r"( (?P<seconds>\d+))?"
_VERBS = {"refer": "sip:refer", "request": "sip:request"}
_FORMS: Sequence[tuple[re.Pattern[str], Callable[[re.Match[str]], Sequence[_Decision]]]] = [
    (re.compile(pattern, re.ASCII), make)
    for pattern, make in (
        (r"press (?P<keys>[0-9*#A-D]+)(?P<early> early)?", lambda m: [Pressed(m["keys"], m["early"] is not None)]),
        (r"say (?P<text>.+)", lambda m: [Said(m["text"])]),
        (r"low confidence (?P<text>.+)", lambda m: [Said(m["text"], confident=False)]),
        (r"wait", lambda _: [Nothing()]),
        (r"error", lambda _: [SpeechFailed()]),
        (r"hang up", lambda _: [HangUp()]),
        (
            rf"dial (answered|completed){_SECONDS}(?P<caller> hang up)?",
            lambda m: [Answered(_seconds(m, 30), caller_hangs_up=m["caller"] is not None)],
        ),
        (r"dial (?P<outcome>failed)( (?P<sip>[3-6]\d\d))?", _dial_failed),
        (r"dial (?P<outcome>busy|no-answer|declined|timeout)", lambda m: [NotAnswered(Unanswered(m["outcome"]))]),
        (r"listen (?P<seconds>\d+)( (?P<key>[0-9*#]))?", lambda m: [Recorded(float(m["seconds"]), m["key"])]),
        (r"(queue|conference) waits( (?P<times>\d+))?", lambda m: [Waits()] * int(m["times"] or 1)),
        (rf"queue bridged{_SECONDS}", lambda m: [QueueEnds(bridged=True, seconds=_seconds(m, 30))]),
        (r"queue error", lambda _: [QueueEnds(bridged=False)]),
        (r"conference joins", lambda _: [Joins()]),
        (rf"conference over{_SECONDS}", lambda m: [ConferenceOver(_seconds(m, 60))]),
        (r"llm ends( (?P<reason>.+))?", lambda m: [AgentEnded(m["reason"]) if m["reason"] else AgentEnded()]),
        (r"llm tool (?P<name>\S+)( (?P<arguments>.+))?", _tool),
        (
            r"(?P<verb>play|amd|message|refer|request|dequeue) (?P<outcome>.+)",
            lambda m: [_Chosen(_VERBS.get(m["verb"], m["verb"]), m["outcome"])],
        ),
        (r"interrupt (?P<what>.+)", _interrupt),
    )
]
