"""Bird's API of subscriptions and calls, according to its reference."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tests.provider_apis.server import Api, Reply, Request

ACCESS_KEY = "bird-access-key-abcdef"
WORKSPACE = "a1405560-c8d3-4b1a-877d-3f449ad95352"
ORGANIZATION = "cb28a94e-8557-4394-80ea-5bbd2170d434"
CHANNEL = "b827924e-9789-4c2f-a4d5-b352175354f6"
CALL_ID = "0f8f0c3e-5b0a-4f53-9a63-6b1b9c3a7e01"
URL = re.compile(r"^https://([a-zA-Z0-9-]+\.)+[a-zA-Z]{2,}(/[^\s]*)?$")


def a_call(call_id: str = CALL_ID, status: str = "ongoing") -> dict[str, Any]:
    return {
        "id": call_id,
        "channelId": CHANNEL,
        "direction": "incoming",
        "status": status,
        "from": "+12125550187",
        "to": "+14155550123",
        "duration": 12,
        "createdAt": "2026-11-21T06:30:00.000Z",
        "answeredAt": "2026-11-21T06:30:05.000Z",
    }


def invalid(message: str, **details: Sequence[str]) -> Reply:
    return Reply(422, {"code": "InvalidPayload", "message": message, "details": details})


@dataclass
class BirdApi(Api):
    calls: dict[str, dict[str, Any]] = field(default_factory=lambda: {CALL_ID: a_call()})
    subscriptions: dict[str, dict[str, Any]] = field(default_factory=dict)
    page_size: int = 100
    commands: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {"BIRD_ACCESS_KEY": ACCESS_KEY, "BIRD_WORKSPACE_ID": WORKSPACE, "BIRD_API_URL": self.url}

    def subscribed(self, event: str = "voice.inbound", url: str = "https://a.example.com/b", **members: Any) -> str:
        identifier = str(UUID(int=len(self.subscriptions) + 1))
        self.subscriptions[identifier] = {
            "id": identifier,
            "organizationId": ORGANIZATION,
            "workspaceId": WORKSPACE,
            "service": "channels",
            "event": event,
            "eventFilters": None,
            "url": url,
            "signingKey": "a-signing-key-that-is-echoed",
            "status": "active",
            "createdAt": "2026-11-21T06:30:00Z",
            **members,
        }
        return identifier

    def respond(self, request: Request) -> Reply:  # noqa: PLR0911 - one for each route
        if request.headers.get("authorization") != f"AccessKey {ACCESS_KEY}":
            return Reply(401, {"code": "Unauthorized", "message": "The access key is not valid."})
        path = request.path.removeprefix(f"/organizations/{ORGANIZATION}")
        if not path.startswith(f"/workspaces/{WORKSPACE}/"):
            return Reply(403, {"code": "AccessDenied", "message": "No access to this workspace."})
        match path.removeprefix(f"/workspaces/{WORKSPACE}/").split("/"):
            case ["webhook-subscriptions", *rest]:
                return self._subscriptions(request, rest)
            case ["channels", "calls"]:
                matching = [
                    call
                    for call in self.calls.values()
                    if request.query.get("id", call["id"]) == call["id"]
                    and request.query.get("status", call["status"]) == call["status"]
                ]
                return self._page(matching, request)
            case ["channels", channel, "calls", call_id, *command]:
                call = self.calls.get(call_id)
                if call is None or call["channelId"] != channel:
                    return Reply(404, {"code": "NotFound", "message": "Call not found"})
                return self._command(request, call, command) if command else Reply(200, call)
        return Reply(404, {"code": "NotFound", "message": "Not found"})

    def _command(self, request: Request, call: dict[str, Any], command: list[str]) -> Reply:
        if call["status"] in ("completed", "no-answer", "busy", "failed", "cancelled"):
            return Reply(400, {"code": "BadRequest", "message": "The command cannot be executed"})
        body = request.body if request.content else None
        if command == ["bridge"] and not re.fullmatch(r"\+?\d+|sips?:.+", request.body["to"]):
            return Reply(400, {"code": "BadRequest", "message": "Invalid", "details": {"to": ["is not a number"]}})
        self.commands.append(("/".join(command), body))
        return Reply(202, {"id": "1", "callId": call["id"], "command": command[0], "status": "accepted"})

    def _subscriptions(self, request: Request, rest: list[str]) -> Reply:
        match request.method, rest:
            case "GET", []:
                return self._page(list(self.subscriptions.values()), request)
            case "POST", []:
                return self._subscribe(request.body)
            case "PATCH", [identifier] if identifier in self.subscriptions:
                assert request.body["status"] in ("active", "inactive")
                self.subscriptions[identifier] |= request.body
                return Reply(200, self.subscriptions[identifier])
            case "DELETE", [identifier] if identifier in self.subscriptions:
                del self.subscriptions[identifier]
                return Reply(204)
        return Reply(404, {"code": "NotFound", "message": "Subscription not found"})

    def _subscribe(self, body: dict[str, Any]) -> Reply:
        if set(body) - {"service", "event", "url", "signingKey", "eventFilters", "template"}:
            return invalid("There are additional properties.")
        if not URL.match(body["url"]):
            return invalid("Validation failed", url=["does not match the pattern"])
        filters = body.get("eventFilters") or []
        if sum(condition["key"] == "channelId" for condition in filters) > 1:
            return invalid("Only one channelId filter is allowed")
        same = [subscription for subscription in self.subscriptions.values() if subscription["eventFilters"] == filters]
        if len([subscription for subscription in same if subscription["event"] == body["event"]]) >= 5:
            return invalid(f"Too many subscriptions, the last with {body['signingKey']} to {body['url']}")
        identifier = self.subscribed(**{name: value for name, value in body.items() if name != "service"})
        return Reply(201, self.subscriptions[identifier])

    def _page(self, rows: list[dict[str, Any]], request: Request) -> Reply:
        size = min(int(request.query.get("limit", 10)), 100, self.page_size)
        start = int(request.query.get("pageToken", "0"))
        page: dict[str, Any] = {"results": rows[start : start + size]}
        if start + size < len(rows):
            page["nextPageToken"] = str(start + size)
        return Reply(200, page)
