"""Bird (formerly MessageBird): the webhooks `voice.inbound` and `voice.outbound` of the Channels product.

Written from Bird's pages Voice webhooks, Verifying a webhook subscription and Retries. No page shows a delivered
event, so that it is read as the envelope `service`, `event`, `payload` around the `ChannelCall` of the Voice API, with
the call's id and status alone indispensable, as handlers in the field have found it.
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
"""`payload.status`, for both events; `accepted` and `cancelled` are of outbound calls alone."""

MAX_CLOCK_LEAD = timedelta(minutes=5)
"""How far Bird's clock may be ahead of ours."""

API = "https://api.bird.com/workspaces/{workspaceId}/webhook-subscriptions"
WEBHOOK = "/webhooks/bird"
OUTBOUND_ALONE = ("accepted", "cancelled")
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
        """Read the environment."""
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
    """The event filters of a Bird subscription: any of several statuses, and one channel. Empty, it takes all."""

    statuses: frozenset[str] = frozenset()
    channel_id: str | None = None

    def takes(self, event: BirdEvent, request: Request) -> bool:
        """Whether an event is wanted. One that does not say its channel is not held to it."""
        channel_id = channel_of(event, request)
        return (not self.statuses or (event.call.status or "").lower() in self.statuses) and (
            self.channel_id is None or channel_id is None or channel_id.lower() == self.channel_id
        )


def read_filter(statuses: str, channel_id: str) -> SubscriptionFilter:
    """A filter from statuses separated by commas and a channel's id; what is empty filters nothing."""
    return SubscriptionFilter(
        statuses=frozenset(status.strip().lower() for status in statuses.split(",") if status.strip()),
        channel_id=channel_id.strip().lower() or None,
    )


def read_signing_keys(secrets: Sequence[SecretValue]) -> SigningKeys:
    """The keys of a secret: the generated `signing_key`, and `further_signing_keys` where an operator has added some.

    Raises:
        CredentialsUnavailable: a member is missing or of a wrong type.
    """
    (secret,) = secrets
    return SigningKeys(secret_texts(secret, "signing_key"))


def sign(key: str, timestamp: str, url: str, body: bytes) -> str:
    """The signature as Bird computes it.

    Base64 of the HMAC-SHA256 over timestamp, URL and the raw SHA-256 of the body, joined by newlines. The key is used
    as it is written, even where it looks like base64.
    """
    signed = b"\n".join(
        [timestamp.encode("ascii"), url.encode("utf-8", "surrogatepass"), hashlib.sha256(body).digest()]
    )
    return base64.b64encode(hmac.new(key.encode("utf-8"), signed, hashlib.sha256).digest()).decode("ascii")


def sent_at(request: Request) -> datetime | None:
    """When Bird sent the delivery for the first time: its retries repeat the timestamp."""
    timestamp = request.header(TIMESTAMP_HEADER) or ""
    return datetime.fromtimestamp(int(timestamp), UTC) if _TIMESTAMP.fullmatch(timestamp) else None


class PhoneNumber(Document):
    """The number of a party."""

    number: OptionalStr = None
    caller_id_name: OptionalStr = Field(default=None, alias="callerIdName")


class Contact(Document):
    """The contact of a party."""

    identifier_value: OptionalStr = Field(default=None, alias="identifierValue")


class Party(Document):
    """The originator or the receiver (`CallIdentifier`)."""

    number: PhoneNumber | None = None
    contact: Contact | None = None

    @property
    def identifier(self) -> str | None:
        """The number, or whatever else the contact is known by."""
        return (self.number or PhoneNumber()).number or (self.contact or Contact()).identifier_value

    @property
    def name(self) -> str | None:
        """The name that came with the number."""
        return (self.number or PhoneNumber()).caller_id_name


class ChannelCall(Document):
    """A call as the Voice API describes it. `duration` is in seconds, `hangup_cause_code` is of Q.850."""

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
    """A delivery: the event's name, where the envelope has one, and the call with its id."""

    event: str | None
    call_id: str
    call: ChannelCall


_OUTER_MEMBERS = ("callId", "status", "channelId")


