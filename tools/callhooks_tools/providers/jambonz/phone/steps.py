"""Steps that a simulated call yields, and decisions that it needs from a `Caller`.

`str(step)` is a line for people. It may contain phone numbers, but no secrets.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias, TypeVar

from pydantic import JsonValue

ResultT = TypeVar("ResultT")


CALL_STATUS = "call status"
"""Hook whose response no caller waits for."""


class Side(StrEnum):
    """Party at the other end of a leg."""

    CALLER = "caller"
    CALLEE = "callee"


@dataclass(frozen=True, slots=True)
class Sent:
    """One attempt of a request.

    `url` contains no secret. `status` is `None` if there was no response; `failure` is the reason if jambonz treats the
    response as an error.
    """

    hook: str
    method: str
    url: str
    attempt: int
    status: int | None
    milliseconds: int
    failure: str | None
    body: JsonValue
    answer: JsonValue

    def __str__(self) -> str:
        attempt = f", attempt {self.attempt}" if self.attempt > 1 else ""
        outcome = self.failure or self.status
        return f"  {self.hook}{self._reported}{attempt}   {self.method} {self.url}  {outcome}  {self.milliseconds} ms"

    @property
    def _reported(self) -> str:
        """Return the status that a call status event reports, and the leg; empty for other hooks."""
        if self.hook != CALL_STATUS or not isinstance(self.body, dict):
            return ""
        leg = f"leg to {self.body.get('to')}" if self.body.get("parent_call_sid") else "first leg"
        return f" {self.body.get('call_status')} ({leg})"


@dataclass(frozen=True, slots=True)
class Heard:
    """Text that was spoken."""

    side: Side
    text: str

    def __str__(self) -> str:
        return f"{self.side} hears   {self.text}"


@dataclass(frozen=True, slots=True)
class Played:
    """A recording that was played."""

    side: Side
    url: str

    def __str__(self) -> str:
        return f"{self.side} hears   (plays {self.url})"


@dataclass(frozen=True, slots=True)
class Did:
    """A silent verb, or the result of a verb."""

    verb: str
    what: str

    def __str__(self) -> str:
        return f"{self.verb}   {self.what}".rstrip()


@dataclass(frozen=True, slots=True)
class Noted:
    """A note about behaviour that the author may not expect; jambonz rejected nothing."""

    what: str

    def __str__(self) -> str:
        return f"note   {self.what}"


@dataclass(frozen=True, slots=True)
class Refused:
    """A rejection by jambonz, in its words if they are known. A real server reports it only in its log and alerts."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"rejected   {self.where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Ended:
    """The call is over.

    `by` is `caller`, `jambonz`, or `phone` if the simulation aborted it. `seconds` counts from the answer.
    """

    by: str
    reason: str
    call_status: str
    sip_status: int
    seconds: int

    def __str__(self) -> str:
        status = f"{self.call_status}, {self.sip_status}"
        return f"call ended by {self.by} after {self.seconds} s: {self.reason} ({status})"


@dataclass(frozen=True, slots=True)
class Asked:
    """A gather waits for keys or speech. A timeout of 0 seconds means none."""

    side: Side
    digits: bool
    speech: bool
    num_digits: int | None
    min_digits: int | None
    max_digits: int | None
    finish_on_key: str | None
    timeout_seconds: float

    def __str__(self) -> str:
        count = self.num_digits or (f"up to {self.max_digits}" if self.max_digits else "")
        digits = f"{count} digit{'' if count == 1 else 's'}".strip() + (
            f" ended by {self.finish_on_key}" if self.finish_on_key else ""
        )
        expected = " or ".join([digits] * self.digits + ["speech"] * self.speech) or "nothing"
        limit = f"up to {self.timeout_seconds:g} s" if self.timeout_seconds else "without a timeout"
        return f"gather   waits {limit} for {expected} from the {self.side}"


@dataclass(frozen=True, slots=True)
class Rang:
    """A dial rings its targets."""

    targets: tuple[str, ...]
    timeout_seconds: float

    def __str__(self) -> str:
        return f"dial   rings {', '.join(self.targets)} for {self.timeout_seconds:g} s"


@dataclass(frozen=True, slots=True)
class Recording:
    """A listen sends the caller's audio to its WebSocket."""

    url: str
    max_seconds: float | None
    finish_on_key: str | None

    def __str__(self) -> str:
        limit = f", at most {self.max_seconds:g} s" if self.max_seconds else ""
        return f"listen   streams to {self.url}{limit}"


@dataclass(frozen=True, slots=True)
class Queued:
    """The caller waits in a queue; `asked` counts the requests to the wait hook."""

    queue: str
    asked: int

    def __str__(self) -> str:
        return f"enqueue   waits in {self.queue}, requests to the wait hook: {self.asked}"


@dataclass(frozen=True, slots=True)
class Conferencing:
    """The caller is in a conference, or waits for its moderator."""

    name: str
    waiting: bool

    def __str__(self) -> str:
        return f"conference   {'waits for the moderator of' if self.waiting else 'is in'} {self.name}"


@dataclass(frozen=True, slots=True)
class Transcribing:
    """All speech goes to the transcription hook, until it returns verbs or the call ends."""

    def __str__(self) -> str:
        return "transcribe   listens"


@dataclass(frozen=True, slots=True)
class AgentTalks:
    """A language model talks with the caller."""

    vendor: str

    def __str__(self) -> str:
        return f"llm   {self.vendor} talks"


@dataclass(frozen=True, slots=True)
class Choice:
    """A verb with several outcomes; the first one is usual."""

    verb: str
    outcomes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.verb}   ends with {' or '.join(self.outcomes)}"


