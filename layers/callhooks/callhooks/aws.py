"""AWS clients, made once in a container from one session: for a caller who waits, or for a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_sqs import SQSClient


def _config(attempts: int, *, read_timeout: float = 1) -> Config:
    # botocore's own time-outs are 60 s; jambonz gives up after 10.
    return Config(
        connect_timeout=1,
        read_timeout=read_timeout,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        parameter_validation=False,
        tcp_keepalive=True,
    )


def dynamodb_client() -> DynamoDBClient:
    """DynamoDB: a hanging write costs at most about three seconds."""
    return boto3.client("dynamodb", config=_config(attempts=2))


def secret_reader() -> Callable[[str], str]:
    """Reads a secret's text from Secrets Manager by its ARN or name; raises what botocore raises."""
    client = boto3.client("secretsmanager", config=_config(attempts=1))

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
