"""Bird (formerly MessageBird): the webhooks `voice.inbound` and `voice.outbound` of the Channels product.

Sources: Bird's pages Voice webhooks, Verifying a webhook subscription and Retries. No page shows a complete delivery.
callhooks expects the envelope `service`, `event`, `payload` around the `ChannelCall` of the Voice API, as published
handlers do, and requires only the call's id and status.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import urlsplit

from aws_lambda_powertools.utilities.parser import parse
from pydantic import Field

from callhooks.events.call_event import (
    INBOUND,
    OUTBOUND,
    CallEvent,
    Details,
    Ignored,
    Kind,
    cleaned,
    direction_of,
    known_details,
    utc_text,
)
from callhooks.providers.payload import (
    Document,
    Identifier,
    IntegerOrText,
    JsonObject,
    Moment,
    OptionalInt,
    OptionalStr,
    json_object,
)
from callhooks.runtime.errors import BadRequest, Unauthorized
from callhooks.runtime.http import Request, Sender
from callhooks.webhooks.credentials import SecretValue, secret_texts
from callhooks.webhooks.webhook import Webhook

if TYPE_CHECKING:
    from callhooks.providers.description import Parameters, Provider, Quarantined, Sample, SettingGroup, Setup, Signing

PROVIDER = "bird"
SIGNATURE_HEADER = "messagebird-signature"
TIMESTAMP_HEADER = "messagebird-request-timestamp"
REQUEST_ID_HEADER = "messagebird-request-id"

DIRECTION_OF_EVENT = {"voice.inbound": INBOUND, "voice.outbound": OUTBOUND}

KIND_OF_STATUS = {
    "accepted": Kind.INITIATED,
    "starting": Kind.INITIATED,
    "ringing": Kind.RINGING,
    "ongoing": Kind.ANSWERED,
    "completed": Kind.COMPLETED,
    "no-answer": Kind.NO_ANSWER,
    "busy": Kind.BUSY,
    "failed": Kind.FAILED,
    "cancelled": Kind.CANCELLED,
}
"""By `payload.status`, for both events. Only outbound calls have `accepted` and `cancelled`."""

MAX_CLOCK_LEAD = timedelta(minutes=5)
"""How far Bird's clock may be ahead of ours."""

API = "https://api.bird.com/workspaces/{workspaceId}/webhook-subscriptions"
WEBHOOK = "/webhooks/bird"
OUTBOUND_ONLY_STATUSES = ("accepted", "cancelled")
"""Statuses that inbound calls never have."""

_TIMESTAMP = re.compile(r"[0-9]{1,11}", re.ASCII)


