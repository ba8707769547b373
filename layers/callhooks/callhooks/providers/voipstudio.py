"""VoIPstudio: call events, DTMF, SMS and the wrap-up panel of queues.

Source: VoIPstudio's page Integrations - Webhooks. Requests are not signed; a token in the path authenticates them
(`url_token`). A phone call sends events for each PBX object that takes part, such as a user or a queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.parser import parse

from callhooks.events.call_event import INBOUND, CallEvent, Details, Ignored, Kind, cleaned, direction_of, known_details
from callhooks.providers.payload import Document, Identifier, Moment, OptionalInt, OptionalStr, json_object
from callhooks.providers.url_token import UrlTokenWebhook
from callhooks.runtime.errors import BadRequest
from callhooks.runtime.http import Request

if TYPE_CHECKING:
    from callhooks.providers.description import Parameters, Provider, Sample, SettingGroup, Setup

PROVIDER = "voipstudio"
WEBHOOK = "/webhooks/voipstudio"

KIND_OF_EVENT_NAME = {
    "call.initial": Kind.INITIATED,
    "call.ringing": Kind.RINGING,
    "call.missed": Kind.MISSED,
    "call.connected": Kind.ANSWERED,
    "call.hangup": Kind.COMPLETED,
    "call.hold": Kind.HELD,
    "call.unhold": Kind.RESUMED,
    "call.dtmf": Kind.DTMF,
    "sms.received": Kind.SMS_RECEIVED,
    "queue.wrapup": Kind.QUEUE_WRAPUP,
}
"""By `event_name`. `state` is ambiguous: in a `queue.wrapup` it is the state of the panel."""

CLICK_TO_CALL = "accepted"
"""The `state` of a call that VoIPstudio sets up for a user who clicked a number, in lower case."""


class VoipstudioEvent(Document):
    """Any event. `duration` is in seconds. Ids are integers in the documentation and strings in its sample."""

    id: Identifier = None
    event_time: Moment = None
    event_name: OptionalStr = None
    call_id: Identifier = None
    state: OptionalStr = None
    connected_at: Moment = None
    start_time: Moment = None
    context: OptionalStr = None
    destination: OptionalStr = None
    duration: OptionalInt = None
    t_cause: OptionalStr = None
    src: OptionalStr = None
    src_id: OptionalStr = None
    src_name: OptionalStr = None
    src_hash: OptionalStr = None
    dst: OptionalStr = None
    dst_id: OptionalStr = None
    dst_name: OptionalStr = None
    dtmf_tag: OptionalStr = None
    dtmf_target: OptionalStr = None
    customer_id: OptionalStr = None
    user_id: OptionalStr = None
    from_no: OptionalStr = None
    to_no: OptionalStr = None
    text: OptionalStr = None

    @property
    def kind(self) -> Kind:
        """Return the kind of the event."""
        return KIND_OF_EVENT_NAME.get((self.event_name or "").lower(), Kind.OTHER)


def parse_event(request: Request) -> VoipstudioEvent | None:
    """Parse the event in a request; `None` for the probe that the dashboard sends before it saves a URL.

    Raises:
        BadRequest: the body is not an event.
    """
    if request.method != "POST" or not request.body.strip():
        return None
    event = parse(event=json_object(request.body), model=VoipstudioEvent)
    if not event.event_name:
        raise BadRequest("There is no event_name.")
    if event.call_id is None and event.kind not in (Kind.SMS_RECEIVED, Kind.OTHER):
        raise BadRequest("There is no call_id.")
    return event


def dedupe_key(event: VoipstudioEvent, request: Request) -> str:
    """Return the event's id, or the hash of the raw body if it has none."""
    return event.id or request.body_hash


def normalise(event: VoipstudioEvent | None, request: Request, now: datetime) -> CallEvent | Ignored:
    """Return the event in the common vocabulary, or `Ignored` for a probe."""
    if event is None:
        return Ignored("probe")
    kind = event.kind
    is_sms = kind is Kind.SMS_RECEIVED
    key = dedupe_key(event, request)
    return CallEvent(
        provider=PROVIDER,
        call_id=None if is_sms else event.call_id,
        sms_id=key if is_sms else None,
        dedupe_key=key,
        kind=kind,
        name=cleaned(event.event_name) or "",
        received_at=now,
        sent_at=event.event_time,
        status=cleaned(event.state),
        direction=INBOUND if is_sms else direction_of(event.destination),
        from_=cleaned(event.src or event.from_no),
        to=cleaned(event.dst or event.to_no),
        details=_details(event),
    )


