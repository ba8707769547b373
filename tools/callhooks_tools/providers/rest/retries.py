"""When a request is made again: only what cannot be done twice by that, and what the provider has not begun."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from callhooks_tools.providers.rest.errors import ControlFailed, RateLimited, Unreachable

PAUSES = (0.5, 1.0, 2.0)
"""Seconds before a request is made again; half of each is left to chance."""
MAX_PAUSE = 30.0
"""Seconds; a provider that asks for more gets none."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a client waits, and for what. `jitter` gives a number from 0 to 1.

    `whole_seconds` is for one request with its whole answer. A recording may take longer, but never `read_seconds`
    without a byte.
    """

    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random
    connect_seconds: float = 3.0
    read_seconds: float = 10.0
    whole_seconds: float = 20.0


class RetryableError(Exception):
    """An attempt has failed in a way that may pass. `not_sent` says that the provider cannot have acted on it."""

    def __init__(self, failed: ControlFailed, *, not_sent: bool) -> None:
        super().__init__(failed)
        self.failed = failed
        self.not_sent = not_sent


def repeated(attempt: Callable[[], T], waiting: RetryPolicy, *, repeatable: bool) -> T:
    """The result of an attempt, made up to four times; `repeatable` says that twice does no more than once.

    Raises:
        ControlFailed: what the last attempt has failed with, or one that cannot pass.
    """
    maybe_done = False
    for pause in (*PAUSES, None):
        try:
            return attempt()
        except RetryableError as passing:
            failed = passing.failed
            maybe_done = maybe_done or not passing.not_sent
            asked = failed.retry_after if isinstance(failed, RateLimited) else None
            is_refused = asked is not None and asked > MAX_PAUSE
            if pause is None or is_refused or not (repeatable or passing.not_sent):
                if isinstance(failed, Unreachable):
                    failed.maybe_done = maybe_done
                raise failed from None
        waiting.sleep(max(asked or 0, pause * (1 + waiting.jitter()) / 2))
    raise AssertionError("the last attempt returns or raises")
