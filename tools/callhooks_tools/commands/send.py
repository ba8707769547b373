"""`callhooks send` and `callhooks event`: recorded deliveries, authenticated as their providers would now."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import httpx
import typer
from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError
from callhooks.events.call_event import utc_text
from callhooks.events.event_item import body_of_item

from callhooks_tools.recovery.quarantine import Quarantine
from callhooks_tools.stack import recordings as deliveries
from callhooks_tools.stack.aws_errors import explain_aws_error
from callhooks_tools.stack.provider_names import checked_name
from callhooks_tools.stack.selection import local_option, local_stack_in_aws, running_stack
from callhooks_tools.stack.stack import ROOT, StackOutputs, StackUnknown
from callhooks_tools.stack.terminal import FAILED, JsonOutput, callhooks, console, fail, note, pretty, print_json

LOCAL_ENV_FILE = ROOT / "events" / "local-env.json"


@contextmanager
def delivery_errors() -> Iterator[None]:
    """End the command with one line if a recorded delivery or the local stack cannot be used."""
    try:
        yield
    except (deliveries.DeliveryUnusable, StackUnknown) as error:
        fail(str(error))
    except (BotoCoreError, ClientError) as error:
        fail(explain_aws_error(error, None))


@delivery_errors()
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
    as_json: JsonOutput = False,
) -> None:
    """Send recorded webhooks to the local stack, authenticated as their providers.

    Prints the responses. The exit code is 1 if one of them is an error, or if a delivery went to quarantine.
    """
    stack, credentials = running_stack()
    new_ids = deliveries.NewCallIds()
    to_send = []
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
    watch = QuarantineWatch(*local_stack_in_aws())
    answers: list[_Answer] = []
    with httpx.Client(base_url=stack.base_url, timeout=15, trust_env=False) as client:
        for file, provider, recorded in to_send:
            delivery = deliveries.as_sent_by(
                provider, recorded, credentials.of(provider), datetime.now(UTC), base_url=stack.base_url
            )
            answer = _send(client, watch, delivery, _Answer(str(file), delivery.request.method, recorded.route))
            answers.append(answer)
            note(str(answer))
            if answer.is_quarantined:
                note(f"Quarantined. To see why, run: {callhooks(f'quarantine list{local_option()}')}")
            if answer.text and not as_json:
                console.print(pretty(answer.text))
    if as_json:
        print_json([answer.members for answer in answers])
    if not all(answer.is_accepted for answer in answers):
        raise typer.Exit(FAILED)


@dataclass(frozen=True, slots=True)
class _Answer:
    """The response to a recorded delivery."""

    file: str
    method: str
    route: str
    status: int = 0
    milliseconds: int = 0
    text: str = ""
    is_duplicate: bool = False
    is_quarantined: bool = False

    def __str__(self) -> str:
        duplicate = "  (duplicate: got the first response)" if self.is_duplicate else ""
        line = f"{self.method} {self.route}  {Path(self.file).name}  {self.status}"
        return f"{line}  {self.milliseconds} ms{duplicate}"

    @property
    def is_accepted(self) -> bool:
        """Return whether the delivery was accepted and processed."""
        return 200 <= self.status < 300 and not self.is_quarantined

    @property
    def members(self) -> dict[str, object]:
        """Return the members in JSON."""
        members = asdict(self)
        response = _json_or_text(members.pop("text"))
        return {**members, "response": response}


def _send(client: httpx.Client, watch: QuarantineWatch, delivery: deliveries.Delivery, unsent: _Answer) -> _Answer:
    """Send a delivery and return its answer. Ends the command if there is no response."""
    request, sent_at, started = delivery.request, datetime.now(UTC), time.monotonic()
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
            f"No response from {str(client.base_url).rstrip('/')} ({type(error).__name__}). "
            "If the local stack has stopped, start it with: make run"
        )
    milliseconds, is_duplicate = round(1000 * (time.monotonic() - started)), "idempotent-replayed" in response.headers
    return replace(
        unsent,
        status=response.status_code,
        milliseconds=milliseconds,
        text=response.text,
        is_duplicate=is_duplicate,
        is_quarantined=response.is_success
        and watch.has(delivery.provider, request.body, since=None if is_duplicate else sent_at),
    )


@dataclass(frozen=True, slots=True)
class QuarantineWatch:
    """Finds deliveries that were just sent in the quarantine of a stack.

    Some webhooks answer a delivery in quarantine as they answer any other, so the response does not show it.
    """

    session: Session
    outputs: StackOutputs

    def has(self, provider: str, body: bytes, *, since: datetime | None) -> bool:
        """Return whether a body is in quarantine, received not before `since`.

        Raises:
            ClientError, BotoCoreError: the table cannot be read.
        """
        quarantine = Quarantine(self.session.client("dynamodb"), self.outputs.events_table)
        # The day of a key is the day of the signature or of the receipt.
        days = {f"{datetime.now(UTC) - timedelta(minutes=minutes):%Y-%m-%d}" for minutes in (0, 5)}
        first = "" if since is None else utc_text(since)
        for found in quarantine.find([provider], sorted(days)):
            item = quarantine.read(found) if found.received_at >= first else None
            if item is not None and body_of_item(item) == body:
                return True
        return False


def _json_or_text(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


@delivery_errors()
def event(
    file: Annotated[Path, typer.Argument(help="Recorded delivery, for example events/PROVIDER/CASE.json.")],
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
    delivery = deliveries.read_delivery(file)
    provider = delivery.provider
    if running:
        stack, credentials = running_stack()
        provider_credentials, base_url = credentials.of(provider), stack.base_url
    else:
        provider_credentials, base_url = deliveries.credentials_from_env_vars(env_vars, provider), ""
    sent = deliveries.as_sent_by(provider, delivery, provider_credentials, datetime.now(UTC), base_url=base_url)
    print(json.dumps(sent.event, indent=2, ensure_ascii=False))
