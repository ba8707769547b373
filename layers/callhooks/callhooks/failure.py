"""Failures as they may be logged: the text of an exception may hold what was sent, its type and place do not."""

from __future__ import annotations

import traceback
from pathlib import PurePath


def failure_of(error: BaseException) -> str:
    """The type of an exception, and the lines that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    place = " > ".join(f"{PurePath(frame.filename).name}:{frame.lineno}" for frame in frames)
    return f"{type(error).__name__} at {place}"
