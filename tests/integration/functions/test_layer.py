"""The layer as `sam build` builds it: its contents, and reproducible builds."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from callhooks_tools.packaging import layer_build as layer_files
from callhooks_tools.packaging.layer_build import FIXED_TIME, interpreter, size_of, strip
from callhooks_tools.stack.layer_target import LayerTarget, targets_in

from tests.integration.conftest import OWN_PYTHON, build_layer
from tests.time_zones import TIME_ZONES

MAX_MB = 20


def digests(folder: Path) -> dict[str, tuple[str, float]]:
    """Return the digest and the time of each file in a folder."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_builds_in_two_time_zones_are_identical_and_report_their_size(layer: Path, tmp_path: Path) -> None:
    output = build_layer(tmp_path, time_zone=TIME_ZONES["Los Angeles"])
    assert digests(tmp_path) == digests(layer)
    assert {time for _, time in digests(layer).values()} == {FIXED_TIME}
    size = re.search(r"layer size ([0-9.]+) MB, zipped ([0-9.]+) MB", output)
    assert size
    assert float(size[2]) < float(size[1]) < MAX_MB
    assert str(size_of(tmp_path / "python")) in output


def test_it_contains_only_packages_bytecode_zones_and_licences(layer: Path) -> None:
    python = layer / "python"
    zones = python / "tzdata"
    assert (zones / "zoneinfo" / "Europe" / "Berlin").is_file()
    files = [path for path in python.rglob("*") if path.is_file() and "licenses" not in path.parts]
    assert {path.suffix for path in files if path.suffix or zones not in path.parents} <= {
        ".py",
        ".pyc",
        ".so",
        # Web pages in Powertools' package, which the call log does not use.
        ".js",
        ".css",
    }
    assert not [path for path in python.rglob("*") if path.name == "tests" or path.suffix == ".dist-info"]
    assert not (python / "bin").exists()
    licences = {path.relative_to(python / "licenses").parts[0] for path in python.rglob("LICENSE*")}
    assert licences >= {"pydantic", "pydantic_core", "aws_lambda_powertools", "jmespath"}
    modules = {path.relative_to(python) for path in python.rglob("*.py")}
    compiled = {path.parent.parent / f"{path.name.partition('.')[0]}.py" for path in python.rglob("*.pyc")}
    assert {path.relative_to(python) for path in compiled} == modules


def test_its_bytecode_is_not_checked_against_the_source(layer: Path) -> None:
    (compiled,) = (layer / "python" / "callhooks" / "webhooks" / "__pycache__").glob("pipeline.*.pyc")
    # PEP 552: the second word marks a hash-based file that is not checked against its source.
    assert compiled.read_bytes()[4:8] == (1).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("platform", "target"),
    [
        ("x86_64-manylinux2014", LayerTarget("3.12", "x86_64")),
        ("aarch64-manylinux2014", LayerTarget("3.14", "arm64")),
    ],
)
def test_it_can_be_built_for_another_processor_and_python(tmp_path: Path, platform: str, target: LayerTarget) -> None:
    output = build_layer(tmp_path, python=target.python, platform=platform)
    assert targets_in(str(path) for path in tmp_path.rglob("*")) == {target}
    compiled = list(tmp_path.rglob("*.pyc"))
    if interpreter(target.python) is None:
        assert f"Python {target.python} is not installed, so the layer is not compiled" in output
        assert not compiled
    else:
        assert compiled


def test_a_module_named_like_a_stub_folder_is_not_removed(tmp_path: Path) -> None:
    for name in ("package/testing.py", "package/binary.py", "package/tests/test_it.py", "package/it.pyi"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    strip(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["binary.py", "testing.py"]


def test_an_interpreter_of_another_version_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_files, "version_of", lambda _python: "3.9")
    assert interpreter(OWN_PYTHON) is None
