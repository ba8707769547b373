"""`POST` and `GET /webhooks/client-auth`: jambonz asks whether a SIP client is who it says it is."""

import os
from functools import partial

from callhooks import start
from callhooks.clients import ClientStore
from callhooks.connected import connect
from callhooks.deployed import deployed_receiver, log_invocation
from callhooks.http import HttpApiEvent, HttpPayload
from callhooks.providers.jambonz.verify import read_credentials
from callhooks.settings import ClientSettings, JambonzSettings
from callhooks.webhooks.jambonz_client_auth import client_auth_webhook

settings = JambonzSettings.from_environment(os.environ)
aws = connect()
clients = ClientStore(aws.dynamodb, ClientSettings.from_environment(os.environ).clients_table)
receiver = deployed_receiver(
    client_auth_webhook(clients, signature_header=settings.signature_header),
    secrets=[settings.credentials, settings.webhook_secrets],
    read_credentials=partial(read_credentials, signature_header=settings.signature_header),
    aws=aws,
)
start.done()


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Answer one event of the HTTP API."""
    log_invocation(context)
    return receiver.receive(event)
