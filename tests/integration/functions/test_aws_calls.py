"""The AWS clients that each function creates, and the AWS calls that a delivery costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from tests.integration.conftest import Aws, Handler, use_local_env
from tests.integration.functions.test_event_functions import FOLDERS as OF_EVENTS
from tests.integration.functions.test_event_functions import in_a_new_call, local_delivery, sent_now
from tests.support import ROOT, with_header

CLIENTS_OF_A_WORKER = {"call_projector": ("dynamodb", "events", "sqs"), "spill_drainer": ("dynamodb", "sqs")}
WITH_A_CALLER = sorted({path.parent.name for path in (ROOT / "functions").glob("*/app.py")} - set(OF_EVENTS.values()))


@dataclass(frozen=True)
class Costs:
    """A recorded delivery, and the AWS calls of its first arrival, of a duplicate, and of one in a warm container.

    Secrets that a container reads once are not included.
    """

    recording: str
    first: tuple[str, ...] = ("PutItem",)
    duplicate: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ("PutItem",)
    secrets: int = 1


DIGEST = ("GetItem", "UpdateItem")
"""An unknown SIP client is looked up and counted each time."""
FUNCTIONS = {
    "jambonz_new_call": Costs("jambonz/new_call", secrets=2),
    "jambonz_event": Costs("jambonz/call_status_dial_leg_ringing", secrets=2),
    "jambonz_action": Costs(
        "jambonz/action_gather_digits",
        # The plan reads the variables of the first webhook.
        first=("GetItem", "PutItem"),
        duplicate=("GetItem",),
        elsewhere=("GetItem", "PutItem"),
        secrets=2,
    ),
    "jambonz_client_auth": Costs(
        "jambonz/client_auth_register",
        first=(*DIGEST, "PutItem"),
        duplicate=DIGEST,
        elsewhere=(*DIGEST, "PutItem"),
        secrets=2,
    ),
    # A tool is registered, run and completed.
    "jambonz_tool": Costs(
        "jambonz/tool_openai",
        first=("PutItem", "UpdateItem", "PutItem"),
        elsewhere=("PutItem", "PutItem"),
        secrets=2,
    ),
    "wavix_call": Costs("wavix/ringing"),
    "bird_voice": Costs("bird/voice_inbound_ringing"),
    "voipstudio_event": Costs("voipstudio/call_ringing"),
}
each_function = pytest.mark.parametrize("folder", FUNCTIONS)


@pytest.fixture
def made(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The number of clients created for each service."""
    made: Counter[str] = Counter()
    make: Any = boto3.client

    def counted(service: str, **options: Any) -> Any:
        made[service] += 1
        return make(service, **options)

    monkeypatch.setattr(boto3, "client", counted)
    return made


@pytest.mark.parametrize("folder", WITH_A_CALLER)
def test_functions_with_a_waiting_caller_create_clients_once_at_start(
    folder: str, made: Counter[str], new_container: Callable[..., Handler]
) -> None:
    new_container(folder)
    assert made == dict.fromkeys(CLIENTS_OF_A_WORKER.get(folder, ("dynamodb", "secretsmanager")), 1)


@each_function
def test_a_delivery_costs_its_calls_a_duplicate_fewer_and_a_rejection_none(
    folder: str, aws: Aws, made: Counter[str], new_container: Callable[..., Handler]
) -> None:
    costs, handler = FUNCTIONS[folder], new_container(folder)
    event = sent_now(costs.recording)
    refused = {**event, "headers": {}, "pathParameters": {}}
    assert (handler(refused).statusCode, aws.calls) == (401, [])
    assert made == ({} if folder in OF_EVENTS.values() else {"dynamodb": 1, "secretsmanager": 1})

    first = handler(event)
    assert (first.statusCode, first.replayed) == (200, False)
    assert made == {"dynamodb": 1, "secretsmanager": 1}
    secrets = ["GetSecretValue"] * costs.secrets
    assert aws.calls == [*secrets, *costs.first]
    (item,) = aws.items()
    assert item["answer"]["S"] == first.body

    aws.calls.clear()
    again = handler(event)
    assert (again.statusCode, again.body, again.replayed) == (200, first.body, True)
    assert aws.calls == [*costs.duplicate]
    aws.calls.clear()
    assert handler(in_a_new_call(costs.recording)).statusCode == 200
    assert aws.calls == [*costs.first], "the secrets are cached"
    aws.calls.clear()
    forged = with_header(refused, "authorization", "Basic d3Jvbmc6d3Jvbmc=")
    for unauthenticated in (refused, forged):
        assert (handler(unauthenticated).statusCode, aws.calls) == (401, [])

    event["requestContext"] = {**event["requestContext"], "requestId": "another"}
    elsewhere = new_container(folder)(event)
    assert (elsewhere.statusCode, elsewhere.body) == (200, first.body)
    assert aws.calls == [*secrets, *costs.elsewhere]
    if folder != "jambonz_client_auth":  # a digest is checked again for each request
        assert elsewhere.replayed
        assert item in aws.items()
        assert len(aws.items()) == 2


@each_function
def test_sam_local_needs_no_secret_store(
    folder: str, aws: Aws, new_container: Callable[..., Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_local_env(monkeypatch)
    assert new_container(folder)(local_delivery(FUNCTIONS[folder].recording)).statusCode == 200
    assert "GetSecretValue" not in aws.calls
