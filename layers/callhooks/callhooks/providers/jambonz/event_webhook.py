"""jambonz tells what happens to calls, queues and conferences, and expects no verbs."""

from __future__ import annotations

from callhooks.providers.jambonz.authentication import JambonzCredentials, precheck_credentials, verify
from callhooks.providers.jambonz.events import EventHook, normalise, parse_event
from callhooks.providers.jambonz.hook import PROVIDER
from callhooks.runtime.http import Response
from callhooks.webhooks.pipeline import Webhook

NO_VERBS = Response(200, "[]")
"""Should an event go to a hook that takes verbs, the call goes on with those it has."""


def jambonz_event_webhook(*, signature_header: str) -> Webhook[JambonzCredentials, EventHook]:
    """The webhook of everything that jambonz tells without asking."""
    return Webhook(
        provider=PROVIDER,
        precheck_credentials=precheck_credentials,
        verify=verify,
        signature_header=signature_header,
        parse=parse_event,
        normalise=normalise,
        answer=lambda _hook, _request, _now: NO_VERBS,
    )
