"""`POST` and `GET /webhooks/call`: jambonz asks what to do with a call; `OPTIONS`: which variables there are."""

import os
from functools import partial

from callhooks.deployed import deployed_receiver, log_invocation
from callhooks.http import HttpApiEvent, HttpPayload
from callhooks.prepared_plan import installed_plan
from callhooks.providers.jambonz.verify import read_credentials
from callhooks.settings import JambonzSettings
from callhooks.webhooks.jambonz_new_call import new_call_webhook

settings = JambonzSettings.from_environment(os.environ)
receiver = deployed_receiver(
    new_call_webhook(installed_plan(), signature_header=settings.signature_header, public_url=settings.public_url),
    secrets=[settings.credentials, settings.webhook_secrets],
    read_credentials=partial(read_credentials, signature_header=settings.signature_header),
)


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Answer one event of the HTTP API."""
    log_invocation(context)
    return receiver.receive(event)
