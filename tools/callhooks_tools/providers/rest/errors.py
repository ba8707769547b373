"""Errors of providers' REST APIs, with messages that are safe to show and log.

    ControlFailed
    ├── NotConfigured
    ├── KeyRejected
    ├── NotFound
    │   └── CallIsOver
    ├── RequestRejected
    ├── RetryableError
    │   ├── RateLimited
    │   └── Unreachable
    └── Unexpected

A message names the provider, the status and the provider's own message. Anything in that message that could be a key, a
phone number or an address with a token is redacted.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import quote

MAX_MESSAGE = 300
REDACTED = "..."

_ADDRESS = re.compile(r"\b(?:https?|wss?|sips?|tel):[^\s\"'<>]+", re.IGNORECASE)
_NUMBER = re.compile(r"\+?\d(?:[ ().-]{0,2}\d){6,}")


class ControlFailed(Exception):
    """A request to a provider failed. `status` is the HTTP status of the response, if there was one."""

    summary: ClassVar[str] = "request failed"
    remedy: ClassVar[str] = ""
    """Next step for the user."""

    def __init__(self, provider: str, *, status: int | None = None, message: str = "") -> None:
        super().__init__(provider, status, message)
        self.provider = provider
        self.status = status
        self.message = message

    def __str__(self) -> str:
        status = "" if self.status is None else f" ({self.status})"
        message = f": {self.message}" if self.message else ""
        return f"{self.provider} {self.summary}{status}{message}"


class NotConfigured(ControlFailed):
    """An environment variable is missing or invalid; the message says where to get its value."""

    def __str__(self) -> str:
        return self.message


class KeyRejected(ControlFailed):
    """The key is wrong, or does not allow this request."""

    summary = "rejected the API key for this request"
    remedy = "Check the key and its permissions: docs/control.md#keys"


class NotFound(ControlFailed):
    """The provider has no object with this id."""

    summary = "found nothing with this id"


class CallIsOver(NotFound):
    """The call is over or never existed; providers do not distinguish the two."""

    summary = "has no active call with this id: the call is over, or the id is not one of this account"


class RequestRejected(ControlFailed):
    """The provider understood the request and rejected it; the message says why.

    Without a status, the request was invalid and was not sent.
    """

    summary = "rejected the request"

    def __str__(self) -> str:
        return f"{self.provider} request not sent: {self.message}" if self.status is None else super().__str__()


class RetryableError(ControlFailed):
    """A failure that may be temporary. With `not_sent`, the provider cannot have acted on the request."""

    def __init__(self, provider: str, *, not_sent: bool, status: int | None = None, message: str = "") -> None:
        super().__init__(provider, status=status, message=message)
        self.not_sent = not_sent


class RateLimited(RetryableError):
    """Too many requests. `retry_after` is in seconds, if the provider sent it."""

    summary = "rate limit exceeded"
    remedy = "Wait a moment, then try again"

    def __init__(
        self, provider: str, *, status: int | None = None, message: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(provider, not_sent=True, status=status, message=message)
        self.retry_after = retry_after


class Unreachable(RetryableError):
    """No complete response, or one that says that the provider is out of order."""

    summary = "is unavailable"

    @property
    def maybe_done(self) -> bool:
        """True if the provider may have acted on the request; false if no connection was made."""
        return not self.not_sent


class Unexpected(ControlFailed):
    """A response that the provider's documentation does not describe."""

    summary = "sent an unexpected response"


def error_message(document: object, confidential: Sequence[str] = ()) -> str:
    """Return the provider's own message from an error's body, redacted; empty if there is none.

    Understands the shapes of Wavix (`message`, and `errors` by field), VoIPstudio (`errors[].message` or `message`),
    Bird (`message` and `details`) and jambonz (`msg`).
    """
    return redacted("; ".join(_texts(document)), confidential)


def redacted(text: str, confidential: Sequence[str] = ()) -> str:
    """Return a provider's text as one short line, without secrets, phone numbers and addresses."""
    for form in sorted(_encodings_of(confidential), key=len, reverse=True):
        text = text.replace(form, REDACTED)
    text = "".join(char if char.isprintable() else " " for char in text).strip()
    text = _NUMBER.sub(REDACTED, _ADDRESS.sub(REDACTED, text))
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}{REDACTED}"


def _encodings_of(confidential: Sequence[str]) -> set[str]:
    """Return each secret as plain text, percent-encoded as in a URL, and in base64 as in a header."""
    forms = set()
    for secret in filter(None, confidential):
        raw = secret.encode("utf-8", "surrogatepass")
        forms |= {secret, quote(raw, safe=""), base64.b64encode(raw).decode("ascii").rstrip("=")}
    return forms


def _texts(document: object) -> list[str]:
    if not isinstance(document, dict):
        return []
    texts = [document[name] for name in ("message", "msg", "error") if isinstance(document.get(name), str)][:1]
    for name in ("errors", "details"):
        problems = document.get(name)
        if isinstance(problems, list):
            texts += [text for problem in problems for text in (_texts(problem) or _plain(problem))]
        elif isinstance(problems, dict):
            texts += [f"{field}: {text}" for field, problem in problems.items() for text in _plain(problem)]
    return texts


def _plain(problem: object) -> list[str]:
    parts = problem if isinstance(problem, list) else [problem]
    return [part for part in parts if isinstance(part, str)]
