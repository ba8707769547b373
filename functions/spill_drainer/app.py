"""Store the events of the spill queue, which the webhooks could not store."""

import os

from callhooks.events.spill_queue import BatchReply, MessageBatch, SpillDrainer
from callhooks.runtime import cold_start
from callhooks.runtime.aws_clients import worker_dynamodb_client, worker_queue_client
from callhooks.runtime.settings import SpillSettings, StoreSettings
from callhooks.webhooks.aws_resources import event_store
from callhooks.webhooks.bootstrap import LambdaContext, log_invocation, seconds_left

drainer = SpillDrainer(
    event_store(worker_dynamodb_client(), StoreSettings.from_environment(os.environ).events_table),
    worker_queue_client(),
    SpillSettings.from_environment(os.environ).spill_queue_url,
)
cold_start.freeze_gc()


def handler(event: MessageBatch, context: LambdaContext) -> BatchReply:
    """Store one batch from the queue."""
    log_invocation(context)
    return drainer.drain(event, seconds_left(context))
