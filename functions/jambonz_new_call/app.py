"""`POST` and `GET /webhooks/call`: jambonz asks what to do with a call; `OPTIONS`: which variables there are."""

import os
from functools import partial

from callhooks import start
from callhooks.connected import connect
from callhooks.deployed import LastResort, deployed_receiver, log_invocation
from callhooks.http import HttpApiEvent, HttpPayload
from callhooks.prepared_plan import installed_plan
from callhooks.providers.jambonz.models import CallHook
from callhooks.providers.jambonz.verify import JambonzCredentials, read_credentials
from callhooks.receiver import Receiver
from callhooks.settings import JambonzSettings
from callhooks.webhooks.jambonz_new_call import new_call_webhook, verbs_response

plan = installed_plan()


def new_receiver() -> Receiver[JambonzCredentials, CallHook | None]:
    """The receiver of new calls.

    Raises:
        KeyError: a variable of the environment is missing.
    """
    settings = JambonzSettings.from_environment(os.environ)
    return deployed_receiver(
        new_call_webhook(plan, signature_header=settings.signature_header, public_url=settings.public_url),
        secrets=[settings.credentials, settings.webhook_secrets],
        read_credentials=partial(read_credentials, signature_header=settings.signature_header),
        aws=connect(),
    )


receiver = LastResort(new_receiver, verbs_response(plan.fallback))
start.done()


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Answer one event of the HTTP API."""
    log_invocation(context)
    return receiver.receive(event)
