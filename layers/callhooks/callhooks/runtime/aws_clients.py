"""AWS clients with short time-outs for functions whose callers wait, and longer ones for workers.

Lambda updates boto3 in its runtimes without notice. All arguments of event handlers have defaults, so that a botocore
that passes others only loses the effect of the handler.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import boto3
import botocore
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ConnectionClosedError, ConnectionError, HTTPClientError  # noqa: A004

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_sqs import SQSClient


USER_AGENT = f"callhooks Boto3/{boto3.__version__} Botocore/{botocore.__version__}"
OPEN_SECONDS = 10.0
_TABLE = "callhooks_table"
_EMPTY: Mapping[str, object] = MappingProxyType({})
_CONNECT_SECONDS = 0.4
_REPLY_SECONDS = 0.9


def _config(attempts: int, *, connect_timeout: float = 1, read_timeout: float = 1) -> Config:
    # botocore's default time-outs are 60 s; a waiting sender gives up after 10 s.
    return Config(
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        parameter_validation=False,
        tcp_keepalive=True,
        # botocore builds its default text twice per request, which takes a fifth of a put.
        user_agent=USER_AGENT,
    )


def _caller_config(attempts: int) -> Config:
    return _config(attempts, connect_timeout=_CONNECT_SECONDS, read_timeout=_REPLY_SECONDS)


def retry_on_closed_connection(attempts: int = 0, caught_exception: Exception | None = None, **_: object) -> Any:
    """Retry immediately if an idle connection was closed, as happens while a container is frozen."""
    return 0 if attempts == 1 and isinstance(caught_exception, ConnectionClosedError) else None


class CircuitOpenError(BotoCoreError):
    """DynamoDB did not answer a moment ago, so this request was not sent."""

    fmt = "DynamoDB did not answer a moment ago, so this request was not sent"


class CircuitBreaker:
    """Circuit breaker around a DynamoDB client.

    After a time-out or a failed connection, requests to that table fail immediately for ten seconds, so that a
    container waits only once.
    """

    def __init__(self, client: DynamoDBClient, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._open_until: dict[object, float] = {}
        client.meta.events.register("provide-client-params.dynamodb", self._check)
        client.meta.events.register("after-call-error.dynamodb", self._open)

    def _check(
        self, params: Mapping[str, object] = _EMPTY, context: dict[str, object] | None = None, **_: object
    ) -> None:
        table = params.get("TableName")
        if context is not None:
            context[_TABLE] = table
        if self._monotonic() < self._open_until.get(table, float("-inf")):
            raise CircuitOpenError

    def _open(self, exception: Exception | None = None, context: Mapping[str, object] = _EMPTY, **_: object) -> None:
        if isinstance(exception, ConnectionError | HTTPClientError) and _TABLE in context:
            self._open_until[context[_TABLE]] = self._monotonic() + OPEN_SECONDS


def dynamodb_client(monotonic: Callable[[], float] = time.monotonic) -> DynamoDBClient:
    """Return a DynamoDB client for a waiting caller.

    A hanging request costs less than three seconds: two attempts, with botocore's pause of at most one second between
    them. All requests to that table then raise `CircuitOpenError` immediately for ten seconds.
    """
    client = boto3.client("dynamodb", config=_caller_config(attempts=2))
    CircuitBreaker(client, monotonic)
    return client


def reader_dynamodb_client() -> DynamoDBClient:
    """Return a DynamoDB client for the call log: a hanging request costs about three seconds."""
    return boto3.client("dynamodb", config=_config(attempts=2))


def queue_client() -> SQSClient:
    """Return an SQS client for a waiting caller: a hanging request costs one second."""
    client = boto3.client("sqs", config=_caller_config(attempts=1))
    client.meta.events.register("needs-retry.sqs", retry_on_closed_connection)
    return client


def secret_reader() -> Callable[[str], str]:
    """Return a function that reads a secret's text from Secrets Manager by ARN or name; it raises botocore's errors."""
    client = boto3.client("secretsmanager", config=_caller_config(attempts=1))
    client.meta.events.register("needs-retry.secrets-manager", retry_on_closed_connection)

    def read(secret_id: str) -> str:
        return client.get_secret_value(SecretId=secret_id)["SecretString"]

    return read


def _worker_config() -> Config:
    """Return the settings of a worker's clients: a hanging request costs at most 15 s in three attempts."""
    return _config(attempts=3, read_timeout=3)


def worker_dynamodb_client() -> DynamoDBClient:
    """Return a DynamoDB client for a worker."""
    return boto3.client("dynamodb", config=_worker_config())


def worker_bus_client() -> EventBridgeClient:
    """Return an EventBridge client for a worker."""
    return boto3.client("events", config=_worker_config())


def worker_queue_client() -> SQSClient:
    """Return an SQS client for a worker."""
    return boto3.client("sqs", config=_worker_config())
