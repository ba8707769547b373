"""Who may look at calls: Basic credentials for programs, a signed cookie for browsers.

A cookie holds when its owner signed in, until when it is valid, and an HMAC-SHA256 over both, keyed by the password
that was used: it needs no table, and ends with its password. It is valid for an hour and renewed while it is used, for
twelve hours after the sign-in at most.
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
"""The name over TLS: browsers take a cookie of this prefix from the host itself only, and not over http."""
VALID_FOR = timedelta(hours=1)
RENEWED_AFTER = timedelta(minutes=10)
MAX_SESSION = timedelta(hours=12)
MIN_PASSWORD_CHARACTERS = 12
"""Anybody on the internet may try passwords here, as often as the rate limit lets them."""
CHALLENGE = 'Basic realm="callhooks"'
WRONG_CREDENTIALS = "wrong Basic credentials"

_CLOCKS_DIFFER_BY = timedelta(minutes=1)
_PURPOSE = b"callhooks session cookie\0"
_VALUE = re.compile(r"([0-9]{1,11}\.[0-9]{1,11})\.([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ConsoleCredentials:
    """The user name and the passwords, of which all are valid at once."""

    username: str
    passwords: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A proven session: when its owner signed in, until when the cookie is valid, and the password that signs it."""

    signed_in: datetime
    expires: datetime
    password: str = field(repr=False)

    def renewed(self, now: datetime) -> ConsoleSession | None:
        """The session with a later end, where it is time for that; `None` where it is not, or may not be longer."""
        expires = _end(self.signed_in, now)
        if now - (self.expires - VALID_FOR) < RENEWED_AFTER or expires <= self.expires:
            return None
        return ConsoleSession(self.signed_in, expires, self.password)


def read_console_credentials(secrets: Sequence[SecretValue]) -> ConsoleCredentials:
    """The credentials of a secret: `username`, `password`, and `further_passwords` where an operator has added some.

    A password of fewer than `MIN_PASSWORD_CHARACTERS` characters is not used.

    Raises:
        CredentialsUnavailable: a member is missing or of a wrong type.
    """
    (secret,) = secrets
    passwords = secret_texts(secret, "password", shortest=MIN_PASSWORD_CHARACTERS)
    return ConsoleCredentials(secret_text(secret.get("username"), "username"), passwords)


def check_basic(header: str, credentials: ConsoleCredentials) -> None:
    """Check an `Authorization` header.

    Raises:
        Unauthorized: with the reason for the log.
    """
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "basic":
        raise Unauthorized("not Basic authentication")
    try:
        given = base64.b64decode(token.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise Unauthorized("Basic credentials that are not base64") from None
    username, _, password = given.partition(b":")
    if not _passwords_that_match(username, password, credentials):
        raise Unauthorized(WRONG_CREDENTIALS)


def sign_in(username: str, password: str, credentials: ConsoleCredentials, now: datetime) -> ConsoleSession | None:
    """A new session, `None` where the user name or the password is wrong."""
    # Whatever JSON can hold is compared, lone surrogates too.
    given = username.encode("utf-8", "surrogatepass"), password.encode("utf-8", "surrogatepass")
    matches = _passwords_that_match(*given, credentials)
    start = now.replace(microsecond=0)
    return ConsoleSession(start, _end(start, start), matches[0]) if matches else None


def cookie_name(*, secure: bool) -> str:
    """Return the name of the session cookie; a browser drops a `__Host-` cookie that comes without TLS."""
    return SECURE_COOKIE if secure else COOKIE


def session_of(
    cookies: Iterable[str], credentials: ConsoleCredentials, now: datetime, *, secure: bool
) -> ConsoleSession | None:
    """The session that one of a request's cookies (`name=value`) proves."""
    for cookie in cookies:
        name, _, value = cookie.strip().partition("=")
        session = _session(value, credentials) if name == cookie_name(secure=secure) else None
        if session and session.signed_in - _CLOCKS_DIFFER_BY <= now < session.expires:
            return session
    return None


def cookie_of(session: ConsoleSession, now: datetime, *, secure: bool) -> Cookie:
    """The cookie of a session. `secure` keeps it from connections without TLS."""
    times = f"{int(session.signed_in.timestamp())}.{int(session.expires.timestamp())}"
    value = f"{times}.{_mac(times, session.password)}"
    return _cookie(value, int((session.expires - now).total_seconds()), secure=secure)


def no_cookie(*, secure: bool) -> Cookie:
    """What takes the cookie away."""
    return _cookie("", 0, secure=secure)


def _end(signed_in: datetime, now: datetime) -> datetime:
    return min(now.replace(microsecond=0) + VALID_FOR, signed_in + MAX_SESSION)


def _passwords_that_match(username: bytes, password: bytes, credentials: ConsoleCredentials) -> list[str]:
    is_user = hmac.compare_digest(username, credentials.username.encode("utf-8"))
    # Compare every password, so that timing does not reveal which one came close.
    matches = [one for one in credentials.passwords if hmac.compare_digest(password, one.encode("utf-8"))]
    return matches if is_user else []


def _session(value: str, credentials: ConsoleCredentials) -> ConsoleSession | None:
    found = _VALUE.fullmatch(value)
    if found is None:
        return None
    times, mac = found[1], found[2].encode("ascii")
    proven = [one for one in credentials.passwords if hmac.compare_digest(_mac(times, one).encode("ascii"), mac)]
    signed_in, expires = (datetime.fromtimestamp(int(second), UTC) for second in times.split("."))
    return ConsoleSession(signed_in, expires, proven[0]) if proven else None


def _mac(times: str, password: str) -> str:
    message = _PURPOSE + times.encode("ascii")
    return hmac.new(password.encode("utf-8"), message, hashlib.sha256).hexdigest()


def _cookie(value: str, seconds: int, *, secure: bool) -> Cookie:
    name = cookie_name(secure=secure)
    return Cookie(name, value, path="/", max_age=seconds, secure=secure, http_only=True, same_site=SameSite.STRICT_MODE)
