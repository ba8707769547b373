"""AWS clients, made once in a container from one session: for a caller who waits, or for a worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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
_CONNECT_SECONDS = 0.4
_REPLY_SECONDS = 0.9


def _config(attempts: int, *, connect_timeout: float = 1, read_timeout: float = 1) -> Config:
    # botocore's own time-outs are 60 s; a sender who waits gives up after 10.
    return Config(
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        parameter_validation=False,
        tcp_keepalive=True,
        # Made anew twice for each request, its own text takes botocore a fifth of a put.
        user_agent=USER_AGENT,
    )


def _config_of_waiting_caller(attempts: int) -> Config:
    return _config(attempts, connect_timeout=_CONNECT_SECONDS, read_timeout=_REPLY_SECONDS)


def _once_more(attempts: int, caught_exception: Exception | None, **_: object) -> Any:
    """Have a request sent again at once whose connection was closed meanwhile, as happens while a container rests."""
    return 0 if attempts == 1 and isinstance(caught_exception, ConnectionClosedError) else None


class CircuitOpenError(BotoCoreError):
    """DynamoDB is not asked, because it gave no answer a moment ago."""

    fmt = "DynamoDB gave no answer a moment ago, and is not asked"


class CircuitBreaker:
    """Has a client ask a table nothing for ten seconds after it gave no answer: that costs a container one time-out."""

    def __init__(self, client: DynamoDBClient, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._ends: dict[object, float] = {}
        client.meta.events.register("provide-client-params.dynamodb", self._refuse)
        client.meta.events.register("after-call-error.dynamodb", self._begin)

    def _refuse(self, params: Mapping[str, object], context: dict[str, object], **_: object) -> None:
        table = context[_TABLE] = params.get("TableName")
        if self._monotonic() < self._ends.get(table, float("-inf")):
            raise CircuitOpenError

    def _begin(self, exception: Exception, context: Mapping[str, object], **_: object) -> None:
        if isinstance(exception, ConnectionError | HTTPClientError):
            self._ends[context[_TABLE]] = self._monotonic() + OPEN_SECONDS


def dynamodb_client(monotonic: Callable[[], float] = time.monotonic) -> DynamoDBClient:
    """DynamoDB, for a caller who waits.

    A request that hangs costs less than three seconds: two attempts, and botocore's pause of at most one second. All
    requests to that table then raise `CircuitOpenError` at once for ten seconds.
    """
    client = boto3.client("dynamodb", config=_config_of_waiting_caller(attempts=2))
    CircuitBreaker(client, monotonic)
    return client


def reader_dynamodb_client() -> DynamoDBClient:
    """DynamoDB, for somebody who looks something up: a request that hangs costs about three seconds."""
    return boto3.client("dynamodb", config=_config(attempts=2))


def queue_client() -> SQSClient:
    """SQS, for a caller who waits: a request that hangs costs a second."""
    client = boto3.client("sqs", config=_config_of_waiting_caller(attempts=1))
    client.meta.events.register("needs-retry.sqs", _once_more)
    return client


def secret_reader() -> Callable[[str], str]:
    """Reads a secret's text from Secrets Manager by its ARN or name; raises what botocore raises."""
    client = boto3.client("secretsmanager", config=_config_of_waiting_caller(attempts=1))
    client.meta.events.register("needs-retry.secrets-manager", _once_more)

    def read(secret_id: str) -> str:
        return client.get_secret_value(SecretId=secret_id)["SecretString"]

    return read


def _worker_config() -> Config:
    """A request that hangs costs at most 15 seconds, the pauses of its three attempts included."""
    return _config(attempts=3, read_timeout=3)


def worker_dynamodb_client() -> DynamoDBClient:
    """DynamoDB, for a worker."""
    return boto3.client("dynamodb", config=_worker_config())


def worker_bus_client() -> EventBridgeClient:
    """EventBridge, for a worker."""
    return boto3.client("events", config=_worker_config())


def worker_queue_client() -> SQSClient:
    """SQS, for a worker."""
    return boto3.client("sqs", config=_worker_config())
