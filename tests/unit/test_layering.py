"""The shared package stands on its lower floors: nothing imports upwards."""

from __future__ import annotations

import ast

import pytest

from tests.support import ROOT

PACKAGE = ROOT / "layers" / "callhooks" / "callhooks"
FROM_THE_GROUND_UP = ["http", "credentials", "event", "store", "providers", "plan", "receiver", "webhooks"]
"""The order of the design; `webhooks` puts together what is below it. `aws` and `settings` import none of them."""


def imported_by(name: str) -> set[str]:
    """The first-level modules of callhooks that a module or a package imports, anywhere in its code."""
    files = [PACKAGE / f"{name}.py"] if (PACKAGE / f"{name}.py").exists() else list((PACKAGE / name).rglob("*.py"))
    assert files
    modules = [
        node.module
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
    ]
    return {module.split(".")[1] for module in modules if module.startswith("callhooks.")}


@pytest.mark.parametrize("name", FROM_THE_GROUND_UP)
def test_nothing_imports_upwards(name: str) -> None:
    above = FROM_THE_GROUND_UP[FROM_THE_GROUND_UP.index(name) + 1 :]
    assert imported_by(name).isdisjoint(above)


@pytest.mark.parametrize("name", ["aws", "settings"])
def test_the_outside_world_is_reached_by_handlers_alone(name: str) -> None:
    assert imported_by(name) == set()
    assert not [floor for floor in FROM_THE_GROUND_UP if name in imported_by(floor)]


def test_every_module_has_its_floor() -> None:
    modules = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert modules - {"__init__"} == {*FROM_THE_GROUND_UP, "aws", "settings"}
