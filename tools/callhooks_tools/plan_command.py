"""`callhooks plan`: check a call plan, draw it, and walk through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from callhooks.plan import Plan
from callhooks.prepared_plan import read_plan

from callhooks_tools import plan_builder
from callhooks_tools.plan_document import PlanProblems, Problem
from callhooks_tools.plan_graph import graph_of
from callhooks_tools.plan_picture import Graph, to_mermaid, to_svg
from callhooks_tools.stack import ROOT
from callhooks_tools.terminal import console, fail
from callhooks_tools.verb_profiles import Profile

DEFAULT_PLAN = ROOT / "layers" / "call_plan" / "call_plan.yaml"

plan_app = typer.Typer(help="Check the call plan, draw it, and try calls on it.", no_args_is_help=True)

PlanFile = Annotated[Path, typer.Argument(help="The call plan.", show_default="layers/call_plan/call_plan.yaml")]
ServerProfile = Annotated[
    Profile | None,
    typer.Option("--profile", help="Check for this line of jambonz; else for that which the plan names."),
]


@plan_app.command("check")
def plan_check(file: PlanFile = DEFAULT_PLAN, profile: ServerProfile = None) -> None:
    """Check a call plan as the build does, and say what is wrong with it."""
    plan = _plan(file, profile)
    verbs = sum(len(flow.verbs) for flow in plan.flows.values())
    told = f"{len(plan.routes)} routes, {len(plan.flows)} flows, {verbs} verbs"
    console.print(f"{file} is a valid call plan: {told}.")


@plan_app.command("build")
def plan_build(
    file: Annotated[Path, typer.Argument(help="The call plan.")],
    folder: Annotated[Path, typer.Argument(help="The folder for the package callhooks_plan.")],
) -> None:
    """Check a call plan and prepare it for the functions (the layer's build does this)."""
    console.print(f"prepared {plan_builder.write_package(_prepared(file), folder)}")


@plan_app.command("show")
def plan_show(
    file: PlanFile = DEFAULT_PLAN,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it here: a name that ends with .svg, .mmd or .md.")
    ] = None,
) -> None:
    """Draw a call plan: as SVG for a browser, or in Mermaid, which goes to the terminal where no file is named."""
    graph = graph_of(_plan(file), file.stem.replace("_", " ").capitalize())
    if output is None:
        print(to_mermaid(graph))
        return
    pictures: Mapping[str, Callable[[Graph], str]] = {
        ".svg": to_svg,
        ".mmd": to_mermaid,
        ".md": lambda drawn: f"```mermaid\n{to_mermaid(drawn)}\n```\n",
    }
    draw = pictures.get(output.suffix.lower())
    if draw is None:
        fail(f"{output}: a picture is .svg, .mmd (Mermaid) or .md (Mermaid in Markdown)")
    try:
        output.write_text(draw(graph), "utf-8")
    except OSError as error:
        fail(f"{output}: {error.strerror}")
    console.print(f"{output} shows {len(graph.nodes) - 1} routes and flows.")


def _plan(file: Path, profile: Profile | None = None) -> Plan:
    return read_plan(_prepared(file, profile))


def _prepared(file: Path, profile: Profile | None = None) -> str:
    try:
        return plan_builder.read_plan_file(file, profile)
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    except PlanProblems as error:
        fail("\n".join(_located(file, problem) for problem in error.problems))


def _located(file: Path, problem: Problem) -> str:
    return f"{file}:{problem.line}: {problem}" if problem.line else f"{file}: {problem}"
