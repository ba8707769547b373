"""`POST /webhooks/twilio`: Twilio tells what happens to a call."""

import os

from callhooks import start
from callhooks.deployed import deployed_receiver, log_invocation
from callhooks.http import HttpApiEvent, HttpPayload
from callhooks.webhooks.twilio import read_auth_tokens, twilio_webhook

receiver = deployed_receiver(
    twilio_webhook(public_url=os.environ["PUBLIC_URL"]),
    secrets=[os.environ["TWILIO_CREDENTIALS"]],
    read_credentials=read_auth_tokens,
)
start.done()


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Answer one event of the HTTP API."""
    log_invocation(context)
    return receiver.receive(event)
