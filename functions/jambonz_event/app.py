"""`POST /webhooks/call/events` and jambonz's own `/adulting`, `/streaming-event`, `/tokens-result`: what happened."""

import os
from functools import partial

from callhooks import start
from callhooks.deployed import deployed_receiver, log_invocation
from callhooks.http import HttpApiEvent, HttpPayload
from callhooks.providers.jambonz.verify import read_credentials
from callhooks.settings import JambonzSettings
from callhooks.webhooks.jambonz_event import jambonz_event_webhook

settings = JambonzSettings.from_environment(os.environ)
receiver = deployed_receiver(
    jambonz_event_webhook(signature_header=settings.signature_header),
    secrets=[settings.credentials, settings.webhook_secrets],
    read_credentials=partial(read_credentials, signature_header=settings.signature_header),
)
start.done()


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Answer one event of the HTTP API."""
    log_invocation(context)
    return receiver.receive(event)