Question: TypeAlias = Asked | Rang | Recording | Queued | Conferencing | Transcribing | AgentTalks | Choice
Step: TypeAlias = Sent | Heard | Played | Did | Noted | Refused | Ended | Question
Walk: TypeAlias = Generator[Step, None, ResultT]


@dataclass(frozen=True, slots=True)
class Pressed:
    """Keys pressed; `early` means while the prompt is playing."""

    keys: str
    early: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """Words spoken, and whether the recogniser is confident."""

    text: str
    confident: bool = True


@dataclass(frozen=True, slots=True)
class Silence:
    """No input until the timeout."""


@dataclass(frozen=True, slots=True)
class SpeechFailed:
    """The speech recogniser cannot be reached."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """The party hangs up."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The first ringing target answers, and the parties talk."""

    seconds: float = 30
    caller_hangs_up: bool = False


class Unanswered(StrEnum):
    """Ways in which a dial fails. `TIMEOUT` is the ring timeout of the verb."""

    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"
    DECLINED = "declined"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class NotAnswered:
    """No ringing target answers; `sip_status` replaces the usual status."""

    outcome: Unanswered
    sip_status: int | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """The listen ends after these seconds, by this key if there is one."""

    seconds: float
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Waits:
    """The caller keeps waiting; jambonz requests the wait hook again."""


@dataclass(frozen=True, slots=True)
class QueueEnds:
    """Another call connects to the caller in the queue and they talk, or that fails."""

    bridged: bool
    seconds: float = 30


@dataclass(frozen=True, slots=True)
class Joins:
    """The moderator starts the conference."""


@dataclass(frozen=True, slots=True)
class ConferenceOver:
    """The conference ends, or the caller is removed from it."""

    seconds: float = 60


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The language model calls one of its tools."""

    name: str
    arguments: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class AgentEnded:
    """The session with the language model ends; `reason` is in jambonz's words."""

    reason: str = "normal conversation end"


class Caller(Protocol):
    """Source of decisions: a person at a terminal, a script or a test."""

    def at_gather(self, question: Asked) -> Pressed | Said | Silence | SpeechFailed | HangUp:
        """Decide the input to a gather; at a confirm hook, the callee's."""

    def at_dial(self, rang: Rang) -> Answered | NotAnswered | HangUp:
        """Decide the outcome of ringing the targets."""

    def at_listen(self, recording: Recording) -> Recorded | HangUp:
        """Decide when and how the listen ends."""

    def at_queue(self, queued: Queued) -> Waits | QueueEnds | HangUp:
        """Keep waiting, or leave the queue."""

    def at_conference(self, conferencing: Conferencing) -> Waits | Joins | ConferenceOver | HangUp:
        """Keep waiting, join or leave. `Joins` and `ConferenceOver` both end the wait."""

    def at_transcribe(self, transcribing: Transcribing) -> Said | HangUp:
        """Decide what is said."""

    def at_agent(self, talks: AgentTalks) -> ToolCalled | AgentEnded | HangUp:
        """Call a tool, or end the conversation."""

    def at_choice(self, choice: Choice) -> str:
        """Pick one of the outcomes."""

    def while_heard(self, side: Side, *, barge_in: bool) -> Pressed | Said | HangUp | None:
        """Interrupt a say, play or pause; keys and words count only with `barge_in`."""
