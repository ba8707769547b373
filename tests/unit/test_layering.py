"""The shared package stands on its lower floors: nothing imports upwards."""

from __future__ import annotations

import ast

import pytest

from tests.support import ROOT

PACKAGE = ROOT / "layers" / "callhooks" / "callhooks"
FROM_THE_GROUND_UP = [
    "start",
    "page",
    "http",
    "failure",
    "call_signature",
    "json_values",
    "metrics",
    "credentials",
    "event",
    "items",
    "kept",
    "store",
    "call",
    "call_store",
    "call_list",
    "call_timeline",
    "session",
    "call_routes",
    "clients",
    "past_calls",
    "bus",
    "tools",
    "providers",
    "calendars",
    "patterns",
    "placeholders",
    "plan",
    "prepared_plan",
    "first_webhook",
    "spill",
    "keeper",
    "projector",
    "call_log",
    "tool_runner",
    "receiver",
    "webhooks",
    "connected",
    "deployed",
]
"""The order of the design; `webhooks` puts together what is below it; `connected` and `deployed` put it on AWS.

`aws` and `settings` import none of them. `control` stands beside them all.
"""


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
def test_the_outside_world_is_reached_from_the_top_alone(name: str) -> None:
    assert imported_by(name) == set()
    assert {floor for floor in FROM_THE_GROUND_UP if name in imported_by(floor)} <= {"connected", "deployed"}


@pytest.mark.parametrize("provider", ["wavix", "bird", "voipstudio", "jambonz"])
def test_no_provider_knows_another(provider: str) -> None:
    others = {"wavix", "bird", "voipstudio", "jambonz"} - {provider}
    folder = PACKAGE / "providers"
    files = (
        [folder / f"{provider}.py"] if (folder / f"{provider}.py").exists() else list((folder / provider).glob("*.py"))
    )
    assert files
    text = "".join(file.read_text("utf-8") for file in files)
    assert not [other for other in others if f"callhooks.providers.{other}" in text]


def test_every_module_has_its_floor() -> None:
    modules = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert modules - {"__init__"} == {*FROM_THE_GROUND_UP, "aws", "settings", "control"}


def test_who_follows_up_a_call_needs_nothing_but_to_read_what_providers_send() -> None:
    files = list((PACKAGE / "control").glob("*.py"))
    assert files
    assert imported_by("control") <= {"control", "providers", "http"}
    text = "".join(file.read_text("utf-8") for file in files)
    assert "callhooks.providers" in text
    assert "callhooks.providers." not in text.replace("callhooks.providers.lenient", "")


def test_no_function_imports_what_the_layer_has_no_packages_for() -> None:
    assert {floor for floor in [*FROM_THE_GROUND_UP, "aws", "settings"] if "control" in imported_by(floor)} == set()
    functions = list((ROOT / "functions").rglob("*.py"))
    assert functions
    assert [file for file in functions if "callhooks.control" in file.read_text("utf-8")] == []
