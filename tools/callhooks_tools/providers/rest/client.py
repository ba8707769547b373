"""What the clients of providers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

from callhooks_tools.providers.rest.errors import CallIsOver, NotFound
from callhooks_tools.providers.rest.retries import RetryPolicy
from callhooks_tools.providers.rest.session import RestClient

PAUSE_BETWEEN_LOOKS = 3.0
"""Seconds."""

T = TypeVar("T")


class ProviderClient:
    """A client that works over `RestClient`; to be closed, as a context or by `close`."""

    def __init__(self, rest: RestClient) -> None:
        self._rest = rest

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections; the client is of no use afterwards."""
        self._rest.close()


def when_there(look: Callable[[], list[T]], within: float, retry_policy: RetryPolicy) -> list[T]:
    """What is found, looked for again for so many seconds while there is nothing: a record may come after the end."""
    until = retry_policy.monotonic() + within
    while not (found := look()) and retry_policy.monotonic() + PAUSE_BETWEEN_LOOKS <= until:
        retry_policy.sleep(PAUSE_BETWEEN_LOOKS)
    return found


@contextmanager
def of_a_call() -> Iterator[None]:
    """What is not found within is a call."""
    try:
        yield
    except NotFound as missing:
        raise CallIsOver(missing.provider, status=missing.status, message=missing.message) from None
