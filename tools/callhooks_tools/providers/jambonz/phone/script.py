"""Scripted calls: one decision on each line, read when a verb needs it.

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
    Pressed,
    Queued,
    QueueEnds,
    Rang,
    Recorded,
    Recording,
    Said,
    Side,
    Silence,
    SpeechFailed,
    ToolCalled,
    Transcribing,
    Unanswered,
    Waits,
)


class ScriptProblem(Exception):
    """A script has invalid lines, or does not fit the call; the message names the line."""


@dataclass(frozen=True, slots=True)
class _Chosen:
    """An unusual outcome of a verb."""

    verb: str
    outcome: str


@dataclass(frozen=True, slots=True)
class _Interrupts:
    """An interruption of the next sound."""

    decision: Pressed | Said | HangUp


_Decision: TypeAlias = (
    Pressed
    | Said
    | Silence
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
    """`Caller` that follows a script, and hangs up at its end.

    Every method raises `ScriptProblem` if the next line does not fit the verb.
    """

    def __init__(self, text: str) -> None:
        """Read a script.

        Raises:
            ScriptProblem: the script has invalid lines; the message lists all of them.
        """
        self._lines = deque(_read(text))

    def at_gather(self, question: Asked) -> Pressed | Said | Silence | SpeechFailed | HangUp:
        """Use `press`, `say`, `low confidence`, `wait` or `error`, for the caller or the callee."""
        decision = self._next()
        if isinstance(decision, Pressed | Said | Silence | SpeechFailed | HangUp):
            return self._use(decision)
        raise self._unfit("a gather" if question.side is Side.CALLER else "a gather of the callee")

    def at_dial(self, _rang: Rang) -> Answered | NotAnswered | HangUp:
        """Use `dial`."""
        decision = self._next()
        if isinstance(decision, Answered | NotAnswered | HangUp):
            return self._use(decision)
        raise self._unfit("a dial")

    def at_listen(self, _recording: Recording) -> Recorded | HangUp:
        """Use `listen`."""
        decision = self._next()
        if isinstance(decision, Recorded | HangUp):
            return self._use(decision)
        raise self._unfit("a listen")

    def at_queue(self, _queued: Queued) -> Waits | QueueEnds | HangUp:
        """Use `queue`."""
        decision = self._next()
        if isinstance(decision, Waits | QueueEnds | HangUp):
            return self._use(decision)
        raise self._unfit("an enqueue")

    def at_conference(self, _conferencing: Conferencing) -> Waits | Joins | ConferenceOver | HangUp:
        """Use `conference`."""
        decision = self._next()
        if isinstance(decision, Waits | Joins | ConferenceOver | HangUp):
            return self._use(decision)
        raise self._unfit("a conference")

    def at_transcribe(self, _transcribing: Transcribing) -> Said | HangUp:
        """Use `say`."""
        decision = self._next()
        if isinstance(decision, Said | HangUp):
            return self._use(decision)
        raise self._unfit("a transcribe")

    def at_agent(self, _talks: AgentTalks) -> ToolCalled | AgentEnded | HangUp:
        """Use `llm`."""
        decision = self._next()
        if isinstance(decision, ToolCalled | AgentEnded | HangUp):
            return self._use(decision)
        raise self._unfit("an llm")

    def at_choice(self, choice: Choice) -> str:
        """Use the verb's line if it is next, otherwise the usual outcome."""
        decision = self._next()
        if not isinstance(decision, _Chosen) or decision.verb != choice.verb:
            return choice.outcomes[0]
        if decision.outcome not in choice.outcomes:
            raise ScriptProblem(f"{self._lines[0]}: {choice.verb} ends with one of {', '.join(choice.outcomes)}")
        return self._use(decision).outcome

    def while_heard(self, _side: Side, *, barge_in: bool) -> Pressed | Said | HangUp | None:
        """Use `interrupt`; keys and words wait until barge-in is on."""
        decision = self._next()
        if isinstance(decision, _Interrupts) and (barge_in or isinstance(decision.decision, HangUp)):
            return self._use(decision).decision
        return None

    def finish(self) -> None:
        """Check that the call used the whole script.

        Raises:
            ScriptProblem: lines are left over.
        """
        if self._lines:
            others = len(self._lines) - 1
            raise ScriptProblem(
                f"{self._lines[0]}{f' and {others} more' if others else ''}: not used, because the call ended first"
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
    raise ScriptProblem(": unknown decision; see docs/phone.md")


def _dial_failed(match: re.Match[str]) -> Sequence[_Decision]:
    sip_status = None if match["sip"] is None else int(match["sip"])
    return [NotAnswered(Unanswered(match["outcome"]), sip_status)]


def _tool(match: re.Match[str]) -> Sequence[_Decision]:
    try:
        arguments = json.loads(match["arguments"] or "{}")
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise ScriptProblem(': write the arguments as a JSON object, such as {"a": 1}')
    return [ToolCalled(match["name"], arguments)]


def _interrupt(match: re.Match[str]) -> Sequence[_Decision]:
    for decision in _decisions(match["decision"]):
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
        (r"wait", lambda _: [Silence()]),
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
        (r"interrupt (?P<decision>.+)", _interrupt),
    )
]
