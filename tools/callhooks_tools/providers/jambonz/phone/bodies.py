"""Bodies of jambonz's hooks, with the members that feature-server 0.9.8 sends.

Most hooks contain the result of `CallInfo.toJSON()` (`call_info`), a few the raw object (`raw_call_info`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from callhooks.providers.jambonz.plan.call_facts import snake_case
from pydantic import JsonValue

Body = dict[str, JsonValue]

ACCOUNT_SID = "bb845d4b-83a9-4cde-a6e9-50f3743bab3f"
APPLICATION_SID = "72c5c38f-9bba-40ce-aa83-aaa6be55e1b5"
SERVICE_PROVIDER_SID = "2708b1b3-2736-40ea-b502-c53d8396247f"
CARRIER_SID = "4a4e3a5c-8b0e-4d7e-9d7a-4f4a1f6f7a10"
FEATURE_SERVER = "10.0.21.7:5060"
CARRIER_ADDRESS = "198.51.100.10"
DEFAULTS: Body = {
    "synthesizer": {"vendor": "google", "language": "en-US", "voice": "en-US-Standard-C"},
    "recognizer": {"vendor": "google", "language": "en-US"},
}
CONFIDENT, NOT_CONFIDENT = 0.9848633, 0.31

_SDP = (
    "v=0\r\no=- 1732148000 1732148000 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n"
    "m=audio 40376 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
)
_OWN_CASE_HEADERS = re.compile(r"X-", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call that arrives at jambonz, or that was created through its REST API (`outbound`)."""

    to: str
    from_: str
    direction: str = "inbound"
    caller_name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    trunk: str | None = "example-carrier"
    env_vars: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(slots=True)
class Leg:
    """A call leg and its state; a dialled leg has a parent."""

    call_sid: str
    direction: str
    from_: str
    to: str
    call_id: str
    trace_id: str
    sbc_callid: str | None = None
    caller_name: str = ""
    trunk: str | None = None
    parent_call_sid: str | None = None
    call_status: str = "trying"
    sip_status: int = 100
    sip_reason: str = "Trying"
    call_termination_by: str | None = None
    duration: int | None = None
    customer_data: Mapping[str, JsonValue] | None = None
    bye_headers: Mapping[str, JsonValue] | None = None

    def change(self, call_status: str, sip_status: int | None = None, sip_reason: str | None = None) -> None:
        """Set a new status; as in jambonz, the SIP status and reason stay if none is passed."""
        self.call_status = call_status
        self.sip_status = sip_status or self.sip_status
        self.sip_reason = sip_reason or self.sip_reason

    def call_info(self) -> Body:
        """Return the members of most hooks."""
        members: dict[str, JsonValue] = {
            "call_sid": self.call_sid,
            "direction": self.direction,
            "from": self.from_,
            "to": self.to,
            "call_id": self.call_id,
            "sbc_callid": self.sbc_callid,
            "sip_status": self.sip_status,
            "sip_reason": self.sip_reason,
            "call_status": self.call_status,
            "caller_id": self.from_ if self.parent_call_sid else None,
            "account_sid": ACCOUNT_SID,
            "trace_id": self.trace_id,
            "application_sid": APPLICATION_SID,
            "fs_sip_address": FEATURE_SERVER,
            "parent_call_sid": self.parent_call_sid,
            **self._origin(),
            "call_termination_by": self.call_termination_by,
            "duration": self.duration,
            "customerData": _copy(self.customer_data),
            "headers": _copy(self.bye_headers),
        }
        return {name: value for name, value in members.items() if value is not None}

    def raw_call_info(self) -> Body:
        """Return the members of the first webhook, of transcriptions, and of a conference's wait and enter hooks."""
        members: dict[str, JsonValue] = {
            "direction": self.direction,
            "trace_id": self.trace_id,
            "has_recording": False,
            "caller_name": f'"{self.caller_name}"' if self.caller_name else "",
            "call_sid": self.call_sid,
            "parent_call_sid": self.parent_call_sid,
            "account_sid": ACCOUNT_SID,
            "application_sid": APPLICATION_SID,
            "from": self.from_,
            "to": self.to,
            "call_id": self.call_id,
            "sip_status": self.sip_status,
            "sip_reason": self.sip_reason,
            "call_status": self.call_status,
            "sbc_callid": self.sbc_callid,
            **self._origin(),
            "local_sip_address": FEATURE_SERVER,
            "customerdata": snake_keys(_copy(self.customer_data)),
        }
        return {name: value for name, value in members.items() if value is not None}

    def _origin(self) -> Body:
        if self.direction != "inbound":
            return {}
        return {"originating_sip_ip": CARRIER_ADDRESS, "originating_sip_trunk_name": self.trunk}