def _details(event: VoipstudioEvent) -> Details:
    return known_details(
        {
            "context": event.context,
            "click_to_call": (event.state or "").lower() == CLICK_TO_CALL or None,
            "started_at": event.start_time,
            "answered_at": event.connected_at,
            "duration_seconds": event.duration,
            "reason": event.t_cause,
            "src_id": event.src_id,
            "src_hash": event.src_hash,
            "caller_name": event.src_name,
            "dst_id": event.dst_id,
            "called_name": event.dst_name,
            "digits": event.dtmf_tag,
            "dtmf_target": event.dtmf_target,
            "customer_id": event.customer_id,
            "user_id": event.user_id,
            "text": event.text,
        }
    )


class VoipstudioWebhook(UrlTokenWebhook[VoipstudioEvent | None]):
    """Webhook for calls, SMS and queues."""

    provider = PROVIDER

    def parse(self, request: Request) -> VoipstudioEvent | None:
        """Parse the event."""
        return parse_event(request)

    def normalise(self, message: VoipstudioEvent | None, request: Request, now: datetime) -> CallEvent | Ignored:
        """Return the event in the common vocabulary."""
        return normalise(message, request, now)


def check_url(base_url: str) -> str:
    """Return why VoIPstudio rejects a webhook under this URL; empty if it accepts it."""
    return "" if base_url.startswith("https://") else "VoIPstudio accepts only https URLs. It rejects this URL."


def describe() -> Provider:
    """Describe VoIPstudio to the command, the doctor and the fold."""
    # Webhooks do not need these imports.
    from callhooks.calls.call import FoldHints, Outcome  # noqa: PLC0415
    from callhooks.providers.description import Provider, Route, reads, token_secret, with_token  # noqa: PLC0415

    return Provider(
        name=PROVIDER,
        title="VoIPstudio",
        secrets=(token_secret(PROVIDER, logical_id="VoipstudioCredentials"),),
        # Without a token the request is rejected.
        routes=tuple(
            Route(path, "VoipstudioEventFunction", reads(parse_event, normalise))
            for path in (f"{WEBHOOK}/{{token}}", WEBHOOK)
        ),
        call_ids=("call_id", "id", "src_hash"),
        sign=with_token,
        samples=_samples,
        settings=_settings,
        check_url=check_url,
        fold_hints=FoldHints(
            repeats_answer_time=True,
            outcome_of_cause={
                "busy": Outcome.BUSY,
                "no answer": Outcome.NO_ANSWER,
                "no user": Outcome.NO_ANSWER,
                "rejected": Outcome.REJECTED,
                "cancel": Outcome.CANCELLED,
                "normal clearing": Outcome.NO_ANSWER,
            },
            queue_context="queue",
            wrapup_opened="start",
            wrapup_closed=("end", "timeout"),
        ),
    )


def _samples(call_id: str, now: datetime, _parameters: Parameters) -> Sequence[Sample]:
    """Return an event for the end of a call."""
    from callhooks.providers.description import (  # noqa: PLC0415
        TEST_NUMBER,
        TEST_SENDER,
        Sample,
        check_stored,
        json_delivery,
    )

    moment = f"{now.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    document = {
        "id": call_id,
        "event_time": moment,
        "event_name": "call.hangup",
        "call_id": call_id,
        "state": "HANGUP",
        "start_time": moment,
        "context": "LOCAL_USER",
        "destination": "in",
        "duration": 0,
        "src": TEST_SENDER,
        "dst": TEST_NUMBER,
    }
    return [Sample("event", json_delivery(WEBHOOK, document), check_stored)]


def _settings(setup: Setup) -> Sequence[SettingGroup]:
    from callhooks.providers.description import Setting, SettingGroup  # noqa: PLC0415

    problem = check_url(setup.base_url)
    return [
        SettingGroup(
            "Dashboard: Integrations > Webhooks > Enable > Add Webhook",
            [
                Setting("URL", f"{setup.base_url}{WEBHOOK}/{setup.credentials['token']}"),
                Setting("Event", "Call State Change; optionally SMS received, Queue wrap up"),
            ],
            ["Treat the URL as a password: VoIPstudio does not sign its requests.", *([problem] if problem else [])],
        )
    ]
