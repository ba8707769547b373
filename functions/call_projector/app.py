"""The stream of the table of events, and the retry queue: each call is folded, kept, and published with its events."""

import os
import time

from callhooks import start
from callhooks.aws import worker_bus_client, worker_dynamodb_client, worker_queue_client
from callhooks.bus import EventBus
from callhooks.call_store import CallStore
from callhooks.deployed import LambdaContext, seconds_left
from callhooks.projector import Batch, BatchReply, Projector, RetryQueue
from callhooks.settings import ProjectorSettings, StoreSettings

settings = ProjectorSettings.from_environment(os.environ)
projector = Projector(
    CallStore(worker_dynamodb_client(), StoreSettings.from_environment(os.environ).events_table),
    EventBus(worker_bus_client(), settings.call_bus, sleep=time.sleep),
    RetryQueue(worker_queue_client(), settings.retry_queue_url),
)
start.done()


def handler(event: Batch, context: LambdaContext) -> BatchReply:
    """Project one batch of either source."""
    return projector.take(event, seconds_left(context))
