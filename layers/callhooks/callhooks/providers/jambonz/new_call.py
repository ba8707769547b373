"""Webhook for new calls and for later requests for verbs at the same hook."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from aws_lambda_powertools.utilities.parser import ValidationError, parse

from callhooks.events.call_event import CallEvent, Details, Kind, cleaned, direction_of, known_details
from callhooks.providers.jambonz.authentication import CHALLENGE, JambonzCredentials, verify_or_accept_get
from callhooks.providers.jambonz.hook import KIND_OF_STATUS, PROVIDER, JambonzWebhook, call_details, hook_key
from callhooks.providers.jambonz.models import CallHook
from callhooks.providers.jambonz.plan.call_facts import CallFacts
from callhooks.providers.jambonz.plan.plan import NO_ANSWER, Links, Plan, PlanAnswer, Turn, Verbs
from callhooks.providers.payload import json_object
from callhooks.runtime.errors import BadRequest, Unauthorized
from callhooks.runtime.http import Request, Response, Sender

NEW_CALL_KEY = "new-call"


def parse_call_hook(request: Request) -> CallHook | None:
    """Parse the call in a request; `None` for a `GET` without a call, as jambonz 0.9 sends it.

    Raises:
        BadRequest: the request is not a call.
    """
    document: dict[str, object]
    if request.method == "GET":
        document = {name: _with_plus(value) for name, value in request.query}
        if not document.get("call_sid"):
            return None
    else:
        document = json_object(request.body)
    try:
        return parse(event=document, model=CallHook)
    except ValidationError:
        # All other members are lenient, so call_sid is the invalid one.
        call_sid = document.get("call_sid", "")
        is_text = call_sid is None or isinstance(call_sid, str)
        raise BadRequest("call_sid is missing or empty." if is_text else "call_sid is not a string.") from None


def normalise(call: CallHook | None, request: Request, now: datetime) -> CallEvent:
    """Return the event of a new call, or of a later request for verbs at the same hook."""
    sent_at = request.sender.sent_at
    if call is None:
        return CallEvent(
            provider=PROVIDER,
            call_id=None,
            dedupe_key=hook_key(request),
            kind=Kind.INITIATED,
            name=NEW_CALL_KEY,
            received_at=now,
            sent_at=sent_at,
        )
    first = call.is_first_webhook
    return CallEvent(
        provider=PROVIDER,
        call_id=call.call_sid,
        dedupe_key=_new_call_key(request) if first else hook_key(request),
        once=first,
        kind=KIND_OF_STATUS.get((call.call_status or "trying").lower(), Kind.OTHER) if first else Kind.VERB,
        name=cleaned(call.call_status) or NEW_CALL_KEY,
        received_at=now,
        sent_at=sent_at,
        status=cleaned(call.call_status),
        direction=direction_of(call.direction),
        from_=cleaned(call.from_),
        to=cleaned(call.to),
        details=call_details(call),
    )


def _new_call_key(request: Request) -> str:
    # The signature of a GET is not checked, so a GET must not determine the response to a signed POST.
    return NEW_CALL_KEY if request.method == "POST" else f"{NEW_CALL_KEY}-{request.method.lower()}"


def _with_plus(value: str) -> str:
    # An unescaped + in a query arrives as a blank.
    return f"+{value[1:]}" if value[:1] == " " and value[1:2].isdigit() else value


class NewCall(NamedTuple):
    """A request for verbs at the call hook, and the response once it is known; a bare `GET` has no call."""

    call: CallHook | None
    answer: PlanAnswer = NO_ANSWER


class NewCallWebhook(JambonzWebhook[NewCall]):
    """Webhook that answers new calls, and declares the plan's variables to jambonz's portal.

    Args:
        plan: the call plan that answers.
        signature_header: the header with jambonz's signature.
        public_url: the public URL of the API that jambonz calls; empty for the request's own host.
    """

    handles_new_calls = True
    caller_waits = True

    def __init__(self, plan: Plan, *, signature_header: str, public_url: str) -> None:
        super().__init__(signature_header=signature_header)
        self._plan = plan
        self._public_url = public_url
        self.fallback = verbs_response(plan.fallback)
        self.uses_builtin_plan = plan.uses_builtin_plan

    def unauthenticated_response(self, request: Request) -> Response | None:
        """Return the declaration of the plan's variables for `OPTIONS`."""
        response = super().unauthenticated_response(request)
        return variables_response(self._plan) if response is None and request.method == "OPTIONS" else response

    def authenticate(self, request: Request, credentials: JambonzCredentials, now: datetime) -> Sender:
        """Check the sender. Reject an unsigned `GET` that names a call.

        jambonz 0.9 never names a call in a `GET`. Otherwise the Basic credentials would be enough to change a call.
        """
        sender = verify_or_accept_get(request, credentials, now)
        if sender.lacks_signature and any(name == "call_sid" and value for name, value in request.query):
            raise Unauthorized("a GET that names a call, which nothing signs", challenge=CHALLENGE)
        return sender

    def parse(self, request: Request) -> NewCall:
        """Parse the call."""
        return NewCall(parse_call_hook(request))

    def is_new_call(self, message: NewCall) -> bool:
        """Return whether this is the first webhook of a call; a bare `GET` is one."""
        return message.call is None or message.call.is_first_webhook

    def decide(self, message: NewCall, request: Request, now: datetime) -> NewCall:
        """Return the call with the verbs of its flow."""
        call = message.call
        facts = facts_of(call)
        links = Links(request.base_url(self._public_url), call.call_sid if call else "", key=request.sender.url_key)
        # A bare GET has no data about the call, not even the callee.
        flow = self._plan.flow_for(facts, now) if call else self._plan.routes[-1].flow
        return NewCall(call, self._plan.answer(Turn(flow), facts, links, now))

    def normalise(self, message: NewCall, request: Request, now: datetime) -> CallEvent:
        """Return the event of a new call."""
        event = normalise(message.call, request, now)
        return replace(event, details={**event.details, **answer_details(message.answer)})

    def answer(self, message: NewCall, _request: Request, _now: datetime) -> Response:
        """Return the verbs of the flow for the call."""
        return verbs_response(message.answer.verbs)

    def too_large_response(self, _reason: str, _request: Request) -> None:
        """Return `None`: no call has such a large body, so it is rejected."""


def facts_of(call: CallHook | None) -> CallFacts:
    """Return the facts in the first webhook; a bare `GET` has none."""
    if call is None:
        return CallFacts({})
    return CallFacts({**call.model_dump(by_alias=True, exclude_none=True), "customerData": call.customer_data})


def answer_details(answer: PlanAnswer) -> Details:
    """Return the details of a response for its event: the flows that the call enters, and the result it gives."""
    return known_details({"next_flows": " ".join(answer.flows), "counts_as": answer.counts_as})


def verbs_response(verbs: Verbs) -> Response:
    """Return the response with these verbs, a JSON array."""
    return Response(200, json.dumps(verbs, separators=(",", ":")))


def variables_response(plan: Plan) -> Response:
    """Return the declaration of the plan's variables as a flat object; 204 without variables, as jambonz requires."""
    schema = plan.variables_schema()
    return Response(200, json.dumps(schema, separators=(",", ":"))) if schema else Response(204, "")
