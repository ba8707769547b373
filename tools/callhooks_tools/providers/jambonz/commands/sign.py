"""`callhooks sign`: print jambonz's signature header for use with curl."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from callhooks.providers.jambonz.authentication import DEFAULT_SIGNATURE_HEADER, signature_header_value
from callhooks.providers.jambonz.provider import PROVIDER

from callhooks_tools.stack.selection import local_option, running_stack
from callhooks_tools.stack.terminal import callhooks, fail


def sign(body: Annotated[Path, typer.Argument(help="File with the body to send.")]) -> None:
    """Print the signature header that jambonz would send with a body, for curl -H."""
    _, credentials = running_stack()
    secret = credentials.of(PROVIDER).get("webhook_secret")
    if secret is None:
        add = callhooks(f"secret add jambonz{local_option()}")
        fail(f"The stack has no webhook secret. Add one with: {add}")
    try:
        content = body.read_bytes()
    except OSError as error:
        fail(f"{body}: {error.strerror}")
    value = signature_header_value(secret, datetime.now(UTC), content)
    print(f"{DEFAULT_SIGNATURE_HEADER}: {value}")
