"""When a request is made again: only what cannot be done twice by that, and what the provider has not begun."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from callhooks_tools.providers.rest.errors import RateLimited, RetryableError

ATTEMPTS = 4
MAX_PAUSE = 30.0
"""Seconds; a provider that asks for more gets none."""

T = TypeVar("T")

_longest_pause = tenacity.wait_exponential(multiplier=0.5)


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

    def run(self, attempt: Callable[[], T], *, repeatable: bool) -> T:
        """Return the result of an attempt, made up to four times.

        `repeatable` says that twice does no more than once; other requests are repeated only where none was sent.

        Raises:
            ControlFailed: what the last attempt has failed with. Its `not_sent` holds for all attempts.
        """
        all_unsent = True

        def is_repeated(error: BaseException) -> bool:
            nonlocal all_unsent
            if not isinstance(error, RetryableError):
                return False
            all_unsent = error.not_sent = all_unsent and error.not_sent
            return (repeatable or error.not_sent) and _asked_pause(error) <= MAX_PAUSE

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_repeated),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=self._pause,
            sleep=self.sleep,
            reraise=True,
        )(attempt)

    def _pause(self, state: tenacity.RetryCallState) -> float:
        """Return the pause after an attempt, half of which is left to chance, or what the provider asks for."""
        error = state.outcome.exception() if state.outcome else None
        return max(_asked_pause(error), _longest_pause(state) * (1 + self.jitter()) / 2)


def _asked_pause(error: BaseException | None) -> float:
    return (error.retry_after or 0.0) if isinstance(error, RateLimited) else 0.0
