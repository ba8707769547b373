"""Fold calls from the table's stream and the retry queue, store them, and publish them with their events."""

import os
import time

from callhooks.calls.event_bus import EventBus
from callhooks.calls.projector import BatchReply, Projector, RetryQueue, StreamBatch
from callhooks.calls.repository import CallStore
from callhooks.providers.registry import hints_for
from callhooks.runtime import cold_start
from callhooks.runtime.aws_clients import worker_bus_client, worker_dynamodb_client, worker_queue_client
from callhooks.runtime.settings import ProjectorSettings, StoreSettings
from callhooks.webhooks.bootstrap import LambdaContext, seconds_left

settings = ProjectorSettings.from_environment(os.environ)
projector = Projector(
    CallStore(worker_dynamodb_client(), StoreSettings.from_environment(os.environ).events_table),
    EventBus(worker_bus_client(), settings.call_bus, sleep=time.sleep),
    RetryQueue(worker_queue_client(), settings.retry_queue_url),
    hints_for=hints_for,
)
cold_start.freeze_gc()


def handler(event: StreamBatch, context: LambdaContext) -> BatchReply:
    """Project one batch from either source."""
    return projector.project(event, seconds_left(context))
