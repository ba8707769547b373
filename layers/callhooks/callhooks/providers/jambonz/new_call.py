"""A new call, or a later request for verbs at the same hook: parse, key, normalise."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from urllib.parse import urlencode

from aws_lambda_powertools.utilities.parser import ValidationError, parse

from callhooks.event import CallEvent, Kind, clean_text
from callhooks.http import BadRequest, Request
from callhooks.providers.jambonz.models import CallHook
from callhooks.providers.jambonz.verify import read_signature

PROVIDER = "jambonz"
NEW_CALL_KEY = "new-call"
LARGEST_CLOCK_DIFFERENCE_SECONDS = 86_400
LONGEST_WHOLE_NUMBER = 38

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

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
        document = _json_object(request.body)
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
    occurred_at = now
    if signature is not None and abs(now.timestamp() - int(signature.timestamp)) <= LARGEST_CLOCK_DIFFERENCE_SECONDS:
        occurred_at = signature.signed_at
    if call is None:
        return CallEvent(
            provider=PROVIDER,
            call_id=None,
            dedupe_key=hook_key(request, signature_header=signature_header),
            kind=Kind.INITIATED,
            name=NEW_CALL_KEY,
            occurred_at=occurred_at,
            received_at=now,
        )
    first = call.is_first_webhook
    return CallEvent(
        provider=PROVIDER,
        call_id=call.call_sid,
        dedupe_key=_new_call_key(request) if first else hook_key(request, signature_header=signature_header),
        kind=KIND_OF_STATUS.get(call.call_status or "trying", Kind.OTHER) if first else Kind.VERB,
        name=_cleaned(call.call_status) or NEW_CALL_KEY,
        occurred_at=occurred_at,
        received_at=now,
        direction=direction_of(call),
        from_=_cleaned(call.from_),
        to=_cleaned(call.to),
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


def _json_object(body: bytes) -> dict[str, object]:
    try:
        text = body.decode("utf-8-sig")
        document = json.loads(text, parse_int=_whole_number)
        if "\\ud" in text.lower():
            # A name cut within an emoji leaves half a surrogate pair, which neither Pydantic nor DynamoDB takes.
            pairs_joined = json.dumps(document, ensure_ascii=False)
            document = json.loads(_LONE_SURROGATE.sub(lambda half: rf"\\u{ord(half[0]):04x}", pairs_joined))
    except UnicodeDecodeError:
        raise BadRequest("The body is not valid UTF-8.") from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    except ValueError:
        raise BadRequest("The body is not JSON.") from None
    if not isinstance(document, dict):
        raise BadRequest("The body is not a JSON object.")
    return document


def _whole_number(digits: str) -> int | float:
    # Python refuses to convert more than 4,300 digits; that is no reason to lose a call.
    return int(digits) if len(digits) <= LONGEST_WHOLE_NUMBER else float(digits)


def _with_plus(value: str) -> str:
    # An unescaped + of a number arrives as a blank.
    return f"+{value[1:]}" if value[:1] == " " and value[1:2].isdigit() else value


def direction_of(call: CallHook) -> str | None:
    """`inbound` or `outbound`, or whatever else was sent, in lower case."""
    return _cleaned(call.direction.lower()) if call.direction else None


def _details(call: CallHook) -> dict[str, str]:
    members = {
        "call_status": call.call_status,
        "sip_status": None if call.sip_status is None else str(call.sip_status),
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
    return {name: text for name, value in members.items() if (text := _cleaned(value))}


def _cleaned(value: str | None) -> str | None:
    return (clean_text(value) or None) if value else None