class BirdSettings(NamedTuple):
    """Settings of the function that Bird calls."""

    credentials: str
    public_url: str
    signature_window: timedelta
    statuses: str
    channel_id: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings from the environment."""
        return cls(
            credentials=environment["BIRD_CREDENTIALS"],
            public_url=environment["PUBLIC_URL"],
            signature_window=timedelta(hours=float(environment["BIRD_SIGNATURE_WINDOW_HOURS"])),
            statuses=environment["BIRD_STATUSES"],
            channel_id=environment["BIRD_CHANNEL_ID"],
        )


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The signing keys that are valid now."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SubscriptionFilter:
    """Event filter: any of several statuses, and one channel. An empty filter accepts all events."""

    statuses: frozenset[str] = frozenset()
    channel_id: str | None = None

    def accepts(self, event: BirdEvent, request: Request) -> bool:
        """Return whether an event passes the filter. An event without a channel passes the channel filter."""
        channel_id = channel_of(event, request)
        return (not self.statuses or (event.call.status or "").lower() in self.statuses) and (
            self.channel_id is None or channel_id is None or channel_id.lower() == self.channel_id
        )


def read_filter(statuses: str, channel_id: str) -> SubscriptionFilter:
    """Parse a filter from comma-separated statuses and a channel id; an empty text does not filter."""
    return SubscriptionFilter(
        statuses=frozenset(status.strip().lower() for status in statuses.split(",") if status.strip()),
        channel_id=channel_id.strip().lower() or None,
    )


def read_signing_keys(secrets: Sequence[SecretValue]) -> SigningKeys:
    """Return the keys of a secret: the generated `signing_key`, and the `further_signing_keys` of an operator.

    Raises:
        CredentialsUnavailable: a member is missing or has the wrong type.
    """
    (secret,) = secrets
    return SigningKeys(secret_texts(secret, "signing_key"))


def sign(key: str, timestamp: str, url: str, body: bytes) -> str:
    """Return the signature as Bird computes it.

    Base64 of the HMAC-SHA256 over timestamp, URL and the raw SHA-256 of the body, joined by newlines. The key is never
    decoded, even if it looks like base64.
    """
    signed = b"\n".join(
        [timestamp.encode("ascii"), url.encode("utf-8", "surrogatepass"), hashlib.sha256(body).digest()]
    )
    return base64.b64encode(hmac.new(key.encode("utf-8"), signed, hashlib.sha256).digest()).decode("ascii")


def sent_at(request: Request) -> datetime | None:
    """Return when Bird first sent the delivery; its retries repeat the timestamp."""
    timestamp = request.header(TIMESTAMP_HEADER) or ""
    return datetime.fromtimestamp(int(timestamp), UTC) if _TIMESTAMP.fullmatch(timestamp) else None


class PhoneNumber(Document):
    """Phone number of a party."""

    number: OptionalStr = None
    caller_id_name: OptionalStr = Field(default=None, alias="callerIdName")


class Contact(Document):
    """Contact of a party."""

    identifier_value: OptionalStr = Field(default=None, alias="identifierValue")


class Party(Document):
    """Originator or receiver of a call (`CallIdentifier`)."""

    number: PhoneNumber | None = None
    contact: Contact | None = None

    @property
    def identifier(self) -> str | None:
        """Return the number, or another identifier of the contact."""
        return (self.number or PhoneNumber()).number or (self.contact or Contact()).identifier_value

    @property
    def name(self) -> str | None:
        """Return the caller id name of the number."""
        return (self.number or PhoneNumber()).caller_id_name


class ChannelCall(Document):
    """Call as the Voice API describes it. `duration` is in seconds; `hangup_cause_code` is a Q.850 code."""

    id: Identifier = None
    call_id: Identifier = Field(default=None, alias="callId")
    channel_id: OptionalStr = Field(default=None, alias="channelId")
    status: OptionalStr = None
    direction: OptionalStr = None
    from_: OptionalStr = Field(default=None, alias="from")
    to: OptionalStr = None
    originator: Party | None = None
    receiver: Party | None = None
    parent_id: OptionalStr = Field(default=None, alias="parentId")
    reason: OptionalStr = None
    type: OptionalStr = None
    duration: OptionalInt = None
    hangup_cause_code: OptionalInt = Field(default=None, alias="hangupCauseCode")
    hangup_source: OptionalStr = Field(default=None, alias="hangupSource")
    hangup_sip_code: IntegerOrText = Field(default=None, alias="hangupSipCode")
    created_at: Moment = Field(default=None, alias="createdAt")
    updated_at: Moment = Field(default=None, alias="updatedAt")
    ringing_at: Moment = Field(default=None, alias="ringingAt")
    answered_at: Moment = Field(default=None, alias="answeredAt")
    ended_at: Moment = Field(default=None, alias="endedAt")
    tags: list[object] | None = None
    amd_result: OptionalStr = Field(default=None, alias="amdResult")


@dataclass(frozen=True, slots=True)
class BirdEvent:
    """Delivery: the event's name if the envelope has one, and the call with its id."""

    event: str | None
    call_id: str
    call: ChannelCall


_OUTER_MEMBERS = ("callId", "status", "channelId")


class _Envelope(Document):
    event: OptionalStr = None
    payload: JsonObject = None


def parse_event(request: Request) -> BirdEvent:
    """Parse the event in a request, with or without an envelope.

    Raises:
        BadRequest: the call has no id or no status.
    """
    document = json_object(request.body)
    envelope = _Envelope.model_validate(document)
    # Without an envelope the document is the call itself; with one, some members may be outside the payload.
    outer = {name: value for name, value in document.items() if not envelope.payload or name in _OUTER_MEMBERS}
    members = [*outer.items(), *(envelope.payload or {}).items()]
    call = parse(event={name: value for name, value in members if value not in (None, "")}, model=ChannelCall)
    # If a document without an envelope also has a `callId`, its `id` is the id of the event.
    call_id = call.id or call.call_id if envelope.payload else call.call_id or call.id
    if call_id is None:
        raise BadRequest("There is no id of a call.")
    if not call.status:
        raise BadRequest("There is no status of a call.")
    return BirdEvent(envelope.event, call_id, call)


def dedupe_key(request: Request) -> str:
    """Return the hash of the raw body. It is not documented whether a retry repeats Bird's request id."""
    return request.body_hash


