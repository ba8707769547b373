"""Build a call from its events. This is the only module that interprets a status.

Words that only one provider uses come from its `FoldHints`, which are never stored.

A call is a function of the set of its events. They are sorted by when they happened, not by when they arrived, so that
late and duplicate events do not change the call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from callhooks.events.call_event import OUTBOUND, CallEvent, Detail, Kind, utc_text

FOLD_VERSION = 2
"""Increase this with every change to the fold, so that call items are written again."""

MAX_TEXT = 500
MAX_ENTRY = 100
MAX_ENTRIES = 100
MAX_CUSTOMER_DATA = 50
"""These limits keep a call well below the size of an item (400 KB) and of an event on the bus (256 KB)."""


class CallStatus(StrEnum):
    """Status of a call: its progress, or after its end the final status from the provider."""

    INITIATED = "initiated"
    RINGING = "ringing"
    EARLY_MEDIA = "early_media"
    ANSWERED = "answered"
    HELD = "held"
    MISSED = "missed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    COMPLETED = "completed"


class Outcome(StrEnum):
    """Outcome of a call, in the same words for all providers.

    `cancelled`: the caller hung up before the answer. `missed`: a user or a queue did not answer the call.
    """

    ANSWERED = "answered"
    MISSED = "missed"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Result(StrEnum):
    """Result of a call for the people involved, in the same words for all providers.

    The members are in order of precedence: a call has the first result that applies.
    """

    REACHED = "reached"
    VOICEMAIL = "voicemail"
    SELF_SERVICE = "self_service"
    ABANDONED = "abandoned"
    NOT_ANSWERED = "not_answered"
    IN_PROGRESS = "in_progress"


Moment = Annotated[
    datetime, PlainSerializer(utc_text, return_type=str), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""Aware UTC; ISO 8601 with milliseconds and `Z` in JSON."""
Seconds = int | float


class CallSummary(BaseModel):
    """A call as shown in a list."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    provider: str
    call_id: str = Field(description="The provider's own id of the call")
    status: CallStatus = Field(description="Progress of the call, or its final status from the provider")
    outcome: Outcome | None = Field(None, description="Outcome of the call; null while it is in progress")
    direction: str | None = Field(None, description="inbound or outbound, or another word of the provider")
    from_: str | None = Field(None, alias="from")
    to: str | None = None
    started_at: Moment
    answered_at: Moment | None = None
    ended_at: Moment | None = None
    ring_seconds: Seconds | None = Field(
        None,
        description="From ringing or early media, or from the start if neither was reported, to the answer or the end",
    )
    talk_seconds: Seconds | None = Field(None, description="From the answer to the end, including time on hold")
    caller_name: str | None = None
    cause: str | None = Field(None, description="Why the call ended, in the provider's words")
    parent_call_id: str | None = Field(None, description="The call that this call is a leg of")
    result: Result = Field(
        Result.IN_PROGRESS, description="Whether the call reached a person, and the result otherwise"
    )
    flows: tuple[str, ...] = Field(
        (), description="The flows of the call plan that the call went through, in order, without repeats in a row"
    )
    context: str | None = Field(
        None, description="The kind of PBX object, if the provider reports it; QUEUE if one was a queue"
    )
    queue: str | None = Field(None, description="The queue that the call was in")
    trunk: str | None = None


class Call(CallSummary):
    """A call with all members. Times are the provider's if it sends them, otherwise the times of arrival."""

    ringing_at: Moment | None = None
    hold_seconds: Seconds | None = Field(None, description="Time on hold; null if no hold was reported")
    wrapup_seconds: Seconds | None = Field(
        None, description="Time that a queue's wrap-up panel was open after the call; null if no panel was closed"
    )
    cause_code: int | None = Field(None, description="Why the call ended: the Q.850 cause")
    sip_status: int | None = Field(None, description="Why the call ended: the SIP status")
    ended_by: str | None = Field(None, description="Who ended the call, in the provider's words")
    called_name: str | None = None
    cost: Decimal | None = Field(None, description="The price of the call, a decimal number")
    currency: str | None = None
    dtmf: tuple[str, ...] = Field((), description="Pressed keys in order; digits collected together are one entry")
    machine_detected: bool | None = Field(None, description="Whether a machine answered; null if unknown")
    bridged: bool | None = Field(
        None, description="Whether the call was connected to another party by a dial or a queue; null if unknown"
    )
    missed_in_queue: bool = Field(False, description="Whether the call was in a queue and was not answered there")
    conversation_id: str = Field(
        description="Shared by all legs of a conversation: the parent's id, src_hash, or the call's own id"
    )
    tags: tuple[str, ...] = ()
    customer_data: Mapping[str, str | bool | int] = Field(
        default_factory=dict, description="Data the call is tagged with"
    )
    last_event_at: Moment
    event_count: int
    fold_version: int = FOLD_VERSION


