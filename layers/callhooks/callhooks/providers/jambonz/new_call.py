"""A new call, or a later request for verbs at the same hook: parse, key, normalise."""

from __future__ import annotations

from datetime import datetime

from aws_lambda_powertools.utilities.parser import ValidationError, parse

from callhooks.events.call_event import CallEvent, Kind, cleaned, direction_of
from callhooks.providers.jambonz.authentication import CHALLENGE, JambonzCredentials, verify_or_take_get
from callhooks.providers.jambonz.hook import KIND_OF_STATUS, PROVIDER, call_details, hook_key
from callhooks.providers.jambonz.models import CallHook
from callhooks.providers.payload import json_object
from callhooks.runtime.http import BadRequest, Request, Sender, Unauthorized

NEW_CALL_KEY = "new-call"


def verify(request: Request, credentials: JambonzCredentials, now: datetime) -> Sender:
    """Check the sender; a `GET` that lacks its signature may name no call.

    jambonz 0.9 names none in a `GET`. With the Basic credentials alone, anybody could rewrite a call by one.

    Raises:
        Unauthorized: with the reason for the log.
    """
    sender = verify_or_take_get(request, credentials, now)
    if sender.lacks_signature and any(name == "call_sid" and value for name, value in request.query):
        raise Unauthorized("a GET that names a call, which nothing signs", challenge=CHALLENGE)
    return sender


def parse_call_hook(request: Request) -> CallHook | None:
    """The call of a request; `None` for a `GET` that names none, as jambonz 0.9 sends it.

    Raises:
        BadRequest: this is not a call.
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
        # Every other member is lenient, so that this alone can be wrong.
        given = document.get("call_sid", "")
        is_text = given is None or isinstance(given, str)
        raise BadRequest("call_sid is missing or empty." if is_text else "call_sid is not a string.") from None


def normalise(call: CallHook | None, request: Request, now: datetime) -> CallEvent:
    """The event of a new call, or of a later request for verbs at the same hook."""
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
    # A GET is not held to its signature, and must not answer a signed POST in advance.
    return NEW_CALL_KEY if request.method == "POST" else f"{NEW_CALL_KEY}-{request.method.lower()}"


def _with_plus(value: str) -> str:
    # An unescaped + of a number arrives as a blank.
    return f"+{value[1:]}" if value[:1] == " " and value[1:2].isdigit() else value
