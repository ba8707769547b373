"""Test double of the call log: serves the page, and the API from calls in memory."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from callhooks.call_log.page import Page
from callhooks.events.call_event import canonical_party

from tests.browser.recordings import StoredCall

USERNAME, PASSWORD = "console", "s3cr3t-of-the-console"
_COOKIE = "callhooks_session"
_FILTERS = ("provider", "status", "outcome", "direction")

Answer = tuple[int, object, Mapping[str, str]]


class CallLogDouble:
    """Call log in memory. `now` is the time that the page sees; `fault` is the status of all responses but the page."""

    def __init__(self, page: Page, now: datetime) -> None:
        self._page = page
        self._started = datetime.now(UTC)
        self._now = now
        self._calls: dict[str, StoredCall] = {}
        self._legs: dict[str, list[str]] = {}
        self._sessions: set[str] = set()
        self.fault: int | None = None
        self.empty_pages = 0
        self.requests: list[str] = []
        self.url = ""

    @property
    def now(self) -> datetime:
        return self._now + (datetime.now(UTC) - self._started)

    def store(self, *calls: StoredCall) -> None:
        """Add these calls, or replace their earlier state."""
        self._calls |= {call.path: call for call in calls}

    def relate(self, *calls: StoredCall) -> None:
        """Store these calls as legs of each other."""
        self.store(*calls)
        for call in calls:
            self._legs[call.path] = [other.path for other in calls if other is not call]

    def end_sessions(self) -> None:
        self._sessions.clear()

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        url = urlsplit(target)
        self.requests.append(f"{method} {target}")
        if url.path == "/":
            return 200, self._page.html, self._page.headers
        if self.fault is not None:
            return self.problem(self.fault, "Calls are temporarily unavailable.")
        if url.path == "/session":
            return self._session(method, body)
        cookie = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
        if cookie is None or cookie.value not in self._sessions:
            return self.problem(401, "Sign in.")
        return self._data(url)

    def _data(self, url: SplitResult) -> Answer:
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/calls":
            return 200, self._list(query), {}
        if url.path == "/stats":
            day = query.get("day") or f"{self.now:%Y-%m-%d}"
            return 200, self._statistics(day, legs=query.get("legs") != "false"), {}
        return self._call(unquote(url.path))

    @staticmethod
    def problem(status: int, detail: str) -> Answer:
        return status, {"status": status, "title": "", "detail": detail}, {"content-type": "application/problem+json"}

    def _session(self, method: str, body: bytes) -> Answer:
        if method == "DELETE":
            self._sessions.clear()
            return 204, None, {"set-cookie": f"{_COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"}
        if json.loads(body) != {"username": USERNAME, "password": PASSWORD}:
            return self.problem(401, "The credentials of this request are missing or wrong.")
        session = f"session-{len(self.requests)}"
        self._sessions.add(session)
        return 204, None, {"set-cookie": f"{_COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict"}

    def _list(self, query: Mapping[str, str]) -> object:
        found = [call.summary for call in self._calls.values()]
        if day := query.get("day") or ("" if "number" in query else f"{self.now:%Y-%m-%d}"):
            found = [call for call in found if call["started_at"].startswith(day)]
        if "number" in query:
            wanted = canonical_party(query["number"])
            found = [call for call in found if wanted in (canonical_party(call[side] or "") for side in ("from", "to"))]
        if query.get("legs") == "false":
            found = [call for call in found if not call["parent_call_id"]]
        for name in _FILTERS:
            if name in query:
                found = [call for call in found if (call[name] or "under_way") == query[name]]
        found.sort(key=lambda call: (call["started_at"], call["path"]), reverse=True)
        kind, _, offset = query.get("cursor", "empty-0").partition("-")
        if kind == "empty" and int(offset) < self.empty_pages:
            return {"calls": [], "cursor": f"empty-{int(offset) + 1}"}
        start = int(offset) if kind == "at" else 0
        limit = int(query["limit"])
        end = start + limit
        return {"calls": found[start:end], "cursor": f"at-{end}" if end < len(found) else None}

    def _statistics(self, day: str, *, legs: bool) -> object:
        calls, seconds = Counter[tuple[int, str, str]](), Counter[tuple[int, str, str]]()
        for call in (call.summary for call in self._calls.values()):
            if call["started_at"].startswith(day) and (legs or not call["parent_call_id"]):
                key = (int(call["started_at"][11:13]), call["provider"], call["outcome"] or "under_way")
                calls[key] += 1
                seconds[key] += call["talk_seconds"] or 0
        counts = [
            {"hour": hour, "provider": provider, "outcome": outcome, "calls": number,
             "talk_seconds": round(seconds[hour, provider, outcome], 3)}
            for (hour, provider, outcome), number in sorted(calls.items())
        ]  # fmt: skip
        return {"day": day, "counts": counts, "cursor": None}

    def _call(self, path: str) -> Answer:
        if path not in self._calls:
            return self.problem(404, "No such call.")
        legs = [self._calls[leg].summary for leg in self._legs.get(path, ())]
        return 200, {**self._calls[path].document, "legs": legs}, {}


@contextmanager
def serving(double: CallLogDouble) -> Iterator[CallLogDouble]:
    """Serve the double on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, document, more = double.answer(self.command, self.path, headers, body)
            content = (
                b"" if document is None else (document if isinstance(document, str) else json.dumps(document)).encode()
            )
            self.send_response(status)
            sent = {"content-type": "application/json", "cache-control": "no-store", **more}
            for name, value in sent.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815

        def date_time_string(self, timestamp: float | None = None) -> str:
            return format_datetime(double.now, usegmt=True)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Suppress the access log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    double.url = f"http://127.0.0.1:{server.server_port}/"
    yield double
    server.shutdown()
    thread.join()
    server.server_close()
