"""Subjects of the benchmark: every callhooks function, and peers that handle jambonz's call status."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from callhooks.events.event_item import Item, event_item, pack_item
from callhooks.providers.jambonz.sip_clients import Client, client_item
from callhooks.providers.wavix import normalise, parse_event
from callhooks.runtime.http import HttpApiEvent, Request
from callhooks.webhooks.webhook import STORED
from callhooks_tools.stack.recordings import read_delivery
from callhooks_tools.stack.stack import ROOT

from bench.artifacts import BENCH, Builder, Package
from bench.aws_double import AwsDouble
from bench.deliveries import (
    CREDENTIALS,
    HA1_OF_JANE,
    SECRETS,
    client_attempts,
    forged,
    fresh,
    queue_of,
    recorded,
    stream_of,
    without_credentials,
)
from bench.process import Process

PEERS = {
    "bare": "json, hmac, one boto3 put",
    "bare_event": "bare with 20 attributes, gzip and one log line",
    "bare_pydantic": "bare with a Pydantic model",
    "powertools": "Powertools as documented",
    "fastapi": "FastAPI, Mangum, boto3",
    "flask": "Flask, apig-wsgi, boto3",
}
BASELINE, EVENT_BASELINE, IMPORT_BASELINE = "bare", "bare_event", "bare_pydantic"
"""Baselines: of a warm delivery, of a warm delivery that stores as much as an event, and of a cold start."""
CALL_STATUS = "jambonz/call_status_inbound_in_progress"
RECORDING_OF = {
    "jambonz_new_call": "jambonz/new_call",
    "jambonz_action": "jambonz/action_gather_digits",
    "jambonz_event": CALL_STATUS,
    "jambonz_client_auth": "jambonz/client_auth_register",
    "jambonz_tool": "jambonz/tool_openai",
    "wavix_call": "wavix/answered",
    "bird_voice": "bird/voice_inbound_ongoing",
    "voipstudio_event": "voipstudio/call_connected",
}
WITH_PLAN = {"jambonz_new_call", "jambonz_action", "jambonz_tool"}

_AWS = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "EVENTS_TABLE": "events",
    "POWERTOOLS_SERVICE_NAME": "callhooks",
}
OUR_ENVIRONMENT = {
    **_AWS,
    "PYDANTIC_DISABLE_PLUGINS": "__all__",
    "RETENTION_DAYS": "90",
    "PUBLIC_URL": "",
    "SPILL_QUEUE": "https://sqs.us-east-1.amazonaws.com/123456789012/spill",
    "CLIENTS_TABLE": "clients",
    "TOOL_CALLS_TABLE": "tool-calls",
    "CALL_BUS": "callhooks",
    "PROJECTION_RETRY_QUEUE": "https://sqs.us-east-1.amazonaws.com/123456789012/retries",
    "JAMBONZ_CREDENTIALS": "jambonz-credentials",
    "JAMBONZ_WEBHOOK_SECRETS": "jambonz-webhook-secrets",
    "JAMBONZ_SIGNATURE_HEADER": "Jambonz-Signature",
    "WAVIX_CREDENTIALS": "wavix-credentials",
    "WAVIX_ALLOWED_ADDRESSES": "",
    "BIRD_CREDENTIALS": "bird-credentials",
    "BIRD_SIGNATURE_WINDOW_HOURS": "24",
    "BIRD_STATUSES": "",
    "BIRD_CHANNEL_ID": "",
    "VOIPSTUDIO_CREDENTIALS": "voipstudio-credentials",
    "VOIPSTUDIO_ALLOWED_ADDRESSES": "",
    "CONSOLE_CREDENTIALS": "console-credentials",
}
_EXTRA_ENVIRONMENT = {name: {"PYTHONTZPATH": ""} for name in ("jambonz_new_call", "jambonz_action")}
PEER_ENVIRONMENT = {
    **_AWS,
    "WEBHOOK_SECRET": CREDENTIALS.of("jambonz")["webhook_secret"],
    "IDEMPOTENCY_TABLE": "idempotency",
}

JANE = Client("jane", "sip.example.com", HA1_OF_JANE)


@dataclass(frozen=True)
class Subject:
    """Function to measure.

    `name` is its folder. `fresh` creates new deliveries. `rejected` is a delivery without credentials, `forged` one
    with wrong credentials. `uncompiled` is the same package without bytecode.
    """

    name: str
    package: Package
    process: Process
    fresh: Callable[[int], Sequence[HttpApiEvent]]
    rejected: HttpApiEvent | None = None
    forged: HttpApiEvent | None = None
    uncompiled: Process | None = field(default=None, repr=False)

    @property
    def is_peer(self) -> bool:
        """Return whether this is a peer, not a callhooks function."""
        return self.name in PEERS


def new_double() -> AwsDouble:
    """Return an AWS double with the secrets and the SIP client that the functions need."""
    double = AwsDouble({name: json.dumps(secret) for name, secret in SECRETS.items()})
    double.put("clients", client_item(JANE))
    return double


def subjects(builder: Builder, python: Path, double: AwsDouble) -> list[Subject]:
    """Build and return all subjects.

    Raises:
        BuildFailed: a build failed.
    """
    runtime, layers = builder.runtime(), builder.layers()
    peers = [_peer(name, builder, python, runtime, double) for name in PEERS]
    ours = [
        _ours(path.parent.name, layers, python, runtime, double) for path in sorted(ROOT.glob("functions/*/app.py"))
    ]
    return [*peers, *ours]


def _peer(name: str, builder: Builder, python: Path, runtime: Path, double: AwsDouble) -> Subject:
    environment = {**PEER_ENVIRONMENT, "AWS_ENDPOINT_URL": double.url}
    own = BENCH / "peers" / name
    requirements = own / "requirements.txt"

    def package(*, compiled: bool) -> Package:
        folders = [own, BENCH / "peers" / "shared"]
        if requirements.exists():
            suffix = "" if compiled else "-uncompiled"
            folders.append(builder.installed(f"{name}{suffix}", requirements, compiled=compiled))
        return Package(tuple(folders), runtime)

    compiled = package(compiled=True)
    without = package(compiled=False) if requirements.exists() else None
    (delivery,) = fresh(CALL_STATUS, 1)
    return Subject(
        name,
        compiled,
        Process(python, compiled.path, environment),
        lambda number: fresh(CALL_STATUS, number),
        rejected=without_credentials(delivery),
        forged=forged(delivery),
        uncompiled=Process(python, without.path, environment) if without else None,
    )


def environment_of(name: str, endpoint_url: str) -> dict[str, str]:
    """Return the environment that the template sets for a function."""
    return {**OUR_ENVIRONMENT, **_EXTRA_ENVIRONMENT.get(name, {}), "AWS_ENDPOINT_URL": endpoint_url}


def _ours(name: str, layers: Mapping[str, Path], python: Path, runtime: Path, double: AwsDouble) -> Subject:
    used = [layers["CallhooksLayer"], *([layers["CallPlanLayer"]] if name in WITH_PLAN else [])]
    package = Package((ROOT / "functions" / name, *used), runtime)
    process = Process(python, package.path, environment_of(name, double.url))
    if name in RECORDING_OF:
        recording = RECORDING_OF[name]
        new_deliveries = client_attempts if name == "jambonz_client_auth" else partial(fresh, recording)
        (delivery,) = new_deliveries(1)
        return Subject(
            name,
            package,
            process,
            new_deliveries,
            rejected=without_credentials(delivery),
            forged=forged(delivery),
        )
    return Subject(name, package, process, lambda number: _worker_input(name, number, double))


def _worker_input(name: str, number: int, double: AwsDouble) -> Sequence[HttpApiEvent]:
    """Return the input of a function that no provider calls."""
    if name == "call_log":
        return [read_delivery(recorded("call_log/list_calls")).event] * number
    items = [_stored(event) for event in fresh(RECORDING_OF["wavix_call"], number)]
    if name == "spill_drainer":
        return queue_of([pack_item(item) for item in items])
    json_items = [_in_dynamodb_json(item) for item in items]
    for item in json_items:
        double.put("events", item)
    return stream_of(json_items)


def _stored(event: HttpApiEvent) -> Item:
    request = Request.from_event(event)
    call_event = normalise(parse_event(request), request, datetime.now(UTC))
    return event_item(call_event, request, STORED, retention_days=90)


def _in_dynamodb_json(item: Item) -> dict[str, Any]:
    """Return an item in DynamoDB's JSON."""
    document: dict[str, Any] = json.loads(json.dumps(item, default=lambda raw: base64.b64encode(raw).decode("ascii")))
    return document
