"""Build the shared layer: `python -m callhooks_tools.packaging.layer_build FOLDER`.

The variables LAYER_PYTHON and LAYER_PLATFORM choose its target. `sam build` runs this in a small environment, so it
imports only the standard library.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

HOST = "host"
"""The platform of this machine."""
FIXED_TIME = 315_619_200
"""1980-01-02 in UTC. A ZIP file stores local times from 1980-01-01 on, so this one is valid in every time zone."""

# zoneinfo reads one file for each zone; .tab and .zi are lists and sources of zones.
_UNUSED_SUFFIXES = (".pyi", ".pth", ".dist-info", ".egg-info", ".tab", ".zi")
_UNUSED_NAMES = {"__pycache__", "tests", "py.typed", ".lock"}
_LICENCES = ("LICENSE", "LICENCE", "NOTICE", "COPYING", "AUTHORS")


@dataclass(frozen=True)
class Size:
    """Size in bytes: unzipped, as counted against Lambda's limit of 250 MB, and zipped, as uploaded."""

    unzipped: int
    zipped: int

    def __str__(self) -> str:
        return f"{self.unzipped / 1e6:.1f} MB, zipped {self.zipped / 1e6:.1f} MB"


def strip(folder: Path) -> None:
    """Remove tests, type stubs, scripts and metadata. Licences move to `licenses/<package>`."""
    for metadata in folder.glob("*.dist-info"):
        package = metadata.name.partition("-")[0]
        for path in metadata.rglob("*"):
            if path.is_file() and path.name.upper().startswith(_LICENCES):
                target = folder / "licenses" / package / path.relative_to(metadata)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.name in _UNUSED_NAMES or path.suffix in _UNUSED_SUFFIXES:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def interpreter(version: str) -> Path | None:
    """Return an interpreter of this version (`3.13`) on this machine; `None` if there is none."""
    options = ["--no-python-downloads", "--no-project"]
    found = subprocess.run([_uv(), "python", "find", *options, version], capture_output=True, text=True, check=False)
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    for candidate in (found.stdout.strip(), shutil.which(f"python{version}"), *pyenv):
        if candidate and version_of(Path(candidate)) == version:
            return Path(candidate)
    return None


def _uv() -> str:
    return str(Path(sys.prefix) / "bin" / "uv")


def version_of(python: Path) -> str:
    """Return the version of an interpreter, such as `3.13`; empty if it does not start."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", program], capture_output=True, text=True, check=False).stdout.strip()


def compile_with(python: Path, folder: Path) -> None:
    """Compile all modules. The bytecode is never checked against its source, so modification times do not matter.

    Raises:
        CalledProcessError: a module cannot be compiled.
    """
    options = ["-q", "--invalidation-mode", "unchecked-hash", "-s", str(folder.parent), "-p", "/opt"]
    # The hash seed determines the order of set members in bytecode.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    subprocess.run([python, "-m", "compileall", *options, folder], check=True, env=environment)


def set_fixed_times(folder: Path) -> None:
    """Set the modification time of all files to the same value, because the ZIP file contains it."""
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (FIXED_TIME, FIXED_TIME))


def size_of(*folders: Path) -> Size:
    """Return the size of folders that are uploaded together."""
    files = [(path, path.relative_to(folder)) for folder in folders for path in folder.rglob("*") if path.is_file()]
    with TemporaryFile() as upload:
        with zipfile.ZipFile(upload, "w", zipfile.ZIP_DEFLATED) as package:
            for path, name in sorted(files):
                # Its date is constant: the size does not depend on the times of the files or on the time zone.
                package.writestr(zipfile.ZipInfo(str(name)), path.read_bytes(), zipfile.ZIP_DEFLATED)
        zipped = upload.seek(0, os.SEEK_END)
    return Size(sum(path.stat().st_size for path, _ in files), zipped)


def install(folder: Path, python: str, platform: str) -> None:
    """Install the layer's requirements, and copy the package, from the current folder.

    Args:
        folder: target folder.
        python: Python version of the layer, such as `3.13`.
        platform: target platform as uv names it, or `host` for this machine.

    Raises:
        CalledProcessError: uv failed.
    """
    target = ["--target", str(folder), "--python-version", python]
    if platform != HOST:
        target += ["--python-platform", platform]
    locked = ["--only-binary", ":all:", "--require-hashes", "-r", "requirements.txt"]
    options = ["--quiet", "--system-certs", "--python", sys.executable]
    subprocess.run([_uv(), "pip", "install", *options, *target, *locked], check=True)
    shutil.copytree("callhooks", folder / "callhooks", dirs_exist_ok=True)


def main(folder: Path, python: str, platform: str) -> None:
    """Build the layer into a folder: install, strip and compile it, and make it reproducible."""
    try:
        install(folder, python, platform)
        strip(folder)
        compiler = interpreter(python)
        if compiler is not None:
            compile_with(compiler, folder)
    except subprocess.CalledProcessError as error:
        sys.exit(f"callhooks: {Path(error.cmd[0]).name} failed. See its output above for the cause.")
    # sam shows only the standard output of a recipe that succeeds.
    if compiler is None:
        print(
            f"callhooks: Python {python} is not installed, so the layer is not compiled and cold starts take more than "
            f"twice as long. Install Python {python}, then build again."
        )
    set_fixed_times(folder)
    print(f"callhooks: layer size {size_of(folder)}{'' if compiler else ', not compiled'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), os.environ["LAYER_PYTHON"], os.environ["LAYER_PLATFORM"])
