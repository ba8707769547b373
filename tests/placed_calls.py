"""Calls of all four providers, built from recorded deliveries, each with a new id."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from callhooks.events.event_item import partition_key
from callhooks_tools.stack.recordings import Delivery, as_sent_by, read_delivery
from pydantic import JsonValue, TypeAdapter, ValidationError

from tests.running_stack import RunningStack
from tests.support import EVENTS

RECORDED_AT = datetime(2026, 11, 21, 6, 30, tzinfo=UTC)

SEQUENCES: dict[str, list[list[str]]] = {
    "jambonz": [
        ["new_call", "call_status_inbound_trying", "call_status_inbound_in_progress", "action_gather_digits",
         "call_status_inbound_completed"],
        ["new_call", "call_status_inbound_trying", "call_status_inbound_no_answer"],
        ["call_status_dial_leg_trying", "call_status_dial_leg_ringing", "call_status_dial_leg_busy"],
        ["call_status_dial_leg_trying", "call_status_dial_leg_ringing", "call_status_dial_leg_in_progress",
         "call_status_dial_leg_ringing", "call_status_dial_leg_in_progress", "call_status_dial_leg_completed"],
    ],
    "wavix": [
        ["call_setup", "ringing", "early_media", "answered", "on_call_event_collect_completed", "completed",
         "post_call_answered"],
        ["call_setup", "ringing", "cancelled", "post_call_noanswer"],
        ["call_setup", "busy"],
        ["call_setup", "ringing", "answered", "ringing", "answered", "completed"],
    ],
    "bird": [
        ["voice_inbound_starting", "voice_inbound_ringing", "voice_inbound_ongoing", "voice_inbound_completed"],
        ["voice_outbound_accepted", "voice_outbound_starting", "voice_outbound_ringing", "voice_outbound_cancelled"],
        ["voice_inbound_starting", "voice_inbound_ringing", "voice_inbound_ongoing", "voice_inbound_ringing",
         "voice_inbound_ongoing", "voice_inbound_completed"],
    ],
    "voipstudio": [
        ["call_initial", "call_ringing", "call_connected", "call_hold", "call_dtmf", "call_unhold", "call_hangup",
         "queue_wrapup_start"],
        ["call_initial", "call_ringing", "call_missed_queue"],
        ["call_initial", "call_ringing", "call_connected", "call_ringing", "call_connected", "call_hangup"],
    ],
}  # fmt: skip
"""The last one of each provider reports progress again, as after a transfer."""

_REPORTED_AGAIN_AFTER = timedelta(seconds=20)
_MOMENT = TypeAdapter(datetime)

recorded_delivery = cache(read_delivery)
"""Read a recorded delivery, once."""


@dataclass(frozen=True)
class PlacedCall:
    """Call and its deliveries, in the order in which the provider makes them."""

    provider: str
    call_id: str
    deliveries: list[Delivery]

    @property
    def pk(self) -> str:
        return partition_key(self.provider, self.call_id)


def new_call_id(provider: str, number: int) -> str:
    """Return a call id in the provider's format from a random number of 128 bits."""
    return str(number % 10**12) if provider == "voipstudio" else str(uuid.UUID(int=number))


def place(
    running: RunningStack,
    provider: str,
    names: list[str],
    number: int,
    began: datetime,
    *,
    pace: int = 1,
    call_id: str = "",
) -> PlacedCall:
    """Return a call made from recorded deliveries, moved to another time and authenticated for the stack.

    `pace` multiplies the times between its events in the recordings, and the two seconds between its deliveries.
    A repeated name is progress that is reported again, with later times.
    """
    call_id = call_id or new_call_id(provider, uuid.uuid4().int)
    access = running.stack.credentials.of(provider)
    deliveries = []
    for step, name in enumerate(names):
        recorded = recorded_delivery(EVENTS / provider / f"{name}.json")
        repetitions = names[:step].count(name)
        document = shifted(json.loads(recorded.request.body), began + pace * repetitions * _REPORTED_AGAIN_AFTER, pace)
        assert isinstance(document, dict)
        call = document["payload"] if provider == "bird" else document
        assert isinstance(call, dict)
        call.update(call_id_members(provider, call, call_id, step))
        call["from"] = call.get("from") and f"+1212555{number:04}"
        delivery = Delivery({**recorded.event, "body": json.dumps(document)})
        sent_at = began + timedelta(seconds=2 * step * pace)
        deliveries.append(as_sent_by(provider, delivery, access, sent_at, base_url=running.stack.base_url))
    return PlacedCall(provider, call_id, deliveries)


def call_id_members(provider: str, call: Mapping[str, JsonValue], call_id: str, step: int) -> dict[str, JsonValue]:
    """Return the members of a delivery's body that hold the call id or the event's id."""
    if provider == "jambonz":
        return {"call_sid": call_id}
    if provider == "voipstudio":
        return {"call_id": call_id, "id": f"{call_id}-{step}"}
    return {name: call_id for name in ("id", "uuid") if name in call}


def shifted(value: JsonValue, began: datetime, pace: int) -> JsonValue:
    """Return a document with all its times moved. VoIPstudio's times have no zone."""
    if isinstance(value, dict):
        return {name: shifted(member, began, pace) for name, member in value.items()}
    if isinstance(value, str) and value.startswith("2026-11-21"):
        try:
            moment = _MOMENT.validate_python(value)
        except ValidationError:
            return value
        moment = (began + pace * (moment.replace(tzinfo=UTC) - RECORDED_AT)).replace(tzinfo=moment.tzinfo)
        return f"{moment:%Y-%m-%d %H:%M:%S}" if moment.tzinfo is None else moment.isoformat(timespec="milliseconds")
    return value


def record_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's item without the members that depend on its id, for comparison with another call."""
    of_this_call = {"pk", "call_id", "day_shard", "expires_at"}
    return {name: value for name, value in item.items() if name not in of_this_call}
