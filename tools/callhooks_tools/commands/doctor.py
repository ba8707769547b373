"""`callhooks doctor`: check a deployment, and explain what is wrong."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, NoReturn

import httpx
import typer
from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError
from callhooks.providers.description import TEST_SENDER
from rich.progress import Progress, SpinnerColumn, TextColumn

from callhooks_tools.doctor.deliveries import (
    call_log_findings,
    cleanup_findings,
    delivery_findings,
    projection_findings,
    publishing_findings,
    rejection_findings,
    spill_findings,
    url_findings,
)
from callhooks_tools.doctor.last_day import last_day_findings
from callhooks_tools.doctor.layers import layer_findings
from callhooks_tools.doctor.probe import Probe
from callhooks_tools.doctor.resources import (
    alarm_findings,
    api_findings,
    bus_findings,
    function_findings,
    queue_findings,
    source_findings,
    table_findings,
)
from callhooks_tools.doctor.roles import role_findings
from callhooks_tools.doctor.secrets import KnownSecrets, secret_findings
from callhooks_tools.providers.registry import account_findings, sender_findings
from callhooks_tools.stack.deployment import Deployment, stack_findings
from callhooks_tools.stack.findings import Finding, FindingLevel
from callhooks_tools.stack.selection import SelectedStack, session_of, with_stack_options
from callhooks_tools.stack.stack import StackUnknown
from callhooks_tools.stack.terminal import FAILED, INTERRUPTED, JsonOutput, console, errors, fail, note, print_json
from callhooks_tools.stack.terminal import shown as escaped

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
RUN_ID_BYTES = 6
HTTP_TIMEOUT = httpx.Timeout(30, connect=5)
"""API Gateway's own timeout is 30 s."""
LABELS = {
    FindingLevel.OK: ("ok", "green"),
    FindingLevel.WARNING: ("WARNING", "yellow"),
    FindingLevel.FAILURE: ("FAILED", "bold red"),
}
LABEL_WIDTH = 8


@with_stack_options
def doctor(
    no_deliveries: Annotated[
        bool, typer.Option("--no-deliveries", help="Only inspect the stack; do not send test events.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Do not remove the test events.")] = False,
    as_json: JsonOutput = False,
    *,
    selected: SelectedStack,
) -> None:
    """Check a stack: its resources, its secrets, and a test event from each provider through the public URL."""
    session, name, endpoint_url = session_of(selected)
    report = _Report(as_json=as_json)
    report.show(stack_findings(session, name, selected.account_options), "stack")
    if report.failed:
        report.end()
    deployment = _read(session, name, endpoint_url, selected.account_options)
    known = KnownSecrets()
    flagged_checks: set[str] = set()
    for subject, findings in (
        ("secrets", secret_findings(deployment, known)),
        ("functions", function_findings(deployment)),
        ("permissions", role_findings(deployment)),
        ("event sources", source_findings(deployment)),
        ("tables", table_findings(deployment)),
        ("queues", queue_findings(deployment)),
        ("event bus", bus_findings(deployment)),
        ("API", api_findings(deployment)),
        ("alarms", alarm_findings(deployment)),
        ("the last day", last_day_findings(deployment, datetime.now(UTC))),
        ("recent deliveries", sender_findings(deployment, datetime.now(UTC))),
        ("accounts at the providers", account_findings(session, deployment.outputs, datetime.now(UTC))),
    ):
        flagged_checks |= report.show(findings, subject)
    with httpx.Client(timeout=HTTP_TIMEOUT, trust_env=not deployment.is_local) as client:
        flagged_checks |= report.show(layer_findings(deployment, client), "layers")
        probe = Probe(
            deployment,
            known,
            client,
            clock=lambda: datetime.now(UTC),
            monotonic=time.monotonic,
            sleep=time.sleep,
            run_id=secrets.token_hex(RUN_ID_BYTES),
            flagged_checks=frozenset(flagged_checks),
        )
        report.show(url_findings(probe), "public URL")
        if probe.is_reachable and not no_deliveries:
            with _stopped_by_signals():
                _run_probe(probe, report, keep=keep)
    report.end()


def _run_probe(probe: Probe, report: _Report, *, keep: bool) -> None:
    """Send test deliveries, and always remove them afterwards unless `keep` is set."""
    try:
        for subject, findings in (
            ("authentication", rejection_findings(probe)),
            ("test events", delivery_findings(probe)),
            ("projector", projection_findings(probe)),
            ("call log", call_log_findings(probe)),
            ("logs", spill_findings(probe)),
            ("retry queue", publishing_findings(probe)),
        ):
            report.show(findings, subject)
    except KeyboardInterrupt:
        report.print_json()
        errors.print("Interrupted.", style="red")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        if keep:
            forget = probe.deployment.callhooks(f"forget {TEST_SENDER}")
            note(f"  The test events stay in the stack; their call id is {probe.call_id}. To remove them: {forget}")
        else:
            report.show(cleanup_findings(probe), "cleanup")


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Raise `KeyboardInterrupt` on SIGTERM and SIGHUP as well.

    A cancelled pipeline sends SIGTERM, and may have started the command with Ctrl-C ignored.
    """
    before = {number: signal.signal(number, signal.default_int_handler) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _read(session: Session, stack_name: str, endpoint_url: str | None, account_options: str) -> Deployment:
    try:
        return Deployment.read(session, stack_name, endpoint_url, account_options)
    except StackUnknown as error:
        fail(str(error))
    except (BotoCoreError, ClientError) as error:
        fail(f"The resources of the stack {stack_name} cannot be read: {error}")


@dataclass(slots=True)
class _Report:
    """The findings of a run, printed as they arrive, or all at the end as JSON."""

    as_json: bool
    findings: list[Finding] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Return the number of checks that failed."""
        return sum(finding.level is FindingLevel.FAILURE for finding in self.findings)

    def show(self, findings: Iterator[Finding], subject: str) -> set[str]:
        """Print each finding as it arrives, and return the checks with a warning or a failure."""
        flagged_checks: set[str] = set()
        while True:
            with _spinner(subject):
                finding = next(findings, None)
            if finding is None:
                return flagged_checks
            if finding.level is not FindingLevel.OK:
                flagged_checks.add(finding.check)
            self.findings.append(finding)
            if not self.as_json:
                _print(finding)

    def print_json(self) -> None:
        """Print all findings, if JSON is wanted."""
        if self.as_json:
            print_json(self.findings)

    def end(self) -> NoReturn:
        """Print the verdict, and end the command with its exit code."""
        warnings = _counted(sum(finding.level is FindingLevel.WARNING for finding in self.findings), "warning")
        self.print_json()
        if self.failed:
            errors.print(f"\n{_counted(self.failed, 'check')} failed, {warnings}.", style="bold red")
            raise typer.Exit(FAILED)
        errors.print(f"\nAll checks passed, {warnings}.", style="bold green")
        raise typer.Exit(0)


def _print(finding: Finding) -> None:
    label, style = LABELS[finding.level]
    console.print(f"{label:<{LABEL_WIDTH}}", style=style, end="")
    console.print(f"{finding.check}: {escaped(finding.message)}")
    if finding.remedy:
        console.print(f"{'':<{LABEL_WIDTH}}{escaped(finding.remedy)}")


@contextmanager
def _spinner(subject: str) -> Iterator[None]:
    columns = (SpinnerColumn(), TextColumn(f"Checking {subject}"))
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as spinner:
        spinner.add_task(subject, total=None)
        yield


def _counted(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