def channel_of(event: BirdEvent, request: Request) -> str | None:
    """Return the channel from the call, or from the URL of the subscription."""
    return event.call.channel_id or request.path_parameters.get("channel_id")


def normalise(event: BirdEvent, request: Request, now: datetime, *, wanted: SubscriptionFilter) -> CallEvent | Ignored:
    """Return the event in the common vocabulary, or `Ignored` if the filter rejects it."""
    if not wanted.accepts(event, request):
        return Ignored("filtered")
    call = event.call
    status = cleaned(call.status) or ""
    name = cleaned(event.event)
    is_known = name is None or name.lower() in DIRECTION_OF_EVENT
    kind = KIND_OF_STATUS.get(status.lower(), Kind.OTHER) if is_known else Kind.OTHER
    return CallEvent(
        provider=PROVIDER,
        call_id=event.call_id,
        dedupe_key=dedupe_key(request),
        kind=kind,
        name=name or status,
        received_at=now,
        sent_at=_status_time(call, kind) or request.sender.sent_at,
        status=status,
        direction=DIRECTION_OF_EVENT.get((name or "").lower()) or direction_of(call.direction),
        from_=cleaned(call.from_ or (call.originator or Party()).identifier),
        to=cleaned(call.to or (call.receiver or Party()).identifier),
        details=_details(event, request),
    )


def _status_time(call: ChannelCall, kind: Kind) -> datetime | None:
    if kind is Kind.INITIATED:
        return call.updated_at or call.created_at
    if kind is Kind.OTHER:
        return call.updated_at
    moments = {Kind.RINGING: call.ringing_at, Kind.ANSWERED: call.answered_at}
    return moments.get(kind, call.ended_at) or call.updated_at


def _details(event: BirdEvent, request: Request) -> Details:
    call = event.call
    return known_details(
        {
            "channel_id": channel_of(event, request),
            "created_at": call.created_at,
            "ringing_at": call.ringing_at,
            "answered_at": call.answered_at,
            "ended_at": call.ended_at,
            "duration_seconds": call.duration,
            "reason": call.reason,
            "cause_code": call.hangup_cause_code,
            "sip_status": call.hangup_sip_code,
            "hangup_source": call.hangup_source,
            "parent_call_id": call.parent_id,
            "type": call.type,
            "amd_result": call.amd_result,
            "caller_name": (call.originator or Party()).name,
            "tag": ", ".join(tag for tag in call.tags or [] if isinstance(tag, str)),
            "bird_request_id": request.header(REQUEST_ID_HEADER),
        }
    )


class BirdWebhook(Webhook[SigningKeys, BirdEvent]):
    """Webhook for the events of a call.

    Args:
        public_url: the public URL of the API that Bird calls; empty for the request's own host.
        window: the maximum age of a signature. Bird retries for hours with the first signature.
        wanted: the filter of events to store.
    """

    provider = PROVIDER
    signature_header = SIGNATURE_HEADER

    def __init__(self, *, public_url: str, window: timedelta, wanted: SubscriptionFilter) -> None:
        self._public_url = public_url
        self._window = window
        self._wanted = wanted

    def precheck_credentials(self, request: Request, now: datetime) -> None:
        """Check that the request has a signature with a valid time.

        A time in the future can only come from a wrong clock, so it may be at most `MAX_CLOCK_LEAD` ahead.
        """
        if request.header(SIGNATURE_HEADER) is None or request.header(TIMESTAMP_HEADER) is None:
            raise Unauthorized("no signature")
        signed_at = sent_at(request)
        if signed_at is None:
            raise Unauthorized("a timestamp that cannot be read")
        if not -MAX_CLOCK_LEAD <= now - signed_at <= self._window:
            raise Unauthorized("a timestamp outside the window")

    def authenticate(self, request: Request, credentials: SigningKeys, _now: datetime) -> Sender:
        """Check the signature.

        The sender's mark is the timestamp, which a retry repeats. The signature changes with the signing key.
        """
        signature, timestamp = request.header(SIGNATURE_HEADER) or "", request.header(TIMESTAMP_HEADER) or ""
        # Compare the text, not the decoded bytes: several base64 strings decode to the same bytes.
        received = signature.encode("utf-8", "surrogatepass")
        url = request.url(self._public_url)
        expected = [sign(key, timestamp, url, request.body).encode("ascii") for key in credentials.keys]
        # Compare every key, so that timing does not reveal which one came close.
        if not sum(hmac.compare_digest(received, one) for one in expected):
            # The usual cause is a wrong URL. Log its path as in the template, without values.
            logged = request._replace(path=request.route.rpartition(" ")[2], raw_query="")
            raise Unauthorized("wrong signature", log_fields={"url": logged.url(self._public_url)})
        return Sender(sent_at(request), mark=timestamp, stored_headers=(REQUEST_ID_HEADER, TIMESTAMP_HEADER))

    def parse(self, request: Request) -> BirdEvent:
        """Parse the event."""
        return parse_event(request)

    def normalise(self, message: BirdEvent, request: Request, now: datetime) -> CallEvent | Ignored:
        """Return the event in the common vocabulary, or `Ignored` if the filter rejects it."""
        return normalise(message, request, now, wanted=self._wanted)


