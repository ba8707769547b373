"""CallEvent: one delivery, normalised, in a vocabulary that no provider owns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, TypeAlias

INBOUND = "inbound"
OUTBOUND = "outbound"

ONCE_KEYS = ("new-call", "new-call-get")
"""The dedupe keys of events that a call has once."""

Detail: TypeAlias = str | bool | int | Decimal
Details: TypeAlias = Mapping[str, Detail]


class Kind(StrEnum):
    """What a delivery tells. A value that no adapter knows becomes `OTHER` and keeps its name beside it."""

    INITIATED = "call.initiated"
    RINGING = "call.ringing"
    EARLY_MEDIA = "call.early_media"
    ANSWERED = "call.answered"
    HELD = "call.held"
    RESUMED = "call.resumed"
    DTMF = "call.dtmf"
    MEDIA = "call.media"
    VERB = "call.verb"
    MISSED = "call.missed"
    COMPLETED = "call.completed"
    BUSY = "call.busy"
    NO_ANSWER = "call.no_answer"
    REJECTED = "call.rejected"
    CANCELLED = "call.cancelled"
    FAILED = "call.failed"
    BILLED = "call.billed"
    OTHER = "call.other"
    SMS_RECEIVED = "sms.received"
    QUEUE_JOINED = "queue.joined"
    QUEUE_LEFT = "queue.left"
    QUEUE_WRAPUP = "queue.wrapup"
    CLIENT_REGISTERED = "client.registered"
    CLIENT_REFUSED = "client.refused"
    TOOL_CALLED = "tool.called"


@dataclass(frozen=True, slots=True)
class CallEvent:
    """One delivery of a provider.

    `call_id` is the provider's own id of the call, as it was sent, `None` where the delivery names none; what tells
    of an SMS has an `sms_id` instead. `name` and `status` are the provider's own words for what happened and for the
    state of the call. `from_` and `to` are as they were sent, but trimmed. `sent_at` is the provider's clock, `None`
    where it sends none; both moments are aware UTC. `details` holds what else was understood: trimmed strings,
    flags, and numbers, of which none is a float. `once` marks the beginning of a call, of which there is one: a later
    delivery with its `dedupe_key` is a repeat, even with another body. The key is then one of `ONCE_KEYS`.
    """

    provider: str
    call_id: str | None
    dedupe_key: str
    kind: Kind
    name: str
    received_at: datetime
    sent_at: datetime | None = None
    sms_id: str | None = None
    status: str | None = None
    direction: str | None = None
    from_: str | None = None
    to: str | None = None
    details: Details = field(default_factory=dict)
    once: bool = False

    @property
    def occurred_at(self) -> datetime:
        """When it happened: by the provider's clock where it sends one, else by ours."""
        return self.sent_at or self.received_at


class NotUnderstood(NamedTuple):
    """A proven delivery that is kept in quarantine.

    `reason` repeats nothing of what was sent.
    """

    provider: str
    reason: str
    received_at: datetime


class Ignored(NamedTuple):
    """A proven delivery that is acknowledged and not kept, on purpose: a probe, or one that a filter leaves out."""

    reason: str


_DIRECTIONS = {"in": INBOUND, "incoming": INBOUND, "out": OUTBOUND, "outgoing": OUTBOUND}


def direction_of(word: str | None) -> str | None:
    """`inbound` or `outbound` for any provider's word, or that word in lower case where nobody knows it."""
    if not word:
        return None
    lowered = clean_text(word).lower()
    return _DIRECTIONS.get(lowered, lowered) or None


def known_details(members: Mapping[str, Detail | datetime | None]) -> Details:
    """The members that hold something, their strings trimmed, their moments in the form of `utc_text`."""
    details: dict[str, Detail] = {}
    for name, value in members.items():
        if isinstance(value, datetime):
            details[name] = utc_text(value)
        elif isinstance(value, str):
            if text := clean_text(value):
                details[name] = text
        elif value is not None:
            details[name] = value
    return details


def clean_text(value: str) -> str:
    """A string that every store takes: trimmed, lone surrogates escaped."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8").strip()


def cleaned(value: str | None) -> str | None:
    """`clean_text`, with `None` for what is empty."""
    return (clean_text(value) or None) if value else None


def canonical_party(party: str) -> str:
    """What a number, a SIP user or a SIP URI is compared by.

    A phone number becomes its digits alone, since carriers differ in the `+` and in separators; anything else
    becomes the user part in lower case.
    """
    user = party.strip().lower()
    for scheme in ("sips:", "sip:", "tel:"):
        user = user.removeprefix(scheme)
    user = user.partition("@")[0].partition(";")[0]
    digits = user.removeprefix("+").translate(_SEPARATORS)
    return digits if digits.isascii() and digits.isdigit() else user


_SEPARATORS = str.maketrans("", "", " -.()/\u00a0")


def utc_text(moment: datetime) -> str:
    """A moment as it is stored: ISO 8601 in UTC with milliseconds, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
