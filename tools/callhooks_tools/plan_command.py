"""`callhooks plan`: check a call plan, draw it, and walk through it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from callhooks.plan import Plan
from callhooks.prepared_plan import read_plan

from callhooks_tools import plan_builder
from callhooks_tools.plan_document import PlanProblems, Problem
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