def position(event: CallEvent) -> tuple[bool, datetime, int, int, str]:
    """Return the sort key of an event within its call: by time, then by the order in which kinds can occur.

    Several events may have the same time, because some clocks have a resolution of one second: hooks of a call plan are
    then sorted by the response that they belong to. A bill sorts last, because it may carry the time of the call's
    start.
    """
    hop = event.details.get("hop")
    return (
        event.kind is Kind.BILLED,
        event.occurred_at,
        _RANK.get(event.kind, _AMID),
        hop if isinstance(hop, int) else 0,
        event.dedupe_key,
    )


@dataclass(frozen=True, slots=True)
class FoldHints:
    """How to interpret one provider's events.

    `repeats_answer_time`: every event repeats the time of the answer, so a call without that time was not answered.
    `kind_of_bill` maps the status of a bill to a kind, for a call whose end is known only from its bill.
    `outcome_of_cause` maps parts of a cause, in lower case, to the outcome of a call that ended before it was answered.
    `currency` is the currency of `charge`. `queue_context` is the `context` of queue events, in lower case.
    `wrapup_opened` and `wrapup_closed` are statuses of a queue's wrap-up panel, in lower case.
    `tag_separator` separates several tags in one text. `ended_by_application` is the word for a call that its
    application ended, not one of its parties.
    """

    repeats_answer_time: bool = False
    kind_of_bill: Mapping[str, Kind] = field(default_factory=dict)
    outcome_of_cause: Mapping[str, Outcome] = field(default_factory=dict)
    currency: str | None = None
    queue_context: str | None = None
    wrapup_opened: str | None = None
    wrapup_closed: tuple[str, ...] = ()
    tag_separator: str | None = None
    ended_by_application: str | None = None


HintsLookup: TypeAlias = Callable[[str], FoldHints]
"""Returns a provider's hints by its name; `FoldHints()` for an unknown provider."""


def fold(events: Iterable[CallEvent], hints: FoldHints) -> Call:
    """Return the call that these events describe. Duplicates count once.

    Args:
        events: all of one call, in any order.
        hints: the hints of the provider that sent them.

    Raises:
        ValueError: there are no events.
    """
    known = {event.dedupe_key: event for event in sorted(events, key=position, reverse=True)}
    if not known:
        raise ValueError("a call needs at least one event")
    return _Fold(sorted(known.values(), key=position), hints).call()


