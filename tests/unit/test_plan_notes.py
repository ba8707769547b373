"""Given a plan that jambonz takes, what an operator is told of it all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from callhooks_tools.plan_notes import notes_on

from tests.support import ROOT
from tests.unit.test_action import plan_of

GATHER = "{verb: gather, input: [digits], next: %s}"


def notes(folder: Path, **flows: str) -> list[str]:
    written = "".join(f"  {name}: [{GATHER % following}]\n" for name, following in flows.items())
    text = f"routes: [{{flow: main}}]\nfallback: sorry\nflows:\n  sorry: [{{verb: hangup}}]\n{written}"
    return list(notes_on(plan_of(text, folder)))


@pytest.mark.parametrize(
    ("following", "circle"),
    [
        ("main", "main \u2192 main"),
        ("{timeout: main}", "main \u2192 main"),
        ("{digits: {'1': end}, otherwise: main}", "main \u2192 main"),
        ("{timeout: {repeat: 2, then: main}}", "main \u2192 main"),
    ],
)
def test_a_round_that_a_silent_caller_never_leaves(tmp_path: Path, following: str, circle: str) -> None:
    (note,) = notes(tmp_path, main=following)
    assert note == f"flows.main: a caller who stays silent goes round for ever: {circle}"


def test_a_round_over_several_flows_is_told_once(tmp_path: Path) -> None:
    (note,) = notes(tmp_path, main="{timeout: other}", other="{timeout: main}")
    assert note.endswith("main \u2192 other \u2192 main")


@pytest.mark.parametrize(
    "following",
    ["end", "continue", "{digits: main}", "{timeout: end, otherwise: main}", "{timeout: {repeat: 2, then: end}}"],
)
def test_a_round_that_ends_by_itself_is_none(tmp_path: Path, following: str) -> None:
    assert notes(tmp_path, main=following) == []


def test_a_flow_that_nothing_leads_to(tmp_path: Path) -> None:
    assert notes(tmp_path, main="end", lonely="end") == ["flows.lonely: nothing leads here"]


def test_the_default_plan_gives_no_occasion(tmp_path: Path) -> None:
    text = (ROOT / "layers" / "call_plan" / "call_plan.yaml").read_text("utf-8")
    assert list(notes_on(plan_of(text, tmp_path))) == []
