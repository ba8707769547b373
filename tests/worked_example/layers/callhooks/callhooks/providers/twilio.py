"""Twilio: status callbacks, which tell what happens to a call.

Written from Twilio's pages Call resource (status callbacks) and Webhooks security, and from callbacks that people have
published. A callback is a form, and signed with the account's auth token.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias
from urllib.parse import parse_qsl

from aws_lambda_powertools.utilities.parser import parse
from callhooks.events.call_event import CallEvent, Kind, cleaned, direction_of, known_details
from callhooks.providers.payload import Document, Identifier, Moment, OptionalInt, OptionalStr
from callhooks.runtime.errors import BadRequest, Unauthorized
from callhooks.runtime.http import Request, Sender
from callhooks.webhooks.credentials import SecretValue, secret_texts
from callhooks.webhooks.webhook import Webhook
from pydantic import BeforeValidator, Field

if TYPE_CHECKING:
    from callhooks.providers.description import Parameters, Provider, Sample, SettingGroup, Setup, Signing

PROVIDER = "twilio"
SIGNATURE_HEADER = "x-twilio-signature"
MAX_FIELDS = 200
WEBHOOK = "/webhooks/twilio"

KIND_OF_STATUS = {
    "queued": Kind.INITIATED,
    "initiated": Kind.INITIATED,
    "ringing": Kind.RINGING,
    "in-progress": Kind.ANSWERED,
    "completed": Kind.COMPLETED,
    "busy": Kind.BUSY,
    "no-answer": Kind.NO_ANSWER,
    "canceled": Kind.CANCELLED,
    "failed": Kind.FAILED,
}
"""`CallStatus`. `completed` is the end of a call that was answered."""


# Who sends it.


class AuthTokens(NamedTuple):
    """The auth tokens that are valid now."""

    tokens: tuple[str, ...]


def read_auth_tokens(secrets: Sequence[SecretValue]) -> AuthTokens:
    """The tokens of a secret: `auth_token`, and `further_auth_tokens` while it is being changed for another.

    Raises:
        CredentialsUnavailable: a member is missing or of a wrong type.
    """
    (secret,) = secrets
    return AuthTokens(secret_texts(secret, "auth_token"))


def fields_of(request: Request) -> list[tuple[str, str]]:
    """The names and values of a form, blank ones too.

    Raises:
        BadRequest: there are more than any callback has.
    """
    text = request.body.decode("utf-8", "replace")
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise BadRequest("There are too many fields.") from None


def sign(token: str, url: str, fields: Iterable[tuple[str, str]]) -> str:
    """The signature as Twilio computes it.

    Base64 of the HMAC-SHA1 over the URL and, right behind it, the name and value of each field in the order of the
    names; what is there twice counts once.
    """
    signed = url + "".join(name + value for name, value in sorted(set(fields)))
    digest = hmac.digest(token.encode("utf-8"), signed.encode("utf-8", "surrogatepass"), "sha1")
    return base64.b64encode(digest).decode("ascii")


# What it tells.


def _rfc_2822(value: object) -> object:
    try:
        return parsedate_to_datetime(value) if isinstance(value, str) else value
    except OverflowError:
        raise ValueError("out of range") from None


Rfc2822: TypeAlias = Annotated[Moment, BeforeValidator(_rfc_2822)]


class TwilioEvent(Document):
    """A status callback. `CallDuration` is in seconds, and `Timestamp` when the status was reached."""

    call_sid: Identifier = Field(default=None, alias="CallSid")
    parent_call_sid: OptionalStr = Field(default=None, alias="ParentCallSid")
    call_status: OptionalStr = Field(default=None, alias="CallStatus")
    direction: OptionalStr = Field(default=None, alias="Direction")
    from_: OptionalStr = Field(default=None, alias="From")
    to: OptionalStr = Field(default=None, alias="To")
    caller_name: OptionalStr = Field(default=None, alias="CallerName")
    timestamp: Rfc2822 = Field(default=None, alias="Timestamp")
    sequence_number: OptionalInt = Field(default=None, alias="SequenceNumber")
    call_duration: OptionalInt = Field(default=None, alias="CallDuration")
    sip_response_code: OptionalInt = Field(default=None, alias="SipResponseCode")
    answered_by: OptionalStr = Field(default=None, alias="AnsweredBy")


def parse_event(request: Request) -> TwilioEvent:
    """The event of a request.

    Raises:
        BadRequest: there is no id or no status of a call.
    """
    event = parse(event=dict(fields_of(request)), model=TwilioEvent)
    if event.call_sid is None:
        raise BadRequest("There is no CallSid.")
    if not event.call_status:
        raise BadRequest("There is no CallStatus.")
    return event


def dedupe_key(request: Request) -> str:
    """A callback has no id of its own: the hash of the raw body stands in."""
    return request.body_hash


def normalise(event: TwilioEvent, request: Request, now: datetime) -> CallEvent:
    """The event in the common vocabulary."""
    status = cleaned(event.call_status) or ""
    # `outbound-api` and `outbound-dial` say who has placed the call.
    direction = (event.direction or "").partition("-")[0]
    return CallEvent(
        provider=PROVIDER,
        call_id=event.call_sid,
        dedupe_key=dedupe_key(request),
        kind=KIND_OF_STATUS.get(status.lower(), Kind.OTHER),
        name=status,
        received_at=now,
        sent_at=event.timestamp,
        status=status,
        direction=direction_of(direction),
        from_=cleaned(event.from_),
        to=cleaned(event.to),
        details=known_details(
            {
                "parent_call_id": event.parent_call_sid,
                "caller_name": event.caller_name,
                "sequence_number": event.sequence_number,
                "duration_seconds": event.call_duration,
                "sip_status": event.sip_response_code,
                "answered_by": event.answered_by,
            }
        ),
    )


# The webhook.


class TwilioWebhook(Webhook[AuthTokens, TwilioEvent]):
    """Twilio's webhook; `public_url` is the address under which Twilio calls the API, empty for the request's own."""

    provider = PROVIDER
    signature_header = SIGNATURE_HEADER

    def __init__(self, *, public_url: str) -> None:
        self._public_url = public_url

    def precheck_credentials(self, request: Request, _now: datetime) -> None:
        """Check that there is a signature. It has no time, so that none can be too old."""
        if request.header(SIGNATURE_HEADER) is None:
            raise Unauthorized("no signature")

    def authenticate(self, request: Request, credentials: AuthTokens, _now: datetime) -> Sender:
        """Check the signature itself."""
        given = (request.header(SIGNATURE_HEADER) or "").encode("utf-8", "surrogatepass")
        try:
            fields = fields_of(request)
        except BadRequest as problem:
            raise Unauthorized(problem.reason) from None
        url = request.url(self._public_url)
        expected = [sign(token, url, fields).encode("ascii") for token in credentials.tokens]
        # Compare every token, so that timing does not reveal which one came close.
        if not sum(hmac.compare_digest(given, one) for one in expected):
            raise Unauthorized("wrong signature")
        return Sender()

    def parse(self, request: Request) -> TwilioEvent:
        """Read the event."""
        return parse_event(request)

    def normalise(self, message: TwilioEvent, request: Request, now: datetime) -> CallEvent:
        """Return the event in the common vocabulary."""
        return normalise(message, request, now)


# What the command asks.


def describe() -> Provider:
    """Describe Twilio to the command, and to who folds its calls."""
    # No webhook needs what is imported here.
    from callhooks.providers.description import Provider, Route, Secret, reads  # noqa: PLC0415

    return Provider(
        name=PROVIDER,
        title="Twilio",
        secrets=(
            Secret(
                "TwilioCredentials",
                kind=PROVIDER,
                words="auth token",
                credential="auth_token",
                member="auth_token",
                further="further_auth_tokens",
                is_theirs=True,
            ),
        ),
        routes=(
            Route(WEBHOOK, "TwilioStatusFunction", reads(parse_event, normalise), variables=("TWILIO_CREDENTIALS",)),
        ),
        call_ids=("CallSid", "ParentCallSid"),
        sign=_sign_now,
        samples=_samples,
        settings=_settings,
        signs_url=True,
    )


def _sign_now(request: Request, signing: Signing) -> Request:
    from callhooks.providers.description import with_headers  # noqa: PLC0415

    signature = sign(signing.credentials["auth_token"], request.url(signing.base_url), fields_of(request))
    return with_headers(request, {SIGNATURE_HEADER: signature})


def _samples(call_id: str, now: datetime, _parameters: Parameters) -> Sequence[Sample]:
    """A call has ended."""
    from callhooks.providers.description import (  # noqa: PLC0415
        TEST_NUMBER,
        TEST_SENDER,
        Sample,
        form_delivery,
        not_stored,
    )

    fields = {
        "CallSid": call_id,
        "CallStatus": "completed",
        "Direction": "inbound",
        "From": TEST_SENDER,
        "To": TEST_NUMBER,
        "Timestamp": format_datetime(now.astimezone(UTC)),
    }
    return [Sample("status callback", form_delivery(WEBHOOK, fields), not_stored)]


def _settings(setup: Setup) -> Sequence[SettingGroup]:
    from callhooks.providers.description import Setting, SettingGroup  # noqa: PLC0415

    return [
        SettingGroup(
            "With each call (StatusCallback), or in the Console: Phone Numbers, the number",
            [
                Setting("Status callback URL", f"{setup.base_url}{WEBHOOK}"),
                Setting("Method", "POST"),
                Setting("Events", "initiated, ringing, answered, completed"),
            ],
            [f"The signature needs the account's auth token: callhooks secret add twilio{setup.stack_option}"],
        )
    ]