_AMID = 5
_RANK = {
    Kind.INITIATED: 0,
    Kind.RINGING: 1,
    Kind.EARLY_MEDIA: 2,
    Kind.ANSWERED: 3,
    Kind.HELD: 4,
    Kind.QUEUE_JOINED: 4,
    Kind.RESUMED: 6,
    Kind.QUEUE_LEFT: 6,
    Kind.MISSED: 7,
    Kind.FAILED: 8,
    Kind.CANCELLED: 9,
    Kind.REJECTED: 10,
    Kind.NO_ANSWER: 11,
    Kind.BUSY: 12,
    Kind.COMPLETED: 13,
}
"""The order in which kinds can occur, for events with the same time."""
_WEIGHT = {
    Kind.BILLED: 1,
    Kind.COMPLETED: 2,
    Kind.MISSED: 3,
    Kind.FAILED: 4,
    Kind.CANCELLED: 5,
    Kind.REJECTED: 6,
    Kind.NO_ANSWER: 7,
    Kind.BUSY: 8,
}
"""How specifically an event describes the end of an unanswered call: `COMPLETED` says little."""
_WEIGHT_OF_ANSWERED = {**_WEIGHT, Kind.MISSED: 0, Kind.COMPLETED: 9}
"""The same for an answered call, which ends with `COMPLETED` even if other phones of a group missed it."""
_PROGRESS = {
    Kind.INITIATED: CallStatus.INITIATED,
    Kind.RINGING: CallStatus.RINGING,
    Kind.EARLY_MEDIA: CallStatus.EARLY_MEDIA,
    Kind.ANSWERED: CallStatus.ANSWERED,
}
_ENDS = {
    Kind.MISSED: (CallStatus.MISSED, Outcome.MISSED),
    Kind.FAILED: (CallStatus.FAILED, Outcome.FAILED),
    Kind.CANCELLED: (CallStatus.CANCELLED, Outcome.CANCELLED),
    Kind.REJECTED: (CallStatus.REJECTED, Outcome.REJECTED),
    Kind.NO_ANSWER: (CallStatus.NO_ANSWER, Outcome.NO_ANSWER),
    Kind.BUSY: (CallStatus.BUSY, Outcome.BUSY),
    Kind.COMPLETED: (CallStatus.COMPLETED, Outcome.ANSWERED),
}
_IN_TALK = (Kind.ANSWERED, Kind.HELD, Kind.RESUMED)
_OUTCOME_OF_SIP_STATUS = {
    408: Outcome.NO_ANSWER,
    480: Outcome.NO_ANSWER,
    486: Outcome.BUSY,
    487: Outcome.CANCELLED,
    600: Outcome.BUSY,
    603: Outcome.REJECTED,
}
"""Outcomes of `failed` calls by RFC 3261. 603 may also arrive as `busy`."""
_DAY = timedelta(days=1)
_MAX_SECONDS = 10**9
_WORD_OF_QUEUE_HOOK = {"enqueue.actionHook": "bridged", "dequeue.actionHook": "complete"}
_NUMBER = re.compile(r"\+?[0-9]+", re.ASCII)
_SIP_DISPLAY_NAME = re.compile(r'\A\s*"([^"]*)"\s*(?:<[^>]*>)?\s*\Z')
_CUSTOMER_DATA = "customer_data."


