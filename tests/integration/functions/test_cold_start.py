"""The AWS clients created during a cold start, while a caller hears silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.integration.conftest import Aws, Handler
from tests.integration.functions.test_event_functions import FOLDERS as OF_EVENTS
from tests.integration.functions.test_event_functions import every_provider, one_of
from tests.support import ROOT

CLIENTS_OF_A_WORKER = {"call_projector": ("dynamodb", "events", "sqs"), "spill_drainer": ("dynamodb", "sqs")}
FOLDERS = sorted({path.parent.name for path in (ROOT / "functions").glob("*/app.py")} - set(OF_EVENTS.values()))


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


@pytest.mark.parametrize("folder", FOLDERS)
def test_functions_with_a_waiting_caller_create_clients_once_at_start(
    folder: str, made: Counter[str], new_container: Callable[..., Handler]
) -> None:
    new_container(folder)
    assert made == dict.fromkeys(CLIENTS_OF_A_WORKER.get(folder, ("dynamodb", "secretsmanager")), 1)


@every_provider
def test_event_functions_create_clients_for_the_first_request_with_credentials(
    provider: str, made: Counter[str], new_container: Callable[..., Handler]
) -> None:
    receive = new_container(OF_EVENTS[provider])
    refused = {**one_of(provider), "headers": {}, "pathParameters": {}}
    assert receive(refused).statusCode == 401
    assert made == {}
    for _ in range(2):
        assert receive(one_of(provider)).statusCode == 200
    assert made == {"dynamodb": 1, "secretsmanager": 1}
