"""The clients give up long before jambonz, which waits ten seconds."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ConnectTimeoutError
from botocore.hooks import HierarchicalEmitter
from callhooks.events.event_writer import SPILL_SECONDS, STORE_SECONDS
from callhooks.runtime import aws_clients as aws

from tests.projection import HANGING_REQUEST_SECONDS
from tests.support import template


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "us-east-1")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


def test_a_hanging_dynamodb_costs_a_caller_less_than_three_seconds() -> None:
    config: Any = aws.dynamodb_client().meta.config
    attempts = config.retries["total_max_attempts"]
    # botocore pauses at most one second between two attempts.
    for seconds in (config.connect_timeout, config.read_timeout):
        assert attempts * seconds + (attempts - 1) * 1 < 3
    # The TLS handshake may take as long as the connection.
    assert attempts * (2 * config.connect_timeout + config.read_timeout) + (attempts - 1) <= STORE_SECONDS


def test_a_hanging_secret_store_is_called_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}
    make: Any = boto3.client

    def noted(service: str, config: Any) -> Any:
        made[service] = config
        return make(service, config=config)

    monkeypatch.setattr(boto3, "client", noted)
    aws.secret_reader()
    aws.queue_client()
    for config in made.values():
        assert config.retries["total_max_attempts"] == 1
        assert 2 * config.connect_timeout + config.read_timeout <= SPILL_SECONDS
    assert made.keys() == {"secretsmanager", "sqs"}


@pytest.mark.parametrize("client", [aws.worker_dynamodb_client, aws.worker_bus_client, aws.worker_queue_client])
def test_a_hanging_request_costs_a_worker_three_attempts_of_four_seconds(client: Callable[[], Any]) -> None:
    config = client().meta.config
    attempts = config.retries["total_max_attempts"]
    # botocore's pauses are at most 1, 2, 4 ... seconds.
    pauses = sum(2**number for number in range(attempts - 1))
    assert attempts * (config.connect_timeout + config.read_timeout) + pauses == HANGING_REQUEST_SECONDS


def test_a_function_ends_before_jambonz_gives_up() -> None:
    assert template()["Globals"]["Function"]["Timeout"] == 8


def test_a_botocore_that_passes_other_arguments_to_handlers_does_not_fail_requests() -> None:
    emitter = HierarchicalEmitter()
    client: Any = SimpleNamespace(meta=SimpleNamespace(events=emitter))
    aws.CircuitBreaker(client, lambda: 0.0)
    emitter.register("needs-retry.sqs", aws.retry_on_closed_connection)
    timed_out = ConnectTimeoutError(endpoint_url="https://example.com")
    replies = [
        *emitter.emit("provide-client-params.dynamodb.PutItem", operation="PutItem"),
        *emitter.emit("provide-client-params.dynamodb.PutItem", params={"TableName": "events"}),
        *emitter.emit("after-call-error.dynamodb.PutItem", error=timed_out),
        *emitter.emit("after-call-error.dynamodb.PutItem", exception=timed_out, context={}),
        *emitter.emit("provide-client-params.dynamodb.PutItem", params={"TableName": "events"}, context={}),
        *emitter.emit("needs-retry.sqs.SendMessage", exception=timed_out),
    ]
    assert [reply for _, reply in replies] == [None] * 6
