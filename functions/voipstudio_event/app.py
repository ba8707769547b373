"""`/webhooks/voipstudio/{token}`: VoIPstudio tells of calls, SMS and queues, and its dashboard probes the URL."""

import os

from callhooks import start
from callhooks.deployed import deployed_receiver, log_invocation
from callhooks.http import HttpApiEvent, HttpPayload
from callhooks.providers.path_token import read_networks, read_tokens
from callhooks.settings import PathTokenSettings
from callhooks.webhooks.voipstudio_event import voipstudio_event_webhook

settings = PathTokenSettings.from_environment(os.environ, provider="VOIPSTUDIO")
receiver = deployed_receiver(
    voipstudio_event_webhook(allowed=read_networks(settings.allowed_addresses)),
    secrets=[settings.credentials],
    read_credentials=read_tokens,
)
start.done()


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Answer one event of the HTTP API."""
    log_invocation(context)
    return receiver.receive(event)
