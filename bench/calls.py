"""Complete recorded calls, as the items that callhooks stores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache

from callhooks.events.call_event import Ignored
from callhooks.events.event_item import Item, event_item
from callhooks.providers.bird import BirdWebhook, SubscriptionFilter
from callhooks.providers.jambonz.action import ActionWebhook
from callhooks.providers.jambonz.authentication import DEFAULT_SIGNATURE_HEADER
from callhooks.providers.jambonz.events import EventWebhook
from callhooks.providers.jambonz.new_call import NewCallWebhook
from callhooks.providers.jambonz.plan.loader import read_plan
from callhooks.providers.jambonz.plan.plan import Plan
from callhooks.providers.voipstudio import VoipstudioWebhook
from callhooks.providers.wavix import WavixWebhook
from callhooks.runtime.http import Request
from callhooks.webhooks.webhook import Webhook
from callhooks_tools.providers.jambonz.plan.builder import read_plan_file
from callhooks_tools.stack.recordings import Delivery, read_delivery
from callhooks_tools.stack.stack import ROOT

from bench.deliveries import authenticated, recorded

RECORDED_CALLS: Mapping[str, Mapping[str, float]] = {
    "jambonz": {
        "new_call": 0,
        "call_status_inbound_trying": 0.1,
        "call_status_inbound_in_progress": 0.4,
        "action_gather_digits": 7,
        "call_status_dial_leg_trying": 7.2,
        "call_status_dial_leg_ringing": 7.9,
        "call_status_dial_leg_in_progress": 13,
        "call_status_dial_leg_completed": 75,
        "action_dial_completed": 75.1,
        "call_status_inbound_completed": 75.3,
    },
    "wavix": {"call_setup": 0, "ringing": 0.2, "answered": 6, "completed": 48, "post_call_answered": 52},
    "bird": {
        "voice_inbound_starting": 0,
        "voice_inbound_ringing": 0.5,
        "voice_inbound_ongoing": 5,
        "voice_inbound_completed": 47,
    },
    "voipstudio": {"call_initial": 0, "call_ringing": 1.2, "call_connected": 6, "call_hangup": 48},
}
"""An answered call of each provider: its recordings, and the second in which each one arrives.

The jambonz call goes through a menu and rings an agent: 10 events of two call legs.
"""


@cache
def _plan() -> Plan:
    return read_plan(read_plan_file(ROOT / "layers" / "call_plan" / "call_plan.yaml"))


@cache
def _webhook(path: str) -> Webhook[object, object]:
    public_url = "https://abcdef1234.execute-api.us-east-1.amazonaws.com"
    webhooks: Mapping[str, object] = {
        "/webhooks/call": NewCallWebhook(_plan(), signature_header=DEFAULT_SIGNATURE_HEADER, public_url=public_url),
        "/webhooks/call/events": EventWebhook(signature_header=DEFAULT_SIGNATURE_HEADER),
        "/webhooks/call/flows": ActionWebhook(
            _plan(),
            load_initial_webhook=lambda _call_sid: None,
            signature_header=DEFAULT_SIGNATURE_HEADER,
            public_url=public_url,
        ),
        "/webhooks/wavix": WavixWebhook(allowed=()),
        "/webhooks/bird": BirdWebhook(public_url=public_url, window=timedelta(hours=24), wanted=SubscriptionFilter()),
        "/webhooks/voipstudio": VoipstudioWebhook(allowed=()),
    }
    best_match = max((known for known in webhooks if path == known or path.startswith(f"{known}/")), key=len)
    return webhooks[best_match]  # type: ignore[return-value]  # the same webhook parses and normalises


def stored_item(provider: str, name: str) -> Item:
    """Return the item that callhooks stores for a recorded delivery.

    Raises:
        ValueError: callhooks ignores the delivery.
    """
    delivery = read_delivery(recorded(f"{provider}/{name}"))
    if (provider, name) == ("wavix", "post_call_answered"):
        delivery = _of_the_inbound_call(delivery)
    request, now = Request.from_event(authenticated(delivery)), datetime.now(UTC)
    webhook = _webhook(request.path)
    message = webhook.decide(webhook.parse(request), request, now)
    event = webhook.normalise(message, request, now)
    if isinstance(event, Ignored):
        raise ValueError(f"{name} is not stored")  # noqa: TRY004 - the recording is wrong, not a type
    return event_item(event, request, webhook.answer(message, request, now), retention_days=90)


def _of_the_inbound_call(delivery: Delivery) -> Delivery:
    """Return Wavix's report, recorded for an outbound call, as a report of the recorded inbound call."""
    report = json.loads(delivery.request.body)
    call = json.loads(read_delivery(recorded("wavix/completed")).request.body)
    report |= {"uuid": call["uuid"], "direction": call["direction"], "from": report["to"], "to": report["from"]}
    return Delivery({**delivery.event, "body": json.dumps(report, separators=(",", ":")), "isBase64Encoded": False})
