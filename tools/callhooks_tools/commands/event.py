"""`callhooks event`: print a recorded delivery, signed with the current time."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from callhooks_tools.commands.send import delivery_errors
from callhooks_tools.stack import recordings as deliveries
from callhooks_tools.stack.selection import running_stack
from callhooks_tools.stack.stack import ROOT

LOCAL_ENV_FILE = ROOT / "events" / "local-env.json"

EventFile = Annotated[Path, typer.Argument(help="Recorded delivery, for example events/PROVIDER/CASE.json.")]


def event(
    file: EventFile,
    env_vars: Annotated[
        Path,
        typer.Option(help="Read the credentials from this sam local file.", show_default="events/local-env.json"),
    ] = LOCAL_ENV_FILE,
    running: Annotated[
        bool, typer.Option("--running", help="Use the credentials of the local stack instead of --env-vars.")
    ] = False,
) -> None:
    """Print a recorded delivery, signed with the current time, for sam local.

    Pipe the output into sam local invoke FUNCTION -e -
    """
    with delivery_errors():
        delivery = deliveries.read_delivery(file)
        provider = delivery.provider
        if running:
            stack, credentials = running_stack()
            provider_credentials, base_url = credentials.of(provider), stack.base_url
        else:
            provider_credentials, base_url = deliveries.credentials_from_env_vars(env_vars, provider), ""
        sent = deliveries.as_sent_by(provider, delivery, provider_credentials, datetime.now(UTC), base_url=base_url)
    print(json.dumps(sent.event, indent=2, ensure_ascii=False))
