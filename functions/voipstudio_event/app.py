"""`/webhooks/voipstudio/{token}`: VoIPstudio reports calls, SMS and queues, and its dashboard probes the URL."""

import os

from callhooks.providers.url_token import PathTokenSettings, read_networks, read_tokens
from callhooks.providers.voipstudio import VoipstudioWebhook
from callhooks.runtime import cold_start
from callhooks.runtime.http import HttpApiEvent, HttpPayload
from callhooks.webhooks.bootstrap import build_receiver, log_invocation

settings = PathTokenSettings.from_environment(os.environ, provider="VOIPSTUDIO")
receiver = build_receiver(
    VoipstudioWebhook(allowed=read_networks(settings.allowed_addresses)),
    secrets=[settings.credentials],
    read_credentials=read_tokens,
)
cold_start.freeze_gc()


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Handle one event of the HTTP API."""
    log_invocation(context)
    return receiver.receive(event)
