"""Normalisation of hooks from quarantine.

Decisions are not made again: SIP clients are not authenticated here, and tools do not run.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

from callhooks.events.call_event import CallEvent, Ignored
from callhooks.providers.description import Quarantined, reads
from callhooks.providers.jambonz import action, client_auth, events, new_call, tool_hook
from callhooks.providers.jambonz.authentication import DEFAULT_SIGNATURE_HEADER, unverified_time
from callhooks.providers.jambonz.sip_clients import Client
from callhooks.runtime.errors import BadRequest
from callhooks.runtime.http import Request, Sender

_read_event = reads(events.parse_event, events.normalise)


def normalise_quarantined(delivery: Quarantined) -> CallEvent | Ignored:
    """Return the event of a hook, according to its route.

    Raises:
        HttpProblem: the hook still cannot be parsed.
    """
    if not delivery.request.path:
        # Path and signature are part of a hook's dedupe key.
        raise BadRequest("An earlier version of callhooks stored this delivery without its path and signature.")
    header = delivery.parameters.get("JambonzSignatureHeader") or DEFAULT_SIGNATURE_HEADER
    request = _with_sender(delivery.request, delivery.received_at, header)
    return _READERS[request.route.rpartition(" ")[2].removesuffix("{rest+}").rstrip("/")](
        replace(delivery, request=request)
    )


def _with_sender(request: Request, received_at: datetime, signature_header: str) -> Request:
    """Return the request with the sender that an earlier version stored only as a header.

    That version trusted the call in the URL of an authenticated sender.
    """
    header = request.header(signature_header)
    if header is None:
        return request
    call_id = dict(request.query).get("call")
    return request._replace(sender=Sender(unverified_time(header, received_at), header, call_id))


def _read_client_auth(delivery: Quarantined) -> CallEvent:
    auth = client_auth.parse_client_auth(delivery.request)
    # The outcome is "not checked", unless the response shows that the client was authenticated.
    if json.loads(delivery.answer.body)["status"] == "ok":
        auth = replace(auth, outcome=Client(auth.attempt.username, auth.attempt.realm, ha1=""))
    return client_auth.normalise(auth, delivery.request, delivery.received_at)


_READERS = {
    "/webhooks/call": reads(new_call.parse_call_hook, new_call.normalise),
    "/webhooks/call/flows/{flow}/{step}": reads(action.parse_action_hook, action.normalise),
    "/webhooks/call/events": _read_event,
    "/adulting": _read_event,
    "/streaming-event": _read_event,
    "/tokens-result": _read_event,
    "/webhooks/client-auth": _read_client_auth,
    "/webhooks/tool/{vendor}": reads(tool_hook.parse_tool_hook, tool_hook.normalise),
}
