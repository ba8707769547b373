"""AWS clients with the time-outs of a caller who waits: made once in a container, from one session."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def _config(attempts: int) -> Config:
    # botocore's own time-outs are 60 s; jambonz gives up after 10.
    return Config(
        connect_timeout=1,
        read_timeout=1,
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
