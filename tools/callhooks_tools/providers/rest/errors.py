"""What can go wrong with a provider's API, in words that may be shown and logged.

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

A text names the provider, the status and the provider's own message. What of that message could be a key, a number or
an address with a token is left out.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import quote

MAX_MESSAGE = 300
LEFT_OUT = "..."

_ADDRESS = re.compile(r"\b(?:https?|wss?|sips?|tel):[^\s\"'<>]+", re.IGNORECASE)
_NUMBER = re.compile(r"\+?\d(?:[ ().-]{0,2}\d){6,}")


class ControlFailed(Exception):
    """A provider has not done what was asked. `status` is that of its answer, where there was one."""

    what: ClassVar[str] = "fails"

    def __init__(self, provider: str, *, status: int | None = None, message: str = "") -> None:
        super().__init__(provider, status, message)
        self.provider = provider
        self.status = status
        self.message = message

    def __str__(self) -> str:
        status = "" if self.status is None else f" ({self.status})"
        message = f": {self.message}" if self.message else ""
        return f"{self.provider} {self.what}{status}{message}"


class NotConfigured(ControlFailed):
    """Something is not set, or cannot be what it should be; the message says where to get it."""

    def __str__(self) -> str:
        return self.message


class KeyRejected(ControlFailed):
    """The key is wrong, or may not do this."""

    what = "does not accept the key for this"


class NotFound(ControlFailed):
    """There is no such thing."""

    what = "has nothing of that id"


class CallIsOver(NotFound):
    """The call is over, or there has never been one of this id: providers answer both alike."""

    what = "has no such call that lasts: it is over, or the id is not one of this account"


class RequestRejected(ControlFailed):
    """The provider has understood the request and does not do it; the message says why."""

    what = "refuses"


class RetryableError(ControlFailed):
    """What may pass. `not_sent` says that the provider cannot have acted on the request."""

    def __init__(self, provider: str, *, not_sent: bool, status: int | None = None, message: str = "") -> None:
        super().__init__(provider, status=status, message=message)
        self.not_sent = not_sent


class RateLimited(RetryableError):
    """Too many requests. `retry_after` is in seconds, where the provider has told it."""

    what = "takes no more requests for now"

    def __init__(
        self, provider: str, *, status: int | None = None, message: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(provider, not_sent=True, status=status, message=message)
        self.retry_after = retry_after


class Unreachable(RetryableError):
    """No answer, or one that says that the provider is out of order."""

    what = "does not answer"

    @property
    def maybe_done(self) -> bool:
        """Whether the provider may have acted on the request; not where no connection was made."""
        return not self.not_sent


class Unexpected(ControlFailed):
    """An answer that its documents do not know."""

    what = "answers what is not understood"


def message_of(document: object, confidential: Sequence[str] = ()) -> str:
    """The provider's own message in an error's body, as it may be shown; empty where there is none.

    The shapes are those of Wavix (`message`, and `errors` by field), VoIPstudio (`errors[].message` or `message`),
    Bird (`message` and `details`) and jambonz (`msg`).
    """
    return showable("; ".join(_texts(document)), confidential)


def showable(text: str, confidential: Sequence[str] = ()) -> str:
    """A provider's text in one line, without what is confidential, and no longer than anybody reads."""
    for form in sorted(_forms_of(confidential), key=len, reverse=True):
        text = text.replace(form, LEFT_OUT)
    text = "".join(char if char.isprintable() else " " for char in text).strip()
    text = _NUMBER.sub(LEFT_OUT, _ADDRESS.sub(LEFT_OUT, text))
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}{LEFT_OUT}"


def _forms_of(confidential: Sequence[str]) -> set[str]:
    """Secrets as they are, and as an address or a header would have them."""
    forms = set()
    for secret in filter(None, confidential):
        raw = secret.encode("utf-8", "surrogatepass")
        forms |= {secret, quote(raw, safe=""), base64.b64encode(raw).decode("ascii").rstrip("=")}
    return forms


def _texts(document: object) -> list[str]:
    if not isinstance(document, dict):
        return []
    told = [document[name] for name in ("message", "msg", "error") if isinstance(document.get(name), str)][:1]
    for name in ("errors", "details"):
        problems = document.get(name)
        if isinstance(problems, list):
            told += [text for problem in problems for text in (_texts(problem) or _plain(problem))]
        elif isinstance(problems, dict):
            told += [f"{field}: {text}" for field, problem in problems.items() for text in _plain(problem)]
    return told


def _plain(problem: object) -> list[str]:
    parts = problem if isinstance(problem, list) else [problem]
    return [part for part in parts if isinstance(part, str)]
