"""What a cold start of each function makes: a caller hears silence meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.integration.conftest import Aws, Handler
from tests.support import ROOT

CLIENTS_OF_A_WORKER = {"call_projector": ("dynamodb", "events", "sqs"), "spill_drainer": ("dynamodb", "sqs")}
FOLDERS = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_client_of_aws_is_made_once(
    folder: str, aws: Aws, new_container: Callable[..., Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: Counter[str] = Counter()
    make: Any = boto3.client

    def counted(service: str, **options: Any) -> Any:
        made[service] += 1
        return make(service, **options)

    monkeypatch.setattr(boto3, "client", counted)
    new_container(folder)
    assert made == dict.fromkeys(CLIENTS_OF_A_WORKER.get(folder, ("dynamodb", "secretsmanager")), 1)
