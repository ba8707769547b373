"""jambonz asks what to do with a new call and waits for an array of verbs."""

from __future__ import annotations

import json

from callhooks.event import direction_of
from callhooks.http import Response
from callhooks.plan import CallToRoute, Plan, Verbs
from callhooks.providers.jambonz.hook import PROVIDER
from callhooks.providers.jambonz.models import CallHook
from callhooks.providers.jambonz.new_call import normalise, parse_call_hook
from callhooks.providers.jambonz.verify import JambonzCredentials, verify
from callhooks.receiver import Webhook


def new_call_webhook(plan: Plan, *, signature_header: str) -> Webhook[JambonzCredentials, CallHook | None]:
    """The new-call webhook, answered from a call plan."""
    return Webhook(
        provider=PROVIDER,
        verify=verify,
        parse=parse_call_hook,
        normalise=lambda call, request, now: normalise(call, request, now, signature_header=signature_header),
        answer=lambda call, _request, _now: verbs_response(plan.verbs_for(call_to_route(call))),
        fallback=verbs_response(plan.fallback),
        not_understood=None,
        is_new_call=lambda call: call is None or call.is_first_webhook,
    )


def verbs_response(verbs: Verbs) -> Response:
    """Verbs as jambonz takes them: 200, JSON, an array."""
    return Response(200, json.dumps(verbs, separators=(",", ":")))


def call_to_route(call: CallHook | None) -> CallToRoute:
    """What the plan's routes look at."""
    if call is None:
        return CallToRoute()
    return CallToRoute(to=call.to, from_=call.from_, direction=direction_of(call.direction))
