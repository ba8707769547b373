"""Authentication of jambonz: Basic, and the `Jambonz-Signature` if a webhook secret is configured."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from callhooks.providers.jambonz.plan.call_signature import is_signed_call
from callhooks.runtime.errors import CredentialsUnavailable, Unauthorized
from callhooks.runtime.http import Request, Sender
from callhooks.webhooks.credentials import SecretValue, secret_text, secret_texts, usable_texts

DEFAULT_SIGNATURE_HEADER = "Jambonz-Signature"
TOLERANCE_SECONDS = 300
MAX_CLOCK_DIFFERENCE = timedelta(days=1)
"""Maximum difference between an unverified time and our clock; callhooks ignores times further away."""
CHALLENGE = 'Basic realm="callhooks"'

_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)


class JambonzCredentials(NamedTuple):
    """jambonz's credentials. Without a webhook secret, signatures are not checked."""

    username: str
    passwords: tuple[str, ...]
    webhook_secrets: tuple[str, ...] = ()
    signature_header: str = DEFAULT_SIGNATURE_HEADER


class Signature(NamedTuple):
    """Parsed signature header: `t=<unix seconds>,v1=<hex>`, with any number of `v1`."""

    timestamp: str
    digests: tuple[str, ...]

    @property
    def signed_at(self) -> datetime:
        """Return the sender's clock at signing; retries repeat it."""
        return datetime.fromtimestamp(int(self.timestamp), UTC)


def read_credentials(secrets: Sequence[SecretValue], *, signature_header: str) -> JambonzCredentials:
    """Return the credentials in the generated secret and in the operator's secret.

    The first holds `username`, `password` and the `further_passwords` that an operator has added. The second holds
    `webhook_secrets`.

    Raises:
        CredentialsUnavailable: a member is missing or has the wrong type.
    """
    members: dict[str, object] = {}
    for secret in secrets:
        members.update(secret)
    webhook_secrets = members.get("webhook_secrets")
    # An empty list turns the check off on purpose; a missing one is a mistake.
    if not isinstance(webhook_secrets, list):
        raise CredentialsUnavailable("webhook_secrets is not a list")
    usable = usable_texts(webhook_secrets, "webhook_secret")
    if webhook_secrets and not usable:
        raise CredentialsUnavailable("no webhook secret is a string")
    return JambonzCredentials(
        username=secret_text(members.get("username"), "username"),
        passwords=secret_texts(members, "password"),
        webhook_secrets=usable,
        signature_header=signature_header,
    )


def verify(request: Request, credentials: JambonzCredentials, now: datetime) -> Sender:
    """Check Basic and, if a webhook secret is set, the signature.

    Raises:
        Unauthorized: with the reason for the log.
    """
    _verify_basic(request.header("authorization"), credentials)
    header = request.header(credentials.signature_header)
    if not credentials.webhook_secrets:
        return _sender(request, credentials, header or "", unverified_time(header, now))
    signature = _verified_signature(header, request.body, credentials.webhook_secrets, now)
    return _sender(request, credentials, f"{signature.timestamp}.{request.body_hash}", signature.signed_at)


def verify_or_accept_get(request: Request, credentials: JambonzCredentials, now: datetime) -> Sender:
    """Check the sender as `verify` does, but accept a `GET` with only Basic, marked as lacking its signature.

    jambonz signs a `GET` over a payload that it does not send, so the signature cannot be verified.

    Raises:
        Unauthorized: with the reason for the log.
    """
    if request.method != "GET" or not credentials.webhook_secrets:
        return verify(request, credentials, now)
    _verify_basic(request.header("authorization"), credentials)
    mark = request.header(credentials.signature_header) or ""
    return _sender(request, credentials, mark, None)._replace(lacks_signature=True)


