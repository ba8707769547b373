"""`POST /webhooks/twilio`: status callbacks of Twilio."""

import os

from callhooks.providers.twilio import TwilioWebhook, read_auth_tokens
from callhooks.runtime import cold_start
from callhooks.runtime.http import HttpApiEvent, HttpPayload
from callhooks.webhooks.bootstrap import build_receiver, log_invocation

receiver = build_receiver(
    TwilioWebhook(public_url=os.environ["PUBLIC_URL"]),
    secrets=[os.environ["TWILIO_CREDENTIALS"]],
    read_credentials=read_auth_tokens,
)
cold_start.freeze_gc()


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Handle one event of the HTTP API."""
    log_invocation(context)
    return receiver.receive(event)
