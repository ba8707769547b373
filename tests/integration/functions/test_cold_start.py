"""What a cold start of each function makes: a caller hears silence meanwhile."""

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
    """The clients that are made, by service."""
    made: Counter[str] = Counter()
    make: Any = boto3.client

    def counted(service: str, **options: Any) -> Any:
        made[service] += 1
        return make(service, **options)

    monkeypatch.setattr(boto3, "client", counted)
    return made


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_client_of_aws_is_made_once_at_the_start_where_somebody_waits(
    folder: str, made: Counter[str], new_container: Callable[..., Handler]
) -> None:
    new_container(folder)
    assert made == dict.fromkeys(CLIENTS_OF_A_WORKER.get(folder, ("dynamodb", "secretsmanager")), 1)


@every_provider
def test_a_function_of_events_connects_to_aws_with_the_first_sender_who_shows_credentials(
    provider: str, made: Counter[str], new_container: Callable[..., Handler]
) -> None:
    receive = new_container(OF_EVENTS[provider])
    refused = {**one_of(provider), "headers": {}, "pathParameters": {}}
    assert receive(refused).statusCode == 401
    assert made == {}
    for _ in range(2):
        assert receive(one_of(provider)).statusCode == 200
    assert made == {"dynamodb": 1, "secretsmanager": 1}
