"""VoIPstudio's REST API 1.2, according to its pages and its own command line client."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.provider_apis.server import Api, Reply, Request

TOKEN = "vs-token-4711-abcdef"
CALL_ID = "139543232"
AUDIO = b"ID3" + bytes(range(256)) * 40


def a_call(call_id: str = CALL_ID) -> dict[str, Any]:
    return {
        "id": int(call_id),
        "state": 3,
        "destination": 0,
        "context": "LOCAL_USER",
        "src": "447854740947",
        "src_id": 0,
        "src_name": '"442035141598" <2035141598>',
        "dst": "441183211001",
        "dst_id": 10002,
        "dst_name": "John Smith",
        "duration": 7,
        "start_time": 1619599555,
        "connected_at": 1619599562,
        "monitor_state": 1,
    }


def a_record(number: int, live_id: str = CALL_ID) -> dict[str, Any]:
    return {
        "id": number,
        "live_id": int(live_id),
        "root_live_id": int(live_id),
        "calldate": "2021-04-28 08:45:55",
        "src": "447854740947",
        "dst": "441183211001",
        "duration": 18,
        "billsec": "11",
        "disposition": "ANSWERED",
        "charge": 0.0125,
        "t_cause": "Normal Clearing",
    }


def a_recording(number: int, live_id: str = CALL_ID, size: int | None = len(AUDIO)) -> dict[str, Any]:
    return {
        "id": number,
        "live_id": int(live_id),
        "timestamp": "2021-04-28 08:46:02",
        "caller": "447854740947",
        "called": "441183211001",
        "duration": 11,
        "type": "I",
        "size": size,
    }


@dataclass
class VoipstudioApi(Api):
    """The API. The filter accepts `operators`; a page has at most `page_size` rows.

    Records appear after `lag` requests for them.
    """

    calls: dict[str, dict[str, Any]] = field(default_factory=lambda: {CALL_ID: a_call()})
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"cdrs": [], "monitors": []})
    operators: Sequence[str] = ("eq",)
    ignores_filters: bool = False
    page_size: int = 100
    lag: int = 0
    audio: bytes = AUDIO

    @property
    def environment(self) -> dict[str, str]:
        return {"VOIPSTUDIO_API_KEY": TOKEN, "VOIPSTUDIO_API_URL": f"{self.url}/v1.1/voipstudio"}

    def respond(self, request: Request) -> Reply:  # noqa: PLR0911 - one for each route
        if request.headers.get("x-auth-token") != TOKEN:
            return Reply(401, {"message": f"Invalid token {request.headers.get('x-auth-token')}"})
        assert request.path.startswith("/v1.1/voipstudio/")
        resource, _, identifier = request.path.removeprefix("/v1.1/voipstudio/").partition("/")
        if resource == "calls" and identifier:
            return self._call(request, identifier)
        if request.method != "GET" or resource not in ("calls", *self.rows):
            return Reply(404, {"errors": [{"message": "Not found"}]})
        if resource == "calls":
            return self._page(list(self.calls.values()), request)
        if resource == "monitors" and identifier:
            known = [str(row["id"]) for row in self.rows["monitors"]]
            if identifier.removesuffix(".mp3") not in known:
                return Reply(404, {"errors": [{"message": "Not found"}]})
            return Reply(content=self.audio, content_type="audio/mpeg")
        return self._filtered(request, resource)

    def _call(self, request: Request, identifier: str) -> Reply:
        if identifier not in self.calls:
            return Reply(404, {"errors": [{"message": "Entity not found"}]})
        if request.method == "DELETE":
            del self.calls[identifier]
            return Reply(204)
        if request.method == "PATCH":
            destination = request.body.get("dst", "")
            if set(request.body) != {"dst"} or not destination.lstrip("+").isdigit():
                return Reply(422, {"errors": [{"message": f"dst: {destination} is not valid for +447854740947"}]})
            self.calls[identifier]["dst"] = destination
        elif request.method != "GET":
            return Reply(404, {"errors": [{"message": "Not found"}]})
        return Reply(200, {"data": self.calls[identifier], "links": {}})

    def _filtered(self, request: Request, resource: str) -> Reply:
        rows = self.rows[resource]
        if not self.ignores_filters:
            (condition,) = json.loads(request.query["filter"])
            if condition["operator"] not in self.operators:
                return Reply(400, {"message": "Unknown operator"})
            rows = [row for row in rows if str(row[condition["property"]]) == condition["value"]]
        if self.lag and rows:
            self.lag -= 1
            rows = []
        return self._page(rows, request)

    def _page(self, rows: list[dict[str, Any]], request: Request) -> Reply:
        size, page = min(int(request.query["limit"]), self.page_size), int(request.query["page"])
        return Reply(200, {"data": rows[(page - 1) * size : page * size], "total": len(rows)})
