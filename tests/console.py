"""Warm container of the call log for tests, and the requests to it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from callhooks.call_log.app import CallLog
from callhooks.call_log.listing import CallList
from callhooks.call_log.session import read_console_credentials
from callhooks.calls.repository import CallStore
from callhooks.providers.registry import hints_for, providers
from callhooks.runtime.http import Response
from callhooks.webhooks.credentials import CredentialStore

from tests.call_table import FakeTable
from tests.support import PUBLIC_URL, Answer, Clock, Event

USERNAME, PASSWORD = "console", "correct-horse"
PAGE = Response(200, "<!doctype html>", headers={"content-type": "text/html; charset=utf-8", "x-page": "yes"})


@dataclass
class ConsoleSecret:
    """Console secret in the secret store."""

    password: str = PASSWORD
    further: list[str] = field(default_factory=list)
    fault: Exception | None = None
    reads: int = 0

    def read(self, _: str) -> str:
        self.reads += 1
        if self.fault:
            raise self.fault
        return json.dumps({"username": USERNAME, "password": self.password, "further_passwords": self.further})


@dataclass
class Console:
    """Call log with a table, a secret and a clock that the test controls."""

    table: FakeTable = field(default_factory=FakeTable)
    secret: ConsoleSecret = field(default_factory=ConsoleSecret)
    clock: Clock = field(default_factory=Clock)
    public_url: str = PUBLIC_URL

    def __post_init__(self) -> None:
        client = self.table.as_client()
        self.log = CallLog(
            page=PAGE,
            calls=CallList(client, "events"),
            store=CallStore(client, "events"),
            credentials=CredentialStore(
                ["console"],
                build=read_console_credentials,
                read_secret=self.secret.read,
                monotonic=self.clock.monotonic,
            ),
            clock=self.clock,
            public_url=self.public_url,
            hints_for=hints_for,
            providers=providers,
        )

    def answer(self, event: Event) -> Answer:
        return Answer(**self.log.answer(event))

    def get(self, path: str, **query: object) -> Answer:
        """Send a GET request with Basic credentials."""
        return self.answer(api_event(path, query=query, headers={"authorization": basic()}))

    def json(self, path: str, **query: object) -> Any:
        answer = self.get(path, **query)
        assert answer.statusCode == 200, answer.body
        assert answer.headers["content-type"] == "application/json"
        return json.loads(answer.body)

    def problem(self, path: str, **query: object) -> tuple[int, str]:
        """Return status and detail of a problem response."""
        answer = self.get(path, **query)
        return answer.statusCode, str(answer.problem["detail"])

    def sign_in(self, password: str = PASSWORD, username: str = USERNAME) -> Answer:
        return self.post(json.dumps({"username": username, "password": password}))

    def post(self, body: str | bytes, content_type: str | None = "application/json") -> Answer:
        headers = {"content-type": content_type} if content_type is not None else {}
        return self.answer(api_event("/session", method="POST", body=body, headers=headers))

    def with_cookies(self, path: str, *cookies: str, method: str = "GET") -> Answer:
        """Send a request the way the page does."""
        return self.answer(api_event(path, method=method, cookies=cookies, headers={"sec-fetch-mode": "cors"}))


def basic(username: str = USERNAME, password: str = PASSWORD) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def cookie_in(answer: Answer) -> str:
    """Return the `name=value` that a browser sends back for the cookie of a response."""
    (cookie,) = answer.cookies
    return cookie.partition(";")[0]


def api_event(
    path: str,
    *,
    method: str = "GET",
    query: Mapping[str, object] | None = None,
    raw_query: str = "",
    headers: Mapping[str, str] | None = None,
    cookies: tuple[str, ...] = (),
    body: str | bytes | None = None,
) -> Event:
    """Return a request as the event that API Gateway passes to the function."""
    event: Event = {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": raw_query or urlencode(query or {}),
        "headers": dict(headers or {}),
        "requestContext": {"http": {"method": method, "path": path}, "requestId": "request-1", "stage": "$default"},
        "isBase64Encoded": isinstance(body, bytes),
    }
    if cookies:
        event["cookies"] = list(cookies)
    if body is not None:
        event["body"] = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    return event
