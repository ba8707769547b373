"""A function's connections to AWS: its clients, and what stands on them. Takes long to import, as boto3 does."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from aws_lambda_powertools import Logger

from callhooks.events.event_table import EventStore
from callhooks.events.event_writer import EventWriter
from callhooks.events.spill_queue import SpillQueue
from callhooks.runtime.aws_clients import dynamodb_client, queue_client, secret_reader
from callhooks.runtime.metrics import count
from callhooks.runtime.settings import SpillSettings, StoreSettings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from callhooks.events.event_item import Item

logger = Logger(child=True)


class Connected(NamedTuple):
    """AWS, for a caller who waits: one client for each service, made once."""

    dynamodb: DynamoDBClient
    store: EventStore
    keeper: EventWriter
    read_secret: Callable[[str], str]


def connect() -> Connected:
    """Connect the function.

    Raises:
        KeyError: a variable of the environment is missing.
    """
    client = dynamodb_client()
    store = deployed_store(client)
    queue = SpillQueue(queue_client, SpillSettings.from_environment(os.environ).spill_queue_url)
    return Connected(client, store, EventWriter(store, queue), secret_reader())


def deployed_store(client: DynamoDBClient) -> EventStore:
    """The table of events.

    Raises:
        KeyError: a variable of the environment is missing.
    """
    table = StoreSettings.from_environment(os.environ).events_table
    return EventStore(client, table, on_reused_key=_count_reused_key)


def _count_reused_key(item: Item) -> None:
    provider = item["provider"]["S"]
    logger.warning("an id came again with another body", extra={"provider": provider})
    count("EventKeyReused", provider=provider)
