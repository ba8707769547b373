"""The recipes' own environment: which Python makes it, and when it is created again."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from tests.commands import environment_of_make
from tests.support import ROOT

RECIPES = {"callhooks": "build-CallhooksLayer", "call_plan": "build-CallPlanLayer"}
STARTED = "started by the recipe"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """tools/build_layer.py, with locked requirements of its own."""
    spec = importlib.util.spec_from_file_location("build_layer", ROOT / "tools" / "build_layer.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("BOOTSTRAP", "REQUIREMENTS"):
        file = tmp_path / f"{name}.txt"
        file.write_text("package==1")
        monkeypatch.setattr(module, name, file)
    return module


@pytest.fixture
def created(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The environments that were created, without installing anything."""
    folders: list[Path] = []

    def create(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        folders.append(folder)

    monkeypatch.setattr(program, "_create", create)
    return folders


def test_layers_that_are_built_in_parallel_share_one_environment(
    program: ModuleType, created: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / ".local" / "build-environment"
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: program.build_environment(folder), range(8)))
    assert found == {folder}
    assert created == [folder]


@pytest.mark.parametrize("changed", ["BOOTSTRAP", "REQUIREMENTS", "Python", "interrupted"])
def test_an_environment_that_is_out_of_date_or_unfinished_is_created_again(
    program: ModuleType, created: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    folder = tmp_path / "build-environment"
    program.build_environment(folder)
    match changed:
        case "Python":
            monkeypatch.setattr(sys, "version", "3.14.0")
        case "interrupted":
            (folder / "complete").unlink()
        case _:
            getattr(program, changed).write_text("package==2")
    program.build_environment(folder)
    program.build_environment(folder)
    assert len(created) == 2


@pytest.mark.parametrize("missing", ["ensurepip", "an installer that works"])
def test_an_environment_that_cannot_be_created_is_reported_and_not_used(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "ensurepip":
        monkeypatch.setattr(program, "find_spec", lambda _name: None)
    monkeypatch.setattr(subprocess, "call", lambda _command: 1)
    message = "apt install python3-venv" if missing == "ensurepip" else "was not created. See the output above"
    folder = tmp_path / "build-environment"
    with pytest.raises(SystemExit, match=message):
        program.build_environment(folder)
    assert not (folder / "complete").exists()


def machine(folder: Path, pythons: dict[str, bool]) -> dict[str, str]:
    """Return the environment of a machine that has these Pythons, each recent enough or not, and no other program."""
    folder.mkdir()
    (folder / "sh").symlink_to("/bin/sh")
    for name, is_recent in pythons.items():
        file = folder / name
        # The check of the version is `python -c`; anything else is the build.
        file.write_text(
            f'#!/bin/sh\n[ "$1" = -c ] && exit {0 if is_recent else 1}\n'
            f'[ "$1" = --version ] && echo "Python 3.9.6" && exit\necho "{STARTED} $0 $@"\n'
        )
        file.chmod(0o755)
    return {"PATH": str(folder)}


def build(clone: Path, layer: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the recipe of a layer as `sam build` does: in a copy of its folder, with the makefile of the clone."""
    copied = clone / "copy"
    copied.mkdir(exist_ok=True)
    make = shutil.which("make")
    assert make is not None
    return subprocess.run(
        [make, "--makefile", str(clone / "layers" / layer / "Makefile"), RECIPES[layer]],
        cwd=copied,
        env={**environment, "ARTIFACTS_DIR": str(clone / "artifacts of a layer")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The recipes in a path with spaces."""
    folder = tmp_path / "my  own clone"
    for path in ("layers/callhooks/Makefile", "layers/call_plan/Makefile", "tools/build_layer.sh",
                 "tools/find_python.sh"):  # fmt: skip
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, folder / path)
    return folder


@pytest.mark.parametrize("layer", RECIPES)
@pytest.mark.parametrize(
    ("pythons", "chosen"),
    [
        ({"python3": True}, "python3"),
        ({"python3": False, "python3.11": True}, "python3.11"),
        ({"python3": False, "python3.12": True, "python3.11": True}, "python3.12"),
        ({"python3.13": True}, "python3.13"),
        ({"python3": False, "python3.14": True, "python3.13": True}, "python3.14"),
    ],
)
def test_a_recipe_starts_the_first_recent_python_and_no_other_program(
    clone: Path, tmp_path: Path, layer: str, pythons: dict[str, bool], chosen: str
) -> None:
    done = build(clone, layer, machine(tmp_path / "bin", pythons))
    assert (done.returncode, done.stderr) == (0, "")
    program, _, arguments = done.stdout.removeprefix(f"{STARTED} ").strip().partition(" ")
    assert program == str(tmp_path / "bin" / chosen)
    assert "my  own clone/layers" in arguments
    assert arguments.endswith("artifacts of a layer/python")


@pytest.mark.parametrize("pythons", [{}, {"python3": False}])
def test_a_machine_without_a_recent_python_is_reported(clone: Path, tmp_path: Path, pythons: dict[str, bool]) -> None:
    done = build(clone, "callhooks", machine(tmp_path / "bin", pythons))
    assert done.returncode != 0
    assert "callhooks needs Python 3.11 or later. Found: " in done.stderr
    assert "set PYTHON to its path" in done.stderr


@pytest.mark.parametrize("variable", ["PYTHON", "CALLHOOKS_VENV"])
def test_a_given_python_or_environment_is_used(clone: Path, tmp_path: Path, variable: str) -> None:
    environment = machine(tmp_path / "bin", {"python3": True, "python": True})
    given = {"PYTHON": str(tmp_path / "bin" / "python"), "CALLHOOKS_VENV": str(tmp_path)}[variable]
    done = build(clone, "callhooks", {**environment, variable: given})
    assert done.stdout.startswith(f"{STARTED} {tmp_path / 'bin' / 'python'} ")


def test_a_given_python_that_is_too_old_is_not_used(clone: Path, tmp_path: Path) -> None:
    environment = machine(tmp_path / "bin", {"python2.7": False, "python3": True})
    done = build(clone, "callhooks", {**environment, "PYTHON": "python2.7"})
    assert done.stdout.startswith(f"{STARTED} {tmp_path / 'bin' / 'python3'} ")


@pytest.mark.parametrize("layer", RECIPES)
def test_a_recipe_without_the_rest_of_the_clone_names_the_cause(clone: Path, tmp_path: Path, layer: str) -> None:
    (clone / "tools" / "build_layer.sh").unlink()
    done = build(clone, layer, machine(tmp_path / "bin", {"python3": True}))
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.startswith("callhooks: tools/build_layer.sh is missing. Build without --use-container.\n")


def test_the_program_runs_on_the_code_of_its_clone(tmp_path: Path) -> None:
    package = tmp_path / "tools" / "callhooks_tools"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "marker.py").write_text("print(__file__)\n", "utf-8")
    shutil.copyfile(ROOT / "tools" / "build_layer.py", tmp_path / "tools" / "build_layer.py")
    # This environment has the packages of another clone.
    done = subprocess.run(
        [sys.executable, tmp_path / "tools" / "build_layer.py", "callhooks_tools.marker"],
        env={**os.environ, "CALLHOOKS_VENV": sys.prefix},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(package / "marker.py")


@pytest.mark.parametrize("target", ["deploy", "help", "clean"])
def test_make_refuses_a_path_with_a_space_before_it_does_anything(tmp_path: Path, target: str) -> None:
    folder = tmp_path / "my clone"
    # An environment that is complete.
    (folder / ".venv").mkdir(parents=True)
    shutil.copyfile(ROOT / "Makefile", folder / "Makefile")
    (folder / ".venv" / ".complete").touch()
    before = sorted(folder.rglob("*"))
    command = ["make", "--no-print-directory", "--old-file", ".venv/.complete", target]
    made = subprocess.run(command, cwd=folder, env=environment_of_make(), capture_output=True, text=True, check=False)
    assert made.returncode != 0
    assert "make does not work in a path that contains a space. Move the clone" in made.stderr
    assert (made.stdout, sorted(folder.rglob("*"))) == ("", before)


@pytest.mark.parametrize(
    ("arguments", "python", "chosen"),
    [
        ([], "python2.7", "python3"),
        ([], "python3.13", "python3.13"),
        # An explicit choice counts in any case: tools/setup.py then says why it cannot be used.
        (["PYTHON=python2.7"], "python3.13", "python2.7"),
    ],
)
def test_make_sets_up_with_the_given_python_if_it_is_recent(
    tmp_path: Path, arguments: list[str], python: str, chosen: str
) -> None:
    environment = machine(tmp_path / "bin", {"python2.7": False, "python3": True, "python3.13": True})
    projects = ("pyproject.toml", "layers/callhooks/pyproject.toml")
    locked = (f"requirements/{name}.txt" for name in ("bootstrap", "dev", "engine"))
    for path in ("Makefile", "tools/setup.py", "tools/find_python.sh", *projects, *locked):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, tmp_path / path)
    make = shutil.which("make")
    assert make is not None
    made = subprocess.run(
        [make, "--dry-run", "setup", *arguments],
        cwd=tmp_path,
        env={**environment, "PYTHON": python},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"{chosen} tools/setup.py .venv" in made.stdout.splitlines()
