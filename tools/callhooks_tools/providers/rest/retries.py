"""Retries of requests, only if repeating one is harmless or the provider cannot have acted on it."""

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
"""Seconds. A request is not retried if the provider asks for a longer pause."""

T = TypeVar("T")

_max_backoff = tenacity.wait_exponential(multiplier=0.5)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Time limits, clock and pauses of a client. `jitter` returns a number from 0 to 1.

    `total_seconds` limits one request including its complete response. A recording may take longer, but never more than
    `read_seconds` without a byte.
    """

    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random
    connect_seconds: float = 3.0
    read_seconds: float = 10.0
    total_seconds: float = 20.0

    def run(self, attempt: Callable[[], T], *, idempotent: bool) -> T:
        """Return the result of a request, after up to four attempts.

        An `idempotent` request has the same effect when it is made twice. Other requests are retried only if the
        provider cannot have acted on them.

        Raises:
            ControlFailed: the error of the last attempt. Its `not_sent` covers all attempts.
        """
        all_unsent = True

        def should_retry(error: BaseException) -> bool:
            nonlocal all_unsent
            if not isinstance(error, RetryableError):
                return False
            all_unsent = error.not_sent = all_unsent and error.not_sent
            return (idempotent or error.not_sent) and _retry_after(error) <= MAX_PAUSE

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(should_retry),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=self._pause,
            sleep=self.sleep,
            reraise=True,
        )(attempt)

    def _pause(self, state: tenacity.RetryCallState) -> float:
        """Return the seconds to wait: exponential backoff with 50% jitter, or longer if the provider asks for it."""
        error = state.outcome.exception() if state.outcome else None
        return max(_retry_after(error), _max_backoff(state) * (1 + self.jitter()) / 2)


def _retry_after(error: BaseException | None) -> float:
    return (error.retry_after or 0.0) if isinstance(error, RateLimited) else 0.0
