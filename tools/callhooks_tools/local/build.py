"""The output of `sam build`, cached in `.local/builds` and shared by all runs and tests of the same sources."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

from callhooks_tools.stack.private_files import make_private_folder
from callhooks_tools.stack.stack import LOCAL_FOLDER, ROOT

BUILDS = LOCAL_FOLDER / "builds"
MAX_BUILDS = 4

SOURCES = (
    "template.yaml",
    "samconfig.toml",
    "functions",
    "layers",
    "tools/build_layer.py",
    "tools/build_layer.sh",
    "tools/callhooks_tools",
)
"""Everything that a build reads: the deployed files, and the programs that prepare the layers."""
_UNFINISHED = "unfinished-"


def shared_build(build: Callable[[Path], None], *, target: str = "", root: Path = ROOT, builds: Path = BUILDS) -> Path:
    """Return a folder with a build of the current sources. Build only if no finished build exists.

    Args:
        build: builds the sources into a folder that does not exist yet.
        target: the Python and platform that the build is for; empty for this process's own.
        root: the folder of the sources.
        builds: the folder of finished builds, created if missing. Processes that need the same build wait for the
            first one.

    Raises:
        Exception: any exception of `build`. The unfinished build is not used.
    """
    make_private_folder(builds)
    with _locked(builds / "lock"):
        for abandoned in builds.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        while not (finished := builds / build_key(root, target)).exists():
            # A separate name for each process: the builder of a killed process may still be writing.
            unfinished = builds / f"{_UNFINISHED}{os.getpid()}"
            shutil.rmtree(unfinished, ignore_errors=True)
            build(unfinished)
            # If the sources changed during the build, it may contain a mixture.
            if builds / build_key(root, target) == finished:
                unfinished.rename(finished)
        finished.touch()
        _remove_oldest(builds)
    return finished


def build_key(root: Path, target: str = "") -> str:
    """Return a hash of everything that a build depends on: sources, Python, platform, packages and target."""
    digest = hashlib.sha256()
    for part in (target.encode(), *_environment(), *_sources(root)):
        # The length prefix makes the encoding of the list unambiguous.
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()[:32]


def _environment() -> Iterator[bytes]:
    yield f"{sys.version} {platform.platform()}".encode()
    yield from (package.encode() for package in installed_packages())


@cache
def installed_packages() -> list[str]:
    """Return all installed packages with their versions, such as `pydantic==2.13.0`."""
    return sorted(f"{one.name}=={one.version}" for one in distributions())


def _sources(root: Path) -> Iterator[bytes]:
    for path in sorted(_files(root)):
        yield str(path.relative_to(root)).encode()
        yield str(path.stat().st_mode & stat.S_IXUSR).encode()
        yield path.read_bytes()


def _files(root: Path) -> Iterator[Path]:
    for source in SOURCES:
        if (root / source).is_file():
            yield root / source
        # The build follows links too.
        for parent, folders, names in os.walk(root / source, followlinks=True):
            folders[:] = [folder for folder in folders if folder != "__pycache__"]
            yield from (path for name in names if (path := Path(parent, name)).is_file())


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def in_use(build: Path) -> Iterator[None]:
    """Protect a finished build from removal until the block ends."""
    with _opened(build) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _remove_oldest(builds: Path) -> None:
    found = [path for path in builds.iterdir() if path.is_dir()]
    for old in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[MAX_BUILDS:]:
        # `sam local` reads its build for as long as it runs.
        with suppress(BlockingIOError), _opened(old) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(old)
