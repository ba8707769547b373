"""What a simulated call yields, step by step, and what it asks whoever holds the phone.

As text, a step is a line for people; it shows numbers, and no secret.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias, TypeVar

from pydantic import JsonValue

ResultT = TypeVar("ResultT")


class Side(StrEnum):
    """Who is at the other end of a leg."""

    CALLER = "caller"
    CALLEE = "callee"


@dataclass(frozen=True, slots=True)
class Sent:
    """One try of a request.

    `url` shows no secret. `status` is `None` where no answer came; `failure` says why jambonz takes it for an error.
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
        again = f", try {self.attempt}" if self.attempt > 1 else ""
        outcome = self.failure or self.status
        return f"  {self.hook}{again}   {self.method} {self.url}  {outcome}  {self.milliseconds} ms"


@dataclass(frozen=True, slots=True)
class Heard:
    """A text that was spoken."""

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
    """A verb that nobody hears, or that is over."""

    verb: str
    what: str

    def __str__(self) -> str:
        return f"{self.verb}   {self.what}".rstrip()


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that works otherwise than its author may think; nothing was refused."""

    what: str

    def __str__(self) -> str:
        return f"note   {self.what}"


@dataclass(frozen=True, slots=True)
class Refused:
    """What jambonz does not take, in its own words where they are known. It tells nobody but its log and its alerts."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"refused   {self.where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Ended:
    """The call is over.

    `by` is `caller`, `jambonz`, or `phone` where the simulation gave up. `seconds` counts from the answer.
    """

    by: str
    reason: str
    call_status: str
    sip_status: int
    seconds: int

    def __str__(self) -> str:
        status = f"{self.call_status}, {self.sip_status}"
        return f"the call ends, by {self.by} after {self.seconds} s: {self.reason} ({status})"


@dataclass(frozen=True, slots=True)
class Asked:
    """A gather waits: what may be pressed or said. A time-out of 0 seconds is none."""

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
        what = " or ".join([digits] * self.digits + ["speech"] * self.speech) or "nothing"
        waits = f"within {self.timeout_seconds:g} s" if self.timeout_seconds else "without a time-out"
        return f"gather   the {self.side} is asked for {what} {waits}"


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
        longest = f", {self.max_seconds:g} s at most" if self.max_seconds else ""
        return f"listen   streams to {self.url}{longest}"


@dataclass(frozen=True, slots=True)
class Queued:
    """The caller waits in a queue; `asked` is how often the wait hook was."""

    queue: str
    asked: int

    def __str__(self) -> str:
        return f"enqueue   waits in {self.queue}, wait hook asked: {self.asked}"


@dataclass(frozen=True, slots=True)
class Conferencing:
    """The caller is in a conference, or waits for its moderator."""

    name: str
    waiting: bool

    def __str__(self) -> str:
        return f"conference   {'waits for the moderator of' if self.waiting else 'is in'} {self.name}"


@dataclass(frozen=True, slots=True)
class Transcribing:
    """Everything that is said goes to the transcription hook, until the verbs are replaced or the call ends."""

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
    """A verb whose outcome is usually the first of these."""

    verb: str
    outcomes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.verb}   ends with one of {', '.join(self.outcomes)}"


Question: TypeAlias = Asked | Rang | Recording | Queued | Conferencing | Transcribing | AgentTalks | Choice
Step: TypeAlias = Sent | Heard | Played | Did | Noted | Refused | Ended | Question
Walk: TypeAlias = Generator[Step, None, ResultT]


@dataclass(frozen=True, slots=True)
class Pressed:
    """Keys, one after the other; `early` while the prompt is still playing."""

    keys: str
    early: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """Words, and whether the recogniser is sure of them."""

    text: str
    confident: bool = True


@dataclass(frozen=True, slots=True)
class Nothing:
    """Silence until the time-out."""


@dataclass(frozen=True, slots=True)
class SpeechFailed:
    """The speech recogniser cannot be reached."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """The one who holds the phone hangs up."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The first target that still rings answers, and the two talk."""

    seconds: float = 30
    caller_hangs_up: bool = False


class Unanswered(StrEnum):
    """How a dial can fail. `TIMEOUT` is the ring time-out of the verb itself."""

    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"
    DECLINED = "declined"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class NotAnswered:
    """No target that still rings answers; `sip_status` is another one than usual."""

    outcome: Unanswered
    sip_status: int | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """The listen is over after so many seconds, by this key if there is one."""

    seconds: float
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Waits:
    """Nothing happens yet: the wait hook is asked again."""


@dataclass(frozen=True, slots=True)
class QueueEnds:
    """Another call takes the caller out of the queue, and they talk; or that fails."""

    bridged: bool
    seconds: float = 30


@dataclass(frozen=True, slots=True)
class Joins:
    """The moderator starts the conference."""


@dataclass(frozen=True, slots=True)
class ConferenceOver:
    """The conference ends, or the caller is put out of it."""

    seconds: float = 60


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The language model asks for one of its tools."""

    name: str
    arguments: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class AgentEnded:
    """The session with the language model ends, for a reason in jambonz's words."""

    reason: str = "normal conversation end"


class Caller(Protocol):
    """Whoever holds the phone: a person at a terminal, a script, a test."""

    def at_gather(self, asked: Asked) -> Pressed | Said | Nothing | SpeechFailed | HangUp:
        """Answer a gather; at a confirm hook it is the callee who does."""

    def at_dial(self, rang: Rang) -> Answered | NotAnswered | HangUp:
        """Say what becomes of the targets."""

    def at_listen(self, recording: Recording) -> Recorded | HangUp:
        """Say when and how it is over."""

    def at_queue(self, queued: Queued) -> Waits | QueueEnds | HangUp:
        """Wait on, or leave the queue."""

    def at_conference(self, conferencing: Conferencing) -> Waits | Joins | ConferenceOver | HangUp:
        """Wait on, join, or leave. What does not fit is taken as the nearest: a start ends the waiting, too."""

    def at_transcribe(self, transcribing: Transcribing) -> Said | HangUp:
        """Say something."""

    def at_agent(self, talks: AgentTalks) -> ToolCalled | AgentEnded | HangUp:
        """Use a tool, or end the conversation."""

    def at_choice(self, choice: Choice) -> str:
        """Pick one of the outcomes."""

    def while_heard(self, side: Side, *, barge_in: bool) -> Pressed | Said | HangUp | None:
        """Interrupt what is said, played or paused; keys and words count only with `barge_in`."""
