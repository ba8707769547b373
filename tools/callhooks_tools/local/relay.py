"""Relay through which containers reach the local AWS engine, which listens on loopback only."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from callhooks_tools.local.engine import LOOPBACK

_CHUNK_BYTES = 65_536


class RelayFailed(Exception):
    """The relay cannot listen. The message gives the reason."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """The network of the containers, and this machine's address in it."""

    gateway: IPv4Address
    network: IPv4Network

    def admits(self, address: str) -> bool:
        """Return whether an address belongs to this network or to this machine."""
        if IPv4Address(address) in self.network:
            return True
        with socket.socket() as probe:
            try:
                probe.bind((address, 0))
            except OSError:
                return False
        return True


@contextmanager
def relay_to(port: int, bridge: Bridge) -> Iterator[int]:
    """Forward connections from a network of containers to a port on loopback until the block ends; yield the own port.

    The relay listens only on this machine's address in that network, and disconnects peers from other networks. All
    connections end with the block.

    Raises:
        RelayFailed: this machine does not have the address.
    """
    try:
        listener = socket.create_server((str(bridge.gateway), 0))
    except OSError as error:
        raise RelayFailed(f"Cannot listen on {bridge.gateway}: {error.strerror}.") from error
    with listener:
        relay = _Relay(listener, port, bridge)
        thread = threading.Thread(target=relay.serve, name="relay")
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            relay.stop()
            thread.join()


class _Relay:
    def __init__(self, listener: socket.socket, port: int, bridge: Bridge) -> None:
        self._listener = listener
        self._port = port
        self._bridge = bridge
        self._lock = threading.Lock()
        self._open: set[socket.socket] | None = set()
        """The sockets of all connections; `None` after the end."""

    def serve(self) -> None:
        """Accept connections until the listener is shut down."""
        with suppress(OSError):
            while True:
                client, (address, _) = self._listener.accept()
                if self._bridge.admits(address):
                    threading.Thread(target=self._forward, args=(client,), daemon=True).start()
                else:
                    client.close()

    def stop(self) -> None:
        """Accept no more connections and end the open ones."""
        self._listener.shutdown(socket.SHUT_RDWR)
        with self._lock:
            sockets, self._open = self._open or set(), None
            for one in sockets:
                _shut_down(one, socket.SHUT_RDWR)

    def _forward(self, client: socket.socket) -> None:
        # Without an engine, the client's connection is closed.
        with client, suppress(ConnectionError), socket.create_connection((LOOPBACK, self._port)) as engine:
            pair = {client, engine}
            with self._lock:
                if self._open is None:
                    return
                self._open |= pair
            back = threading.Thread(target=_copy, args=(engine, client), daemon=True)
            back.start()
            _copy(client, engine)
            back.join()
            with self._lock:
                if self._open is not None:
                    self._open -= pair


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copy until the source ends or either side breaks off, then end the target."""
    with suppress(OSError):
        while chunk := source.recv(_CHUNK_BYTES):
            target.sendall(chunk)
    _shut_down(target, socket.SHUT_WR)


def _shut_down(one: socket.socket, how: int) -> None:
    # The other side may have broken off the connection.
    with suppress(OSError):
        one.shutdown(how)
