"""An HTTP server on loopback that answers as an API does, and misbehaves when it is told to."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request as it came in."""

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
    """An answer: JSON, or the bytes that are given."""

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
    """What the network does instead. With `done` the server has acted on the request all the same."""

    done: bool = False


class Hang(Fault):
    """No answer for as long as the test takes."""


class Drop(Fault):
    """The connection is closed without an answer."""


@dataclass(frozen=True)
class Drip(Fault):
    """An answer that comes byte by byte and never ends."""


@dataclass(frozen=True)
class Endless(Fault):
    """An answer without an end, as fast as it goes."""


@dataclass(frozen=True)
class Cut(Fault):
    """The first half of the answer, and then the connection is closed."""


PAUSES = (0.5, 1.0, 2.0)
"""The longest seconds before an attempt is made again, as docs/control.md promises them."""
HTML = Reply(502, content=b"<html><h1>Bad Gateway</h1></html>", content_type="text/html")


@dataclass
class Api(ABC):
    """A provider's API.

    `faults` are for the requests that come next, one each: a number is a status without a body, `None` no fault.
    """

    asked: list[Asked] = field(default_factory=list)
    faults: list[Fault | Reply | int | None] = field(default_factory=list)
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    @abstractmethod
    def answer(self, asked: Asked) -> Reply:
        """What the API itself answers."""

    @property
    def lines(self) -> list[str]:
        """The requests so far, by method and path."""
        return [one.line for one in self.asked]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve, on a port of its own, until the test is over."""
        server = _Server(self)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield
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
        """Say nothing."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def answer(self) -> None:
        parts = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        asked = Asked(self.command, unquote(parts.path), query, headers, content)
        self.api.asked.append(asked)
        fault = self.api.faults.pop(0) if self.api.faults else None
        if isinstance(fault, int):
            self.send(Reply(fault))
        elif isinstance(fault, Reply):
            self.send(fault)
        elif fault is None:
            self.send(self.api.answer(asked))
        else:
            self.close_connection = True
            self.misbehave(fault, self.api.answer(asked) if fault.done else Reply(content=b"{}"))

    def misbehave(self, fault: Fault, reply: Reply) -> None:
        if isinstance(fault, Hang):
            self.api.closing.wait()
        elif isinstance(fault, Cut):
            self.begin(reply, len(reply.bytes))
            self.wfile.write(reply.bytes[: len(reply.bytes) // 2])
        elif isinstance(fault, (Drip, Endless)):
            self.begin(Reply(), 1 << 40)
            chunk, pause = (b" ", 0.02) if isinstance(fault, Drip) else (b" " * 65536, 0)
            while not self.api.closing.wait(pause):
                self.wfile.write(chunk)

    def send(self, reply: Reply) -> None:
        self.begin(reply, len(reply.bytes))
        self.wfile.write(reply.bytes)

    def begin(self, reply: Reply, length: int) -> None:
        self.send_response_only(reply.status)
        for name, value in {"Date": self.date_time_string(), **reply.headers}.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("content-type", reply.content_type)
            self.send_header("content-length", str(length))
        self.end_headers()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - the names that http.server calls
