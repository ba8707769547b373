"""What all hooks of jambonz have in common: what tells one from another, when it was sent, what it says of the call."""

from __future__ import annotations

import hashlib
from datetime import datetime
from itertools import islice
from urllib.parse import urlencode

from callhooks.events.call_event import Details, Kind, clean_text, known_details
from callhooks.providers.jambonz.authentication import JambonzCredentials, shown_basic, verify
from callhooks.providers.jambonz.models import CallInfo
from callhooks.runtime.http import Request, Sender
from callhooks.webhooks.webhook import MessageT, Webhook

PROVIDER = "jambonz"
MAX_CUSTOMER_DATA = 50

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


def hook_key(request: Request) -> str:
    """Return the dedupe key of a jambonz hook.

    The signature does not cover the URL, and different hooks of a call share it: method, path and query stand beside
    the sender's mark. Without a mark the body stands in, and without a body the request itself.
    """
    query = urlencode(sorted(request.query), errors="surrogatepass")
    return _hashed(request.method, request.path, query, _mark(request))


def tool_key(request: Request) -> str:
    """Return the key under which the tools of a hook run once, however its URL is spelt.

    The body is part of it, since it may differ under a signature that nobody can verify.
    """
    return _hashed(_mark(request), request.body_hash, request.sender.call_id or "")


def _mark(request: Request) -> str:
    return request.sender.mark or request.body.hex() or request.request_id


def _hashed(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def call_details(call: CallInfo) -> Details:
    """What an event keeps of the call besides its own members.

    What was tagged is there as `customer_data.<key>`, as far as it is text, a number or a flag: what people find their
    own records by. Its keys are jambonz's, in snake case in some hooks and as they were in others.
    """
    tagged = (
        (f"customer_data.{clean_text(name)}", value)
        for name, value in (call.customer_data or {}).items()
        if isinstance(value, str | int)
    )
    return known_details(
        {
            "sip_status": call.sip_status,
            "sip_reason": call.sip_reason,
            "caller_name": call.shown_caller_name,
            "sip_call_id": call.call_id,
            "sbc_callid": call.sbc_callid,
            "parent_call_sid": call.parent_call_sid,
            "account_sid": call.account_sid,
            "application_sid": call.application_sid,
            "trunk": call.originating_sip_trunk_name,
            "originating_sip_ip": call.originating_sip_ip,
            "trace_id": call.trace_id,
            "call_termination_by": call.call_termination_by,
            **dict(islice(tagged, MAX_CUSTOMER_DATA)),
        }
    )


class JambonzWebhook(Webhook[JambonzCredentials, MessageT]):
    """What all hooks have in common: Basic, and the signature where a webhook secret is set.

    Args:
        signature_header: the header with jambonz's signature.
    """

    provider = PROVIDER

    def __init__(self, *, signature_header: str) -> None:
        self.signature_header = signature_header

    def precheck_credentials(self, request: Request, _now: datetime) -> None:
        """Check that there are Basic credentials, right or wrong."""
        shown_basic(request.header("authorization"))

    def authenticate(self, request: Request, credentials: JambonzCredentials, now: datetime) -> Sender:
        """Check Basic and the signature."""
        return verify(request, credentials, now)
