"""A new call, or a later request for verbs at the same hook: parse, key, normalise."""

from __future__ import annotations

import hashlib
from datetime import datetime
from urllib.parse import urlencode

from aws_lambda_powertools.utilities.parser import ValidationError, parse

from callhooks.event import CallEvent, Details, Kind, cleaned, direction_of, known_details
from callhooks.http import BadRequest, Request
from callhooks.providers.jambonz.models import CallHook
from callhooks.providers.jambonz.verify import read_signature
from callhooks.providers.lenient import json_object

PROVIDER = "jambonz"
NEW_CALL_KEY = "new-call"
LARGEST_CLOCK_DIFFERENCE_SECONDS = 86_400

KIND_OF_STATUS = {
    "queued": Kind.INITIATED,
    "trying": Kind.INITIATED,
    "ringing": Kind.RINGING,
    "early-media": Kind.EARLY_MEDIA,
    "in-progress": Kind.ANSWERED,
    "completed": Kind.COMPLETED,
    "busy": Kind.BUSY,
    "no-answer": Kind.NO_ANSWER,
    "failed": Kind.FAILED,
}
"""jambonz's `call_status`, as feature-server 0.9.8 knows it."""


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


def normalise(call: CallHook | None, request: Request, now: datetime, *, signature_header: str) -> CallEvent:
    """The event of a new call, or of a later request for verbs at the same hook."""
    signature = read_signature(request.header(signature_header))
    sent_at = None
    if signature is not None and abs(now.timestamp() - int(signature.timestamp)) <= LARGEST_CLOCK_DIFFERENCE_SECONDS:
        sent_at = signature.signed_at
    if call is None:
        return CallEvent(
            provider=PROVIDER,
            call_id=None,
            dedupe_key=hook_key(request, signature_header=signature_header),
            kind=Kind.INITIATED,
            name=NEW_CALL_KEY,
            received_at=now,
            sent_at=sent_at,
        )
    first = call.is_first_webhook
    return CallEvent(
        provider=PROVIDER,
        call_id=call.call_sid,
        dedupe_key=_new_call_key(request) if first else hook_key(request, signature_header=signature_header),
        kind=KIND_OF_STATUS.get((call.call_status or "trying").lower(), Kind.OTHER) if first else Kind.VERB,
        name=cleaned(call.call_status) or NEW_CALL_KEY,
        received_at=now,
        sent_at=sent_at,
        status=cleaned(call.call_status),
        direction=direction_of(call.direction),
        from_=cleaned(call.from_),
        to=cleaned(call.to),
        details=_details(call),
    )


def _new_call_key(request: Request) -> str:
    # A GET is not held to its signature, and must not answer a signed POST in advance.
    return NEW_CALL_KEY if request.method == "POST" else f"{NEW_CALL_KEY}-{request.method.lower()}"


def hook_key(request: Request, *, signature_header: str) -> str:
    """What tells one jambonz hook from another, while a retry keeps it.

    A retry repeats the signature byte for byte; the signature does not cover the URL, and different hooks of a call
    share it. Without one the body stands in, and where there is neither, the request itself.
    """
    sender_mark = request.header(signature_header) or request.body.hex() or request.request_id
    parts = [request.method, request.path, urlencode(sorted(request.query), errors="surrogatepass"), sender_mark]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _with_plus(value: str) -> str:
    # An unescaped + of a number arrives as a blank.
    return f"+{value[1:]}" if value[:1] == " " and value[1:2].isdigit() else value


def _details(call: CallHook) -> Details:
    return known_details(
        {
            "sip_status": call.sip_status,
            "sip_reason": call.sip_reason,
            "caller_name": (call.caller_name or "").strip().strip('"'),
            "sip_call_id": call.call_id,
            "sbc_callid": call.sbc_callid,
            "parent_call_sid": call.parent_call_sid,
            "account_sid": call.account_sid,
            "application_sid": call.application_sid,
            "trunk": call.originating_sip_trunk_name,
            "originating_sip_ip": call.originating_sip_ip,
            "trace_id": call.trace_id,
        }
    )
