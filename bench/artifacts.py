"""Builds the deployed artifacts with `sam build`, and installs the peers as their users would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from callhooks_tools.packaging.layer_build import compile_with, interpreter, version_of
from callhooks_tools.stack.private_files import make_private_folder
from callhooks_tools.stack.stack import ROOT

BENCH = ROOT / "bench"
FOLDER = ROOT / ".local" / "bench"
LAMBDA_PYTHON = "3.13"
"""The template's default runtime."""


class BuildFailed(Exception):
    """A build failed. The message contains the end of its output."""


@dataclass(frozen=True)
class Package:
    """Folders of a function and its layers, and the packages that Lambda's runtime includes."""

    folders: tuple[Path, ...]
    runtime: Path

    @property
    def path(self) -> tuple[Path, ...]:
        """Return the import path."""
        return (*self.folders, self.runtime)


class Builder:
    """Builds artifacts into a folder.

    Args:
        folder: target folder; it is emptied first.
        python: interpreter that will run the functions.
    """

    def __init__(self, folder: Path, python: Path) -> None:
        self._folder = folder
        self._python = python
        self._version = version_of(python)
        shutil.rmtree(folder, ignore_errors=True)
        make_private_folder(folder)

    def runtime(self) -> Path:
        """Return boto3, compiled to bytecode. It is not known whether Lambda's image contains bytecode too."""
        return self.installed("runtime", BENCH / "peers" / "runtime" / "requirements.txt", compiled=True)

    def layers(self) -> Mapping[str, Path]:
        """Build the template's layers for this machine and the interpreter, and return them by logical id.

        Raises:
            BuildFailed: the build failed.
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
        """Install a requirements file. `compiled` adds bytecode, which `sam build` does not.

        Raises:
            BuildFailed: the installation failed.
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
        done = subprocess.run(  # noqa: S603 - the commands come from this environment
            command, cwd=ROOT, env=environment, capture_output=True, check=False, stdin=subprocess.DEVNULL
        )
        if done.returncode != 0:
            output = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
            raise BuildFailed("\n".join([f"{Path(command[0]).name} {command[1]} failed:", *output[-20:]]))


def functions_python() -> Path:
    """Return an interpreter of the template's runtime version if there is one, otherwise this one."""
    return interpreter(LAMBDA_PYTHON) or Path(sys.executable)
