"""`callhooks doctor`: check a deployment, and say what is wrong in words."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import httpx
import typer
from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError
from rich.progress import Progress, SpinnerColumn, TextColumn

from callhooks_tools.doctor.deliveries import (
    call_log_findings,
    cleaning_findings,
    delivery_findings,
    projection_findings,
    publishing_findings,
    refusal_findings,
    spill_findings,
    url_findings,
)
from callhooks_tools.doctor.probe import Probe
from callhooks_tools.doctor.resources import (
    alarm_findings,
    bus_findings,
    function_findings,
    queue_findings,
    source_findings,
    table_findings,
)
from callhooks_tools.doctor.roles import role_findings
from callhooks_tools.doctor.secrets import KnownSecrets, secret_findings
from callhooks_tools.providers.registry import sender_findings
from callhooks_tools.stack.deployment import Deployment, stack_findings
from callhooks_tools.stack.findings import Finding, FindingLevel
from callhooks_tools.stack.stack import StackUnknown
from callhooks_tools.stack.terminal import StackName, console, errors, fail, session_of
from callhooks_tools.stack.terminal import shown as escaped

INTERRUPTED = 130
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MARK_BYTES = 6
HTTP_TIMEOUT = httpx.Timeout(30, connect=5)
"""API Gateway's own is 30 s."""
MARKS = {
    FindingLevel.OK: ("ok", "green"),
    FindingLevel.WARNING: ("WARNING", "yellow"),
    FindingLevel.FAILURE: ("FAILED", "bold red"),
}
MARK_WIDTH = 8


def doctor(
    no_deliveries: Annotated[
        bool, typer.Option("--no-deliveries", help="Only look; send nothing, and store nothing.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the test events where they are.")] = False,
    stack_name: StackName = None,
) -> None:
    """Check a deployment: its parts, its secrets, and a test event of each provider through the public URL."""
    session, name, endpoint_url = session_of(stack_name)
    tally: dict[FindingLevel, int] = dict.fromkeys(FindingLevel, 0)
    _show(stack_findings(session, name), "the stack", tally)
    if tally[FindingLevel.FAILURE]:
        _end(tally)
    deployment = _read(session, name, endpoint_url)
    known = KnownSecrets()
    found_wrong: set[str] = set()
    for what, findings in (
        ("secrets", secret_findings(deployment, known)),
        ("functions", function_findings(deployment)),
        ("permissions", role_findings(deployment)),
        ("event sources", source_findings(deployment)),
        ("tables", table_findings(deployment)),
        ("queues", queue_findings(deployment)),
        ("the event bus", bus_findings(deployment)),
        ("alarms", alarm_findings(deployment)),
        ("what providers have sent", sender_findings(deployment, datetime.now(UTC))),
    ):
        found_wrong |= _show(findings, what, tally)
    with httpx.Client(timeout=HTTP_TIMEOUT, trust_env=not deployment.is_local) as client:
        trial = Probe(
            deployment,
            known,
            client,
            clock=lambda: datetime.now(UTC),
            monotonic=time.monotonic,
            sleep=time.sleep,
            mark=secrets.token_hex(MARK_BYTES),
            found_wrong=frozenset(found_wrong),
        )
        _show(url_findings(trial), "the public URL", tally)
        if trial.is_reachable and not no_deliveries:
            with _stopped_by_signals():
                _try(trial, tally, keep=keep)
    _end(tally)


def _try(trial: Probe, tally: dict[FindingLevel, int], *, keep: bool) -> None:
    """Send, and clean up afterwards, however it ends."""
    try:
        for what, findings in (
            ("wrong credentials", refusal_findings(trial)),
            ("test events", delivery_findings(trial)),
            ("the projector", projection_findings(trial)),
            ("the call log", call_log_findings(trial)),
            ("the logs", spill_findings(trial)),
            ("the retry queue", publishing_findings(trial)),
        ):
            _show(findings, what, tally)
    except KeyboardInterrupt:
        errors.print("Interrupted.", style="red")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        if keep:
            console.print(f"  The test events stay; their calls are {trial.call_id}.")
        else:
            _show(cleaning_findings(trial), "what was sent, to remove it", tally)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """A pipeline that is cancelled ends its commands by SIGTERM, and may start them with Ctrl-C ignored."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _read(session: Session, stack_name: str, endpoint_url: str | None) -> Deployment:
    try:
        return Deployment.read(session, stack_name, endpoint_url)
    except StackUnknown as error:
        fail(str(error))
    except (BotoCoreError, ClientError) as error:
        fail(f"AWS refuses to tell what is in the stack {stack_name}: {error}")


def _show(findings: Iterator[Finding], what: str, tally: dict[FindingLevel, int]) -> set[str]:
    """Print each finding as it comes, and return the checks that are not fine.

    Where somebody looks, tell what is being looked at.
    """
    found_wrong: set[str] = set()
    while True:
        with _looking(what):
            finding = next(findings, None)
        if finding is None:
            return found_wrong
        if finding.outcome is not FindingLevel.OK:
            found_wrong.add(finding.check)
        tally[finding.outcome] += 1
        mark, style = MARKS[finding.outcome]
        console.print(f"{mark:<{MARK_WIDTH}}", style=style, end="")
        console.print(f"{finding.check}: {escaped(finding.words)}")
        if finding.remedy:
            console.print(f"{'':<{MARK_WIDTH}}{escaped(finding.remedy)}")


@contextmanager
def _looking(what: str) -> Iterator[None]:
    columns = (SpinnerColumn(), TextColumn(f"Looking at {what}"))
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as shown:
        shown.add_task(what, total=None)
        yield


def _end(tally: dict[FindingLevel, int]) -> None:
    failed, warned = tally[FindingLevel.FAILURE], tally[FindingLevel.WARNING]
    if failed:
        console.print(f"\n{_counted(failed, 'check')} failed, {_counted(warned, 'warning')}.", style="bold red")
        raise typer.Exit(1)
    console.print(f"\nNothing is wrong, {_counted(warned, 'warning')}.", style="bold green")
    raise typer.Exit(0)


def _counted(number: int, thing: str) -> str:
    return f"{number or 'no'} {thing}{'' if number == 1 else 's'}"
