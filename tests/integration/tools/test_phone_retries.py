"""The simulated phone retries failures of a real server as jambonz does.

The requestor of feature-server 0.9.8 made the same numbers of tries against the same faults.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from callhooks_tools.providers.jambonz.commands.call import HttpTransport
from callhooks_tools.providers.jambonz.phone import Application, NewCall, Outside, SimulatedCall
from callhooks_tools.providers.jambonz.phone.script import ScriptedCaller
from callhooks_tools.providers.jambonz.phone.steps import Heard, Refused

from tests.phone import CALL_HOOK, RecordingClock, ids, unknown_verbs
from tests.support import WEBHOOK_SECRET

VERBS = b'[{"verb": "say", "text": "Hello"}]'
JSON_HEADERS = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


def close(_connection: socket.socket) -> None:
    """Close the connection without an answer."""


def close_in_the_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncont")


def close_in_the_body(connection: socket.socket) -> None:
    connection.sendall(JSON_HEADERS % 100 + b"[1,")


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def answer_no_http(connection: socket.socket) -> None:
    connection.sendall(b"hello\r\n\r\n")


def answer_401(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")


def answer_500(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 500 Internal Server Error\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")


def answer_verbs(connection: socket.socket) -> None:
    connection.sendall(JSON_HEADERS % len(VERBS) + VERBS)


@dataclass
class FaultyServer:
    """Server that handles one request on each connection: the first ones with faults, the others with verbs."""

    faults: list[Callable[[socket.socket], None]]
    requests: list[bytes] = field(default_factory=list)
    url: str = ""

    @contextmanager
    def serving(self) -> Iterator[None]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}{CALL_HOOK}"
            thread = threading.Thread(target=self._serve, args=(listener,))
            thread.start()
            try:
                yield
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                thread.join()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                self.requests.append(_request(connection))
                respond = (
                    self.faults[len(self.requests) - 1] if len(self.requests) <= len(self.faults) else answer_verbs
                )
                respond(connection)


def _request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    length = int(lengths[0].partition(b":")[2])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def call(server: FaultyServer, fragment: str) -> tuple[list[str], list[str], list[float]]:
    """Call the server, and return the texts heard, the reasons of rejections, and the delays before retries."""
    clock = RecordingClock()
    simulated = SimulatedCall(
        NewCall(to="+14155550123", from_="+12125550187"),
        Application(server.url + fragment, "jambonz", "s3cr3t", WEBHOOK_SECRET),
        Outside(HttpTransport(), ScriptedCaller(""), unknown_verbs, clock, ids()),
    )
    steps = list(simulated.run())
    heard = [step.text for step in steps if isinstance(step, Heard)]
    return heard, [step.reason for step in steps if isinstance(step, Refused)], clock.slept


@pytest.mark.parametrize(
    ("fault", "covered_by"),
    [
        (close, "all"),
        (close_in_the_headers, "all"),
        (close_in_the_body, "all"),
        (answer_no_http, "all"),
        (reset, "all ct"),
        (answer_401, "all 4xx"),
        (answer_500, "all 5xx"),
    ],
)
def test_a_fault_is_retried_only_if_the_policy_covers_it(
    fault: Callable[[socket.socket], None], covered_by: str
) -> None:
    for policy in ("ct", "rt", "4xx", "5xx", "all"):
        server = FaultyServer([fault])
        with server.serving():
            heard, refused, slept = call(server, f"#rc=2&rp={policy}")
        if policy in covered_by.split():
            assert (heard, refused, slept, len(server.requests)) == (["Hello"], [], [0.5], 2), policy
        else:
            assert (heard, slept, len(server.requests)) == ([], [], 1), policy
            assert len(refused) == 1, policy


def test_retries_repeat_every_byte_of_the_request() -> None:
    server = FaultyServer([close, reset, answer_500, answer_401, close_in_the_body])
    with server.serving():
        heard, refused, slept = call(server, "#rc=5&rp=all")
    assert (heard, refused, slept) == (["Hello"], [], [0.5, 1, 2, 4, 6])
    assert len(server.requests) == 6
    assert len(set(server.requests)) == 1
    assert b"jambonz-signature: t=" in server.requests[0].lower()


@pytest.mark.parametrize(("policy", "tries"), [("ct", 3), ("5xx", 1), ("all", 3)])
def test_a_refused_connection_is_retried_as_the_policy_says(policy: str, tries: int) -> None:
    server = FaultyServer([])
    with server.serving():
        pass
    _, refused, slept = call(server, f"#rc=2&rp={policy}")
    assert (len(refused), len(slept) + 1) == (1, tries)
