"""`POST /webhooks/call/events`, and jambonz's `/adulting`, `/streaming-event`, `/tokens-result`: call events."""

import os
from functools import partial

from callhooks.providers.jambonz.authentication import read_credentials
from callhooks.providers.jambonz.events import EventWebhook
from callhooks.providers.jambonz.settings import JambonzSettings
from callhooks.runtime import cold_start
from callhooks.runtime.http import HttpApiEvent, HttpPayload
from callhooks.webhooks.bootstrap import build_receiver, log_invocation

settings = JambonzSettings.from_environment(os.environ)
receiver = build_receiver(
    EventWebhook(signature_header=settings.signature_header),
    secrets=[settings.credentials, settings.webhook_secrets],
    read_credentials=partial(read_credentials, signature_header=settings.signature_header),
)
cold_start.freeze_gc()


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Handle one event of the HTTP API."""
    log_invocation(context)
    return receiver.receive(event)
