"""Wavix's REST API, according to its OpenAPI description of June 2026."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.provider_apis.server import Api, Reply, Request

API_KEY = "wavix-key-0815-abcdef"
CALL_ID = "3c1bb1a4-6f0e-4a4d-8c7e-1f2a3b4c5d6e"
SUCCESS = {"success": True}


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
            case ["v1", "calls"]:
                return Reply(200, {"calls": list(self.calls.values()), **SUCCESS})
            case ["v1", "calls", call_id, *rest] if call_id in self.calls:
                return self._call(request, call_id, "/".join(rest))
            case ["v1", "cdrs", call_id] if call_id in self.records:
                return Reply(200, self.records[call_id])
        return Reply(404, {"success": False, "message": "Not found"})

    def _call(self, request: Request, call_id: str, rest: str) -> Reply:
        match request.method, rest:
            case "GET", "":
                return Reply(200, {"call": self.calls[call_id], **SUCCESS})
            case "DELETE", "":
                del self.calls[call_id]
            case "PATCH", "":
                self.calls[call_id]["tag"] = request.body["tag"]
            case "POST", "play" if not request.body["audio_file"].startswith("https://"):
                errors = {"audio_file": "must be an https URL"}
                return Reply(400, {"success": False, "message": "Validation error", "errors": errors})
            case _:
                self.done.append((f"{request.method} {rest}", request.body if request.content else None))
        return Reply(200, SUCCESS)

    def _webhooks(self, request: Request) -> Reply:
        match request.method:
            case "GET":
                return Reply(200, [{"event_type": kind, "url": url} for kind, url in self.webhooks.items()])
            case "POST":
                self.webhooks[request.body["event_type"]] = request.body["url"]
                return Reply(201, {**request.body, **SUCCESS})
            case _ if request.query["event_type"] not in ("on-call", "post-call"):
                return Reply(422, {"success": False, "message": "event_type is invalid"})
            case _:
                self.webhooks.pop(request.query["event_type"], None)
                return Reply(200, SUCCESS)
