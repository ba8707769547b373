"""Parsing of a provider's response: its JSON, or the error for its status."""

from __future__ import annotations

import email.utils
import http.client
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
    error_message,
    redacted,
)

MAX_DEPTH = 40
"""Levels of nesting in a response. No documented response has ten."""

_TEMPORARY = frozenset({408, 502, 503, 504})
_ERRORS: Mapping[int, type[ControlFailed]] = {401: KeyRejected, 403: KeyRejected, 404: NotFound, 410: NotFound}


def parse_response(
    provider: str, status: int, headers: Mapping[str, str], content: bytes, confidential: Sequence[str]
) -> object:
    """Return the JSON of a successful response; `None` if it is empty. Names in `headers` are in lower case.

    Raises:
        RetryableError: 429, 408, 502, 503, 504.
        ControlFailed: any other status, or a body that is not JSON.
    """
    document, problem = _document(content)
    if not 200 <= status < 300:
        text = _plain_text(status, headers, content) if problem else ""
        raise _failure(provider, status, headers, redacted(text, confidential) or error_message(document, confidential))
    # A string such as `Accepted` only repeats the status.
    if problem and not headers.get("content-type", "").startswith("text/plain"):
        raise Unexpected(provider, status=status, message=problem)
    if isinstance(document, dict) and document.get("success") is False:
        raise RequestRejected(provider, status=status, message=error_message(document, confidential))
    return document


def _document(content: bytes) -> tuple[object, str]:
    """Return the JSON and an empty text, or `None` and the problem with the body."""
    if not content.strip():
        return None, ""
    try:
        document = json_value(content)
    except BadRequest as problem:
        return None, str(problem)
    if _is_deeper(document, MAX_DEPTH):
        return None, "The body is nested too deeply."
    return document, ""


def _plain_text(status: int, headers: Mapping[str, str], content: bytes) -> str:
    """Return the text of an error that is not JSON; empty for a web page, and for text that only names the status."""
    text = content.decode("utf-8", "replace").strip()
    # Express sends a string as text/html.
    is_text = headers.get("content-type", "").startswith(("text/plain", "text/html")) and "<" not in text
    return text if is_text and text != http.client.responses.get(status) else ""


def _failure(provider: str, status: int, headers: Mapping[str, str], message: str) -> ControlFailed:
    if status == 429:
        return RateLimited(provider, status=status, message=message, retry_after=_retry_after(headers))
    if status in _TEMPORARY:
        return Unreachable(provider, not_sent=False, status=status, message=message)
    error = _ERRORS.get(status, RequestRejected if 400 <= status < 500 else Unexpected)
    return error(provider, status=status, message=message)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait. A date is compared with the provider's own clock."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:6])
    try:
        until = email.utils.parsedate_to_datetime(value)
        now = email.utils.parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def _is_deeper(document: object, max_depth: int) -> bool:
    """Return whether a document has more levels of nesting than `max_depth`."""
    level = [document]
    for _ in range(max_depth):
        inner: list[object] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, list):
                inner += value
        if not inner:
            return False
        level = inner
    return True
