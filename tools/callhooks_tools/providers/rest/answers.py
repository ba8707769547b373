"""A provider's answer: its JSON, or the error that its status stands for."""

from __future__ import annotations

import email.utils
from collections.abc import Mapping, Sequence

from callhooks.providers.payload import json_value
from callhooks.runtime.errors import BadRequest

from callhooks_tools.providers.rest.errors import (
    ControlFailed,
    KeyRejected,
    NotFound,
    RateLimited,
    RequestRejected,
    Unexpected,
    Unreachable,
    message_of,
)

DEEPEST = 40
"""Levels of an answer; no document of a provider has ten."""

_BUSY = frozenset({408, 502, 503, 504})


def answer_of(
    provider: str, status: int, headers: Mapping[str, str], content: bytes, confidential: Sequence[str]
) -> object:
    """The JSON of an answer that says yes; `None` where it is empty. Names in `headers` are in lower case.

    Raises:
        RetryableError: 429, 408, 502, 503, 504.
        ControlFailed: any other status, or what is no JSON.
    """
    document, problem = _document(content)
    if headers.get("content-type", "").startswith("text/plain"):
        # Such as `Accepted`: it says no more than the status.
        problem = ""
    if not 200 <= status < 300:
        raise _failure(provider, status, headers, message_of(document, confidential))
    if problem:
        raise Unexpected(provider, status=status, message=problem)
    if isinstance(document, dict) and document.get("success") is False:
        raise RequestRejected(provider, status=status, message=message_of(document, confidential))
    return document


def _document(content: bytes) -> tuple[object, str]:
    """The JSON, or what is wrong with it."""
    if not content.strip():
        return None, ""
    try:
        document = json_value(content)
    except BadRequest as problem:
        return None, str(problem)
    if _is_deeper(document, DEEPEST):
        return None, "The body is nested too deeply."
    return document, ""


def _failure(provider: str, status: int, headers: Mapping[str, str], message: str) -> ControlFailed:
    if status == 429:
        return RateLimited(provider, status=status, message=message, retry_after=_retry_after(headers))
    if status in _BUSY:
        return Unreachable(provider, not_sent=False, status=status, message=message)
    if status in (401, 403):
        return KeyRejected(provider, status=status, message=message)
    if status in (404, 410):
        return NotFound(provider, status=status, message=message)
    if 400 <= status < 500:
        return RequestRejected(provider, status=status, message=message)
    return Unexpected(provider, status=status, message=message)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait; a date is read by the provider's own clock."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:6])
    try:
        until = email.utils.parsedate_to_datetime(value)
        now = email.utils.parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def _is_deeper(document: object, levels: int) -> bool:
    """Whether something lies deeper in a document than so many levels."""
    level = [document]
    for _ in range(levels):
        inner: list[object] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        if not inner:
            return False
        level = inner
    return True
