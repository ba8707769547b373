"""Wavix: the on-call and post-call webhooks.

Sources: Wavix's pages On-call event and Post-call event, the OpenAPI documents of December 2025 and June 2026, the Node
SDK of 2024, and Wavix's own sample receiver, which looks for the same member in several places. Requests are not
signed; a token in the path authenticates them (`url_token`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.parser import parse
from pydantic import AliasChoices, Field

from callhooks.events.call_event import CallEvent, Details, Kind, cleaned, direction_of, known_details, utc_text
from callhooks.providers.payload import (
    Document,
    Flag,
    Identifier,
    JsonObject,
    Moment,
    Number,
    OptionalInt,
    OptionalStr,
    json_object,
)
from callhooks.providers.url_token import UrlTokenWebhook
from callhooks.runtime.errors import BadRequest
from callhooks.runtime.http import Request

if TYPE_CHECKING:
    from callhooks.providers.description import Parameters, Provider, Sample, SettingGroup, Setup

PROVIDER = "wavix"
POST_CALL = "post-call"
API = "https://api.wavix.com/v1/calls/webhooks"
WEBHOOK = "/webhooks/wavix"

KIND_OF_EVENT_TYPE = {
    "call_setup": Kind.INITIATED,
    "ringing": Kind.RINGING,
    "early_media": Kind.EARLY_MEDIA,
    "answered": Kind.ANSWERED,
    "completed": Kind.COMPLETED,
    "busy": Kind.BUSY,
    "cancelled": Kind.CANCELLED,
    "rejected": Kind.REJECTED,
    "on_call_event": Kind.MEDIA,
    "in_call_event": Kind.MEDIA,
    "incoming_call": Kind.INITIATED,
    POST_CALL: Kind.BILLED,
}
"""By `event_type`. `in_call_event` is the name of 2024; `incoming_call` is from Wavix's sample receiver."""


class WavixEvent(Document):
    """Event of either webhook, in every generation.

    A post-call event has no `event_type`, but a `disposition` or a `charge`. `duration` is in seconds; `charge` and
    `per_minute` are in US dollars.
    """

    id: Identifier = None
    uuid: Identifier = None
    call_id: Identifier = None
    event_type: OptionalStr = None
    event: OptionalStr = Field(default=None, validation_alias=AliasChoices("event", "type"))
    event_time: Moment = None
    event_payload: JsonObject = None
    in_call_event: OptionalStr = None
    in_call_event_data: JsonObject = None
    direction: OptionalStr = None
    from_: OptionalStr = Field(default=None, alias="from")
    to: OptionalStr = None
    call_started: Moment = None
    call_answered: Moment = None
    call_completed: Moment = Field(default=None, validation_alias=AliasChoices("call_completed", "call_finished"))
    machine_detected: Flag = None
    tag: OptionalStr = None
    date: Moment = None
    disposition: OptionalStr = None
    duration: OptionalInt = None
    charge: Number = None
    per_minute: Number = None
    forward_fee: Number = None
    destination: OptionalStr = None
    answered_by: OptionalStr = None
    sip_trunk: OptionalStr = None
    parent_uuid: OptionalStr = None

    @property
    def id_of_call(self) -> str | None:
        """Return the call's id. `uuid` is deprecated in favour of `id`; older generations have only `uuid`."""
        return self.call_id or self.id or self.uuid

    @property
    def name(self) -> str | None:
        """Return the event type; `post-call` for the event without one."""
        is_post_call = bool(self.disposition) or self.charge is not None
        return self.event_type or (POST_CALL if is_post_call else self.event) or None


def parse_event(request: Request) -> WavixEvent:
    """Parse the event in a request.

    Raises:
        BadRequest: the body is not an event of a call.
    """
    document = _without_nulls(json_object(request.body))
    # Wavix's sample receiver looks in `call` and `data` for members that are missing at the top level.
    call, data = _without_nulls(document.get("call")), _without_nulls(document.get("data"))
    if "id" in call:
        call["call_id"] = call.pop("id")
    if "uuid" in data:
        data.setdefault("call_id", data["uuid"])
    members = {**call, **data, **document}
    event = parse(event=members, model=WavixEvent)
    if event.name is None:
        raise BadRequest("There is neither an event_type nor a disposition.")
    if event.id_of_call is None:
        raise BadRequest("There is no id or uuid of a call.")
    return event


def _without_nulls(document: object) -> dict[str, object]:
    members = document if isinstance(document, dict) else {}
    return {name: value for name, value in members.items() if value is not None}


def dedupe_key(request: Request) -> str:
    """Return the hash of the raw body, because Wavix sends no event id."""
    return request.body_hash


