"""VoIPstudio's REST API 1.2, as its pages and its own command line client have it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.provider_apis.server import Api, Asked, Reply

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
    """The API. `operators` are those that the filter takes, `page_size` is the most rows of a page.

    `lag` is how often records are looked for before they are there.
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
        return {"VOIPSTUDIO_API_KEY": TOKEN, "VOIPSTUDIO_API_URL": f"{self.url}/v1.2/voipstudio"}

    def answer(self, asked: Asked) -> Reply:
        if asked.headers.get("x-auth-token") != TOKEN:
            return Reply(401, {"message": f"Invalid token {asked.headers.get('x-auth-token')}"})
        assert asked.path.startswith("/v1.2/voipstudio/")
        resource, _, identifier = asked.path.removeprefix("/v1.2/voipstudio/").partition("/")
        if resource == "calls" and identifier:
            return self._call(asked, identifier)
        if resource == "calls":
            return self._page(list(self.calls.values()), asked)
        if resource == "monitors" and identifier:
            known = [str(row["id"]) for row in self.rows["monitors"]]
            if identifier.removesuffix(".mp3") not in known:
                return Reply(404, {"errors": [{"message": "Not found"}]})
            return Reply(content=self.audio, content_type="audio/mpeg")
        return self._filtered(asked, resource)

    def _call(self, asked: Asked, identifier: str) -> Reply:
        if identifier not in self.calls:
            return Reply(404, {"errors": [{"message": "Entity not found"}]})
        if asked.method == "DELETE":
            del self.calls[identifier]
            return Reply(204)
        if asked.method == "PATCH":
            destination = asked.body["dst"]
            if not destination.lstrip("+").isdigit():
                return Reply(422, {"errors": [{"message": f"dst: {destination} is not valid for +447854740947"}]})
            self.calls[identifier]["dst"] = destination
        return Reply(200, {"data": self.calls[identifier], "links": {}})

    def _filtered(self, asked: Asked, resource: str) -> Reply:
        rows = self.rows[resource]
        if not self.ignores_filters:
            (condition,) = json.loads(asked.query["filter"])
            if condition["operator"] not in self.operators:
                return Reply(400, {"message": "Unknown operator"})
            rows = [row for row in rows if str(row[condition["property"]]) == condition["value"]]
        if self.lag and rows:
            self.lag -= 1
            rows = []
        return self._page(rows, asked)

    def _page(self, rows: list[dict[str, Any]], asked: Asked) -> Reply:
        size, page = min(int(asked.query["limit"]), self.page_size), int(asked.query["page"])
        return Reply(200, {"data": rows[(page - 1) * size : page * size], "total": len(rows)})
