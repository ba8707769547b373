"""The spill queue: what the webhooks could not store is stored at last."""

import os

from callhooks import start
from callhooks.aws import worker_dynamodb_client, worker_queue_client
from callhooks.connected import deployed_store
from callhooks.deployed import LambdaContext, log_invocation, seconds_left
from callhooks.settings import SpillSettings
from callhooks.spill import Batch, BatchReply, SpillDrainer

drainer = SpillDrainer(
    deployed_store(worker_dynamodb_client()),
    worker_queue_client(),
    SpillSettings.from_environment(os.environ).spill_queue_url,
)
start.done()


def handler(event: Batch, context: LambdaContext) -> BatchReply:
    """Store one batch of the queue."""
    log_invocation(context)
    return drainer.take(event, seconds_left(context))
