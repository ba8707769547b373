"""`POST` and `GET /webhooks/call`: jambonz asks what to do with a call."""

import os
import time
from datetime import UTC, datetime
from functools import partial

from aws_lambda_powertools import Logger
from callhooks.aws import dynamodb_client, secret_reader
from callhooks.credentials import CredentialStore
from callhooks.http import HttpApiEvent, HttpPayload
from callhooks.plan import installed_plan
from callhooks.providers.jambonz.verify import read_credentials
from callhooks.receiver import Receiver
from callhooks.settings import JambonzSettings
from callhooks.store import EventStore
from callhooks.webhooks.jambonz_new_call import new_call_webhook

logger = Logger()
settings = JambonzSettings.from_environment(os.environ)
receiver = Receiver(
    new_call_webhook(installed_plan(), signature_header=settings.signature_header),
    credentials=CredentialStore(
        [settings.credentials, settings.webhook_secrets],
        build=partial(read_credentials, signature_header=settings.signature_header),
        read_secret=secret_reader(),
        monotonic=time.monotonic,
    ),
    store=EventStore(dynamodb_client(), settings.events_table),
    clock=lambda: datetime.now(UTC),
    retention_days=settings.retention_days,
)


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Answer one event of the HTTP API."""
    # Powertools' decorator would repeat the function's ARN in every line, and log whole events where it is told to.
    logger.append_keys(function_request_id=getattr(context, "aws_request_id", None))
    return receiver.receive(event)