class _Envelope(Document):
    event: OptionalStr = None
    payload: JsonObject = None


def parse_event(request: Request) -> BirdEvent:
    """The event of a request, whose envelope may be missing.

    Raises:
        BadRequest: there is no id or no status of a call.
    """
    document = json_object(request.body)
    envelope = _Envelope.model_validate(document)
    # Without an envelope the document is the call itself; with one, a member may have slipped out of the payload.
    outer = {name: value for name, value in document.items() if not envelope.payload or name in _OUTER_MEMBERS}
    members = [*outer.items(), *(envelope.payload or {}).items()]
    call = parse(event={name: value for name, value in members if value not in (None, "")}, model=ChannelCall)
    # Beside a `callId` the id of a document without an envelope is that of the event.
    call_id = call.id or call.call_id if envelope.payload else call.call_id or call.id
    if call_id is None:
        raise BadRequest("There is no id of a call.")
    if not call.status:
        raise BadRequest("There is no status of a call.")
    return BirdEvent(envelope.event, call_id, call)


def dedupe_key(request: Request) -> str:
    """Whether Bird's request id stays the same in a retry is not known: the hash of the raw body does."""
    return request.body_hash


def channel_of(event: BirdEvent, request: Request) -> str | None:
    """The channel: of the call, else of the URL that was subscribed for it."""
    return event.call.channel_id or request.path_parameters.get("channel_id")


def normalise(event: BirdEvent, request: Request, now: datetime, *, wanted: SubscriptionFilter) -> CallEvent | Ignored:
    """The event in the common vocabulary, unless the filter leaves it out."""
    if not wanted.takes(event, request):
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
        sent_at=_moment_of(call, kind) or request.sender.sent_at,
        status=status,
        direction=DIRECTION_OF_EVENT.get((name or "").lower()) or direction_of(call.direction),
        from_=cleaned(call.from_ or (call.originator or Party()).identifier),
        to=cleaned(call.to or (call.receiver or Party()).identifier),
        details=_details(event, request),
    )


def _moment_of(call: ChannelCall, kind: Kind) -> datetime | None:
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
    """Bird reports what happens to a call.

    Args:
        public_url: the address under which Bird calls the API; empty for the request's own host.
        window: how old a signature may be: Bird's retries go on for hours and carry the first one.
        wanted: the events that are kept.
    """

    provider = PROVIDER
    signature_header = SIGNATURE_HEADER

    def __init__(self, *, public_url: str, window: timedelta, wanted: SubscriptionFilter) -> None:
        self._public_url = public_url
        self._window = window
        self._wanted = wanted

    def precheck_credentials(self, request: Request, now: datetime) -> None:
        """Check that there is a signature, and its time.

        Only a wrong clock explains a time in the future, so it may be ahead by no more than `MAX_CLOCK_LEAD`.
        """
        if request.header(SIGNATURE_HEADER) is None or request.header(TIMESTAMP_HEADER) is None:
            raise Unauthorized("no signature")
        signed_at = sent_at(request)
        if signed_at is None:
            raise Unauthorized("a timestamp that cannot be read")
        if not -MAX_CLOCK_LEAD <= now - signed_at <= self._window:
            raise Unauthorized("a timestamp outside the window")

    def authenticate(self, request: Request, credentials: SigningKeys, _now: datetime) -> Sender:
        """Check the signature itself.

        A retry repeats the timestamp, which is the sender's mark: the signature changes with the signing key.
        """
        signature, timestamp = request.header(SIGNATURE_HEADER) or "", request.header(TIMESTAMP_HEADER) or ""
        # The text is compared and not what it decodes to: base64 has several texts for the same bytes.
        given = signature.encode("utf-8", "surrogatepass")
        url = request.url(self._public_url)
        expected = [sign(key, timestamp, url, request.body).encode("ascii") for key in credentials.keys]
        # Compare every key, so that timing does not reveal which one came close.
        if not sum(hmac.compare_digest(given, one) for one in expected):
            # The URL is most often what is wrong. Its path is logged as the template writes it, without its values.
            logged = request._replace(path=request.route.rpartition(" ")[2], raw_query="")
            raise Unauthorized("wrong signature", log_fields={"url": logged.url(self._public_url)})
        return Sender(sent_at(request), mark=timestamp, stored_headers=(REQUEST_ID_HEADER, TIMESTAMP_HEADER))

    def parse(self, request: Request) -> BirdEvent:
        """Read the event."""
        return parse_event(request)

    def normalise(self, message: BirdEvent, request: Request, now: datetime) -> CallEvent | Ignored:
        """Return the event in the common vocabulary, unless the filter leaves it out."""
        return normalise(message, request, now, wanted=self._wanted)


