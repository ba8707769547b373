"""Relay through which containers reach the local AWS engine, which listens on loopback only."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from callhooks_tools.local.containers import Bridge, SamLocalFailed
from callhooks_tools.local.engine import LOOPBACK

_CHUNK_BYTES = 65_536
_RETRY_SECONDS = 0.05


@contextmanager
def relay_to(port: int, bridge: Bridge) -> Iterator[int]:
    """Forward connections from a network of containers to a port on loopback until the block ends; yield the own port.

    The relay listens only on this machine's address in that network, and disconnects peers from other networks. All
    connections end with the block.

    Raises:
        SamLocalFailed: this machine does not have the address.
    """
    try:
        listener = socket.create_server((str(bridge.gateway), 0))
    except OSError as error:
        raise SamLocalFailed(
            f"Cannot listen on {bridge.gateway}: {error.strerror}. Docker must run on this machine, with its default "
            "network (bridge)."
        ) from error
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
        """Accept connections until `stop`."""
        while self._open is not None:
            try:
                client, (address, _) = self._listener.accept()
            except OSError:
                # After `stop`, or with too many open files: some of them will be closed.
                time.sleep(_RETRY_SECONDS)
                continue
            if self._bridge.admits(address):
                threading.Thread(target=self._forward, args=(client,), daemon=True).start()
            else:
                client.close()

    def stop(self) -> None:
        """Accept no more connections and end the open ones."""
        with self._lock:
            sockets, self._open = self._open or set(), None
            for one in sockets:
                _shut_down(one, socket.SHUT_RDWR)
        self._listener.shutdown(socket.SHUT_RDWR)

    def _forward(self, client: socket.socket) -> None:
        # Without an engine, or with too many open files, the client's connection is closed.
        with client, suppress(OSError), socket.create_connection((LOOPBACK, self._port)) as engine:
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
