"""`POST` and `GET /webhooks/call`: jambonz asks what to do with a call. `OPTIONS`: it asks for the variables."""

import os
from functools import partial

from callhooks.providers.jambonz.authentication import JambonzCredentials, read_credentials
from callhooks.providers.jambonz.new_call import NewCall, NewCallWebhook, verbs_response
from callhooks.providers.jambonz.plan.loader import installed_plan
from callhooks.providers.jambonz.settings import JambonzSettings
from callhooks.runtime import cold_start
from callhooks.runtime.http import HttpApiEvent, HttpPayload
from callhooks.webhooks.aws_resources import AwsResources
from callhooks.webhooks.bootstrap import FallbackReceiver, build_receiver, log_invocation
from callhooks.webhooks.pipeline import Receiver

plan = installed_plan()


def new_receiver() -> Receiver[JambonzCredentials, NewCall]:
    """Build the receiver of new calls.

    Raises:
        KeyError: a variable of the environment is missing.
    """
    settings = JambonzSettings.from_environment(os.environ)
    return build_receiver(
        NewCallWebhook(plan, signature_header=settings.signature_header, public_url=settings.public_url),
        secrets=[settings.credentials, settings.webhook_secrets],
        read_credentials=partial(read_credentials, signature_header=settings.signature_header),
        aws=AwsResources.from_env().connect(),
    )


receiver = FallbackReceiver(new_receiver, verbs_response(plan.fallback))
cold_start.freeze_gc()


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Handle one event of the HTTP API."""
    log_invocation(context)
    return receiver.receive(event)
