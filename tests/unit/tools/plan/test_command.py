"""`callhooks plan` on the command line."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from callhooks_tools.cli import app
from callhooks_tools.providers.jambonz.plan_picture.graph import graph_of
from typer.testing import CliRunner, Result

from tests.support import ROOT
from tests.unit.providers.jambonz.test_action import MENU, plan_of

DEFAULT = ROOT / "layers" / "call_plan" / "call_plan.yaml"


def plan(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["plan", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.fixture
def menu(tmp_path: Path) -> Path:
    file = tmp_path / "menu.yaml"
    file.write_text(MENU, "utf-8")
    return file


class TestCheck:
    def test_of_a_valid_plan_prints_its_size(self, menu: Path) -> None:
        done = plan("check", menu)
        assert done.exit_code == 0
        assert "is a valid call plan: 1 routes, 5 flows, 9 verbs." in done.output

    def test_of_a_faulty_plan_prints_file_line_place_and_a_suggestion(self, menu: Path) -> None:
        menu.write_text(MENU.replace("numDigits", "numDigts"), "utf-8")
        done = plan("check", menu)
        line = MENU.splitlines().index("      numDigits: 1") + 1
        assert done.exit_code == 1
        assert f"{menu}:{line}: flows.menu[1].numDigts: unknown member; did you mean 'numDigits'?" in done.output

    def test_of_a_missing_file_fails(self, tmp_path: Path) -> None:
        done = plan("check", tmp_path / "none.yaml")
        assert (done.exit_code, "No such file" in done.output) == (1, True)

    def test_can_be_for_the_other_version_of_jambonz(self, menu: Path) -> None:
        menu.write_text(MENU.replace("{verb: enqueue, name: q,", "{verb: room, name: q,"), "utf-8")
        assert plan("check", menu).exit_code == 1
        menu.write_text(MENU + "  lobby: [{verb: room, name: lobby}]\n", "utf-8")
        assert plan("check", menu).exit_code == 1
        assert plan("check", menu, "--jambonz", "10").exit_code == 0


class TestShow:
    def test_draws_every_flow_and_outcome(self, menu: Path, tmp_path: Path) -> None:
        picture = tmp_path / "plan.svg"
        assert plan("show", menu, "-o", picture).exit_code == 0
        text = " ".join(ET.fromstring(picture.read_text("utf-8")).itertext())  # noqa: S314 - our own picture
        for word in ("menu", "sales", "five", "music", "sorry", "every other call", "no-answer", "Call ends"):
            assert word in text

    def test_writes_mermaid_to_the_terminal_or_to_a_file(self, menu: Path, tmp_path: Path) -> None:
        mermaid = plan("show", menu).output
        assert "flowchart TD" in mermaid
        assert plan("show", menu, "-o", tmp_path / "plan.mmd").exit_code == 0
        assert (tmp_path / "plan.mmd").read_text("utf-8") == mermaid.removesuffix("\n")
        assert plan("show", menu, "-o", tmp_path / "plan.md").exit_code == 0
        assert (tmp_path / "plan.md").read_text("utf-8").startswith("```mermaid\n")

    def test_lists_the_formats_for_an_unknown_one(self, menu: Path, tmp_path: Path) -> None:
        done = plan("show", menu, "-o", tmp_path / "plan.png")
        assert (done.exit_code, ".svg" in done.output) == (2, True)


class TestTheGraph:
    def test_has_an_edge_for_every_outcome(self, tmp_path: Path) -> None:
        graph = graph_of(plan_of(MENU, tmp_path), "Menu")
        leads = {(edge.source, edge.target): edge.labels for edge in graph.edges}
        assert leads["flow menu", "flow sales"] == ("1", "2 during office", "new order")
        assert leads["flow menu", "flow menu"] == ("*", "timeout 2\u00d7", "otherwise 1\u00d7")
        assert leads["flow menu", "flow sorry"] == ("2 otherwise", "low-confidence", "timeout then")
        assert leads["flow five", "flow music"] == ("wait",)
        assert leads["flow sales", "flow five"] == ("no-answer",)

    def test_shows_the_conditions_of_a_route(self, tmp_path: Path) -> None:
        text = (
            "calendars: {office: {timezone: UTC, open: {}}}\n"
            "routes:\n"
            "  - {to: ['+1415*', _2XX], direction: inbound, trunk: acme*, during: office, flow: a}\n"
            "  - {from: anonymous, header: {X-A: b}, application: app, outside: office, flow: a}\n"
            "  - {flow: a}\nfallback: a\nflows: {a: [{verb: hangup}]}\n"
        )
        titles = [node.title.replace("\u2011", "-") for node in graph_of(plan_of(text, tmp_path), "x").nodes]
        assert titles[:3] == [
            "inbound, to 1415* or _2XX, trunk acme*, during office",
            "from anonymous, application app, X-A: b, outside office",
            "every other call",
        ]


class TestTry:
    def test_prints_the_verbs_of_every_response_at_a_time(self, menu: Path) -> None:
        done = plan("try", "--to", "+14155550123", "--at", "2026-11-23 06:30", "--press", "2", menu)
        assert done.exit_code == 0, done.output
        assert "Mon 2026-11-23 06:30 UTC" in done.output
        assert '"verb": "dial"' in done.output
        assert "caller hears   Press 1" in done.output
        done = plan("try", "--to", "+14155550123", "--at", "2026-11-23 08:30", "--press", "2", menu)
        assert '"verb": "dial"' not in done.output
        assert "caller hears   Sorry" in done.output

    def test_accepts_variables_and_a_script(self, menu: Path, tmp_path: Path) -> None:
        script = tmp_path / "call.txt"
        script.write_text("press 1\ndial busy\n", "utf-8")
        done = plan("try", "--to", "1", "--script", script, "--env", "SALES=+14155550177", menu)
        assert '"number": "+14155550177"' in done.output
        assert done.exit_code == 0, done.output

    def test_the_default_plan_is_closed_on_christmas_eve(self) -> None:
        done = plan("try", "--to", "+14155551234", "--at", "2026-12-24 18:00", "--press", "1")
        assert done.exit_code == 0, done.output
        assert "Our office is closed" in done.output

    @pytest.mark.parametrize(
        ("options", "code", "problem"),
        [
            (["--at", "tomorrow"], 2, "Invalid time for --at"),
            (["--at", "2026-13-01"], 2, "Invalid time for --at"),
            (["--press", "3", "--press", "1"], 1, "press 1"),
        ],
    )
    def test_fails_with_an_invalid_time_or_decisions_left_over(
        self, menu: Path, options: list[str], code: int, problem: str
    ) -> None:
        done = plan("try", "--to", "1", *options, menu)
        assert (done.exit_code, problem in done.output) == (code, True)
