"""CallEvent: one delivery in the common vocabulary of all providers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, TypeAlias

INBOUND = "inbound"
OUTBOUND = "outbound"

ONCE_KEYS = ("new-call", "new-call-get")
"""The dedupe keys of events that occur once per call."""

Detail: TypeAlias = str | bool | int | Decimal
Details: TypeAlias = Mapping[str, Detail]


class Kind(StrEnum):
    """Kind of an event. An unknown word of a provider becomes `call.other`, and stays in the event's `name`."""

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

    `call_id` is the provider's own id of the call, as sent; `None` if the delivery names no call. An SMS event has an
    `sms_id` instead. `name` and `status` are the provider's own words for the event and for the state of the call.
    `from_` and `to` are as sent, but trimmed and decoded. `sent_at` is the provider's clock, `None` if it sends no
    time; both times are aware UTC. `details` holds everything else that was parsed: trimmed strings, flags and numbers,
    but no floats.
    `once` marks an event that occurs once per call, the first one: a later delivery with its `dedupe_key` is a
    duplicate even if the body differs. The key is then one of `ONCE_KEYS`.
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
        """Return when it happened: by the provider's clock if it sends a time, otherwise by ours."""
        return self.sent_at or self.received_at


class QuarantinedDelivery(NamedTuple):
    """An authenticated delivery to store in quarantine.

    `reason` contains no data from the request.
    """

    provider: str
    reason: str
    received_at: datetime


class Ignored(NamedTuple):
    """An authenticated delivery that is acknowledged but not stored: a probe, or one that a filter excludes."""

    reason: str


_DIRECTIONS = {"in": INBOUND, "incoming": INBOUND, "out": OUTBOUND, "outgoing": OUTBOUND}


def direction_of(word: str | None) -> str | None:
    """Return `inbound` or `outbound` for a provider's word, or the word itself in lower case if it is unknown."""
    if not word:
        return None
    lowered = clean_text(word).lower()
    return _DIRECTIONS.get(lowered, lowered) or None


def known_details(members: Mapping[str, Detail | datetime | None]) -> Details:
    """Return the members that have a value, with strings trimmed and times formatted by `utc_text`."""
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
    """Return a string that can be stored anywhere: trimmed, with lone surrogates escaped."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8").strip()


def cleaned(value: str | None) -> str | None:
    """Return `clean_text`, or `None` if that is empty."""
    return (clean_text(value) or None) if value else None


def canonical_party(party: str) -> str:
    """Return the canonical form used to compare numbers, SIP users and SIP URIs.

    A phone number becomes its digits only, because carriers differ in the `+` and in separators. Anything else becomes
    its user part in lower case. SIP may escape `+`, `*`, `#` and digits.
    """
    user = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), party.strip().lower())
    for scheme in ("sips:", "sip:", "tel:"):
        user = user.removeprefix(scheme)
    user = user.partition("@")[0].partition(";")[0]
    digits = user.removeprefix("+").translate(_SEPARATORS)
    return digits if digits.isascii() and digits.isdigit() else user


_ESCAPE = re.compile("%(2[3ab]|3[0-9])")
_SEPARATORS = str.maketrans("", "", " -.()/\u00a0")


def utc_text(moment: datetime) -> str:
    """Return a time as it is stored: ISO 8601 in UTC with milliseconds, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
