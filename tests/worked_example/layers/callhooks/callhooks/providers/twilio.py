"""Twilio: status callbacks, which report the progress of a call.

Sources: Twilio's pages Call resource (status callbacks) and Webhooks security, and published callbacks. A callback is a
form, signed with the account's auth token.
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


# Authentication.


class AuthTokens(NamedTuple):
    """The auth tokens that are valid now."""

    tokens: tuple[str, ...]


def read_auth_tokens(secrets: Sequence[SecretValue]) -> AuthTokens:
    """Return the tokens of a secret: `auth_token`, and `further_auth_tokens` during a rotation.

    Raises:
        CredentialsUnavailable: a member is missing or has the wrong type.
    """
    (secret,) = secrets
    return AuthTokens(secret_texts(secret, "auth_token"))


def form_fields(request: Request) -> list[tuple[str, str]]:
    """Return the names and values of a form, including blank values.

    Raises:
        BadRequest: the form has too many fields.
    """
    text = request.body.decode("utf-8", "replace")
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise BadRequest("The form has too many fields.") from None


def sign(token: str, url: str, fields: Iterable[tuple[str, str]]) -> str:
    """Return the signature as Twilio computes it.

    Base64 of the HMAC-SHA1 over the URL, followed directly by the name and value of each field, sorted by name. A
    duplicate field counts once.
    """
    signed = url + "".join(name + value for name, value in sorted(set(fields)))
    digest = hmac.digest(token.encode("utf-8"), signed.encode("utf-8", "surrogatepass"), "sha1")
    return base64.b64encode(digest).decode("ascii")


# Parsing and normalising.


def _rfc_2822(value: object) -> object:
    try:
        return parsedate_to_datetime(value) if isinstance(value, str) else value
    except OverflowError:
        raise ValueError("out of range") from None


Rfc2822: TypeAlias = Annotated[Moment, BeforeValidator(_rfc_2822)]


class TwilioEvent(Document):
    """Status callback. `CallDuration` is in seconds; `Timestamp` is the time of the status."""

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
    """Parse the event in a request.

    Raises:
        BadRequest: the call id or the status is missing.
    """
    event = parse(event=dict(form_fields(request)), model=TwilioEvent)
    if event.call_sid is None:
        raise BadRequest("CallSid is missing.")
    if not event.call_status:
        raise BadRequest("CallStatus is missing.")
    return event


def dedupe_key(request: Request) -> str:
    """Return the hash of the raw body, because a callback has no event id."""
    return request.body_hash


def normalise(event: TwilioEvent, request: Request, now: datetime) -> CallEvent:
    """Return the event in the common vocabulary."""
    status = cleaned(event.call_status) or ""
    # `outbound-api` and `outbound-dial` are outbound calls.
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
    """Twilio's webhook. `public_url` is the URL of the API that Twilio calls; empty for the request's own host."""

    provider = PROVIDER
    signature_header = SIGNATURE_HEADER

    def __init__(self, *, public_url: str) -> None:
        self._public_url = public_url

    def precheck_credentials(self, request: Request, _now: datetime) -> None:
        """Check that the request has a signature. Twilio's signature contains no time to check."""
        if request.header(SIGNATURE_HEADER) is None:
            raise Unauthorized("no signature")

    def authenticate(self, request: Request, credentials: AuthTokens, _now: datetime) -> Sender:
        """Check the signature."""
        received = (request.header(SIGNATURE_HEADER) or "").encode("utf-8", "surrogatepass")
        try:
            fields = form_fields(request)
        except BadRequest as problem:
            raise Unauthorized(problem.reason) from None
        url = request.url(self._public_url)
        expected = [sign(token, url, fields).encode("ascii") for token in credentials.tokens]
        # Compare every token, so that timing does not reveal which one came close.
        if not sum(hmac.compare_digest(received, one) for one in expected):
            raise Unauthorized("wrong signature")
        return Sender()

    def parse(self, request: Request) -> TwilioEvent:
        """Parse the event."""
        return parse_event(request)

    def normalise(self, message: TwilioEvent, request: Request, now: datetime) -> CallEvent:
        """Return the event in the common vocabulary."""
        return normalise(message, request, now)


# The description.


def describe() -> Provider:
    """Describe Twilio to the command, the doctor and the fold."""
    # Webhooks do not need these imports.
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
                is_issued_by_provider=True,
            ),
        ),
        routes=(Route(WEBHOOK, "TwilioStatusFunction", reads(parse_event, normalise)),),
        call_ids=("CallSid", "ParentCallSid"),
        sign=_sign_now,
        samples=_samples,
        settings=_settings,
        signs_url=True,
    )


def _sign_now(request: Request, signing: Signing) -> Request:
    from callhooks.providers.description import with_headers  # noqa: PLC0415

    signature = sign(signing.credentials["auth_token"], request.url(signing.base_url), form_fields(request))
    return with_headers(request, {SIGNATURE_HEADER: signature})


def _samples(call_id: str, now: datetime, _parameters: Parameters) -> Sequence[Sample]:
    """Return a callback for the end of a call."""
    from callhooks.providers.description import (  # noqa: PLC0415
        TEST_NUMBER,
        TEST_SENDER,
        Sample,
        check_stored,
        form_delivery,
    )

    fields = {
        "CallSid": call_id,
        "CallStatus": "completed",
        "Direction": "inbound",
        "From": TEST_SENDER,
        "To": TEST_NUMBER,
        "Timestamp": format_datetime(now.astimezone(UTC)),
    }
    return [Sample("status callback", form_delivery(WEBHOOK, fields), check_stored)]


def _settings(setup: Setup) -> Sequence[SettingGroup]:
    from callhooks.providers.description import Setting, SettingGroup  # noqa: PLC0415

    return [
        SettingGroup(
            "For each call (StatusCallback), or in the Console: Phone Numbers > your number",
            [
                Setting("Status callback URL", f"{setup.base_url}{WEBHOOK}"),
                Setting("Method", "POST"),
                Setting("Events", "initiated, ringing, answered, completed"),
            ],
            [f"To check signatures, add the auth token: callhooks secret add twilio{setup.stack_options}"],
        )
    ]
