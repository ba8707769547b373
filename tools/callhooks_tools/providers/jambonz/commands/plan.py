"""`callhooks plan`: check a call plan, draw it, and try calls on it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from callhooks.providers.jambonz.plan.loader import read_plan
from callhooks.providers.jambonz.plan.plan import Plan

from callhooks_tools.providers.jambonz.commands.call import (
    PROFILES,
    CallerName,
    Direction,
    From,
    Headers,
    To,
    Trunk,
    Variables,
    check_for,
    env_vars_of,
    headers_of,
    members_of,
    parse_profile,
    scripted_caller,
    shown,
)
from callhooks_tools.providers.jambonz.phone import NewCall, Outside, SimulatedCall, SimulatedClock
from callhooks_tools.providers.jambonz.phone.script import ScriptProblem
from callhooks_tools.providers.jambonz.phone.steps import Refused, Sent
from callhooks_tools.providers.jambonz.plan.builder import CheckedPlan, check_plan_file
from callhooks_tools.providers.jambonz.plan.document import PlanProblem, PlanProblems, place_text, read_document
from callhooks_tools.providers.jambonz.plan.hosts import warnings_on
from callhooks_tools.providers.jambonz.plan.notes import needless_phrases, notes_on, public_numbers, undialled_values
from callhooks_tools.providers.jambonz.plan.numbers import notes_on_numbers
from callhooks_tools.providers.jambonz.plan.phone import APPLICATION, PlanTransport
from callhooks_tools.providers.jambonz.plan.verb_profiles import Profile
from callhooks_tools.providers.jambonz.plan_picture.graph import graph_of
from callhooks_tools.providers.jambonz.plan_picture.picture import Graph, to_mermaid, to_svg
from callhooks_tools.stack.stack import ROOT
from callhooks_tools.stack.terminal import JsonOutput, console, errors, fail, misuse, note, print_json

DEFAULT_PLAN = ROOT / "layers" / "call_plan" / "call_plan.yaml"

plan_app = typer.Typer(help="Check the call plan, draw it, or try a call on it.", no_args_is_help=True)

PlanFile = Annotated[Path, typer.Argument(help="Call plan file.", show_default="layers/call_plan/call_plan.yaml")]
ServerProfile = Annotated[
    Profile | None,
    typer.Option(
        "--jambonz",
        parser=parse_profile,
        metavar=PROFILES,
        help="Check for this version of jambonz instead of the one named in the plan.",
    ),
]


@plan_app.command("check")
def plan_check(file: PlanFile = DEFAULT_PLAN, profile: ServerProfile = None, as_json: JsonOutput = False) -> None:
    """Check a call plan and list its errors.

    Also warns about data that is sent to other hosts and about members that jambonz ignores.

    A warning does not fail the check.
    """
    try:
        checked = check_plan_file(file, profile)
    except PlanProblems as error:
        if as_json:
            print_json(
                {"file": str(file), "is_valid": False, "remarks": [_remark("error", one) for one in error.problems]}
            )
        _fail_for(error, file)
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    plan = read_plan(checked.prepared)
    verbs = sum(len(flow.verbs) for flow in plan.flows.values())
    document = read_document(file)
    size = f"{len(plan.routes)} routes, {len(plan.flows)} flows, {verbs} verbs"
    remarks = [("warning", warning) for warning in (*checked.warnings, *warnings_on(plan))] + [
        ("note", remark)
        for remark in (
            *public_numbers(plan),
            *needless_phrases(plan),
            *undialled_values(plan),
            *notes_on_numbers(plan, document),
        )
    ]
    located = [
        (word, replace(remark, place=document.named_as_written(remark.place), line=document.line_of(remark.place)))
        for word, remark in remarks
    ]
    located.sort(key=lambda labelled: labelled[1].line or 0)
    if as_json:
        remarks_of_plan = [("note", PlanProblem(text)) for text in notes_on(plan)]
        print_json(
            {
                "file": str(file),
                "is_valid": True,
                "routes": len(plan.routes),
                "flows": len(plan.flows),
                "verbs": verbs,
                "remarks": [_remark(word, remark) for word, remark in (*located, *remarks_of_plan)],
            }
        )
        return
    for word, remark in located:
        console.print(remark.located(file, f"{word}: "), style="yellow")
    for text in notes_on(plan):
        console.print(f"note: {text}", style="yellow")
    console.print(f"{file} is a valid call plan: {size}.")


@plan_app.command("show")
def plan_show(
    file: PlanFile = DEFAULT_PLAN,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write, with the suffix .svg, .mmd or .md.")
    ] = None,
    as_json: JsonOutput = False,
) -> None:
    """Draw a call plan as SVG or Mermaid. Without --output, print it as Mermaid."""
    if output is not None and as_json:
        misuse("--json prints the plan's routes and flows, and --output draws them. Pass only one of them.")
    graph = graph_of(_plan(file), file.stem.replace("_", " ").capitalize())
    if as_json:
        print_json(graph)
        return
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
        misuse(f"{output}: unknown format. Use the suffix .svg, .mmd (Mermaid) or .md (Mermaid in Markdown)")
    try:
        output.write_text(draw(graph), "utf-8")
    except OSError as error:
        fail(f"{output}: {error.strerror}")
    note(f"Wrote {output} with {len(graph.nodes) - 1} routes and flows.")


@plan_app.command("try")
def plan_try(  # noqa: PLR0913 - one parameter for each option
    *,
    to: To,
    from_: From = "+12125550187",
    direction: Direction = "inbound",
    at: Annotated[
        str | None,
        typer.Option(
            help='Time of the call, such as "2026-12-24 18:00", in the time zone of the first calendar. Default: now.'
        ),
    ] = None,
    press: Annotated[list[str] | None, typer.Option(help="Keys for the next gather; repeatable.")] = None,
    script: Annotated[
        Path | None, typer.Option(help="Read more actions of the caller from this file; see docs/phone.md.")
    ] = None,
    name: CallerName = "Jane Doe",
    header: Headers = None,
    trunk: Trunk = "example-carrier",
    env: Variables = None,
    file: PlanFile = DEFAULT_PLAN,
    as_json: JsonOutput = False,
) -> None:
    """Simulate a call on a plan, without a server, and print the verbs of every response."""
    prepared = checked_plan(file)
    plan = read_plan(prepared)
    clock = SimulatedClock(_moment(at, plan))
    caller = scripted_caller(script, [f"press {keys}" for keys in press or []])
    new_call = NewCall(
        to=to,
        from_=from_,
        direction=direction,
        caller_name=name,
        headers=headers_of(header),
        trunk=trunk or None,
        env_vars=env_vars_of(env),
    )
    outside = Outside(
        PlanTransport(plan, clock),
        caller,
        check_for(Profile(json.loads(prepared)["jambonz"])),
        clock,
        lambda: str(uuid.uuid4()),
    )
    (errors if as_json else console).print(
        f"at {clock.now().astimezone(_zone(plan)):%a %Y-%m-%d %H:%M %Z}", style="bold"
    )
    is_rejected = False
    members: list[Mapping[str, object]] = []
    try:
        for step in SimulatedCall(new_call, APPLICATION, outside).run():
            is_rejected = is_rejected or isinstance(step, Refused)
            if as_json:
                members.append(members_of(step))
            elif isinstance(step, Sent):
                console.print(f"{step.hook}  {flow_of(step.url)}", style="bold")
                console.print(json.dumps(step.answer, indent=2, ensure_ascii=False), style="dim")
            else:
                console.print(shown(step))
        caller.finish()
    except ScriptProblem as error:
        fail(str(error))
    if as_json:
        print_json(members)
    if is_rejected:
        fail("jambonz would reject this call. See the errors above.")


def flow_of(url: str) -> str:
    """Return the flow and step of a hook's URL."""
    return url.partition("/webhooks/call/flows/")[2].partition("?")[0]


def _moment(text: str | None, plan: Plan) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        misuse(f'Invalid time for --at: {text}. Use the form "2026-12-24 18:00"')
    return moment if moment.tzinfo else moment.replace(tzinfo=_zone(plan))


def _zone(plan: Plan) -> tzinfo:
    return next((calendar.zone for calendar in plan.calendars.values()), UTC)


def _plan(file: Path, profile: Profile | None = None) -> Plan:
    return read_plan(checked_plan(file, profile))


def checked_plan(file: Path, profile: Profile | None = None) -> str:
    """Return a plan prepared for the Lambda functions. Ends the command with its errors, if it has any."""
    return _checked(file, profile).prepared


def _checked(file: Path, profile: Profile | None) -> CheckedPlan:
    try:
        return check_plan_file(file, profile)
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    except PlanProblems as error:
        _fail_for(error, file)


def _fail_for(error: PlanProblems, file: Path) -> NoReturn:
    fail("\n".join(problem.located(file) for problem in error.problems))


def _remark(level: str, problem: PlanProblem) -> dict[str, object]:
    """Return the members of an error, a warning or a note in JSON."""
    return {
        "level": level,
        "place": place_text(problem.place) or None,
        "line": problem.line,
        "message": problem.message,
    }