def unverified_time(header: str | None, now: datetime) -> datetime | None:
    """Return the time in an unverified signature; `None` if it is more than a day away from our clock."""
    signature = read_signature(header)
    # Compare numbers: not every timestamp is a valid date.
    if signature is None or abs(now.timestamp() - int(signature.timestamp)) > MAX_CLOCK_DIFFERENCE.total_seconds():
        return None
    return signature.signed_at


def read_signature(header: str | None) -> Signature | None:
    """Parse a signature header; `None` if it is missing or has no valid timestamp."""
    timestamps = []
    digests = []
    for name, value in _elements(header):
        if name == "t" and _TIMESTAMP.fullmatch(value):
            timestamps.append(value)
        elif name == "v1":
            digests.append(value)
    return Signature(timestamps[-1], tuple(digests)) if timestamps else None


def _elements(header: str | None) -> list[tuple[str, str]]:
    parts = (element.strip().partition("=") for element in (header or "").split(","))
    return [(name, value) for name, _, value in parts]


def _sender(request: Request, credentials: JambonzCredentials, mark: str, sent_at: datetime | None) -> Sender:
    named = dict(request.query) if "call=" in request.raw_query else {}
    call_id = named.get("call", "")
    # jambonz sends the password to every host that a hook names, but never sends a webhook secret.
    keys = credentials.webhook_secrets or credentials.passwords
    signed = is_signed_call(call_id, named.get("sig", ""), keys)
    return Sender(sent_at, mark, call_id if signed else None, url_key=keys[0])


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the hex HMAC-SHA256 over timestamp, dot and raw body, as jambonz computes it."""
    return hmac.new(secret.encode("utf-8"), timestamp.encode("ascii") + b"." + body, hashlib.sha256).hexdigest()


def signature_header_value(secret: str, now: datetime, body: bytes) -> str:
    """Return a complete signature header for a body that is signed now."""
    timestamp = str(int(now.timestamp()))
    return f"t={timestamp},v1={sign(secret, timestamp, body)}"


def basic_header_value(username: str, password: str) -> str:
    """Return a complete `Authorization` header."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


def decode_basic(header: str | None) -> bytes:
    """Return the decoded Basic credentials of a request, without checking them.

    Raises:
        Unauthorized: they are missing or malformed.
    """
    if header is None:
        raise Unauthorized("no Authorization header", challenge=CHALLENGE)
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "basic":
        raise Unauthorized("not Basic authentication", challenge=CHALLENGE)
    try:
        return base64.b64decode(token.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise Unauthorized("Basic credentials that are not base64", challenge=CHALLENGE) from None


def _verify_basic(header: str | None, credentials: JambonzCredentials) -> None:
    basic = decode_basic(header)
    # Compare every password, so that timing does not reveal which one came close.
    if not sum(
        hmac.compare_digest(basic, f"{credentials.username}:{password}".encode()) for password in credentials.passwords
    ):
        raise Unauthorized("wrong Basic credentials", challenge=CHALLENGE)


def _verified_signature(header: str | None, body: bytes, secrets: Iterable[str], now: datetime) -> Signature:
    if header is None:
        raise Unauthorized("no signature", challenge=CHALLENGE)
    signature = read_signature(header)
    # jambonz sends one time. With two, the verified one might not be the one in use.
    has_one_time = [name for name, _ in _elements(header)].count("t") == 1
    if signature is None or not signature.digests or not has_one_time:
        raise Unauthorized("a signature that cannot be read", challenge=CHALLENGE)
    if abs(now.timestamp() - int(signature.timestamp)) > TOLERANCE_SECONDS:
        raise Unauthorized("a signature outside the tolerance of 300 seconds", challenge=CHALLENGE)
    received = [digest.encode("utf-8", "replace") for digest in signature.digests]
    expected = [sign(secret, signature.timestamp, body).encode("ascii") for secret in secrets]
    # Compare every pair, so that timing does not reveal which one came close.
    if not sum(hmac.compare_digest(one, other) for one in received for other in expected):
        raise Unauthorized("a wrong signature", challenge=CHALLENGE)
    return signature
