"""What is deployed, built as `sam build` builds it; and the peers, installed as their users would install them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from callhooks_tools.local.layer_build import compile_with, interpreter, version_of
from callhooks_tools.stack.private_files import make_private_folder
from callhooks_tools.stack.stack import ROOT

BENCH = ROOT / "bench"
FOLDER = ROOT / ".local" / "bench"
LAMBDA_PYTHON = "3.13"
"""The template's default runtime."""


class BuildFailed(Exception):
    """Something could not be built; has what was printed."""


@dataclass(frozen=True)
class Package:
    """What a function is made of: its folder and its layers, and AWS's own packages, which are in the runtime."""

    folders: tuple[Path, ...]
    runtime: Path

    @property
    def path(self) -> tuple[Path, ...]:
        """Where it imports from."""
        return (*self.folders, self.runtime)


class Builder:
    """Builds into a folder.

    Args:
        folder: everything goes there.
        python: the interpreter that the functions are to run on.
    """

    def __init__(self, folder: Path, python: Path) -> None:
        self._folder = folder
        self._python = python
        self._version = version_of(python)
        shutil.rmtree(folder, ignore_errors=True)
        make_private_folder(folder)

    def runtime(self) -> Path:
        """Return boto3, compiled. Nobody has checked that it is in Lambda's image."""
        return self.installed("runtime", BENCH / "peers" / "runtime" / "requirements.txt", compiled=True)

    def layers(self) -> Mapping[str, Path]:
        """The layers by their logical ids, built by the template for this machine and that interpreter.

        Raises:
            BuildFailed: with the end of what was printed.
        """
        target = self._folder / "build"
        self._run(
            Path(sys.prefix) / "bin" / "sam",
            "build",
            "--build-dir",
            target,
            environment={"CALLHOOKS_VENV": sys.prefix, "LAYER_PYTHON": self._version, "LAYER_PLATFORM": "host"},
        )
        return {name: target / name / "python" for name in ("CallhooksLayer", "CallPlanLayer")}

    def installed(self, name: str, requirements: Path, *, compiled: bool) -> Path:
        """The packages of a requirements file; `sam build` leaves compiling to whoever starts the function.

        Raises:
            BuildFailed: with the end of what was printed.
        """
        target = self._folder / name
        uv = Path(sys.prefix) / "bin" / "uv"
        options = ["--quiet", "--system-certs", "--only-binary", ":all:", "--require-hashes"]
        self._run(uv, "pip", "install", *options, "--target", target, "--python", self._python, "-r", requirements)
        if compiled:
            compile_with(self._python, target)
        return target

    def _run(self, *command: Path | str, environment: Mapping[str, str] | None = None) -> None:
        environment = {"SAM_CLI_TELEMETRY": "0", **os.environ, **(environment or {})}
        done = subprocess.run(  # noqa: S603 - the commands are those of this environment
            command, cwd=ROOT, env=environment, capture_output=True, check=False, stdin=subprocess.DEVNULL
        )
        if done.returncode != 0:
            printed = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
            raise BuildFailed("\n".join([f"{Path(command[0]).name} {command[1]} failed:", *printed[-20:]]))


def functions_python() -> Path:
    """An interpreter of the version that the template runs functions on, else this one."""
    return interpreter(LAMBDA_PYTHON) or Path(sys.executable)