class _Fold:
    """The sorted events of a call, from which each member of the call is computed."""

    def __init__(self, events: Sequence[CallEvent], hints: FoldHints) -> None:
        self._events = events
        self._hints = hints
        self._kinds = {event.kind for event in events}
        self._live = [event for event in events if event.kind is not Kind.BILLED] or events
        self._bills = [event for event in events if event.kind is Kind.BILLED]
        self._in_talk_at = self._earliest("answered_at", *_IN_TALK)
        self._is_answered = self._in_talk_at is not None
        self._ends = self._first_ends()

    def call(self) -> Call:
        call_id = _short(self._events[0].call_id or "")
        end = max(self._ends, key=lambda event: (self._weight(event), position(event)), default=None)
        status, outcome = self._status_and_outcome(end)
        started_at = self._started_at()
        answered_at = self._earliest("answered_at", Kind.ANSWERED)
        ended_at = self._ended_at(end, answered_at)
        if ended_at:
            ended_at = max(started_at, ended_at)
        if answered_at and ended_at and answered_at > ended_at:
            # The answer was reported late: its time is the time of arrival, or the hook had to wait.
            talked = min(_number(end, "duration_seconds") or 0, _DAY.total_seconds())
            answered_at = max(started_at, ended_at - timedelta(milliseconds=round(1000 * talked)))
        ringing_at = self._ringing_at(answered_at or ended_at)
        is_answered = outcome is Outcome.ANSWERED
        ring_end = answered_at or (None if is_answered else ended_at)
        ended_by = _text(end, "call_termination_by") or _text(end, "hangup_source")
        direction = self._first_known(lambda event: event.direction)
        charge = self._bills[-1].details.get("charge") if self._bills else None
        return Call(
            provider=self._events[0].provider,
            call_id=call_id,
            status=status,
            outcome=outcome,
            direction=direction,
            from_=self._first_known(lambda event: event.from_),
            to=self._first_known(lambda event: event.to),
            caller_name=self._name("caller_name"),
            called_name=self._name("called_name"),
            trunk=self._first_text("trunk"),
            started_at=started_at,
            ringing_at=ringing_at,
            answered_at=answered_at,
            ended_at=ended_at,
            ring_seconds=_seconds(ringing_at or started_at, ring_end),
            talk_seconds=_seconds(answered_at, ended_at)
            if answered_at or not is_answered
            else self._reported_duration(end),
            hold_seconds=self._hold_seconds(ended_at),
            wrapup_seconds=self._wrapup_seconds(),
            cause=self._cause(end, outcome),
            cause_code=_integer(end, "cause_code"),
            sip_status=_integer(end, "sip_status"),
            ended_by=ended_by,
            cost=charge if isinstance(charge, Decimal) else Decimal(charge) if type(charge) is int else None,
            currency=self._hints.currency if isinstance(charge, Decimal | int) else None,
            dtmf=self._dtmf(),
            machine_detected=self._machine_detected(),
            queue=self._queue(),
            missed_in_queue=self._missed_in_queue(),
            parent_call_id=self._first_text("parent_call_sid") or self._first_text("parent_call_id"),
            result=self._result(outcome, direction, ended_by),
            flows=self._flows(),
            context=self._context(),
            bridged=self._bridged(),
            conversation_id=self._first_text("parent_call_sid")
            or self._first_text("src_hash")
            or self._first_text("parent_call_id")
            or call_id,
            tags=self._tags(),
            customer_data=self._customer_data(),
            last_event_at=max(event.occurred_at for event in self._live),
            event_count=len(self._events),
        )

    def _weight(self, event: CallEvent) -> int:
        """Return how specifically an event describes the end of the call; 0 if it does not end the call."""
        return (_WEIGHT_OF_ANSWERED if self._is_answered else _WEIGHT).get(event.kind, 0)

    def _first_ends(self) -> Sequence[CallEvent]:
        """Return the events that end the call, without an end that is reported again.

        The same end of the same PBX object counts again only if the call went on in between: it was answered or held,
        or rang before any answer.
        """
        ends, reported = [], set()
        for event in self._events:
            if self._weight(event):
                end = event.kind, event.details.get("context"), event.details.get("dst_id")
                if event.kind is Kind.BILLED or end not in reported:
                    ends.append(event)
                    reported.add(end)
            elif event.kind in _IN_TALK or (
                event.kind in _PROGRESS and (self._in_talk_at is None or event.occurred_at < self._in_talk_at)
            ):
                reported.clear()
        return ends

    def _status_and_outcome(self, end: CallEvent | None) -> tuple[CallStatus, Outcome | None]:
        if end is None:
            return self._progress(), None
        kind = self._billed_as(end) if end.kind is Kind.BILLED else end.kind
        status, outcome = _ENDS[Kind.COMPLETED if end.kind is Kind.BILLED and self._is_answered else kind]
        if self._is_answered:
            return status, Outcome.ANSWERED
        sip_status = _integer(end, "sip_status")
        if end.kind is Kind.COMPLETED:
            return status, self._outcome_of_hangup(end)
        if kind is Kind.NO_ANSWER and sip_status == 487 and _text(end, "call_termination_by") == "caller":
            return status, Outcome.CANCELLED
        if kind is Kind.FAILED or sip_status == 603:
            return status, _OUTCOME_OF_SIP_STATUS.get(sip_status or 0, outcome)
        return status, outcome

    def _result(self, outcome: Outcome | None, direction: str | None, ended_by: str | None) -> Result:
        # A missed call that is then answered has no outcome until it ends, but never becomes in progress again.
        if outcome is None and Kind.MISSED not in self._kinds:
            return Result.IN_PROGRESS
        is_answered = self._is_answered or outcome is Outcome.ANSWERED
        marks = [mark for event in self._events if (mark := _text(event, "counts_as"))]
        # What a flow counts as also holds for its dial, which may ring a mailbox.
        is_connected = _any_connects(event for event in self._events if "counts_as" not in event.details)
        is_machine = self._detections() == {True}
        # Without a plan, the provider or another application connects the call to a person. An outbound call is for
        # the person who answers it.
        answer_reaches_a_person = not self._flows() or direction == OUTBOUND
        is_with_a_party = is_connected or (is_answered and answer_reaches_a_person and is_connected is None)
        is_heard = is_answered or Kind.EARLY_MEDIA in self._kinds
        is_cancelled = outcome is Outcome.CANCELLED
        by_application = ended_by is not None and ended_by == self._hints.ended_by_application
        rules = (
            (Result.REACHED, Result.REACHED in marks or (is_with_a_party and not is_machine)),
            (Result.VOICEMAIL, Result.VOICEMAIL in marks or (is_with_a_party and is_machine)),
            (Result.SELF_SERVICE, Result.SELF_SERVICE in marks and is_heard),
            (Result.ABANDONED, is_cancelled or marks[-1:] == [Result.ABANDONED]),
            (Result.NOT_ANSWERED, not is_answered or marks[-1:] == [Result.NOT_ANSWERED]),
            (Result.ABANDONED, not by_application),
            (Result.NOT_ANSWERED, is_connected is not None),
            (Result.SELF_SERVICE, True),
        )
        return next(result for result, applies in rules if applies)

    def _flows(self) -> tuple[str, ...]:
        flows: list[str] = []
        for event in self._events:
            own, entered = event.details.get("flow"), event.details.get("next_flows")
            if isinstance(own, str) and own not in flows:
                flows.append(own)
            for flow in entered.split() if isinstance(entered, str) else ():
                if flows[-1:] != [flow]:
                    flows.append(flow)
        return tuple(_short(flow, MAX_ENTRY) for flow in flows[:MAX_ENTRIES])

    def _outcome_of_hangup(self, end: CallEvent) -> Outcome:
        """Return the outcome of a call of which only the end is known."""
        if self._bills:
            return _ENDS[self._billed_as(self._bills[-1])][1]
        if not self._hints.repeats_answer_time:
            return Outcome.ANSWERED
        cause = (_reason(end) or "").lower()
        if not cause:
            return Outcome.NO_ANSWER
        known = self._hints.outcome_of_cause.items()
        return next((outcome for words, outcome in known if words in cause), Outcome.FAILED)

    def _billed_as(self, bill: CallEvent) -> Kind:
        status = (bill.status or "").lower()
        default = Kind.COMPLETED if _number(bill, "duration_seconds") else Kind.NO_ANSWER
        return self._hints.kind_of_bill.get(status, default)

    def _is_about_a_queue(self, event: CallEvent) -> bool:
        context = self._hints.queue_context
        return context is not None and (_text(event, "context") or "").lower() == context

    def _progress(self) -> CallStatus:
        holds = [event.kind for event in self._events if event.kind in (Kind.HELD, Kind.RESUMED)]
        if holds and holds[-1] is Kind.HELD:
            return CallStatus.HELD
        if self._is_answered:
            return CallStatus.ANSWERED
        furthest = max(self._kinds & set(_PROGRESS), key=_RANK.__getitem__, default=Kind.INITIATED)
        return _PROGRESS[furthest]

    def _started_at(self) -> datetime:
        reported = (self._earliest(name) for name in ("started_at", "created_at", "ringing_at", "answered_at"))
        return min([*(event.occurred_at for event in self._live), *(moment for moment in reported if moment)])

    def _ended_at(self, end: CallEvent | None, answered_at: datetime | None) -> datetime | None:
        if end is None:
            return None
        if end.kind is not Kind.BILLED:
            live = [event for event in self._ends if event.kind is not Kind.BILLED]
            return max(_moment(event, "ended_at") or event.occurred_at for event in live)
        talked = _number(end, "duration_seconds")
        reported = self._earliest("ended_at")
        if reported or answered_at is None or talked is None:
            return reported
        return _later(answered_at, talked)

    def _reported_duration(self, end: CallEvent | None) -> Seconds | None:
        durations = (_number(event, "duration_seconds") for event in (*self._bills, end))
        return next((_rounded(duration) for duration in durations if duration is not None), None)

    def _ringing_at(self, until: datetime | None) -> datetime | None:
        """Return when it first rang; `None` if ringing was reported only after the answer or the end."""
        ringing_at = self._earliest("ringing_at", Kind.RINGING, Kind.EARLY_MEDIA)
        return ringing_at if ringing_at and (until is None or ringing_at <= until) else None

    def _hold_seconds(self, ended_at: datetime | None) -> Seconds | None:
        holds = _spans(self._events, lambda event: event.kind is Kind.HELD, lambda event: event.kind is Kind.RESUMED)
        latest = ended_at or self._live[-1].occurred_at
        return _total((min(begin, latest), min(end or ended_at or begin, latest)) for begin, end in holds)

    def _wrapup_seconds(self) -> Seconds | None:
        def is_opened(event: CallEvent) -> bool:
            return (event.status or "").lower() == self._hints.wrapup_opened

        def is_closed(event: CallEvent) -> bool:
            return (event.status or "").lower() in self._hints.wrapup_closed

        panels = [event for event in self._events if event.kind is Kind.QUEUE_WRAPUP]
        # A panel can open and close within a second, the resolution of some clocks.
        in_order = sorted(panels, key=lambda event: (event.occurred_at, not is_opened(event)))
        return _total((begin, end) for begin, end in _spans(in_order, is_opened, is_closed) if end)

    def _cause(self, end: CallEvent | None, outcome: Outcome | None) -> str | None:
        reason = _reason(end)
        # The SIP reason of an answered call is always OK.
        return reason or (None if outcome is Outcome.ANSWERED else _text(end, "sip_reason"))

    def _dtmf(self) -> tuple[str, ...]:
        keys = (
            _text(event, "digits")
            for event in self._events
            if event.kind in (Kind.DTMF, Kind.VERB)
            or (event.kind is Kind.MEDIA and event.details.get("media_status") in ("completed", "failed"))
        )
        return tuple(islice((_short(key, MAX_ENTRY) for key in keys if key), MAX_ENTRIES))

    def _machine_detected(self) -> bool | None:
        flags = self._detections()
        return True in flags if flags else None

    def _detections(self) -> set[bool]:
        flags: set[bool] = set()
        for event in self._events:
            flag = event.details.get("machine_detected")
            if isinstance(flag, bool):
                flags.add(flag)
            for name in ("answered_by", "amd_result"):
                word = (_text(event, name) or "").lower()
                flags |= {True} if "machine" in word else {False} if "human" in word else set()
        return flags

    def _context(self) -> str | None:
        about_a_queue = (_text(event, "context") for event in self._events if self._is_about_a_queue(event))
        return next(about_a_queue, None) or self._first_text("context")

    def _queue(self) -> str | None:
        # In a wrap-up event, the called party is the agent, not the queue.
        called = (
            _text(event, "called_name") or event.to
            for event in self._events
            if self._is_about_a_queue(event) and event.kind is not Kind.QUEUE_WRAPUP
        )
        return self._first_text("queue") or next((_short(name) for name in called if name), None)

    def _bridged(self) -> bool | None:
        return _any_connects(self._events)

    def _name(self, member: str) -> str | None:
        """Return a name without SIP header syntax; `None` if it is only a number."""
        text = self._first_text(member) or ""
        in_header = _SIP_DISPLAY_NAME.match(text)
        name = in_header[1].strip() if in_header else text
        return None if _NUMBER.fullmatch(name) else name or None

    def _missed_in_queue(self) -> bool:
        if any(event.kind is Kind.MISSED and self._is_about_a_queue(event) for event in self._events):
            return not self._is_answered
        left = [event for event in self._events if event.kind is Kind.QUEUE_LEFT]
        return bool(left) and _text(left[-1], "reason") == "abandoned"

    def _tags(self) -> tuple[str, ...]:
        texts = (tag for event in self._events if (tag := _text(event, "tag")))
        separator = self._hints.tag_separator
        each = (tag for text in texts for tag in (text.split(separator) if separator else (text,)))
        tags = dict.fromkeys(_short(tag, MAX_ENTRY) for tag in each if tag)
        return tuple(islice(tags, MAX_ENTRIES))

    def _customer_data(self) -> dict[str, str | bool | int]:
        tagged: dict[str, str | bool | int] = {}
        for event in self._events:
            for name, value in event.details.items():
                if name.startswith(_CUSTOMER_DATA) and name != _CUSTOMER_DATA:
                    tagged[_short(name.removeprefix(_CUSTOMER_DATA), MAX_ENTRY)] = _plain(value)
        return dict(islice(tagged.items(), MAX_CUSTOMER_DATA))

    def _earliest(self, name: str, *kinds: Kind) -> datetime | None:
        """Return the earliest time with this name that an event reports, or at which an event of these kinds occurred.

        The time that an event reports replaces the time at which it occurred.
        """
        times = (_moment(event, name) or (event.occurred_at if event.kind in kinds else None) for event in self._events)
        return min((time for time in times if time), default=None)

    def _first_known(self, read: Callable[[CallEvent], str | None]) -> str | None:
        return next((_short(text) for event in self._events if (text := read(event))), None)

    def _first_text(self, name: str) -> str | None:
        return self._first_known(lambda event: _text(event, name))


