"""`callhooks sign`: jambonz's signature header, for curl."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from callhooks.providers.jambonz.authentication import DEFAULT_SIGNATURE_HEADER, signature_header_value
from callhooks.providers.jambonz.provider import PROVIDER

from callhooks_tools.stack.terminal import fail, running_stack


def sign(body: Annotated[Path, typer.Argument(help="A file with the body to be sent.")]) -> None:
    """Print jambonz's signature header of a body for the running stack, for curl -H."""
    _, credentials = running_stack()
    secret = credentials.of(PROVIDER).get("webhook_secret")
    if secret is None:
        fail("No webhook secret is configured. Add one: callhooks secret add jambonz")
    try:
        content = body.read_bytes()
    except OSError as error:
        fail(f"{body}: {error.strerror}")
    value = signature_header_value(secret, datetime.now(UTC), content)
    print(f"{DEFAULT_SIGNATURE_HEADER}: {value}")
