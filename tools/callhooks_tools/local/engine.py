"""The local AWS engine: ministack on loopback, in a separate environment and process group."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx

from callhooks_tools.local import engine_guard
from callhooks_tools.stack.stack import LOCAL_REGION, EngineAccess

LOOPBACK = "127.0.0.1"
START_SECONDS = 60


class EngineFailed(Exception):
    """The engine did not start. The message contains the path of its log."""


def _end_with_parent() -> None:
    # prctl PR_SET_PDEATHSIG: the engine ends even if this process gets SIGKILL.
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Engine:
    """The process of the engine.

    Args:
        folder: an existing folder for its log and temporary files.

    Attributes:
        access: the address and the keys of the engine.
    """

    def __init__(self, folder: Path) -> None:
        # Bind now, so that no other user can take the port and receive the keys.
        self._listener = socket.create_server((LOOPBACK, 0))
        self._port: int = self._listener.getsockname()[1]
        self.access = EngineAccess.generate(f"http://{LOOPBACK}:{self._port}")
        self._log = folder / "engine.log"
        self._temporary = folder / "tmp"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the engine and wait until it responds.

        Raises:
            EngineFailed: it exited, or did not respond within a minute.
        """
        python = Path(sys.prefix) / "engine" / "bin" / "python"
        with self._listener, self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [python, "-I", engine_guard.__file__, str(self._listener.fileno())],
                pass_fds=[self._listener.fileno()],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no thread runs yet
            )
        health = f"{self.access.endpoint_url}/_ministack/health"
        signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={self.access.access_key_id}/"}
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if httpx.get(health, headers=signed, timeout=2, trust_env=False).is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        self.stop()
        raise EngineFailed(f"The local AWS engine did not start. Find the cause in its log: {self._log}")

    def stop(self) -> None:
        """End the process and all its workers."""
        self._listener.close()
        if self._process is None:
            return
        # A graceful stop would end the workers one by one, which takes many seconds. There is nothing to save.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _environment(self) -> dict[str, str]:
        # Functions inherit this environment, so it must not contain the user's variables.
        return {
            "PATH": os.defpath,
            "HOME": str(self._temporary),
            "TMPDIR": str(self._temporary),
            "LANG": "C.UTF-8",
            "GATEWAY_PORT": str(self._port),
            "BIND_HOST": LOOPBACK,
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "AUTH": "true",
            engine_guard.ACCESS_KEY_ID_VARIABLE: self.access.access_key_id,
            engine_guard.SECRET_ACCESS_KEY_VARIABLE: self.access.secret_access_key,
            "MINISTACK_REGION": LOCAL_REGION,
        }
