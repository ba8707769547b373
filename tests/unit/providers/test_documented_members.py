"""Every member that a provider documents is an attribute or a detail of the stored event, or is read from its body."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from callhooks.events.event_item import body_of_item

from tests.senders import CHANNEL, SENDERS
from tests.support import EVENTS

CALL = "5dccb6b0-f35c-488c-867b-86fb012c4415"
PLAYBACK = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
ONLY_IN_THE_BODY = ""

ON_CALL: dict[str, tuple[Any, str, str]] = {
    "uuid": (CALL, "call_id", CALL),
    "event_time": ("2026-11-21T06:30:06.402Z", "occurred_at", "2026-11-21T06:30:06.402Z"),
    "from": ("+18045961058", "from", "+18045961058"),
    "to": ("17653889567", "to", "17653889567"),
    "call_started": ("2026-11-21T06:30:00.118Z", "details.started_at", "2026-11-21T06:30:00.118Z"),
    "call_answered": ("2026-11-21T06:30:06.402Z", "details.answered_at", "2026-11-21T06:30:06.402Z"),
    "call_completed": ("2026-11-21T06:30:48.900Z", "details.ended_at", "2026-11-21T06:30:48.900Z"),
    "machine_detected": (True, "details.machine_detected", "True"),
    "tag": ("marketing-campaign", "details.tag", "marketing-campaign"),
    "direction": ("outbound", "direction", "outbound"),
}
OF_2026: dict[str, tuple[Any, str, str]] = {
    "event_payload.type": ("audio", "details.media", "audio"),
    "event_payload.payload.status": ("completed", "details.media_status", "completed"),
    "event_payload.payload.playback_id": (PLAYBACK, "details.playback_id", PLAYBACK),
    "event_payload.payload.digits": ("1234", "details.digits", "1234"),
}
OF_2024: dict[str, tuple[Any, str, str]] = {
    "event_payload.in_call_event": ("collect_completed", "details.media_status", "completed"),
    "event_payload.in_call_event_data.digits": ("1234", "details.digits", "1234"),
    "event_payload.in_call_event_data.reason": ("max_digits", "details.reason", "max_digits"),
}
EVENT_TYPES = (
    "call_setup", "ringing", "early_media", "answered", "completed", "busy", "cancelled", "rejected", "on_call_event",
    "in_call_event",
)  # fmt: skip
VOIPSTUDIO_CALL: dict[str, tuple[Any, str, str]] = {
    "id": ("uk003.608920d55f7ac3.77053295", "sk", "event#uk003.608920d55f7ac3.77053295"),
    "event_time": ("2026-11-21 06:30:13", "occurred_at", "2026-11-21T06:30:13.000Z"),
    "event_name": ("call.hangup", "event_name", "call.hangup"),
    "call_id": (139543232, "call_id", "139543232"),
    "state": ("HANGUP", "status", "HANGUP"),
    "connected_at": ("2026-11-21 06:30:02", "details.answered_at", "2026-11-21T06:30:02.000Z"),
    "start_time": ("2026-11-21 06:29:55", "details.started_at", "2026-11-21T06:29:55.000Z"),
    "context": ("LOCAL_USER", "details.context", "LOCAL_USER"),
    "destination": ("in", "direction", "inbound"),
    "duration": (11, "details.duration_seconds", "11"),
    "t_cause": ("Normal Clearing", "details.reason", "Normal Clearing"),
    "src": ("447854740947", "from", "447854740947"),
    "src_id": ("0", "details.src_id", "0"),
    "src_name": ('"442035141598" <2035141598>', "details.caller_name", '"442035141598" <2035141598>'),
    "src_hash": ("fe5935cefbc82fc4", "details.src_hash", "fe5935cefbc82fc4"),
    "dst": ("441183211001", "to", "441183211001"),
    "dst_id": (10002, "details.dst_id", "10002"),
    "dst_name": ("John Smith", "details.called_name", "John Smith"),
}

DOCUMENTED: dict[str, tuple[str, dict[str, tuple[Any, str, str]]]] = {
    **{
        f"wavix {event_type} {generation}": (
            "wavix", {**ON_CALL, **payload, "event_type": (event_type, "event_name", event_type)},
        )
        for event_type in EVENT_TYPES
        for generation, payload in (("2026", OF_2026), ("2024", OF_2024))
    },
    "wavix 2024, at the top level": (
        "wavix",
        {
            **ON_CALL,
            **{path.removeprefix("event_payload."): row for path, row in OF_2024.items()},
            "event_type": ("in_call_event", "event_name", "in_call_event"),
        },
    ),
    "wavix 2025": (
        "wavix",
        {
            **{path: row for path, row in ON_CALL.items() if path not in ("uuid", "call_completed")},
            "id": (CALL, "call_id", CALL),
            "event_type": ("completed", "status", "completed"),
            "call_finished": ("2026-11-21T06:30:48.900Z", "details.ended_at", "2026-11-21T06:30:48.900Z"),
        },
    ),
    "wavix post-call": (
        "wavix",
        {
            "uuid": (CALL, "call_id", CALL),
            "direction": ("inbound", "direction", "inbound"),
            "destination": ("United States", "details.destination", "United States"),
            "duration": (42, "details.duration_seconds", "42"),
            "charge": ("0.0095", "details.charge", "0.0095"),
            "date": ("2026-11-21T06:30:00.000Z", "occurred_at", "2026-11-21T06:30:00.000Z"),
            "disposition": ("answered", "status", "answered"),
            "from": ("12125550187", "from", "12125550187"),
            "to": ("14155550123", "to", "14155550123"),
            "per_minute": ("0.0135", "details.per_minute", "0.0135"),
        },
    ),
    "bird": (
        "bird",
        {
            "service": ("channels", ONLY_IN_THE_BODY, ""),
            "event": ("voice.outbound", "event_name", "voice.outbound"),
            "payload.id": (CALL, "call_id", CALL),
            "payload.channelId": (CHANNEL, "details.channel_id", CHANNEL),
            "payload.status": ("busy", "status", "busy"),
            "payload.from": ("+31612345678", "from", "+31612345678"),
            "payload.to": ("+31201234567", "to", "+31201234567"),
            "payload.originator.number.number": ("+31612345678", "from", "+31612345678"),
            "payload.originator.number.callerIdName": ("Jane", "details.caller_name", "Jane"),
            "payload.receiver.number.number": ("+31201234567", "to", "+31201234567"),
            **{
                f"payload.{party}.number.{member}": (value, ONLY_IN_THE_BODY, "")
                for party in ("originator", "receiver")
                for member, value in {
                    "type": "pstn", "anonymous": True, "identity": "jane", "countryIsoCode": "NL",
                    "pstnNumberType": "mobile",
                }.items()
            },
            "payload.receiver.number.callerIdName": ("Sales", ONLY_IN_THE_BODY, ""),
            "payload.parentId": ("parent", "details.parent_call_id", "parent"),
            "payload.direction": ("outgoing", "direction", "outbound"),
            "payload.reason": ("call failed", "details.reason", "call failed"),
            "payload.type": ("pstn", "details.type", "pstn"),
            "payload.duration": (0, "details.duration_seconds", "0"),
            "payload.createdAt": ("2026-11-21T06:30:00Z", "details.created_at", "2026-11-21T06:30:00.000Z"),
            "payload.ringingAt": ("2026-11-21T06:30:01.5Z", "details.ringing_at", "2026-11-21T06:30:01.500Z"),
            "payload.answeredAt": ("2026-11-21T06:30:06Z", "details.answered_at", "2026-11-21T06:30:06.000Z"),
            "payload.endedAt": ("2026-11-21T06:30:48Z", "details.ended_at", "2026-11-21T06:30:48.000Z"),
            "payload.updatedAt": ("2026-11-21T06:30:49Z", ONLY_IN_THE_BODY, ""),
            "payload.hangupCauseCode": (17, "details.cause_code", "17"),
            "payload.hangupSipCode": ("486", "details.sip_status", "486"),
            "payload.hangupSource": ("callee", "details.hangup_source", "callee"),
            "payload.amdResult": ("human", "details.amd_result", "human"),
            "payload.tags": (["vip", "gold"], "details.tag", "vip, gold"),
        },
    ),
    "voipstudio call": ("voipstudio", VOIPSTUDIO_CALL),
    "voipstudio DTMF": (
        "voipstudio",
        {
            **VOIPSTUDIO_CALL,
            "event_name": ("call.dtmf", "event_name", "call.dtmf"),
            "dtmf_tag": ("*", "details.digits", "*"),
            "dtmf_target": ("U:123456", "details.dtmf_target", "U:123456"),
        },
    ),
    "voipstudio SMS": (
        "voipstudio",
        {
            "id": ("sms-1", "sk", "event#sms-1"),
            "event_time": ("2026-11-21 06:35:00", "occurred_at", "2026-11-21T06:35:00.000Z"),
            "event_name": ("sms.received", "event_name", "sms.received"),
            "customer_id": (9855, "details.customer_id", "9855"),
            "user_id": (12, "details.user_id", "12"),
            "from_no": ("447700900123", "from", "447700900123"),
            "to_no": ("442079460123", "to", "442079460123"),
            "text": ("Please call me back", "details.text", "Please call me back"),
        },
    ),
    **{
        f"voipstudio wrap-up {state}": (
            "voipstudio",
            {
                **VOIPSTUDIO_CALL,
                "event_name": ("queue.wrapup", "event_name", "queue.wrapup"),
                "state": (state, "status", state),
            },
        )
        for state in ("START", "END", "TIMEOUT")
    },
    **{
        f"voipstudio {name} {state}": (
            "voipstudio",
            {
                **VOIPSTUDIO_CALL,
                "event_name": (name, "event_name", name),
                "state": (state, "details.click_to_call", "True" if state == "ACCEPTED" else "None"),
            },
        )
        for name in ("call.initial", "call.ringing")
        for state in ("INITIAL", "ACCEPTED", "RINGING")
    },
}  # fmt: skip
"""Deliveries, each with a row for a member: its path, a value, the place in the stored event, and the value there."""


def document_with(rows: dict[str, tuple[Any, str, str]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for path, (value, _, _) in rows.items():
        *parents, name = path.split(".")
        members = document
        for parent in parents:
            members = members.setdefault(parent, {})
        members[name] = value
    return document


def paths_of(document: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in document.items():
        yield from paths_of(value, f"{prefix}{name}.") if isinstance(value, dict) else (f"{prefix}{name}",)


@pytest.mark.parametrize("delivery", DOCUMENTED)
def test_every_documented_member_is_stored(delivery: str) -> None:
    provider, rows = DOCUMENTED[delivery]
    document = document_with(rows)
    stored = SENDERS[provider]().stored(document)
    found = {f"details.{name}": str(value) for name, value in stored.details.items()}
    found |= {name: value["S"] for name, value in stored.item.items() if "S" in value}
    expected = {path: (place, text) for path, (_, place, text) in rows.items() if place != ONLY_IN_THE_BODY}
    assert {path: (place, str(found.get(place))) for path, (place, _) in expected.items()} == expected
    assert json.loads(body_of_item(stored.item)) == document


@pytest.mark.parametrize("provider", ["wavix", "bird", "voipstudio"])
def test_every_member_of_the_recorded_deliveries_is_documented(provider: str) -> None:
    documented = {path for name, rows in DOCUMENTED.values() if name == provider for path in rows} | {"event_payload"}
    bodies = [json.loads(path.read_text("utf-8")).get("body") for path in sorted((EVENTS / provider).glob("*.json"))]
    sent = {path for body in bodies if body for path in paths_of(json.loads(body))}
    assert sent - documented == set()