def check_url(base_url: str) -> str:
    """Return why Bird rejects a subscription for this URL; empty if it accepts it."""
    parts = urlsplit(base_url)
    if parts.scheme != "https" or parts.netloc.rpartition(":")[2].isdigit():
        return "Bird accepts only https URLs with a host name and no port. It rejects this URL."
    return ""


def describe() -> Provider:
    """Describe Bird to the command, the doctor and the fold."""
    # Webhooks do not need these imports.
    from callhooks.calls.call import FoldHints  # noqa: PLC0415
    from callhooks.providers.description import Provider, Route, Secret  # noqa: PLC0415

    return Provider(
        name=PROVIDER,
        title="Bird",
        secrets=(
            Secret("BirdCredentials", PROVIDER, "signing key", "signing_key", "signing_key", "further_signing_keys"),
        ),
        routes=tuple(
            Route(path, "BirdVoiceFunction", _normalise_quarantined) for path in (WEBHOOK, f"{WEBHOOK}/{{channel_id}}")
        ),
        call_ids=("id", "callId"),
        nested=("payload",),
        sign=_sign_now,
        samples=_samples,
        settings=_settings,
        check_url=check_url,
        signs_url=True,
        # An event stores the list of tags as one string.
        fold_hints=FoldHints(tag_separator=", "),
    )


def _normalise_quarantined(delivery: Quarantined) -> CallEvent | Ignored:
    request, parameters = delivery.request, delivery.parameters
    if not request.sender.mark:
        # An earlier version stored the time only as a header.
        request = request._replace(sender=Sender(sent_at(request)))
    wanted = read_filter(parameters.get("BirdStatuses", ""), parameters.get("BirdChannelId", ""))
    return normalise(parse_event(request), request, delivery.received_at, wanted=wanted)


def _sign_now(request: Request, signing: Signing) -> Request:
    from callhooks.providers.description import with_headers  # noqa: PLC0415

    timestamp = str(int(signing.now.timestamp()))
    signature = sign(signing.credentials["signing_key"], timestamp, request.url(signing.base_url), request.body)
    return with_headers(request, {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: signature})


def _samples(call_id: str, now: datetime, parameters: Parameters) -> Sequence[Sample]:
    """Return an event with a status and a channel that pass the stack's filters."""
    from callhooks.providers.description import (  # noqa: PLC0415
        TEST_NUMBER,
        TEST_SENDER,
        Sample,
        check_stored,
        json_delivery,
    )

    statuses = (status.strip() for status in parameters.get("BirdStatuses", "").split(","))
    status = next(filter(None, statuses), "completed")
    is_outbound = status in OUTBOUND_ONLY_STATUSES
    moment = utc_text(now)
    payload = {
        "id": call_id,
        "channelId": parameters.get("BirdChannelId") or TEST_SENDER,
        "status": status,
        "direction": "outgoing" if is_outbound else "incoming",
        "from": TEST_SENDER,
        "to": TEST_NUMBER,
        "createdAt": moment,
        "updatedAt": moment,
        "endedAt": moment,
    }
    event = "voice.outbound" if is_outbound else "voice.inbound"
    document = {"service": "channels", "event": event, "payload": payload}
    return [Sample("event", json_delivery(WEBHOOK, document), check_stored)]


def _settings(setup: Setup) -> Sequence[SettingGroup]:
    from callhooks.providers.description import Setting, SettingGroup  # noqa: PLC0415

    problem = check_url(setup.base_url)
    return [
        SettingGroup(
            f"POST {API}, once for each event",
            [
                Setting("service", "channels"),
                Setting("event", "voice.inbound; for the second subscription voice.outbound"),
                Setting("url", f"{setup.base_url}{WEBHOOK}"),
                Setting("signingKey", setup.credentials["signing_key"]),
            ],
            [
                "For several channels, add one subscription each and append /<channel id> to the URL.",
                *([problem] if problem else []),
            ],
        )
    ]
