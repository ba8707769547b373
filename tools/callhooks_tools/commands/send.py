"""`callhooks send`: send recorded deliveries to the local stack."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import httpx
import typer

from callhooks_tools.stack import recordings as deliveries
from callhooks_tools.stack.provider_names import checked_name
from callhooks_tools.stack.selection import running_stack
from callhooks_tools.stack.stack import StackUnknown
from callhooks_tools.stack.terminal import console, fail, pretty


def send(
    files: Annotated[list[Path], typer.Argument(help="Recorded deliveries, for example events/PROVIDER/CASE.json.")],
    new_call: Annotated[
        bool,
        typer.Option(
            "--new-call", help="Give the calls new ids and start them now. Events of the same call keep a common id."
        ),
    ] = False,
    body_of: Annotated[
        str | None,
        typer.Option(
            "--as",
            parser=checked_name,
            metavar="PROVIDER",
            help="The files contain only bodies. Send them as this provider would.",
        ),
    ] = None,
) -> None:
    """Send recorded webhooks to the local stack, authenticated as their providers."""
    stack, credentials = running_stack()
    new_ids = deliveries.NewCallIds()
    to_send = []
    with delivery_errors():
        for file in files:
            delivery = deliveries.delivery_of_body(file, body_of) if body_of else deliveries.read_delivery(file)
            provider = delivery.provider
            if new_call:
                delivery = new_ids.renew(delivery, file)
            to_send.append((file, provider, delivery))
            # Fail before anything is sent.
            credentials.of(provider)
    if new_call:
        shifted = deliveries.starting_at(datetime.now(UTC), [delivery for _, _, delivery in to_send])
        to_send = [(file, provider, delivery) for (file, provider, _), delivery in zip(to_send, shifted, strict=True)]
    failed = False
    with httpx.Client(base_url=stack.base_url, timeout=15, trust_env=False) as client:
        for file, provider, recorded in to_send:
            delivery = deliveries.as_sent_by(
                provider, recorded, credentials.of(provider), datetime.now(UTC), base_url=stack.base_url
            )
            request = delivery.request
            started = time.monotonic()
            try:
                response = client.request(
                    request.method,
                    request.path,
                    params=request.query,
                    headers=delivery.headers_to_send,
                    content=request.body,
                )
            except httpx.TransportError as error:
                fail(
                    f"No response from {stack.base_url} ({type(error).__name__}). "
                    "If the local stack has stopped, start it with: make run"
                )
            replayed = "  (duplicate: got the first response)" if "idempotent-replayed" in response.headers else ""
            console.print(
                f"{request.method} {recorded.route}  {file.name}  "
                f"{response.status_code}  {1000 * (time.monotonic() - started):.0f} ms{replayed}"
            )
            if response.text:
                console.print(pretty(response.text))
            failed = failed or not response.is_success
    if failed:
        raise typer.Exit(1)


@contextmanager
def delivery_errors() -> Iterator[None]:
    """End the command with the error of an unusable recorded delivery."""
    try:
        yield
    except (deliveries.DeliveryUnusable, StackUnknown) as error:
        fail(str(error))
