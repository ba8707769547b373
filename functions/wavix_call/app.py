"""`POST /webhooks/wavix/{token}`: Wavix tells what happens to a call, and afterwards what it cost."""

import os

from callhooks import start
from callhooks.deployed import deployed_receiver, log_invocation
from callhooks.http import HttpApiEvent, HttpPayload
from callhooks.providers.path_token import read_networks, read_tokens
from callhooks.settings import PathTokenSettings
from callhooks.webhooks.wavix_call import wavix_call_webhook

settings = PathTokenSettings.from_environment(os.environ, provider="WAVIX")
receiver = deployed_receiver(
    wavix_call_webhook(allowed=read_networks(settings.allowed_addresses)),
    secrets=[settings.credentials],
    read_credentials=read_tokens,
)
start.done()


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Answer one event of the HTTP API."""
    log_invocation(context)
    return receiver.receive(event)