def _text(event: CallEvent | None, name: str) -> str | None:
    value = event.details.get(name) if event else None
    return _short(value) if isinstance(value, str) else None


def _reason(end: CallEvent | None) -> str | None:
    """Return why a call ended, in the provider's words. In an event with media, the reason is about the media."""
    return None if end is None or "media" in end.details else _text(end, "reason")


def _any_connects(events: Iterable[CallEvent]) -> bool | None:
    """Return whether one of these events connected the call to somebody; `None` if none tried to."""
    attempts = {_connects(event) for event in events} - {None}
    return True in attempts if attempts else None


def _connects(event: CallEvent) -> bool | None:
    """Return whether a dial, a queue, a transfer or a conference connected the call; `None` if the event is of none."""
    if dialled := _text(event, "dial_call_status"):
        return dialled == "completed"
    if event.name in _WORD_OF_QUEUE_HOOK:
        return event.status == _WORD_OF_QUEUE_HOOK[event.name]
    if event.kind is Kind.QUEUE_LEFT:
        return _text(event, "reason") == "dequeued"
    if (members := _integer(event, "members")) is not None:
        return members > 1 or None
    for name in ("transfer_status", "final_referred_call_status", "refer_status"):
        if (sip_status := _integer(event, name)) is not None:
            return sip_status // 100 == 2 if sip_status >= 200 else None
    return None


