"""The program that `sam build` runs for the call plan layer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from callhooks_tools.providers.jambonz.plan.layer_build import main

from tests.unit.providers.jambonz.test_action import MENU


def test_it_writes_the_package_that_the_functions_read(tmp_path: Path) -> None:
    file = tmp_path / "menu.yaml"
    file.write_text(MENU, "utf-8")
    main(file, tmp_path / "layer")
    prepared = json.loads((tmp_path / "layer" / "callhooks_plan" / "plan.json").read_text("utf-8"))
    assert prepared["format"] == 2
    assert set(prepared["flows"]) == {"menu", "sales", "five", "music", "sorry"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [(MENU.replace("numDigits", "numDigts"), r"menu\.yaml:\d+: .*numDigts"), (None, "No such file")],
)
def test_a_plan_with_a_fault_stops_the_build(tmp_path: Path, text: str | None, problem: str) -> None:
    file = tmp_path / "menu.yaml"
    if text is not None:
        file.write_text(text, "utf-8")
    with pytest.raises(SystemExit, match=problem):
        main(file, tmp_path / "layer")
    assert not (tmp_path / "layer").exists()