def new_call_body(call: NewCall, leg: Leg) -> Body:
    """Return the body of the first webhook of an inbound call."""
    return {
        "sip": _invite(call, leg),
        **leg.raw_call_info(),
        "service_provider_sid": SERVICE_PROVIDER_SID,
        "defaults": DEFAULTS,
        **_env_vars(call),
    }


def outdial_body(call: NewCall, leg: Leg) -> Body:
    """Return the body of the first webhook of a call created through REST; it comes after the callee has answered."""
    return {**leg.call_info(), **_env_vars(call), "defaults": DEFAULTS}


def speech_body(text: str, *, confident: bool, recognizer: Mapping[str, JsonValue], final: bool = True) -> JsonValue:
    """Return a recognition result as jambonz normalises it for all vendors."""
    vendor, language = recognizer.get("vendor"), recognizer.get("language")
    confidence = CONFIDENT if confident else NOT_CONFIDENT
    return {
        "language_code": language if isinstance(language, str) and language != "default" else "en-US",
        "channel_tag": 1,
        "is_final": final,
        "alternatives": [{"confidence": confidence, "transcript": text}],
        "vendor": {
            "name": vendor if isinstance(vendor, str) and vendor != "default" else "google",
            "evt": {"is_final": final, "transcript": text},
        },
    }


def speech_figures(started: float, seconds: float) -> Body:
    """Return a gather's figures about the recognition: seconds since 1970, and milliseconds as text."""
    return {
        "stt_latency_ms": "412",
        "stt_talkspurts": f"[[0.4,{seconds:.1f}]]",
        "stt_start_time": round(started, 1),
        "stt_stop_time": round(started + seconds, 1),
        "stt_usage": max(1, round(seconds)),
    }


def snake_keys(value: JsonValue) -> JsonValue:
    """Convert all keys of a value to snake case, as jambonz does."""
    if isinstance(value, dict):
        return {snake_case(key): snake_keys(member) for key, member in value.items()}
    if isinstance(value, list):
        return [snake_keys(member) for member in value]
    return value


def _copy(value: Mapping[str, JsonValue] | None) -> JsonValue:
    return None if value is None else dict(value)


def _env_vars(call: NewCall) -> Body:
    return {"env_vars": dict(call.env_vars)} if call.env_vars else {}


def _invite(call: NewCall, leg: Leg) -> JsonValue:
    display_name = f'"{call.caller_name}" ' if call.caller_name else ""
    uri = f"sip:{call.to}@{FEATURE_SERVER}"
    headers = {
        "Via": "SIP/2.0/UDP 10.0.21.5:5060;rport;branch=z9hG4bK5tH3e7K2jmF1B",
        "Max-Forwards": "69",
        "From": f"{display_name}<sip:{call.from_}@{CARRIER_ADDRESS}:5060>;tag=3Br7Sj0cQ2QaF",
        "To": f"<sip:{call.to}@203.0.113.7>",
        "Call-ID": leg.call_id,
        "CSeq": "85043218 INVITE",
        "Contact": "<sip:10.0.21.5:5060>",
        "Allow": "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, REFER, NOTIFY",
        "User-Agent": "ExampleCarrier SBC 1.0",
        "X-CID": leg.sbc_callid or "",
        "X-Forwarded-For": CARRIER_ADDRESS,
        **({"X-Originating-Carrier": call.trunk, "X-Voip-Carrier-Sid": CARRIER_SID} if call.trunk else {}),
        "X-Account-Sid": ACCOUNT_SID,
        **call.headers,
        "Content-Type": "application/sdp",
        "Content-Length": str(len(_SDP)),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return {
        # Well-known names are in lower case, others as sent.
        "headers": {name if _OWN_CASE_HEADERS.match(name) else name.lower(): value for name, value in headers.items()},
        "raw": f"INVITE {uri} SIP/2.0\r\n{lines}\r\n{_SDP}",
        "body": _SDP,
        "method": "INVITE",
        "version": "2.0",
        "uri": uri,
        "payload": [{"type": "application/sdp", "content": _SDP}],
    }
