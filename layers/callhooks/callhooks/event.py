"""CallEvent: one delivery, normalised, in a vocabulary that no provider owns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum


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

    `call_id` is the provider's own id of the call, as it was sent, `None` where the delivery names none. `from_` and
    `to` are as they were sent, but trimmed. `occurred_at` is the provider's clock where it sends one, else
    `received_at`; both are aware UTC. `details` holds what else was understood, as short trimmed strings.
    """

    provider: str
    call_id: str | None
    dedupe_key: str
    kind: Kind
    name: str
    occurred_at: datetime
    received_at: datetime
    direction: str | None = None
    from_: str | None = None
    to: str | None = None
    details: Mapping[str, str] = field(default_factory=dict)


def clean_text(value: str) -> str:
    """A string that every store takes: trimmed, lone surrogates escaped."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8").strip()


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
