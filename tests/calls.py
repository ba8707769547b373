"""Events of whole calls, built directly or by sending recorded deliveries to the functions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from types import MappingProxyType
from typing import Any

from callhooks.calls import call
from callhooks.calls.call import Call
from callhooks.events.call_event import CallEvent, Detail, Kind
from callhooks.events.event_item import event_of_item
from callhooks.providers.registry import hints_for

from tests.senders import SENDERS, document_of, jambonz_event
from tests.support import NOW, Container, Event, body_of, recorded, signed_event

START = datetime(2026, 11, 21, 6, 30, tzinfo=UTC)

SEQUENCES: dict[str, tuple[str, ...]] = {
    "wavix": (
        "call_setup", "ringing", "early_media", "answered",
        "on_call_event_audio_started", "on_call_event_audio_completed",
        "on_call_event_collect_started", "on_call_event_collect_completed", "completed",
    ),
    "bird": ("voice_inbound_starting", "voice_inbound_ringing", "voice_inbound_ongoing", "voice_inbound_completed"),
    "voipstudio": (
        "call_initial", "call_ringing", "call_connected", "call_hold", "call_unhold", "call_dtmf", "call_hangup",
        "queue_wrapup_start", "queue_wrapup_end",
    ),
    "jambonz": (
        "new_call", "call_status_inbound_trying", "call_status_inbound_in_progress", "dial_dtmf", "queue_event_join",
        "queue_event_leave_abandoned", "amd_machine", "sip_request_hold", "sip_request_unhold",
        "call_status_inbound_completed",
    ),
    "jambonz leg": (
        "call_status_dial_leg_trying", "call_status_dial_leg_ringing", "call_status_dial_leg_early_media",
        "call_status_dial_leg_in_progress", "call_status_dial_leg_ringing", "call_status_dial_leg_in_progress",
        "session_adulting", "call_status_dial_leg_completed",
    ),
}  # fmt: skip
"""The recorded deliveries of one call from each provider, in the order sent. jambonz's leg is also transferred."""

_KEYS = count()


def fold(events: Iterable[CallEvent]) -> Call:
    """Return the call of these events, with the hints of their provider."""
    known = list(events)
    return call.fold(known, hints_for(known[0].provider if known else ""))


def make_event(
    kind: Kind,
    after: float = 0,
    details: Mapping[str, Detail] = MappingProxyType({}),
    *,
    provider: str = "jambonz",
    status: str | None = None,
    direction: str | None = None,
    from_: str | None = None,
    to: str | None = None,
    key: str | None = None,
) -> CallEvent:
    """Return an event that happened `after` seconds from the start of its call."""
    return CallEvent(
        provider=provider,
        call_id="one-call",
        dedupe_key=key or f"key-{next(_KEYS):06}",
        kind=kind,
        name=kind.value,
        received_at=NOW,
        sent_at=START + timedelta(seconds=after),
        status=status,
        direction=direction,
        from_=from_,
        to=to,
        details=details,
    )


def delivered(sequence: str) -> list[CallEvent]:
    """Return the events that the functions store for a sequence, with one delivery every two seconds."""
    return [event_of_item(item) for item in delivered_items(sequence)]


def delivered_items(sequence: str) -> Iterable[Any]:
    provider, names = sequence.partition(" ")[0], SEQUENCES[sequence]
    if provider != "jambonz":
        sender = SENDERS[provider]()
        for name in names:
            sender.clock.advance(2)
            sender.send(document_of(provider, name))
        return sender.items
    calls, events = Container(), jambonz_event()
    for name in names:
        calls.clock.advance(2)
        events.clock.now = calls.clock.now
        if name == "new_call":
            calls.receive(signed_event(body_of(name), now=calls.clock.now))
        else:
            events.receive(_jambonz_event(name, calls.clock.now))
    return [*calls.database.items.values(), *events.items]


def _jambonz_event(name: str, now: datetime) -> Event:
    event = recorded(name)
    document = body_of(name)
    # Epoch milliseconds from the recording: replace them, so that queue and call use the same clock.
    document |= {member: int(now.timestamp() * 1000) for member in ("join_time", "leave_time") if member in document}
    return {**signed_event(json.dumps(document), now=now), "rawPath": event["rawPath"]}


def of(provider: str, *events: CallEvent) -> list[CallEvent]:
    """Return the same events with another provider."""
    return [replace(event, provider=provider) for event in events]
