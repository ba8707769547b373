"""Run a program that builds a layer, with the packages that it needs: build_layer.py MODULE [ARGUMENT...].

The program runs in the environment CALLHOOKS_VENV, which make sets. Without it, as in a plain `sam build`, an
environment with requirements/build.txt and uv is created first.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
BOOTSTRAP, REQUIREMENTS = ROOT / "requirements" / "bootstrap.txt", ROOT / "requirements" / "build.txt"
ENVIRONMENT = ROOT / ".local" / "build-environment"


def main(module: str, *arguments: str) -> NoReturn:
    """Replace this process by the program."""
    environment = os.environ.get("CALLHOOKS_VENV") or build_environment()
    python = str(Path(environment, "bin", "python"))
    # The code of this clone, even if the environment belongs to another one.
    code = os.pathsep.join(str(ROOT / folder) for folder in ("tools", "layers/callhooks"))
    os.execve(python, [python, "-m", module, *arguments], {**os.environ, "PYTHONPATH": code})  # noqa: S606 - no shell


def build_environment(folder: Path = ENVIRONMENT) -> Path:
    """Return the environment for builds. Create it if it is missing, out of date, or of another Python."""
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    locked = hashlib.sha256(BOOTSTRAP.read_bytes() + REQUIREMENTS.read_bytes()).hexdigest()
    made_for = f"{sys.version}\n{locked}\n"
    complete = folder / "complete"
    # sam builds the layers in parallel.
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.is_file() or complete.read_text("utf-8") != made_for:
            _create(folder)
            complete.write_text(made_for, "utf-8")
    return folder


def _create(folder: Path) -> None:
    if find_spec("ensurepip") is None:
        sys.exit("callhooks: this Python has no venv module. On Debian or Ubuntu, run: apt install python3-venv")
    print(f"callhooks: creating an environment for builds in {folder} (first build only)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    python, uv = str(folder / "bin" / "python"), str(folder / "bin" / "uv")
    quiet = ["--quiet", "--require-hashes"]
    _run(sys.executable, "-m", "venv", str(folder))
    _run(python, "-m", "pip", "install", "--disable-pip-version-check", *quiet, "-r", str(BOOTSTRAP))
    _run(uv, "pip", "install", "--system-certs", "--python", python, *quiet, "-r", str(REQUIREMENTS))


def _run(*command: str) -> None:
    if subprocess.call(command) != 0:
        sys.exit("callhooks: the environment for builds was not created. See the output above for the cause.")


if __name__ == "__main__":
    main(*sys.argv[1:])
