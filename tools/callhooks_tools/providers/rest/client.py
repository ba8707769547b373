"""Base class and helpers of the providers' clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

from callhooks_tools.providers.rest.errors import CallIsOver, NotFound
from callhooks_tools.providers.rest.retries import RetryPolicy
from callhooks_tools.providers.rest.session import RestClient

POLL_INTERVAL_SECONDS = 3.0

T = TypeVar("T")


class ProviderClient:
    """Client on top of `RestClient`. Use it as a context manager, or call `close` when you are done.

    `from_environment` of each client raises `NotConfigured` if a variable is missing or invalid.
    """

    def __init__(self, rest: RestClient) -> None:
        self._rest = rest

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections. The client cannot be used afterwards."""
        self._rest.close()


def poll_until_found(find: Callable[[], list[T]], within: float, retry_policy: RetryPolicy) -> list[T]:
    """Return the result of `find`, called again for up to `within` seconds while it finds nothing.

    Records can appear some time after the end of a call.
    """
    deadline = retry_policy.monotonic() + within
    while not (found := find()) and retry_policy.monotonic() + POLL_INTERVAL_SECONDS <= deadline:
        retry_policy.sleep(POLL_INTERVAL_SECONDS)
    return found


@contextmanager
def not_found_as_call_is_over() -> Iterator[None]:
    """Raise `CallIsOver` instead of `NotFound`."""
    try:
        yield
    except NotFound as missing:
        raise CallIsOver(missing.provider, status=missing.status, message=missing.message) from None
