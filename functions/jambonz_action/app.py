"""`POST /webhooks/call/flows/{flow}/{step}`: jambonz reports that a verb ended, and gets the next verbs."""

import os
from functools import partial

from callhooks.providers.jambonz.action import ActionWebhook
from callhooks.providers.jambonz.authentication import read_credentials
from callhooks.providers.jambonz.initial_webhook import initial_webhook_loader
from callhooks.providers.jambonz.plan.loader import installed_plan
from callhooks.providers.jambonz.settings import JambonzSettings
from callhooks.runtime import cold_start
from callhooks.runtime.http import HttpApiEvent, HttpPayload
from callhooks.webhooks.aws_resources import AwsResources
from callhooks.webhooks.bootstrap import build_receiver, log_invocation

settings = JambonzSettings.from_environment(os.environ)
aws = AwsResources.from_env().connect()
receiver = build_receiver(
    ActionWebhook(
        installed_plan(),
        load_initial_webhook=initial_webhook_loader(aws.store),
        signature_header=settings.signature_header,
        public_url=settings.public_url,
    ),
    secrets=[settings.credentials, settings.webhook_secrets],
    read_credentials=partial(read_credentials, signature_header=settings.signature_header),
    aws=aws,
)
cold_start.freeze_gc()


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Handle one event of the HTTP API."""
    log_invocation(context)
    return receiver.receive(event)