def refusal_of_url(base_url: str) -> str:
    """Why Bird takes no subscription of such a URL; empty where it does."""
    parts = urlsplit(base_url)
    if parts.scheme != "https" or parts.netloc.rpartition(":")[2].isdigit():
        return "Bird takes https with a host name and no port: not this URL."
    return ""


def describe() -> Provider:
    """Describe Bird to the command, and to who folds its calls."""
    # No webhook needs what is imported here.
    from callhooks.calls.call import FoldHints  # noqa: PLC0415
    from callhooks.providers.description import Provider, Route, Secret  # noqa: PLC0415

    variables = ("BIRD_CREDENTIALS", "BIRD_SIGNATURE_WINDOW_HOURS", "BIRD_STATUSES", "BIRD_CHANNEL_ID")
    return Provider(
        name=PROVIDER,
        title="Bird",
        secrets=(
            Secret("BirdCredentials", PROVIDER, "signing key", "signing_key", "signing_key", "further_signing_keys"),
        ),
        routes=tuple(
            Route(path, "BirdVoiceFunction", _read_again, variables=variables)
            for path in (WEBHOOK, f"{WEBHOOK}/{{channel_id}}")
        ),
        call_ids=("id", "callId"),
        nested=("payload",),
        sign=_sign_now,
        samples=_samples,
        settings=_settings,
        refusal_of_url=refusal_of_url,
        signs_url=True,
        # It has a list of tags, which an event keeps as one text.
        fold_hints=FoldHints(tag_separator=", "),
    )


def _read_again(aside: Quarantined) -> CallEvent | Ignored:
    request, parameters = aside.request, aside.parameters
    if not request.sender.mark:
        # An earlier version has kept the time as the header alone.
        request = request._replace(sender=Sender(sent_at(request)))
    wanted = read_filter(parameters.get("BirdStatuses", ""), parameters.get("BirdChannelId", ""))
    return normalise(parse_event(request), request, aside.received_at, wanted=wanted)


def _sign_now(request: Request, signing: Signing) -> Request:
    from callhooks.providers.description import with_headers  # noqa: PLC0415

    timestamp = str(int(signing.now.timestamp()))
    signature = sign(signing.credentials["signing_key"], timestamp, request.url(signing.base_url), request.body)
    return with_headers(request, {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: signature})


def _samples(call_id: str, now: datetime, parameters: Parameters) -> Sequence[Sample]:
    """A call has ended, with a status and on a channel that the stack's filters let through."""
    from callhooks.providers.description import (  # noqa: PLC0415
        TEST_NUMBER,
        TEST_SENDER,
        Sample,
        json_delivery,
        not_stored,
    )

    statuses = (one.strip() for one in parameters.get("BirdStatuses", "").split(","))
    status = next((one for one in statuses if one), "completed")
    is_outbound = status in OUTBOUND_ALONE
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
    return [Sample("event", json_delivery(WEBHOOK, document), not_stored)]


def _settings(setup: Setup) -> Sequence[SettingGroup]:
    from callhooks.providers.description import Setting, SettingGroup  # noqa: PLC0415

    refusal = refusal_of_url(setup.base_url)
    return [
        SettingGroup(
            f"POST {API}, once for each event",
            [
                Setting("service", "channels"),
                Setting("event", "voice.inbound, and once more voice.outbound"),
                Setting("url", f"{setup.base_url}{WEBHOOK}"),
                Setting("signingKey", setup.credentials["signing_key"]),
            ],
            [
                "With several channels, one subscription for each, with /<channel id> at the end of the URL.",
                *([refusal] if refusal else []),
            ],
        )
    ]
