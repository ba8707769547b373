"""Failures as they may be logged: the text of an exception may hold what was sent, its type and place do not.

botocore is not imported for them: who is refused does not wait for it.
"""

from __future__ import annotations

import os
import traceback

_REFUSED_FOR_GOOD = ("ValidationException", "SerializationException")


def describe_exception(error: BaseException) -> str:
    """The type of an exception, and the lines that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    place = " > ".join(f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in frames)  # noqa: PTH119 - no more is imported than is needed
    return f"{type(error).__name__} at {place}"


def aws_error_code(error: BaseException | None) -> str | None:
    """What AWS calls a failure, such as `ThrottlingException`, where an AWS service has answered with one.

    It is in the `response` of botocore's `ClientError`.
    """
    response = getattr(error, "response", None)
    told = response.get("Error") if isinstance(response, dict) else None
    code = told.get("Code") if isinstance(told, dict) else None
    return code if isinstance(code, str) else None


def error_name(error: BaseException) -> str:
    """What AWS calls a failure, else its type."""
    return aws_error_code(error) or type(error).__name__


def is_refused_for_good(error: BaseException | None) -> bool:
    """Whether DynamoDB has said of an item that it would never take it."""
    return aws_error_code(error) in _REFUSED_FOR_GOOD
