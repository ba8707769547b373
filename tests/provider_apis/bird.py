"""Bird's API of subscriptions and calls, according to its reference.

Bird's pages do not say how it answers a command to a call that is over; 400 is what others report.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from tests.provider_apis.server import Api, Reply, Request

ACCESS_KEY = "bird-access-key-abcdef"
WORKSPACE = "a1405560-c8d3-4b1a-877d-3f449ad95352"
ORGANIZATION = "cb28a94e-8557-4394-80ea-5bbd2170d434"
CHANNEL = "b827924e-9789-4c2f-a4d5-b352175354f6"
CALL_ID = "0f8f0c3e-5b0a-4f53-9a63-6b1b9c3a7e01"
URL = re.compile(r"^https://([a-zA-Z0-9-]+\.)+[a-zA-Z]{2,}(/[^\s]*)?$")
UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
INBOUND = ("starting", "ringing", "ongoing", "completed", "no-answer", "busy", "failed")
STATUSES = {"voice.inbound": INBOUND, "voice.outbound": ("accepted", *INBOUND, "cancelled")}
ENDED = ("completed", "no-answer", "busy", "failed", "cancelled")
CREATE_MEMBERS = {"service", "event", "url", "signingKey", "eventFilters", "template"}
UPDATE_MEMBERS = {"url", "signingKey", "eventFilters", "template", "status"}
BRIDGE_MEMBERS = {
    "to", "from", "ringTimeout", "maxDuration", "ringTone", "hangupAfterBridge", "record", "recordStart",
    "recordStereo", "callFlow", "notification",
}  # fmt: skip


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
    """The API. Bird's reference says that it `changes` filters; an earlier one had none in an update."""

    filter_updates: Literal["changes", "refuses", "ignores"] = "changes"
    calls: dict[str, dict[str, Any]] = field(default_factory=lambda: {CALL_ID: a_call()})
    subscriptions: dict[str, dict[str, Any]] = field(default_factory=dict)
    created: int = 0
    page_size: int = 100
    commands: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {"BIRD_ACCESS_KEY": ACCESS_KEY, "BIRD_WORKSPACE_ID": WORKSPACE, "BIRD_API_URL": self.url}

    def subscribed(self, event: str = "voice.inbound", url: str = "https://a.example.com/b", **members: Any) -> str:
        self.created += 1
        identifier = str(UUID(int=self.created))
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
            case ["channels", "calls"] if request.method == "GET":
                return self._log(request)
            case ["channels", channel, "calls", call_id, *command]:
                if not UUID_TEXT.fullmatch(channel) or not UUID_TEXT.fullmatch(call_id):
                    return invalid("The path is not valid")
                call = self.calls.get(call_id)
                if call is None or call["channelId"] != channel:
                    return Reply(404, {"code": "NotFound", "message": "Call not found"})
                return self._command(request, call, command) if command else Reply(200, call)
        return Reply(404, {"code": "NotFound", "message": "Not found"})

    def _log(self, request: Request) -> Reply:
        wanted = {name: value for name, value in request.query.items() if name in ("id", "status")}
        if "status" in wanted and wanted["status"] not in STATUSES["voice.outbound"]:
            return invalid("Validation failed", status=["is not a status"])
        if "id" in wanted and not UUID_TEXT.fullmatch(wanted["id"]):
            return invalid("Validation failed", id=["is not a UUID"])
        return self._page([call for call in self.calls.values() if wanted.items() <= call.items()], request)

    def _command(self, request: Request, call: dict[str, Any], command: list[str]) -> Reply:
        if request.method != "POST" or command not in (["answer"], ["ringing"], ["bridge"]):
            return Reply(404, {"code": "NotFound", "message": "Not found"})
        if call["status"] in ENDED:
            return Reply(400, {"code": "BadRequest", "message": "The command cannot be executed"})
        body = request.body if request.content else None
        if command == ["bridge"]:
            if not isinstance(body, dict) or "to" not in body or set(body) - BRIDGE_MEMBERS:
                return invalid("Validation failed", to=["is required"])
            if not re.fullmatch(r"\+?\d+|sips?:.+", body["to"]):
                return Reply(400, {"code": "BadRequest", "message": "Invalid", "details": {"to": ["is not a number"]}})
            if not 3 <= body.get("ringTimeout", 30) <= 120:
                return invalid("Validation failed", ringTimeout=["is not between 3 and 120"])
        self.commands.append(("/".join(command), body))
        return Reply(202, {"id": "1", "callId": call["id"], "command": command[0], "status": "accepted"})

    def _subscriptions(self, request: Request, rest: list[str]) -> Reply:
        match request.method, rest:
            case "GET", []:
                return self._page(list(self.subscriptions.values()), request)
            case "POST", []:
                return self._subscribe(request.body)
            case "PATCH", [identifier] if identifier in self.subscriptions:
                return self._update(identifier, request.body)
            case "DELETE", [identifier] if identifier in self.subscriptions:
                del self.subscriptions[identifier]
                return Reply(204)
        return Reply(404, {"code": "NotFound", "message": "Subscription not found"})

    def _subscribe(self, body: dict[str, Any]) -> Reply:
        if missing := sorted({"service", "event", "url"} - set(body)):
            return invalid("Validation failed", **{missing[0]: ["is required"]})
        if set(body) - CREATE_MEMBERS:
            return invalid("There are additional properties.")
        if body["service"] != "channels" or body["event"] not in STATUSES:
            return invalid("Validation failed", event=["is not an event of this service"])
        if (problem := self._problem("", body)) is not None:
            return problem
        identifier = self.subscribed(**{name: value for name, value in body.items() if name != "service"})
        return Reply(201, self.subscriptions[identifier])

    def _update(self, identifier: str, body: dict[str, Any]) -> Reply:
        members = UPDATE_MEMBERS - ({"eventFilters"} if self.filter_updates == "refuses" else set())
        if not body or set(body) - members:
            return invalid("There are additional properties.")
        if body.get("status", "active") not in ("active", "inactive"):
            return invalid("Validation failed", status=["is not active or inactive"])
        old = self.subscriptions[identifier]
        if (problem := self._problem(identifier, {**old, **body})) is not None:
            return problem
        ignored = {"eventFilters"} if self.filter_updates == "ignores" else set()
        self.subscriptions[identifier] = old | {name: body[name] for name in body.keys() - ignored}
        return Reply(200, self.subscriptions[identifier])

    def _problem(self, identifier: str, wanted: dict[str, Any]) -> Reply | None:
        """Return the objection to a new subscription, or to what one becomes."""
        if not URL.match(wanted["url"]):
            return invalid("Validation failed", url=["does not match the pattern"])
        filters = wanted.get("eventFilters") or []
        if objection := _objection(wanted["event"], filters):
            return invalid("Validation failed", eventFilters=[objection])
        others = [one for other, one in self.subscriptions.items() if other != identifier]
        same = [one for one in others if (one["event"], _bag(one["eventFilters"])) == (wanted["event"], _bag(filters))]
        if len(same) >= 5:
            return invalid(f"Too many subscriptions, the last with {wanted['signingKey']} to {wanted['url']}")
        return None

    def _page(self, rows: list[dict[str, Any]], request: Request) -> Reply:
        size = min(int(request.query.get("limit", 10)), 100, self.page_size)
        start = int(request.query.get("pageToken", "0"))
        page: dict[str, Any] = {"results": rows[start : start + size]}
        if start + size < len(rows):
            page["nextPageToken"] = str(start + size)
        return Reply(200, page)


def _objection(event: str, filters: list[dict[str, Any]]) -> str:
    """Return the objection to the filters of a subscription; empty if there is none."""
    for one in filters:
        if set(one) != {"key", "value"} or not all(isinstance(value, str) and value for value in one.values()):
            return "a filter has a key and a value"
        if one["key"] not in {"channelId", "status"}:
            return f"{one['key']} is not a filter of this event"
        if one["key"] == "status" and one["value"] not in STATUSES[event]:
            return f"{one['value']} is not a status of this event"
    is_allowed = sum(one["key"] == "channelId" for one in filters) <= 1
    return "" if is_allowed else "Only one channelId filter is allowed"


def _bag(filters: list[dict[str, str]] | None) -> Counter[tuple[str, str]]:
    return Counter((one["key"], one["value"]) for one in filters or ())
