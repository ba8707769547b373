"""`POST /webhooks/bird` and `/webhooks/bird/{channel_id}`: Bird reports call events."""

import os

from callhooks.providers.bird import BirdSettings, BirdWebhook, read_filter, read_signing_keys
from callhooks.runtime import cold_start
from callhooks.runtime.http import HttpApiEvent, HttpPayload
from callhooks.webhooks.bootstrap import build_receiver, log_invocation

settings = BirdSettings.from_environment(os.environ)
receiver = build_receiver(
    BirdWebhook(
        public_url=settings.public_url,
        window=settings.signature_window,
        wanted=read_filter(settings.statuses, settings.channel_id),
    ),
    secrets=[settings.credentials],
    read_credentials=read_signing_keys,
)
cold_start.freeze_gc()


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Handle one event of the HTTP API."""
    log_invocation(context)
    return receiver.receive(event)
