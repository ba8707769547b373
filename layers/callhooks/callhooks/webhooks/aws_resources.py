"""AwsResources: the AWS clients of a webhook function, created on first use.

Importing boto3 takes longer than all other imports together, so it is only imported when needed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Self

from aws_lambda_powertools import Logger

from callhooks.runtime.metrics import count
from callhooks.runtime.settings import SpillSettings, StoreSettings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from callhooks.events.event_item import Item
    from callhooks.events.event_table import EventStore
    from callhooks.events.event_writer import EventWriter

logger = Logger(child=True)


class AwsResources:
    """The clients of a function, one for each service, and the objects that use them.

    Args:
        events_table: the name of the events table.
        spill_queue_url: the URL of the spill queue.
    """

    def __init__(self, *, events_table: str, spill_queue_url: str) -> None:
        self._events_table = events_table
        self._spill_queue_url = spill_queue_url

    @classmethod
    def from_env(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the names from the environment.

        Raises:
            KeyError: a variable is missing.
        """
        return cls(
            events_table=StoreSettings.from_environment(environment).events_table,
            spill_queue_url=SpillSettings.from_environment(environment).spill_queue_url,
        )

    def connect(self) -> Self:
        """Create the clients now, for a function whose sender waits for its answers."""
        _ = self.writer, self._secret_reader
        return self

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        """Return a DynamoDB client for a waiting caller."""
        from callhooks.runtime.aws_clients import dynamodb_client  # noqa: PLC0415

        return dynamodb_client()

    @cached_property
    def store(self) -> EventStore:
        """Return the events table."""
        return event_store(self.dynamodb, self._events_table)

    @cached_property
    def writer(self) -> EventWriter:
        """Return the writer of events."""
        from callhooks.events.event_writer import EventWriter  # noqa: PLC0415
        from callhooks.events.spill_queue import SpillQueue  # noqa: PLC0415
        from callhooks.runtime.aws_clients import queue_client  # noqa: PLC0415

        return EventWriter(self.store, SpillQueue(queue_client, self._spill_queue_url))

    def read_secret(self, secret_id: str) -> str:
        """Return a secret's text from Secrets Manager by its ARN or name; raises botocore's errors."""
        return self._secret_reader(secret_id)

    @cached_property
    def _secret_reader(self) -> Callable[[str], str]:
        from callhooks.runtime.aws_clients import secret_reader  # noqa: PLC0415

        return secret_reader()


def event_store(client: DynamoDBClient, table_name: str) -> EventStore:
    """Return the events table, with a metric for ids that are reused with another body."""
    from callhooks.events.event_table import EventStore  # noqa: PLC0415

    return EventStore(client, table_name, on_reused_key=_count_reused_key)


def _count_reused_key(item: Item) -> None:
    provider = item["provider"]["S"]
    logger.warning("id reused with another body", extra={"provider": provider})
    count("EventKeyReused", provider=provider)
