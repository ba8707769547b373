"""`POST` and `GET /webhooks/client-auth`: jambonz asks callhooks to authenticate a SIP client."""

import os
from functools import partial

from callhooks.providers.jambonz.authentication import read_credentials
from callhooks.providers.jambonz.client_auth import ClientAuthWebhook
from callhooks.providers.jambonz.settings import ClientSettings, JambonzSettings
from callhooks.providers.jambonz.sip_clients import ClientStore
from callhooks.runtime import cold_start
from callhooks.runtime.http import HttpApiEvent, HttpPayload
from callhooks.webhooks.aws_resources import AwsResources
from callhooks.webhooks.bootstrap import build_receiver, log_invocation

settings = JambonzSettings.from_environment(os.environ)
aws = AwsResources.from_env().connect()
clients = ClientStore(aws.dynamodb, ClientSettings.from_environment(os.environ).clients_table)
receiver = build_receiver(
    ClientAuthWebhook(clients, signature_header=settings.signature_header),
    secrets=[settings.credentials, settings.webhook_secrets],
    read_credentials=partial(read_credentials, signature_header=settings.signature_header),
    aws=aws,
)
cold_start.freeze_gc()


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Handle one event of the HTTP API."""
    log_invocation(context)
    return receiver.receive(event)
