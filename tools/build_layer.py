"""Run a program that builds a layer, with the packages that it needs: build_layer.py MODULE [ARGUMENT...].

The packages are those of the environment CALLHOOKS_VENV, which make sets. Without it, as in a plain `sam build`, an
environment with requirements/build.txt is created first.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements" / "build.txt"
ENVIRONMENT = ROOT / ".local" / "build-environment"


def main(module: str, *arguments: str) -> NoReturn:
    """Replace this process by the program."""
    environment = os.environ.get("CALLHOOKS_VENV") or build_environment()
    python = str(Path(environment, "bin", "python"))
    # The code of this clone, even if the environment belongs to another one.
    code = os.pathsep.join(str(ROOT / folder) for folder in ("tools", "layers/callhooks"))
    os.execve(python, [python, "-m", module, *arguments], {**os.environ, "PYTHONPATH": code})  # noqa: S606 - no shell


def build_environment(folder: Path = ENVIRONMENT, requirements: Path = REQUIREMENTS) -> Path:
    """Return the environment for builds. Create it if it is missing, out of date, or of another Python."""
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    made_for = f"{sys.version}\n{hashlib.sha256(requirements.read_bytes()).hexdigest()}\n"
    complete = folder / "complete"
    # sam builds the layers in parallel.
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.is_file() or complete.read_text("utf-8") != made_for:
            _create(folder, requirements)
            complete.write_text(made_for, "utf-8")
    return folder


def _create(folder: Path, requirements: Path) -> None:
    try:
        import ensurepip  # noqa: F401, PLC0415
    except ImportError:
        sys.exit("callhooks: this Python has no venv module. On Debian or Ubuntu, run: apt install python3-venv")
    print(f"callhooks: creating an environment for builds in {folder} (first build only)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(folder)])
    temporary = folder / "tmp"
    temporary.mkdir()
    options = ["--quiet", "--disable-pip-version-check", "--require-hashes"]
    _run(
        [str(folder / "bin" / "python"), "-m", "pip", "install", *options, "-r", str(requirements)],
        {"TMPDIR": str(temporary)},
    )
    temporary.rmdir()


def _run(command: Sequence[str], variables: Mapping[str, str] | None = None) -> None:
    if subprocess.call(command, env={**os.environ, **(variables or {})}) != 0:
        sys.exit("callhooks: the environment for builds was not created. See the output above for the cause.")


if __name__ == "__main__":
    main(*sys.argv[1:])
