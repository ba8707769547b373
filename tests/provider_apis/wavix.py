"""Wavix's REST API, according to its OpenAPI description of June 2026."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import NoneType
from typing import Any

from tests.provider_apis.server import Api, Reply, Request

API_KEY = "wavix-key-0815-abcdef"
CALL_ID = "3c1bb1a4-6f0e-4a4d-8c7e-1f2a3b4c5d6e"
SUCCESS = {"success": True}
NOT_FOUND = Reply(404, {"success": False, "message": "Not found"})
EVENT_TYPES = ("on-call", "post-call")
MEMBERS: dict[str, dict[str, type]] = {
    "GET": {},
    "DELETE": {},
    "PATCH": {"tag": str},
    "POST answer": {"call_recording": bool, "call_transcription": bool},
    "POST play": {"audio_file": str},
    "DELETE audio": {},
}
"""The requests for a call that callhooks makes, with the members of their bodies."""


def a_call(call_id: str = CALL_ID) -> dict[str, Any]:
    return {
        "id": call_id,
        "uuid": call_id,
        "direction": "inbound",
        "event_type": "answered",
        "event_time": "2026-06-30T10:00:05.000Z",
        "event_payload": None,
        "from": "+18045961058",
        "to": "17653889567",
        "call_started": "2026-06-30T10:00:00.000Z",
        "call_answered": "2026-06-30T10:00:05.000Z",
        "call_completed": None,
        "machine_detected": False,
        "tag": "",
    }


def a_record(call_id: str = CALL_ID) -> dict[str, Any]:
    return {
        "date": "2026-06-30T10:00:00.000Z",
        "from": "18045961058",
        "to": "17653889567",
        "disposition": "answered",
        "duration": 42,
        "charge": "0.0130",
        "per_minute": "0.0065",
        "uuid": call_id,
        "call_id": call_id,
        "answered_by": "human",
        "recording_url": f"https://api.wavix.com/v1/recordings/{call_id}",
    }


@dataclass
class WavixApi(Api):
    calls: dict[str, dict[str, Any]] = field(default_factory=lambda: {CALL_ID: a_call()})
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    webhooks: dict[str, str] = field(default_factory=dict)
    done: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {"WAVIX_API_KEY": API_KEY, "WAVIX_API_URL": self.url}

    def respond(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Bearer {API_KEY}":
            return Reply(401, {"success": False, "error": True, "message": "Unauthorized"})
        if request.path == "/v1/calls/webhooks":
            return self._webhooks(request)
        match request.path.strip("/").split("/"):
            case ["v1", "calls"] if request.method == "GET":
                return Reply(200, {"calls": list(self.calls.values()), **SUCCESS})
            case ["v1", "calls", call_id, *rest] if call_id in self.calls:
                return self._call(request, call_id, "/".join(rest))
            case ["v1", "cdrs", call_id] if request.method == "GET" and call_id in self.records:
                return Reply(200, self.records[call_id])
        return NOT_FOUND

    def _call(self, request: Request, call_id: str, rest: str) -> Reply:
        action, body = f"{request.method} {rest}".strip(), request.body if request.content else None
        if (members := MEMBERS.get(action)) is None:
            return NOT_FOUND
        if errors := _errors(members, body):
            return Reply(400, {"success": False, "message": "Validation error", "errors": errors})
        match action:
            case "GET":
                return Reply(200, {"call": self.calls[call_id], **SUCCESS})
            case "DELETE":
                del self.calls[call_id]
            case "PATCH":
                self.calls[call_id]["tag"] = request.body["tag"]
            case _:
                self.done.append((action, body))
        return Reply(200, SUCCESS)

    def _webhooks(self, request: Request) -> Reply:  # noqa: PLR0911 - one for each route
        match request.method:
            case "GET":
                return Reply(200, [{"event_type": kind, "url": url} for kind, url in self.webhooks.items()])
            case "POST" if set(request.body) != {"event_type", "url"} or request.body["event_type"] not in EVENT_TYPES:
                return Reply(400, {"success": False, "message": "Missing or invalid parameter event_type"})
            case "POST":
                self.webhooks[request.body["event_type"]] = request.body["url"]
                return Reply(201, {**request.body, **SUCCESS})
            case "DELETE" if "event_type" not in request.query:
                return Reply(400, {"success": False, "message": "Missing or invalid parameter event_type"})
            case "DELETE" if request.query["event_type"] not in EVENT_TYPES:
                return Reply(422, {"success": False, "message": "event_type is invalid"})
            case "DELETE":
                self.webhooks.pop(request.query["event_type"], None)
                return Reply(200, SUCCESS)
        return NOT_FOUND


def _errors(members: dict[str, type], body: Any) -> dict[str, str]:
    """Return the problem with each member of a body. All members are allowed, those of type `str` are required."""
    if not isinstance(body, dict):
        return {name: "required" for name, kind in members.items() if kind is str}
    wrong = {name: "invalid" for name, value in body.items() if not isinstance(value, members.get(name, NoneType))}
    missing = {name: "required" for name, kind in members.items() if kind is str and name not in body}
    if not str(body.get("audio_file", "https://")).startswith("https://"):
        wrong["audio_file"] = "must be an https URL"
    return wrong | missing
