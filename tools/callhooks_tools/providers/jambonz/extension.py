"""jambonz's checks and call control."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from boto3.session import Session
from callhooks.providers.jambonz.provider import PROVIDER

from callhooks_tools.providers.call_control import CallControl
from callhooks_tools.providers.jambonz import checks
from callhooks_tools.providers.jambonz.commands.plan import DEFAULT_PLAN, checked_plan
from callhooks_tools.providers.jambonz.control import JambonzCalls
from callhooks_tools.stack.deployment import Deployment
from callhooks_tools.stack.findings import Finding
from callhooks_tools.stack.recordings import read_delivery
from callhooks_tools.stack.stack import ROOT, LocalStack, StackOutputs

FIRST_DELIVERY = ROOT / "events" / "jambonz" / "new_call.json"


def call_control() -> CallControl:
    """Return the call control of jambonz."""
    return JambonzCalls()


def check_before_run() -> None:
    """Check the call plan. Ends the command with its errors, if it has any."""
    # The build checks it too, but half a minute later and in the middle of other output.
    checked_plan(DEFAULT_PLAN)


def sender_findings(deployment: Deployment, now: datetime) -> Iterator[Finding]:
    """Check the deliveries that jambonz sent within the last day."""
    return checks.sender_findings(deployment, now)


def account_findings(session: Session, outputs: StackOutputs, now: datetime) -> Iterator[Finding]:
    """Check the call hooks in jambonz's account, if the environment has its API key."""
    return checks.account_findings(session, outputs, now)


def show_first_delivery(stack: LocalStack, folder: Path) -> str:
    """Write the body of a new call into a folder, and return the command that sends it to the local stack."""
    body = folder / "new_call.json"
    body.write_bytes(read_delivery(FIRST_DELIVERY).request.body)
    access = stack.credentials.of(PROVIDER)
    command = Path(sys.prefix) / "bin" / "callhooks"
    login = f"{access['username']}:{access['password']}"
    curl = (
        f"curl -sS -w '\\n' -u {shlex.quote(login)} "
        f"-H 'Content-Type: application/json' "
        f'-H "$({shlex.quote(str(command))} sign {shlex.quote(str(body))})" '
        f"--data-binary @{shlex.quote(str(body))} {stack.base_url}/webhooks/call"
    )
    return f"Send a new call as jambonz would (send it twice: it is stored once):\n\n  {curl}"
