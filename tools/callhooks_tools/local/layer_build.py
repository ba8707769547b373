"""What goes into the layer: `python -m callhooks_tools.local.layer_build FOLDER --python 3.13`, run by `sam build`.

Takes away what nothing reads, compiles the rest, and makes two builds of the same sources the same bytes.
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
from typing import Annotated

import typer

from callhooks_tools.stack.terminal import console, errors

EARLIEST_ZIP_SECONDS = 315_532_800
"""1980-01-01, the earliest time that a ZIP file knows."""

_USELESS_SUFFIXES = (".pyi", ".pth", ".dist-info", ".egg-info")
_USELESS_NAMES = {"__pycache__", "tests", "py.typed", ".lock"}
_LICENCES = ("LICENSE", "LICENCE", "NOTICE", "COPYING", "AUTHORS")


@dataclass(frozen=True)
class Size:
    """Bytes, as Lambda counts them against its limit of 250 MB, and as they are uploaded."""

    unzipped: int
    zipped: int

    def __str__(self) -> str:
        return f"{self.unzipped / 1e6:.1f} MB, zipped {self.zipped / 1e6:.1f} MB"


def strip(folder: Path) -> None:
    """Take away tests, type stubs, scripts and metadata; licences stay, in `licenses/<package>`."""
    for metadata in folder.glob("*.dist-info"):
        package = metadata.name.partition("-")[0]
        for path in metadata.rglob("*"):
            if path.is_file() and path.name.upper().startswith(_LICENCES):
                kept = folder / "licenses" / package / path.relative_to(metadata)
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, kept)
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.name in _USELESS_NAMES or path.suffix in _USELESS_SUFFIXES:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def interpreter(version: str) -> Path | None:
    """An interpreter of this version (`3.13`) on this machine; `None` where there is none."""
    uv = Path(sys.prefix) / "bin" / "uv"
    options = ["--no-python-downloads", "--no-project"]
    told = subprocess.run([uv, "python", "find", *options, version], capture_output=True, text=True, check=False)
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    for candidate in (told.stdout.strip(), shutil.which(f"python{version}"), *pyenv):
        if candidate and version_of(Path(candidate)) == version:
            return Path(candidate)
    return None


def version_of(python: Path) -> str:
    """An interpreter's version, such as `3.13`; empty where it does not start."""
    tell = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", tell], capture_output=True, text=True, check=False).stdout.strip()


def compile_with(python: Path, folder: Path) -> None:
    """Compile everything; the bytecode is never checked against its source, so that the time of neither matters.

    Raises:
        CalledProcessError: a module cannot be compiled.
    """
    options = ["-q", "--invalidation-mode", "unchecked-hash", "-s", str(folder.parent), "-p", "/opt"]
    # The order of a set's members in bytecode follows the seed.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    subprocess.run([python, "-m", "compileall", *options, folder], check=True, env=environment)


def settle_times(folder: Path) -> None:
    """Give every file the same time: it goes into the ZIP file."""
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (EARLIEST_ZIP_SECONDS, EARLIEST_ZIP_SECONDS))


def size_of(*folders: Path) -> Size:
    """The size of folders that are uploaded together."""
    files = [(path, path.relative_to(folder)) for folder in folders for path in folder.rglob("*") if path.is_file()]
    with TemporaryFile() as upload:
        with zipfile.ZipFile(upload, "w", zipfile.ZIP_DEFLATED) as package:
            for path, name in sorted(files):
                package.write(path, name)
        zipped = upload.seek(0, os.SEEK_END)
    return Size(sum(path.stat().st_size for path, _ in files), zipped)


def main(
    folder: Annotated[Path, typer.Argument(help="Where the packages are.")],
    python: Annotated[str, typer.Option(help="The version of the functions' runtime.")],
) -> None:
    """Strip, compile and settle the files of the layer."""
    strip(folder)
    compiler = interpreter(python)
    if compiler is None:
        errors.print(
            f"callhooks: no Python {python} is here to compile the layer with, so that cold starts take more than twice"
            f" as long. 'uv python install {python}' gets one."
        )
    else:
        compile_with(compiler, folder)
    settle_times(folder)
    console.print(f"callhooks: the layer has {size_of(folder)}{'' if compiler else ', not compiled'}")


if __name__ == "__main__":
    typer.run(main)
