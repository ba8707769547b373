"""HTTP server on loopback that behaves like a provider's API, with faults on demand."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True)
class Request:
    """Request that the server received."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Reply:
    """Response with a JSON body or with raw bytes."""

    status: int = 200
    body: Any = None
    content: bytes | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def bytes(self) -> bytes:
        if self.content is not None:
            return self.content
        return b"" if self.body is None else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Fault:
    """Network fault instead of a response. With `done`, the server acts on the request anyway."""

    done: bool = False


class Hang(Fault):
    """No response until the test ends."""


class Drop(Fault):
    """The connection is closed without a response."""


@dataclass(frozen=True)
class Drip(Fault):
    """A response that arrives byte by byte and never ends."""


@dataclass(frozen=True)
class Endless(Fault):
    """A response that never ends, at full speed."""


@dataclass(frozen=True)
class Cut(Fault):
    """The first half of the response, then the connection is closed."""


PAUSES = (0.5, 1.0, 2.0)
"""Maximum seconds before each retry, as promised in docs/control.md."""
HTML = Reply(502, content=b"<html><h1>Bad Gateway</h1></html>", content_type="text/html")


@dataclass
class Api(ABC):
    """A provider's API.

    `faults` apply to the next requests, one each. A number is a status without a body; `None` is no fault.
    """

    requests: list[Request] = field(default_factory=list)
    faults: list[Fault | Reply | int | None] = field(default_factory=list)
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that make callhooks use this API."""
        return {}

    @abstractmethod
    def respond(self, request: Request) -> Reply:
        """Return the API's response to a request."""

    @property
    def lines(self) -> list[str]:
        """Method and path of each request so far."""
        return [request.line for request in self.requests]

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Serve on a free port until the test ends."""
        server = _Server(self)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            self.closing.set()
            server.shutdown()
            thread.join()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: Api) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.api = api


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def api(self) -> Api:
        assert isinstance(self.server, _Server)
        return self.server.api

    def log_message(self, *_args: object) -> None:
        """Log nothing."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def handle_request(self) -> None:
        parts = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        request = Request(self.command, unquote(parts.path), query, headers, content)
        self.api.requests.append(request)
        fault = self.api.faults.pop(0) if self.api.faults else None
        if isinstance(fault, int):
            self.send(Reply(fault))
        elif isinstance(fault, Reply):
            self.send(fault)
        elif fault is None:
            self.send(self.api.respond(request))
        else:
            self.close_connection = True
            self.misbehave(fault, self.api.respond(request) if fault.done else Reply(content=b"{}"))

    def misbehave(self, fault: Fault, reply: Reply) -> None:
        if isinstance(fault, Hang):
            self.api.closing.wait()
        elif isinstance(fault, Cut):
            self.send_headers(reply, len(reply.bytes))
            self.wfile.write(reply.bytes[: len(reply.bytes) // 2])
        elif isinstance(fault, (Drip, Endless)):
            self.send_headers(Reply(), 1 << 40)
            chunk, pause = (b" ", 0.02) if isinstance(fault, Drip) else (b" " * 65536, 0)
            while not self.api.closing.wait(pause):
                self.wfile.write(chunk)

    def send(self, reply: Reply) -> None:
        self.send_headers(reply, len(reply.bytes))
        self.wfile.write(reply.bytes)

    def send_headers(self, reply: Reply, length: int) -> None:
        self.send_response_only(reply.status)
        for name, value in {"Date": self.date_time_string(), **reply.headers}.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("content-type", reply.content_type)
            self.send_header("content-length", str(length))
        self.end_headers()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request  # noqa: N815 - called by http.server
