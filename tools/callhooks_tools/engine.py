"""The local AWS engine: ministack, on loopback, in an environment and a process group of its own."""

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

from callhooks_tools.stack import LOCAL_ACCESS_KEY, LOCAL_REGION

LOOPBACK = "127.0.0.1"
START_SECONDS = 60


class EngineFailed(Exception):
    """The engine did not start; says where its log is."""


def free_port() -> int:
    """A port of the loopback address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _end_with_parent() -> None:
    # Whoever kills this process with SIGKILL leaves no engine behind either (prctl PR_SET_PDEATHSIG).
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Engine:
    """A process of the engine.

    Args:
        folder: an existing folder for its log and its temporary files.
    """

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self._log = folder / "engine.log"
        self._temporary = folder / "tmp"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The endpoint of every AWS service."""
        return f"http://{LOOPBACK}:{self._port}"

    def start(self) -> None:
        """Start it, and return when it answers.

        Raises:
            EngineFailed: it ended, or did not answer within a minute.
        """
        executable = Path(sys.prefix) / "engine" / "bin" / "ministack"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [executable],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no thread runs yet
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if httpx.get(f"{self.url}/_ministack/health", timeout=2, trust_env=False).is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        self.stop()
        raise EngineFailed(f"The local AWS engine did not start. Its log: {self._log}")

    def stop(self) -> None:
        """End the process and every worker that it has started."""
        if self._process is None:
            return
        # It has nothing to save, and would end its workers one by one, which takes many seconds when there are many.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _environment(self) -> dict[str, str]:
        # Functions inherit it, so that nothing of the user's may be in it.
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
            "AWS_ACCESS_KEY_ID": LOCAL_ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": LOCAL_ACCESS_KEY,
            "MINISTACK_REGION": LOCAL_REGION,
        }