def normalise(event: WavixEvent, request: Request, now: datetime) -> CallEvent:
    """Return the event in the common vocabulary."""
    name = cleaned(event.name) or ""
    kind = KIND_OF_EVENT_TYPE.get(name.lower(), Kind.OTHER)
    return CallEvent(
        provider=PROVIDER,
        call_id=event.id_of_call,
        dedupe_key=dedupe_key(request),
        kind=kind,
        name=name,
        received_at=now,
        sent_at=event.event_time or event.date,
        status=cleaned(event.disposition) if kind is Kind.BILLED else name,
        direction=direction_of(event.direction),
        from_=cleaned(event.from_),
        to=cleaned(event.to),
        # Any event type can have a media payload, as in the example in Wavix's documentation.
        details={**_call_details(event), **_media_details(event)},
    )


def _call_details(event: WavixEvent) -> Details:
    return known_details(
        {
            "started_at": event.call_started,
            "answered_at": event.call_answered,
            "ended_at": event.call_completed,
            "machine_detected": event.machine_detected,
            "tag": event.tag,
            "disposition": event.disposition,
            "duration_seconds": event.duration,
            "charge": event.charge,
            "per_minute": event.per_minute,
            "forward_fee": event.forward_fee,
            "destination": event.destination,
            "answered_by": event.answered_by,
            "trunk": event.sip_trunk,
            "parent_call_id": event.parent_uuid,
        }
    )


class _MediaPayload(Document):
    status: OptionalStr = None
    playback_id: OptionalStr = None
    digits: OptionalStr = None
    reason: OptionalStr = None


class _InCallPayload(Document):
    """`{"type", "payload"}` (2026) or `{"in_call_event", "in_call_event_data"}` (2024).

    `in_call_event` combines type and status, such as `collect_completed`.
    """

    type: OptionalStr = None
    payload: JsonObject = Field(default=None, validation_alias=AliasChoices("payload", "in_call_event_data"))
    in_call_event: OptionalStr = None


def _media_details(event: WavixEvent) -> Details:
    flat = {"in_call_event": event.in_call_event, "in_call_event_data": event.in_call_event_data}
    in_call = _InCallPayload.model_validate(event.event_payload or flat)
    payload = _MediaPayload.model_validate(in_call.payload or {})
    older_type, _, older_status = (in_call.in_call_event or "").rpartition("_")
    return known_details(
        {
            "media": in_call.type or older_type,
            "media_status": payload.status or older_status,
            "playback_id": payload.playback_id,
            "digits": payload.digits,
            "reason": payload.reason,
        }
    )


class WavixWebhook(UrlTokenWebhook[WavixEvent]):
    """Webhook for the events of a call and its cost."""

    provider = PROVIDER

    def parse(self, request: Request) -> WavixEvent:
        """Parse the event."""
        return parse_event(request)

    def normalise(self, message: WavixEvent, request: Request, now: datetime) -> CallEvent:
        """Return the event in the common vocabulary."""
        return normalise(message, request, now)


def describe() -> Provider:
    """Describe Wavix to the command, the doctor and the fold."""
    # Webhooks do not need these imports.
    from callhooks.calls.call import FoldHints  # noqa: PLC0415
    from callhooks.providers.description import Provider, Route, reads, token_secret, with_token  # noqa: PLC0415

    return Provider(
        name=PROVIDER,
        title="Wavix",
        secrets=(token_secret(PROVIDER, logical_id="WavixCredentials"),),
        # Without a token the request is rejected.
        routes=tuple(
            Route(path, "WavixCallFunction", reads(parse_event, normalise))
            for path in (f"{WEBHOOK}/{{token}}", WEBHOOK)
        ),
        call_ids=("id", "uuid", "call_id"),
        sign=with_token,
        samples=_samples,
        settings=_settings,
        fold_hints=FoldHints(
            repeats_answer_time=True,
            # There is no on-call event for a call that failed.
            kind_of_bill={
                "answered": Kind.COMPLETED,
                "noanswer": Kind.NO_ANSWER,
                "busy": Kind.BUSY,
                "failed": Kind.FAILED,
            },
            currency="USD",
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

    moment = utc_text(now)
    document = {
        "uuid": call_id,
        "id": call_id,
        "direction": "inbound",
        "event_type": "completed",
        "event_time": moment,
        "from": TEST_SENDER,
        "to": TEST_NUMBER,
        "call_started": moment,
        "call_completed": moment,
    }
    return [Sample("on-call event", json_delivery(WEBHOOK, document), check_stored)]


def _settings(setup: Setup) -> Sequence[SettingGroup]:
    from callhooks.providers.description import Setting, SettingGroup  # noqa: PLC0415

    return [
        SettingGroup(
            f"POST {API}, once for each event_type",
            [
                Setting("url", f"{setup.base_url}{WEBHOOK}/{setup.credentials['token']}"),
                Setting("event_type", "on-call; for the second webhook post-call"),
            ],
            ["Treat the URL as a password: Wavix does not sign its requests."],
        )
    ]
