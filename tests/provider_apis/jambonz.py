"""jambonz's REST API, according to its API server and feature server of 0.9: calls, applications, the secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from tests.provider_apis.server import Api, Reply, Request

API_KEY = "jambonz-key-1c2d-abcdef"
ACCOUNT = "bb845d4b-83a9-4cde-a6e9-50f3743bab3f"
CALL_SID = "72c5c38f-9bba-40ce-aa83-aaa6be55e1b5"
WEBHOOK_SECRET = "wh_secret_rJqgtMDPzDhhnjmaJH6Mtk"
ONE_OF = (
    "call_hook", "child_call_hook", "call_status", "listen_status", "transcribe_status", "conf_hold_status",
    "conf_mute_status", "mute_status", "sip_request", "record", "tag", "dtmf", "conferenceParticipantAction", "dub",
    "boostAudioSignal", "media_path",
)  # fmt: skip
ALLOWED = {
    "call_status": ("completed", "no-answer"),
    "listen_status": ("pause", "silence", "resume"),
    "mute_status": ("mute", "unmute"),
    "conf_hold_status": ("hold", "unhold"),
    "conf_mute_status": ("mute", "unmute"),
    "media_path": ("no-media", "partial-media", "full-media"),
}
PARTICIPANT_ACTIONS = ("tag", "untag", "coach", "uncoach", "mute", "unmute", "hold", "unhold")
HOOKS = ("call_hook", "call_status_hook", "messaging_hook")
SID_AFTER = ("Accounts", "Calls", "Applications")


def a_call(call_sid: str = CALL_SID, status: str = "in-progress", **members: Any) -> dict[str, Any]:
    return {
        "call_sid": call_sid,
        "direction": "inbound",
        "from": "+12125550187",
        "to": "+14155550123",
        "call_id": "a-sip-call-id",
        "call_status": status,
        "sip_status": 200,
        "account_sid": ACCOUNT,
        "service_url": "http://10.0.21.7:3000",
        **members,
    }


def problem(message: str, status: int = 400) -> Reply:
    return Reply(status, {"msg": message})


def text(message: str, status: int, content_type: str = "text/plain; charset=utf-8") -> Reply:
    return Reply(status, content=message.encode(), content_type=content_type)


def unprocessable(message: str, call_sid: str) -> Reply:
    """Return the feature server's 422, as the API server passes it on."""
    return text(f"{message} for call_sid {call_sid}", 422, "text/html; charset=utf-8")


@dataclass(frozen=True)
class Session:
    """Call on a feature server, which may know more than the status in Redis. `None`: neither answered nor ringing."""

    is_answered: bool | None = True


