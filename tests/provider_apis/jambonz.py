"""jambonz's REST API, according to its API server of 0.9: calls, applications, the webhook secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.provider_apis.server import Api, Reply, Request

API_KEY = "jambonz-key-1c2d-abcdef"
ACCOUNT = "bb845d4b-83a9-4cde-a6e9-50f3743bab3f"
CALL_SID = "72c5c38f-9bba-40ce-aa83-aaa6be55e1b5"
WEBHOOK_SECRET = "wh_secret_rJqgtMDPzDhhnjmaJH6Mtk"
ONE_OF = (
    "call_hook",
    "child_call_hook",
    "call_status",
    "listen_status",
    "transcribe_status",
    "conf_hold_status",
    "conf_mute_status",
    "mute_status",
    "sip_request",
    "record",
    "tag",
    "dtmf",
    "conferenceParticipantAction",
    "dub",
)


def a_call(call_sid: str = CALL_SID) -> dict[str, Any]:
    return {
        "call_sid": call_sid,
        "direction": "inbound",
        "from": "+12125550187",
        "to": "+14155550123",
        "call_id": "a-sip-call-id",
        "call_status": "in-progress",
        "sip_status": 200,
        "account_sid": ACCOUNT,
        "service_url": "http://10.0.21.7:3000",
    }


def problem(message: str, status: int = 400) -> Reply:
    return Reply(status, {"msg": message})


@dataclass
class JambonzApi(Api):
    calls: dict[str, dict[str, Any]] = field(default_factory=lambda: {CALL_SID: a_call()})
    updates: list[dict[str, Any]] = field(default_factory=list)
    applications: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {"JAMBONZ_API_KEY": API_KEY, "JAMBONZ_ACCOUNT_SID": ACCOUNT, "JAMBONZ_API_URL": f"{self.url}/v1/"}

    def respond(self, request: Request) -> Reply:  # noqa: PLR0911 - one for each route
        if request.headers.get("authorization") != f"Bearer {API_KEY}":
            return Reply(401, content=b"Unauthorized", content_type="text/plain")
        match request.path.strip("/").split("/"):
            case ["v1", "Accounts", sid, *_] if sid != ACCOUNT:
                return problem("insufficient permissions", 403)
            case ["v1", "Accounts", _, "Calls"]:
                return Reply(200, list(self.calls.values()))
            case ["v1", "Accounts", _, "Calls", call_sid]:
                return self._call(request, call_sid)
            case ["v1", "Accounts", _, "WebhookSecret"]:
                return Reply(200, {"webhook_secret": WEBHOOK_SECRET})
            case ["v1", "Accounts", _, "Applications"]:
                return Reply(200, list(self.applications.values()))
            case ["v1", "Applications"]:
                return self._new_application(request.body)
            case ["v1", "Applications", sid] if sid in self.applications:
                return self._update_application(sid, request.body)
        return Reply(404)

    def _call(self, request: Request, call_sid: str) -> Reply:  # noqa: PLR0911 - one for each route
        if request.method == "GET":
            return Reply(200, self.calls[call_sid]) if call_sid in self.calls else Reply(404, content=b"Not Found")
        update = request.body
        members = [name for name in ONE_OF if update.get(name)]
        if not members and not update.get("whisper"):
            return problem("no valid options supplied to updateCall")
        if len(members) > 1:
            return problem("multiple options are not allowed in updateCall")
        if update.get("mute_status") not in (None, "mute", "unmute"):
            return problem("invalid mute_status")
        record = update.get("record")
        if record and record["action"] == "startCallRecording" and "siprecServerURL" not in record:
            return problem("record requires siprecServerURL property when starting recording")
        if call_sid not in self.calls:
            return Reply(404, content=b"Not Found", content_type="text/plain")
        self.updates.append(update)
        if update.get("call_status") == "completed":
            del self.calls[call_sid]
        return Reply(202, content=b"Accepted", content_type="text/plain")

    def _new_application(self, body: dict[str, Any]) -> Reply:
        if any(one["name"] == body["name"] for one in self.applications.values()):
            return problem("ER_DUP_ENTRY: Duplicate entry", 422)
        sid = f"app-{len(self.applications) + 1}"
        self.applications[sid] = {"application_sid": sid, **body}
        return Reply(201, {"sid": sid})

    def _update_application(self, sid: str, body: dict[str, Any]) -> Reply:
        application = self.applications[sid]
        for name in ("call_hook", "call_status_hook", "messaging_hook"):
            if not body.get(name):
                application[name] = None
            elif "webhook_sid" in body[name]:
                application[name] |= body[name]
            else:
                application[name] = {**body[name], "webhook_sid": "a-new-one"}
        return Reply(204)
