"""`callhooks event`: a recorded event, signed anew for `sam local`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from callhooks_tools.commands.send import delivery_errors
from callhooks_tools.stack import recordings as deliveries
from callhooks_tools.stack.stack import ROOT
from callhooks_tools.stack.terminal import running_stack

LOCAL_ENV_FILE = ROOT / "events" / "local-env.json"

EventFile = Annotated[Path, typer.Argument(help="A recorded delivery, such as events/PROVIDER/CASE.json.")]


def event(
    file: EventFile,
    env_vars: Annotated[
        Path, typer.Option(help="Take the credentials from this sam local file.", show_default="events/local-env.json")
    ] = LOCAL_ENV_FILE,
    running: Annotated[bool, typer.Option("--running", help="Take those of the running stack instead.")] = False,
) -> None:
    """Print a recorded event as its provider sends it now, to be piped into sam local invoke -e -."""
    with delivery_errors():
        delivery = deliveries.read_delivery(file)
        provider = delivery.provider
        if running:
            stack, credentials = running_stack()
            access, base_url = credentials.of(provider), stack.base_url
        else:
            access, base_url = deliveries.access_of_env_vars(env_vars, provider), ""
        sent = deliveries.as_sent_by(provider, delivery, access, datetime.now(UTC), base_url=base_url)
    print(json.dumps(sent.event, indent=2, ensure_ascii=False))
