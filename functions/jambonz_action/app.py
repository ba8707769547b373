"""`POST /webhooks/call/flows/{flow}/{step}`: jambonz tells how a verb has ended, and waits for the next verbs."""

import os
from functools import partial

from callhooks import start
from callhooks.connected import connect
from callhooks.deployed import deployed_receiver, log_invocation
from callhooks.first_webhook import first_webhook_reader
from callhooks.http import HttpApiEvent, HttpPayload
from callhooks.prepared_plan import installed_plan
from callhooks.providers.jambonz.verify import read_credentials
from callhooks.settings import JambonzSettings
from callhooks.webhooks.jambonz_action import action_webhook

settings = JambonzSettings.from_environment(os.environ)
aws = connect()
receiver = deployed_receiver(
    action_webhook(
        installed_plan(),
        recall=first_webhook_reader(aws.store),
        signature_header=settings.signature_header,
        public_url=settings.public_url,
    ),
    secrets=[settings.credentials, settings.webhook_secrets],
    read_credentials=partial(read_credentials, signature_header=settings.signature_header),
    aws=aws,
)
start.done()


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Answer one event of the HTTP API."""
    log_invocation(context)
    return receiver.receive(event)
