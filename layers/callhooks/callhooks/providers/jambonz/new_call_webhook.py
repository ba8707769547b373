"""jambonz asks what to do with a new call and waits for an array of verbs."""

from __future__ import annotations

import json
from datetime import datetime

from callhooks.providers.jambonz.authentication import JambonzCredentials, precheck_credentials
from callhooks.providers.jambonz.hook import PROVIDER
from callhooks.providers.jambonz.models import CallHook
from callhooks.providers.jambonz.new_call import normalise, parse_call_hook, verify
from callhooks.providers.jambonz.plan.call_facts import CallFacts
from callhooks.providers.jambonz.plan.plan import Links, Plan, Turn, Verbs
from callhooks.runtime.http import Request, Response
from callhooks.webhooks.pipeline import Webhook


def new_call_webhook(
    plan: Plan, *, signature_header: str, public_url: str
) -> Webhook[JambonzCredentials, CallHook | None]:
    """The new-call webhook, answered from a call plan; it also declares the plan's variables to jambonz's portal."""

    def answer(call: CallHook | None, request: Request, now: datetime) -> Response:
        facts = facts_of(call)
        links = Links(request.base_url(public_url), call.call_sid if call else "", key=request.sender.url_key)
        # Of a bare GET nothing is known, not even whom it is for.
        flow = plan.flow_for(facts, now) if call else plan.routes[-1].flow
        return verbs_response(plan.verbs_of(Turn(flow), facts, links))

    return Webhook(
        provider=PROVIDER,
        precheck_credentials=precheck_credentials,
        verify=verify,
        signature_header=signature_header,
        parse=parse_call_hook,
        normalise=normalise,
        answer=answer,
        fallback=verbs_response(plan.fallback),
        not_understood=None,
        is_new_call=lambda call: call is None or call.is_first_webhook,
        caller_waits=True,
        uses_builtin_plan=plan.uses_builtin_plan,
        unauthenticated_response=lambda request: variables_response(plan) if request.method == "OPTIONS" else None,
    )


def facts_of(call: CallHook | None) -> CallFacts:
    """What the first webhook tells; a bare `GET` tells nothing."""
    if call is None:
        return CallFacts({})
    return CallFacts({**call.model_dump(by_alias=True, exclude_none=True), "customerData": call.customer_data})


def verbs_response(verbs: Verbs) -> Response:
    """Verbs as jambonz takes them: 200, JSON, an array."""
    return Response(200, json.dumps(verbs, separators=(",", ":")))


def variables_response(plan: Plan) -> Response:
    """The declaration of the plan's variables: a flat object, or nothing at all, since jambonz refuses an empty one."""
    schema = plan.variables_schema()
    return Response(200, json.dumps(schema, separators=(",", ":"))) if schema else Response(204, "")
