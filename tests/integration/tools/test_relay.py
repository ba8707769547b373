"""The relay forwards only from its network, only to one port, and only while it is open."""

from __future__ import annotations

import errno
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from callhooks_tools.local.containers import Bridge, SamLocalFailed
from callhooks_tools.local.relay import relay_to

# On Linux, every address of 127.0.0.0/8 belongs to this machine.
GATEWAY = IPv4Address("127.0.0.9")
BRIDGE = Bridge(GATEWAY, IPv4Network("127.0.0.8/29"))
LARGE = b"x" * 3_000_000

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="The relay is used on Linux only.")


@pytest.fixture
def engine() -> Iterator[int]:
    """Serve a port on which each connection gets back what it sends, after its end."""

    def echo(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            received = b""
            while chunk := connection.recv(65_536):
                received += chunk
            connection.sendall(received)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=echo, args=(listener.accept()[0],)).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve)
        serving.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()


def sent(port: int, body: bytes) -> bytes:
    """Send through the relay and return everything that comes back; empty if the relay closes the connection."""
    received = b""
    client = socket.create_connection((str(GATEWAY), port), 5)
    with client, suppress(OSError):
        client.sendall(body)
        client.shutdown(socket.SHUT_WR)
        while chunk := client.recv(65_536):
            received += chunk
    return received


def test_both_directions_arrive_complete(engine: int) -> None:
    with relay_to(engine, BRIDGE) as port:
        assert [sent(port, body) for body in (b"ping", LARGE)] == [b"ping", LARGE]


def test_it_goes_on_after_a_connection_that_could_not_be_accepted(engine: int, monkeypatch: pytest.MonkeyPatch) -> None:
    accept, failures = socket.socket.accept, [OSError(errno.EMFILE, "Too many open files")]

    def accept_later(listener: socket.socket) -> Any:
        if listener.getsockname()[0] == str(GATEWAY) and failures:
            raise failures.pop()
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", accept_later)
    with relay_to(engine, BRIDGE) as port:
        assert sent(port, b"ping") == b"ping"
    assert failures == []


class ClosedBridge(Bridge):
    """A network without any peers."""

    def admits(self, address: str) -> bool:
        return False


def test_a_peer_from_another_network_is_disconnected(engine: int) -> None:
    with relay_to(engine, ClosedBridge(GATEWAY, BRIDGE.network)) as port:
        assert sent(port, b"ping") == b""


@pytest.mark.parametrize(
    ("address", "is_admitted"), [("127.0.0.14", True), ("127.0.0.1", True), ("198.51.100.7", False)]
)
def test_only_containers_and_this_machine_are_peers(address: str, is_admitted: bool) -> None:
    assert BRIDGE.admits(address) is is_admitted


def test_it_listens_on_one_address_only(engine: int) -> None:
    # Nothing else may listen on the same port of another address.
    with relay_to(engine, BRIDGE) as port, socket.create_server(("127.0.0.1", port)):
        assert sent(port, b"ping") == b"ping"


def test_the_end_closes_the_port_and_open_connections(engine: int) -> None:
    with relay_to(engine, BRIDGE) as port:
        client = socket.create_connection((str(GATEWAY), port), 5)
        client.sendall(b"ping")
    with client:
        try:
            received = client.recv(1)
        except ConnectionResetError:
            received = b""
    assert received == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((str(GATEWAY), port), 5)


def test_a_stopped_engine_closes_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        stopped = unused.getsockname()[1]
    with relay_to(stopped, BRIDGE) as port:
        assert sent(port, b"ping") == b""


def test_a_foreign_address_is_reported() -> None:
    bridge = Bridge(IPv4Address("192.0.2.1"), IPv4Network("192.0.2.0/24"))
    with pytest.raises(SamLocalFailed, match=r"Cannot listen on 192\.0\.2\.1"), relay_to(1, bridge):
        pytest.fail("must not open")
