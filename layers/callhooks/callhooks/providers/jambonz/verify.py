"""Who sent it: Basic authentication, and the `Jambonz-Signature` where a webhook secret is configured."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from callhooks.credentials import CredentialsUnavailable, SecretValue, secret_text, secret_texts, usable_texts
from callhooks.http import Request, Unauthorized

DEFAULT_SIGNATURE_HEADER = "Jambonz-Signature"
TOLERANCE_SECONDS = 300
CHALLENGE = 'Basic realm="callhooks"'

_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)


class JambonzCredentials(NamedTuple):
    """What jambonz proves itself with. Without a webhook secret the signature is not looked at."""

    username: str
    passwords: tuple[str, ...]
    webhook_secrets: tuple[str, ...] = ()
    signature_header: str = DEFAULT_SIGNATURE_HEADER


class Signature(NamedTuple):
    """A parsed signature header: `t=<unix seconds>,v1=<hex>`, with as many `v1` as there are."""

    timestamp: str
    digests: tuple[str, ...]

    @property
    def signed_at(self) -> datetime:
        """The sender's clock when it signed; retries repeat it."""
        return datetime.fromtimestamp(int(self.timestamp), UTC)


def read_credentials(secrets: Sequence[SecretValue], *, signature_header: str) -> JambonzCredentials:
    """Credentials from the generated secret and the operator's.

    The first holds `username`, `password`, and `further_passwords` where an operator has added some; the second
    `webhook_secrets`.

    Raises:
        CredentialsUnavailable: a member is missing or of a wrong type.
    """
    members: dict[str, object] = {}
    for secret in secrets:
        members.update(secret)
    webhook_secrets = members.get("webhook_secrets")
    # An empty list switches the check off on purpose; a missing one would do so by a slip.
    if not isinstance(webhook_secrets, list):
        raise CredentialsUnavailable("webhook_secrets is not a list")
    usable = usable_texts(webhook_secrets, "webhook_secret")
    if webhook_secrets and not usable:
        raise CredentialsUnavailable("no webhook secret is a text")
    return JambonzCredentials(
        username=secret_text(members.get("username"), "username"),
        passwords=secret_texts(members, "password"),
        webhook_secrets=usable,
        signature_header=signature_header,
    )


def check_proof(request: Request, _now: datetime) -> None:
    """Check that there are Basic credentials, whosever they are.

    Raises:
        Unauthorized: with the reason for the log.
    """
    _shown_basic(request.header("authorization"))


def verify(request: Request, credentials: JambonzCredentials, now: datetime) -> None:
    """Check the sender.

    A `GET` is signed by jambonz over a payload that it does not send, so that only Basic can be checked there.

    Raises:
        Unauthorized: with the reason for the log.
    """
    _verify_basic(request.header("authorization"), credentials)
    if credentials.webhook_secrets and request.method != "GET":
        _verify_signature(request.header(credentials.signature_header), request.body, credentials.webhook_secrets, now)


def read_signature(header: str | None) -> Signature | None:
    """Parse a signature header; `None` where it is missing or has no usable timestamp."""
    timestamp: str | None = None
    digests = []
    for element in (header or "").split(","):
        name, _, value = element.strip().partition("=")
        if name == "t" and _TIMESTAMP.fullmatch(value):
            timestamp = value
        elif name == "v1":
            digests.append(value)
    return Signature(timestamp, tuple(digests)) if timestamp is not None else None


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The hex HMAC-SHA256 over timestamp, dot and raw body, as jambonz computes it."""
    return hmac.new(secret.encode("utf-8"), timestamp.encode("ascii") + b"." + body, hashlib.sha256).hexdigest()


def signature_header_value(secret: str, now: datetime, body: bytes) -> str:
    """A complete header for a body signed now."""
    timestamp = str(int(now.timestamp()))
    return f"t={timestamp},v1={sign(secret, timestamp, body)}"


def basic_header_value(username: str, password: str) -> str:
    """A complete `Authorization` header."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


def _shown_basic(header: str | None) -> bytes:
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
    given = _shown_basic(header)
    # Every password is compared, so that the time tells nothing about which came close.
    if not sum(
        hmac.compare_digest(given, f"{credentials.username}:{password}".encode()) for password in credentials.passwords
    ):
        raise Unauthorized("wrong Basic credentials", challenge=CHALLENGE)


def _verify_signature(header: str | None, body: bytes, secrets: Iterable[str], now: datetime) -> None:
    if header is None:
        raise Unauthorized("no signature", challenge=CHALLENGE)
    signature = read_signature(header)
    if signature is None or not signature.digests:
        raise Unauthorized("a signature that cannot be read", challenge=CHALLENGE)
    if abs(now.timestamp() - int(signature.timestamp)) > TOLERANCE_SECONDS:
        raise Unauthorized("a signature outside the tolerance of 300 seconds", challenge=CHALLENGE)
    given = [digest.encode("utf-8", "replace") for digest in signature.digests]
    expected = [sign(secret, signature.timestamp, body).encode("ascii") for secret in secrets]
    # Every pair is compared, so that the time tells nothing about which secret came close.
    if not sum(hmac.compare_digest(one, other) for one in given for other in expected):
        raise Unauthorized("a wrong signature", challenge=CHALLENGE)
