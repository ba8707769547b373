"""Shared parts of jambonz's hooks: dedupe keys, call details, authentication."""

from __future__ import annotations

import hashlib
from datetime import datetime
from itertools import islice
from urllib.parse import urlencode

from callhooks.events.call_event import Details, Kind, clean_text, known_details
from callhooks.providers.jambonz.authentication import JambonzCredentials, decode_basic, verify
from callhooks.providers.jambonz.models import CallInfo
from callhooks.runtime.errors import HttpProblem
from callhooks.runtime.http import Request, Response, Sender, problem_response
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
"""By `call_status`, as in feature-server 0.9.8."""


def hook_key(request: Request) -> str:
    """Return the dedupe key of a jambonz hook.

    The key contains method, path and query in addition to the sender's mark: the signature does not cover the URL, and
    different hooks of a call can have the same signature. A slash at the end of the path is the same hook. Without a
    mark the body replaces it; without a body, the request id.
    """
    query = urlencode(sorted(request.query), errors="surrogatepass")
    return _hashed(request.method, request.path.rstrip("/"), query, _mark(request))


def tool_key(request: Request) -> str:
    """Return the key that makes the tools of a hook run once, independent of the spelling of its URL.

    The key contains the body, because different bodies can have the same unverified signature.
    """
    return _hashed(_mark(request), request.body_hash, request.sender.call_id or "")


def _mark(request: Request) -> str:
    return request.sender.mark or request.body.hex() or request.request_id


def _hashed(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def call_details(call: CallInfo) -> Details:
    """Return the details of the call for an event.

    Tags that are text, numbers or flags become `customer_data.<key>`, so that people can find their own records. The
    keys are as jambonz sends them: in snake case in some hooks, unchanged in others.
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
            "local_sip_address": call.local_sip_address,
            "service_provider_sid": call.service_provider_sid,
            "trace_id": call.trace_id,
            "call_termination_by": call.call_termination_by,
            **dict(islice(tagged, MAX_CUSTOMER_DATA)),
        }
    )


class JambonzWebhook(Webhook[JambonzCredentials, MessageT]):
    """Base class of jambonz's webhooks: checks Basic and, if a webhook secret is set, the signature.

    Args:
        signature_header: the header with jambonz's signature.
    """

    provider = PROVIDER

    def __init__(self, *, signature_header: str) -> None:
        self.signature_header = signature_header

    def unauthenticated_response(self, request: Request) -> Response | None:
        """Reject a path that continues after the slash, which the route of a slash at the end also matches."""
        is_longer = bool(request.path_parameters.get("rest"))
        return problem_response(HttpProblem(404, "Not found", "No such path.")) if is_longer else None

    def precheck_credentials(self, request: Request, _now: datetime) -> None:
        """Check that the request has well-formed Basic credentials."""
        decode_basic(request.header("authorization"))

    def authenticate(self, request: Request, credentials: JambonzCredentials, now: datetime) -> Sender:
        """Check Basic and the signature."""
        return verify(request, credentials, now)
