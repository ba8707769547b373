"""Failures as they may be logged: the text of an exception may hold what was sent, its type and place do not."""

from __future__ import annotations

import traceback
from pathlib import PurePath

from botocore.exceptions import ClientError


def failure_of(error: BaseException) -> str:
    """The type of an exception, and the lines that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    place = " > ".join(f"{PurePath(frame.filename).name}:{frame.lineno}" for frame in frames)
    return f"{type(error).__name__} at {place}"


def name_of(error: BaseException) -> str:
    """What AWS calls a failure, such as `ThrottlingException`, else its type."""
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