def _spans(
    events: Iterable[CallEvent], opens: Callable[[CallEvent], bool], closes: Callable[[CallEvent], bool]
) -> list[tuple[datetime, datetime | None]]:
    """Return the times between events that open and close something. What is open is not opened again."""
    spans: list[tuple[datetime, datetime | None]] = []
    begin = None
    for event in events:
        if begin is None and opens(event):
            begin = event.occurred_at
        elif begin is not None and closes(event):
            spans.append((begin, event.occurred_at))
            begin = None
    return [*spans, (begin, None)] if begin else spans


def _total(spans: Iterable[tuple[datetime, datetime]]) -> Seconds | None:
    """Return the total length of these times; `None` if there are none."""
    lengths = [end - begin for begin, end in spans]
    return _rounded(sum(lengths, timedelta()).total_seconds()) if lengths else None


def _number(event: CallEvent | None, name: str) -> float | None:
    """Return a number of seconds; `None` for decades, which are a mistake and may exceed what DynamoDB stores."""
    value = event.details.get(name) if event else None
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or value > _MAX_SECONDS:
        return None
    return max(float(value), 0)


def _integer(event: CallEvent | None, name: str) -> int | None:
    """Return a SIP status or Q.850 cause; some providers send the SIP status as text."""
    value = event.details.get(name) if event else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 3:
        return int(value)
    return int(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else None


def _moment(event: CallEvent, name: str) -> datetime | None:
    """Return a time from an event's details; `None` if it is over a day from the event, which is a clock error."""
    value = event.details.get(name)
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return moment if moment and abs(moment - event.occurred_at) <= _DAY else None
    except (ValueError, TypeError):
        return None


def _later(moment: datetime, seconds: float) -> datetime | None:
    try:
        return moment + timedelta(milliseconds=round(1000 * seconds))
    except OverflowError:
        return None


def _seconds(begin: datetime | None, end: datetime | None) -> Seconds | None:
    """Return the seconds between two times; 0 if clocks put the end before the beginning."""
    if begin is None or end is None:
        return None
    return _rounded(max((end - begin).total_seconds(), 0))


def _rounded(seconds: float) -> Seconds:
    return int(seconds) if seconds == int(seconds) else round(seconds, 3)


def _plain(value: Detail) -> str | bool | int:
    return _short(value) if isinstance(value, str) else int(value) if isinstance(value, Decimal) else value


def _short(text: str, max_length: int = MAX_TEXT) -> str:
    return text if len(text) <= max_length else text[: max_length - 1] + "…"
