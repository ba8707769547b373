"""Read a hook again that was not understood when it came.

What a hook decides, it has decided when the delivery came: no client is checked here, and no tool is run.
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


def read_again(aside: Quarantined) -> CallEvent | Ignored:
    """Return what a hook tells, by its route.

    Raises:
        HttpProblem: it is still not understood.
    """
    if not aside.request.path:
        # Hooks are told apart by their path and their signature.
        raise BadRequest("An earlier version has kept it without its path and its signature.")
    header = aside.parameters.get("JambonzSignatureHeader") or DEFAULT_SIGNATURE_HEADER
    request = _with_sender(aside.request, aside.received_at, header)
    return _READERS[request.route.rpartition(" ")[2]](replace(aside, request=request))


def _with_sender(request: Request, received_at: datetime, signature_header: str) -> Request:
    """Return the request with the sender that an earlier version has kept as the header alone.

    That version took the call from the URL of a verified sender as it was.
    """
    header = request.header(signature_header)
    if header is None:
        return request
    call_id = dict(request.query).get("call")
    return request._replace(sender=Sender(unverified_time(header, received_at), header, call_id))


def _read_client_auth(aside: Quarantined) -> CallEvent:
    auth = client_auth.parse_client_auth(aside.request)
    # Whom nobody has checked was refused; the answer tells the one case in which somebody was let in.
    if json.loads(aside.answer.body)["status"] == "ok":
        auth = replace(auth, outcome=Client(auth.attempt.username, auth.attempt.realm, ha1=""))
    return client_auth.normalise(auth, aside.request, aside.received_at)


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
