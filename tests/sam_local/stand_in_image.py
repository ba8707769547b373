"""A stand-in for Lambda's Python image, made of this machine's files: `python -m tests.sam_local.stand_in_image`.

Contains this machine's Python of the functions' version with its shared libraries, a shell, Lambda's own runtime
client (awslambdaric) and boto3. sam local adds the runtime emulator and the layers. No container registry is needed.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from callhooks_tools.local.sam_local import runtime_version
from callhooks_tools.packaging.layer_build import interpreter

from tests.support import ROOT

PACKAGES = ROOT / "requirements" / "sam-local.txt"
PYTHON_FOLDER = Path("/usr/local")
RUNTIME = Path("/var/runtime")
# The Dockerfile that sam local generates uses the last five.
PROGRAMS = ("sh", "mv", "chmod", "cp", "rm")
_UNUSED = {"test", "idlelib", "ensurepip", "site-packages", "turtledemo", "tkinter", "pydoc_data"}
# Libraries that extension modules may expect on every Linux system (PEP 599), next to the C library.
_SYSTEM_NAMES = ("rt", "pthread", "dl", "util", "resolv", "nss_dns", "nss_files", "gcc_s", "stdc++")
_LIBRARY = re.compile(r"(/\S+) \(0x")
_KEY_LABEL = "callhooks.key"

BOOTSTRAP = f"""#!/bin/sh
export AWS_EXECUTION_ENV=AWS_Lambda_python{{version}} PYTHONPATH=/var/task:/opt/python:{RUNTIME}
exec {PYTHON_FOLDER}/bin/python{{version}} -m awslambdaric "$_HANDLER"
"""


class NoPython(Exception):
    """This machine has no Python of the functions' version."""


def image_name() -> str:
    """Return the name of the image, which no registry has."""
    return f"callhooks-stand-in:{runtime_version()}"


def make_image() -> str:
    """Make the image unless this machine has it, and return its name.

    Raises:
        NoPython: this machine has no Python of the functions' version.
        CalledProcessError: a step failed. Its output is on standard error.
    """
    version = runtime_version()
    python = interpreter(version)
    if python is None:
        raise NoPython(f"Python {version} is not installed. Run: uv python install {version}")
    key = sha256(b"".join([Path(__file__).read_bytes(), PACKAGES.read_bytes(), str(python).encode()])).hexdigest()
    label = f'{{{{index .Config.Labels "{_KEY_LABEL}"}}}}'
    found = _docker("image", "inspect", image_name(), "--format", label, check=False)
    if found.stdout.decode().strip() != key:
        with TemporaryDirectory() as folder:
            packages = _install(Path(folder), python)
            archive = _archive(python, version, packages)
        changes = ("WORKDIR /var/task", "ENV LAMBDA_TASK_ROOT=/var/task", f"LABEL {_KEY_LABEL}={key}")
        options = [part for change in changes for part in ("--change", change)]
        _docker("import", *options, "-", image_name(), stdin=archive)
    return image_name()


def _install(folder: Path, python: Path) -> Path:
    uv = [str(Path(sys.prefix) / "bin" / "uv"), "pip", "install", "--quiet", "--system-certs", "--compile-bytecode"]
    options = ["--python", str(python), "--target", str(folder), "--only-binary", ":all:", "--require-hashes"]
    subprocess.run([*uv, *options, "-r", str(PACKAGES)], check=True)
    return folder


def _archive(python: Path, version: str, packages: Path) -> bytes:
    program = (
        "import json, os, sys, sysconfig; print(json.dumps([os.path.realpath(sys.executable), "
        "sysconfig.get_path('stdlib')]))"
    )
    found = subprocess.run([python, "-I", "-c", program], check=True, capture_output=True)
    executable, library = (Path(path) for path in json.loads(found.stdout))
    programs = {name: Path(shutil.which(name) or f"/bin/{name}").resolve() for name in PROGRAMS}
    modules = [*library.glob("lib-dynload/*.so"), *packages.rglob("*.so")]
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", dereference=True) as archive:
        for folder in ("/tmp", "/var/task", "/var/rapid", "/opt"):  # noqa: S108 - of the image
            member = tarfile.TarInfo(folder)
            member.type, member.mode = tarfile.DIRTYPE, 0o1777 if folder == "/tmp" else 0o755  # noqa: S108
            archive.addfile(member)
        for name, path in programs.items():
            archive.add(path, f"/bin/{name}")
        for library_path in sorted({*_libraries([executable, *programs.values(), *modules])}):
            archive.add(library_path)
        archive.add(executable, PYTHON_FOLDER / "bin" / f"python{version}")
        archive.add(library, PYTHON_FOLDER / "lib" / f"python{version}", filter=_used)
        archive.add(packages, RUNTIME)
        bootstrap = BOOTSTRAP.format(version=version).encode()
        member = tarfile.TarInfo(str(RUNTIME / "bootstrap"))
        member.size, member.mode = len(bootstrap), 0o755
        archive.addfile(member, io.BytesIO(bootstrap))
    return output.getvalue()


def _libraries(programs: Iterable[Path]) -> Iterator[str]:
    """Yield the shared libraries of programs, the loader, and the libraries of every Linux system."""
    listed = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    found = _LIBRARY.findall(listed)
    yield from found
    for folder in {Path(path).parent for path in found if Path(path).name == "libc.so.6"}:
        for name in _SYSTEM_NAMES:
            yield from map(str, folder.glob(f"lib{name}.so.[0-9]*"))


def _used(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if _UNUSED & set(Path(member.name).parts) or member.name.endswith(".a") else member


def _docker(*arguments: str, stdin: bytes = b"", check: bool = True) -> subprocess.CompletedProcess[bytes]:
    stderr = None if check else subprocess.DEVNULL
    return subprocess.run(["docker", *arguments], input=stdin, stdout=subprocess.PIPE, stderr=stderr, check=check)


if __name__ == "__main__":
    print(make_image())
