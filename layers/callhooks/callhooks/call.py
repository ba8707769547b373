"""Call: what the events of one call come to. It is the only place that knows what a status means.

A call is a function of the set of its events: they are put in order by when they happened, never by when they came, so
that any order and any repetition make the same call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from callhooks.event import CallEvent, Detail, Kind, utc_text

FOLD_VERSION = 1
"""Raised with every change of what a call becomes of its events, so that a call item is written again."""

LONGEST_TEXT = 1000
MOST_ENTRIES = 200


class CallStatus(StrEnum):
    """Where a call is: how far it has come, and once it has ended, the last word of its provider."""

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
    """How a call went, whatever words its provider has for it.

    `CANCELLED` is a caller who gave up before the answer, `MISSED` a VoIPstudio user or queue that did not take the call.
    """

    ANSWERED = "answered"
    MISSED = "missed"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    FAILED = "failed"


Moment = Annotated[
    datetime, PlainSerializer(utc_text, return_type=str), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""Aware UTC; ISO 8601 with milliseconds and `Z` in JSON."""
Seconds = int | float


class CallSummary(BaseModel):
    """A call as a list shows it."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    provider: str
    call_id: str = Field(description="The provider's own id of the call")
    status: CallStatus = Field(description="How far the call has come, or how it ended in its provider's words")
    outcome: Outcome | None = Field(None, description="How the call went; null while it is under way")
    direction: str | None = Field(None, description="inbound or outbound, or another word of the provider")
    from_: str | None = Field(None, alias="from")
    to: str | None = None
    started_at: Moment
    answered_at: Moment | None = None
    ended_at: Moment | None = None
    ring_seconds: Seconds | None = Field(
        None, description="From the ringing, or the start where no ringing is told, to the answer or the end"
    )
    talk_seconds: Seconds | None = Field(None, description="From the answer to the end, holding included")


class Call(CallSummary):
    """A call: everything that its events tell. Times are the provider's, as far as it sends them."""

    ringing_at: Moment | None = None
    hold_seconds: Seconds | None = Field(None, description="On hold, as far as it is told; null where it never was")
    cause: str | None = Field(None, description="Why the call ended, in the provider's words")
    cause_code: int | None = Field(None, description="Why the call ended: the Q.850 cause")
    sip_status: int | None = Field(None, description="Why the call ended: the SIP status")
    ended_by: str | None = Field(None, description="Who ended the call, in the provider's word")
    caller_name: str | None = None
    called_name: str | None = None
    trunk: str | None = None
    cost: Decimal | None = Field(None, description="What the call cost, a decimal number")
    currency: str | None = None
    dtmf: tuple[str, ...] = Field((), description="Keys that were pressed, in order, collected ones together")
    machine_detected: bool | None = Field(None, description="Whether a machine answered, where that is told")
    queue: str | None = None
    missed_in_queue: bool = Field(False, description="Whether the call was in a queue and nobody took it")
    parent_call_id: str | None = Field(None, description="The call that this one is a leg of")
    conversation_id: str | None = Field(
        None, description="What the legs of one conversation have in common: the parent's call SID, or src_hash"
    )
    tags: tuple[str, ...] = ()
    customer_data: Mapping[str, str | bool | int] = Field(
        default_factory=dict, description="What a jambonz call was tagged with"
    )
    last_event_at: Moment
    event_count: int
    fold_version: int = FOLD_VERSION

    @property
    def is_under_way(self) -> bool:
        """Whether nothing has told of its end."""
        return self.outcome is None