@dataclass
class JambonzApi(Api):
    """The API.

    `calls` are the rows in Redis, which outlive the `sessions` by an hour; `expired` calls are no rows any more.
    """

    calls: dict[str, dict[str, Any]] = field(default_factory=lambda: {CALL_SID: a_call()})
    sessions: dict[str, Session] = field(default_factory=lambda: {CALL_SID: Session()})
    expired: int = 0
    updates: list[dict[str, Any]] = field(default_factory=list)
    applications: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {"JAMBONZ_API_KEY": API_KEY, "JAMBONZ_ACCOUNT_SID": ACCOUNT, "JAMBONZ_API_URL": f"{self.url}/v1/"}

    def placed(self, status: str, *, is_answered: bool | None) -> None:
        """Put the one call into a state."""
        self.calls[CALL_SID]["call_status"] = status
        self.sessions[CALL_SID] = Session(is_answered)

    def respond(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Bearer {API_KEY}":
            return text("Unauthorized", 401)
        parts = request.path.strip("/").split("/")
        if any(not _is_uuid(sid) for name, sid in pairwise(parts) if name in SID_AFTER):
            return problem("Bad request")
        if parts[1:2] == ["Accounts"] and parts[2:3] != [ACCOUNT]:
            return problem("insufficient permissions", 403)
        return self._route(request, parts)

    def _route(self, request: Request, parts: list[str]) -> Reply:  # noqa: PLR0911 - one for each route
        match request.method, *parts:
            case "GET", "v1", "Accounts", _, "Calls":
                return Reply(200, [*self.calls.values(), *[{}] * self.expired])
            case "GET", "v1", "Accounts", _, "Calls", call_sid:
                return Reply(200, self.calls[call_sid]) if call_sid in self.calls else text("Not Found", 404)
            case "PUT" | "POST", "v1", "Accounts", _, "Calls", call_sid:
                return self._update_call(request.body, call_sid)
            case "GET", "v1", "Accounts", _, "WebhookSecret":
                return Reply(200, {"webhook_secret": WEBHOOK_SECRET})
            case "GET", "v1", "Accounts", _, "Applications":
                return Reply(200, list(self.applications.values()))
            case "POST", "v1", "Applications":
                return self._new_application(request.body)
            case "PUT", "v1", "Applications", sid:
                return self._update_application(sid, request.body)
        return text("Not Found", 404)

    def _update_call(self, update: dict[str, Any], call_sid: str) -> Reply:
        if message := invalid_update(update):
            return problem(message)
        if call_sid not in self.calls:
            return text("Not Found", 404)
        session, status = self.sessions.get(call_sid), update.get("call_status")
        if session is None:
            return unprocessable("call session is gone", call_sid)
        if status and session.is_answered is not (status == "completed"):
            return unprocessable("current call state is incompatible with requested action", call_sid)
        self.updates.append(update)
        if status:
            self.calls[call_sid]["call_status"] = status
            del self.sessions[call_sid]
        return text("Accepted", 202)

    def _new_application(self, body: dict[str, Any]) -> Reply:
        hooks = [body.get("call_hook"), body.get("call_status_hook")]
        if not all(isinstance(hook, dict) for hook in hooks):
            return problem("Cannot read properties of undefined (reading 'url')", 500)
        if message := _invalid_hooks(body):
            return problem(message)
        if missing := [name for name in ("name", "account_sid") if name not in body]:
            return problem(f"missing field {missing[0]}")
        if any(one["name"] == body["name"] for one in self.applications.values()):
            return problem("ER_DUP_ENTRY: Duplicate entry", 422)
        sid = str(uuid4())
        self.applications[sid] = {"application_sid": sid, **body}
        return Reply(201, {"sid": sid})

    def _update_application(self, sid: str, body: dict[str, Any]) -> Reply:
        if sid not in self.applications:
            return problem("insufficient privileges", 403)
        if message := _invalid_hooks(body):
            return problem(message)
        if any(name in body and not isinstance(body[name], dict) for name in HOOKS):
            return problem("Cannot convert undefined or null to object", 500)
        application, columns = self.applications[sid], {name for name in body if name not in HOOKS}
        for name in HOOKS:
            if not (hook := body.get(name)):
                continue
            if "webhook_sid" in hook:
                application[name] |= hook
            else:
                application[name] = {**hook, "webhook_sid": "a-new-one"}
                columns.add(f"{name}_sid")
        if not columns:
            return problem("You have an error in your SQL syntax near 'WHERE application_sid'", 500)
        application |= {name: value for name, value in body.items() if name not in HOOKS}
        return Reply(204)


def invalid_update(update: dict[str, Any]) -> str:
    """Return the API server's objection to an update of a call; empty if there is none."""
    named = {name for name in ONE_OF if _is_truthy(update.get(name))}
    is_pair = named == {"call_hook", "child_call_hook"}
    is_hold = len(named) == 2 and "conf_hold_status" in named and _is_truthy(update.get("waitHook"))
    if not named and not _is_truthy(update.get("whisper")):
        return "no valid options supplied to updateCall"
    if len(named) > 1 and not is_pair and not is_hold:
        return "multiple options are not allowed in updateCall"
    for name, allowed in ALLOWED.items():
        if name in named and update[name] not in allowed:
            return f"invalid {name}"
    return next((message for name, check in CHECKS.items() if name in named and (message := check(update[name]))), "")


def _invalid_sip_request(request: Any) -> str:
    missing = not all(request.get(name) for name in ("method", "content_type", "content"))
    return "sip_request requires method, content_type and content properties" if missing else ""


def _invalid_record(record: Any) -> str:
    if not record.get("action"):
        return "record requires action property"
    is_complete = record.get("siprecServerURL") or record.get("type") == "cloud"
    return "" if is_complete else "record requires siprecServerURL property when starting recording"


def _invalid_participant_action(change: Any) -> str:
    action = change.get("action")
    if action not in PARTICIPANT_ACTIONS:
        return f"conferenceParticipantAction invalid action property {action}"
    if action in ("tag", "coach") and not change.get("tag"):
        return f"conferenceParticipantAction requires tag property when action is '{action}'"
    return ""


CHECKS = {
    "sip_request": _invalid_sip_request,
    "record": _invalid_record,
    "dtmf": lambda dtmf: "" if dtmf.get("digit") else "invalid dtmf",
    "tag": lambda tag: "" if isinstance(tag, dict) else "invalid tag data",
    "conferenceParticipantAction": _invalid_participant_action,
}


def _invalid_hooks(body: dict[str, Any]) -> str:
    for name in ("call_hook", "call_status_hook"):
        hook = body.get(name)
        if isinstance(hook, str) and hook:
            return f"'{name}' must be an object"
        if hook:
            url = hook.get("url", "")
            if url != url.strip():
                return f"{name} URL contains leading/trailing whitespace"
            if urlsplit(url).scheme not in ("https", "http", "wss", "ws") or not urlsplit(url).hostname:
                return f"{name} URL is invalid"
    return ""


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _is_truthy(value: object) -> bool:
    """Return whether a value counts in JavaScript, where empty objects and lists do."""
    return bool(value) or isinstance(value, dict | list)
