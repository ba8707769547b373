"""Authentication for the call log: Basic credentials for programs, a signed cookie for browsers.

A cookie holds the time of the sign-in, the time it expires, and an HMAC-SHA256 over both, keyed with the password. It
needs no table, and removing the password ends its sessions. It is valid for an hour and renewed while in use, up to
twelve hours after the sign-in.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from aws_lambda_powertools.shared.cookies import Cookie, SameSite

from callhooks.runtime.errors import Unauthorized
from callhooks.webhooks.credentials import SecretValue, secret_text, secret_texts

COOKIE = "callhooks_session"
SECURE_COOKIE = f"__Host-{COOKIE}"
"""Name of the cookie over TLS: browsers accept this prefix only from the host itself, and only over https."""
VALID_FOR = timedelta(hours=1)
RENEWED_AFTER = timedelta(minutes=10)
MAX_SESSION = timedelta(hours=12)
MIN_PASSWORD_CHARACTERS = 12
"""Anybody on the internet can try passwords here, as fast as the rate limit allows."""
CHALLENGE = 'Basic realm="callhooks"'
WRONG_CREDENTIALS = "wrong Basic credentials"

_CLOCK_SKEW = timedelta(minutes=1)
_PURPOSE = b"callhooks session cookie\0"
_VALUE = re.compile(r"([0-9]{1,11}\.[0-9]{1,11})\.([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ConsoleCredentials:
    """User name and passwords of the console; every password is valid."""

    username: str
    passwords: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """Authenticated session: time of the sign-in, time it expires, and the password that signs its cookie."""

    signed_in: datetime
    expires: datetime
    password: str = field(repr=False)

    def renewed(self, now: datetime) -> ConsoleSession | None:
        """Return the session with a later expiry, or `None` if it is too early or the session has reached its limit."""
        expires = _expiry(self.signed_in, now)
        if now - (self.expires - VALID_FOR) < RENEWED_AFTER or expires <= self.expires:
            return None
        return ConsoleSession(self.signed_in, expires, self.password)


def read_console_credentials(secrets: Sequence[SecretValue]) -> ConsoleCredentials:
    """Read the credentials from a secret: `username`, `password`, and optional `further_passwords`.

    Ignore a password with fewer than `MIN_PASSWORD_CHARACTERS` characters.

    Raises:
        CredentialsUnavailable: a member is missing or has the wrong type, or no password is long enough.
    """
    (secret,) = secrets
    passwords = secret_texts(secret, "password", min_length=MIN_PASSWORD_CHARACTERS)
    return ConsoleCredentials(secret_text(secret.get("username"), "username"), passwords)


def check_basic(header: str, credentials: ConsoleCredentials) -> None:
    """Check an `Authorization` header.

    Raises:
        Unauthorized: the header is malformed or the credentials are wrong.
    """
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "basic":
        raise Unauthorized("not Basic authentication")
    try:
        given = base64.b64decode(token.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise Unauthorized("Basic credentials that are not base64") from None
    username, _, password = given.partition(b":")
    if not _matching_passwords(username, password, credentials):
        raise Unauthorized(WRONG_CREDENTIALS)


def sign_in(username: str, password: str, credentials: ConsoleCredentials, now: datetime) -> ConsoleSession | None:
    """Return a new session, or `None` if the user name or the password is wrong."""
    # JSON can hold lone surrogates; comparing them must not raise.
    given = username.encode("utf-8", "surrogatepass"), password.encode("utf-8", "surrogatepass")
    matches = _matching_passwords(*given, credentials)
    start = now.replace(microsecond=0)
    return ConsoleSession(start, _expiry(start, start), matches[0]) if matches else None


def cookie_name(*, secure: bool) -> str:
    """Return the name of the session cookie. Browsers drop a `__Host-` cookie that is set without TLS."""
    return SECURE_COOKIE if secure else COOKIE


def find_session(
    cookies: Iterable[str], credentials: ConsoleCredentials, now: datetime, *, secure: bool
) -> ConsoleSession | None:
    """Return the valid session among a request's cookies (`name=value`), or `None`."""
    for cookie in cookies:
        name, _, value = cookie.strip().partition("=")
        session = _parse_session(value, credentials) if name == cookie_name(secure=secure) else None
        if session and session.signed_in - _CLOCK_SKEW <= now < session.expires:
            return session
    return None


def session_cookie(session: ConsoleSession, now: datetime, *, secure: bool) -> Cookie:
    """Return the cookie of a session; with `secure`, browsers send it over TLS only."""
    times = f"{int(session.signed_in.timestamp())}.{int(session.expires.timestamp())}"
    value = f"{times}.{_mac(times, session.password)}"
    return _cookie(value, int((session.expires - now).total_seconds()), secure=secure)


def expired_cookie(*, secure: bool) -> Cookie:
    """Return the cookie that makes a browser delete the session cookie."""
    return _cookie("", 0, secure=secure)


def _expiry(signed_in: datetime, now: datetime) -> datetime:
    return min(now.replace(microsecond=0) + VALID_FOR, signed_in + MAX_SESSION)


def _matching_passwords(username: bytes, password: bytes, credentials: ConsoleCredentials) -> list[str]:
    is_user = hmac.compare_digest(username, credentials.username.encode("utf-8"))
    # Compare every password, so that timing does not reveal which one matched.
    matches = [
        candidate for candidate in credentials.passwords if hmac.compare_digest(password, candidate.encode("utf-8"))
    ]
    return matches if is_user else []


def _parse_session(value: str, credentials: ConsoleCredentials) -> ConsoleSession | None:
    found = _VALUE.fullmatch(value)
    if found is None:
        return None
    times, mac = found[1], found[2].encode("ascii")
    signers = [
        password
        for password in credentials.passwords
        if hmac.compare_digest(_mac(times, password).encode("ascii"), mac)
    ]
    signed_in, expires = (datetime.fromtimestamp(int(second), UTC) for second in times.split("."))
    return ConsoleSession(signed_in, expires, signers[0]) if signers else None


def _mac(times: str, password: str) -> str:
    message = _PURPOSE + times.encode("ascii")
    return hmac.new(password.encode("utf-8"), message, hashlib.sha256).hexdigest()


def _cookie(value: str, seconds: int, *, secure: bool) -> Cookie:
    name = cookie_name(secure=secure)
    return Cookie(name, value, path="/", max_age=seconds, secure=secure, http_only=True, same_site=SameSite.STRICT_MODE)
