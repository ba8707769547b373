"""The functions as deployed, with DynamoDB and Secrets Manager simulated by moto."""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
import botocore.loaders
import botocore.session
import pytest
from botocore.hooks import EventAliaser
from callhooks.runtime import cold_start
from callhooks_tools.local.run import Sam
from callhooks_tools.providers.jambonz.plan.builder import read_plan_file, write_package
from moto import mock_aws
from moto.core.models import botocore_stubber

from tests.console import PASSWORD as CONSOLE_PASSWORD
from tests.console import USERNAME as CONSOLE_USERNAME
from tests.senders import SIGNING_KEY, TOKEN
from tests.support import (
    EVENTS,
    PASSWORD,
    PUBLIC_URL,
    ROOT,
    SPILL_QUEUE_URL,
    USERNAME,
    WEBHOOK_SECRET,
    Answer,
    Event,
    create_table,
    recorded,
    signed,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

OWN_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TABLE = "events"
CLIENTS_TABLE = "clients"
TOOL_CALLS_TABLE = "tool-calls"
CALL_BUS = "calls"
RETRY_QUEUE_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/retries"


@pytest.fixture(scope="session", autouse=True)
def call_plan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The call plan layer, built from the repository's plan."""
    folder = tmp_path_factory.mktemp("layer")
    write_package(read_plan_file(ROOT / "layers" / "call_plan" / "call_plan.yaml"), folder)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def build_layer(folder: Path, *, python: str = OWN_PYTHON, platform: str = "host", time_zone: str = "UTC0") -> str:
    """Build the shared layer as `sam build` does, and return the output."""
    target = {"LAYER_PYTHON": python, "LAYER_PLATFORM": platform}
    settings = {**target, "CALLHOOKS_VENV": sys.prefix, "TZ": time_zone}
    done = subprocess.run(
        ["make", "-s", "build-CallhooksLayer", f"ARTIFACTS_DIR={folder}"],
        cwd=ROOT / "layers" / "callhooks",
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared layer, built for this Python together with everything that is deployed."""
    folder = tmp_path_factory.mktemp("sam")
    (folder / "tmp").mkdir()
    return Sam(folder).build() / "CallhooksLayer"


@dataclass
class Aws:
    """The simulated AWS account, and every request made to it."""

    dynamodb: DynamoDBClient
    calls: list[str] = field(default_factory=list)

    def items(self) -> list[dict[str, Any]]:
        return self.dynamodb.scan(TableName=TABLE, ConsistentRead=True)["Items"]


@pytest.fixture(scope="session", autouse=True)
def _service_models() -> Iterator[None]:
    """Read the service models and the names of events once for all tests: this takes longer than the rest of a test."""
    names: dict[str, str] = {}
    # Each client computes thousands of the same names.
    original: Callable[[EventAliaser, str], str] = getattr(EventAliaser, "_alias_event_name")  # noqa: B009 - not in its stubs

    def name_of(aliaser: EventAliaser, event: str) -> str:
        if event not in names:
            names[event] = original(aliaser, event)
        return names[event]

    with (
        patch.object(botocore.session, "create_loader", return_value=botocore.loaders.create_loader()),
        patch.object(EventAliaser, "_alias_event_name", name_of),
    ):
        yield


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The function's environment as the template sets it, without the user's own AWS settings."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "EVENTS_TABLE": TABLE,
        "CLIENTS_TABLE": CLIENTS_TABLE,
        "TOOL_CALLS_TABLE": TOOL_CALLS_TABLE,
        "CALL_BUS": CALL_BUS,
        "PROJECTION_RETRY_QUEUE": RETRY_QUEUE_URL,
        "SPILL_QUEUE": SPILL_QUEUE_URL,
        "RETENTION_DAYS": "90",
        "JAMBONZ_CREDENTIALS": "credentials",
        "JAMBONZ_WEBHOOK_SECRETS": "webhook-secrets",
        "JAMBONZ_SIGNATURE_HEADER": "Jambonz-Signature",
        "WAVIX_CREDENTIALS": "wavix-credentials",
        "WAVIX_ALLOWED_ADDRESSES": "",
        "BIRD_CREDENTIALS": "bird-credentials",
        "BIRD_SIGNATURE_WINDOW_HOURS": "24",
        "BIRD_STATUSES": "",
        "BIRD_CHANNEL_ID": "",
        "PUBLIC_URL": PUBLIC_URL,
        "VOIPSTUDIO_CREDENTIALS": "voipstudio-credentials",
        "VOIPSTUDIO_ALLOWED_ADDRESSES": "",
        "CONSOLE_CREDENTIALS": "console-credentials",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", boto3.session.Session())


def use_local_env(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables of `sam local`, with the secrets in the environment."""
    functions = json.loads((EVENTS / "local-env.json").read_text("utf-8"))
    for variables in functions.values():
        for name, value in variables.items():
            monkeypatch.setenv(name, value)


@pytest.fixture
def one_request_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer one AWS request at a time: moto's queries iterate over the dictionaries that its writes change."""
    answer, lock = botocore_stubber.process_request, RLock()

    def answer_alone(request: Any) -> Any:
        with lock:
            return answer(request)

    monkeypatch.setattr(botocore_stubber, "process_request", answer_alone)


@pytest.fixture
def aws(environment: None, one_request_at_a_time: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """A simulated account with the template's tables and secrets."""
    with mock_aws():
        account = Aws(boto3.client("dynamodb"))
        create_table(account.dynamodb, TABLE, "EventsTable")
        create_table(account.dynamodb, CLIENTS_TABLE, "ClientsTable")
        create_table(account.dynamodb, TOOL_CALLS_TABLE, "ToolCallsTable")
        secrets = boto3.client("secretsmanager")
        secrets.create_secret(Name="credentials", SecretString=json.dumps({"username": USERNAME, "password": PASSWORD}))
        secrets.create_secret(Name="webhook-secrets", SecretString=json.dumps({"webhook_secrets": [WEBHOOK_SECRET]}))
        for provider in ("wavix", "voipstudio"):
            secrets.create_secret(Name=f"{provider}-credentials", SecretString=json.dumps({"token": TOKEN}))
        secrets.create_secret(Name="bird-credentials", SecretString=json.dumps({"signing_key": SIGNING_KEY}))
        console = {"username": CONSOLE_USERNAME, "password": CONSOLE_PASSWORD}
        secrets.create_secret(Name="console-credentials", SecretString=json.dumps(console))
        # Clients created from now on record every request.
        session = boto3.session.Session()
        session.events.register("before-call", lambda model, **_: account.calls.append(model.name))
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
        yield account


def subscribe_to_all_events() -> str:
    """Create the event bus and a queue that receives all its events, and return the URL of the queue."""
    events = boto3.client("events")
    queue = boto3.client("sqs").create_queue(QueueName="subscriber")["QueueUrl"]
    events.create_event_bus(Name=CALL_BUS)
    events.put_rule(Name="everything", EventBusName=CALL_BUS, EventPattern='{"source": [{"prefix": "callhooks."}]}')
    arn = "arn:aws:sqs:us-east-1:123456789012:subscriber"
    events.put_targets(Rule="everything", EventBusName=CALL_BUS, Targets=[{"Id": "queue", "Arn": arn}])
    return queue


def received(queue: str) -> list[str]:
    """Receive all messages of a queue."""
    sqs, bodies = boto3.client("sqs"), list[str]()
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        bodies += [message["Body"] for message in messages]
    return bodies


def fresh(name: str) -> Event:
    """Return a recorded delivery of jambonz, signed with the real time, which the functions use."""
    return signed(recorded(name), now=datetime.now(UTC))


Handler = Callable[[Event], Answer]


def new_function(folder: str = "jambonz_new_call") -> Handler:
    """Load a function as a cold start does; the function of new calls by default."""
    handler = loaded_handler(folder)
    return lambda event: Answer(**handler(event, None))


def loaded_handler(folder: str, root: Path = ROOT) -> Callable[[Event, object], Any]:
    """Return a function's handler after a cold start."""
    path = root / "functions" / folder / "app.py"
    spec = importlib.util.spec_from_file_location("app", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Freezing would retain the objects of all earlier tests, which are gigabytes.
    with patch.object(cold_start, "freeze_gc", gc.enable):
        spec.loader.exec_module(module)
    handler: Callable[[Event, object], Any] = module.handler
    return handler


@pytest.fixture
def new_container(aws: Aws) -> Callable[..., Handler]:
    """Starts a new container of a function in the simulated account."""
    return new_function
