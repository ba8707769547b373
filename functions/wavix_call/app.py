"""`POST /webhooks/wavix/{token}`: Wavix reports call events, and the cost after the call."""

import os

from callhooks.providers.url_token import PathTokenSettings, read_networks, read_tokens
from callhooks.providers.wavix import WavixWebhook
from callhooks.runtime import cold_start
from callhooks.runtime.http import HttpApiEvent, HttpPayload
from callhooks.webhooks.bootstrap import build_receiver, log_invocation

settings = PathTokenSettings.from_environment(os.environ, provider="WAVIX")
receiver = build_receiver(
    WavixWebhook(allowed=read_networks(settings.allowed_addresses)),
    secrets=[settings.credentials],
    read_credentials=read_tokens,
)
cold_start.freeze_gc()


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Handle one event of the HTTP API."""
    log_invocation(context)
    return receiver.receive(event)
