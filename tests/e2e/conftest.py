"""One deployment, shared by all tests that do not change it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from tests.running_stack import RunningStack, deployment_for

WAIT_SECONDS = 60
ValueT = TypeVar("ValueT")


@pytest.fixture(scope="session")
def running() -> Iterator[RunningStack]:
    with deployment_for("e2e") as running:
        yield running


def eventually(read: Callable[[], ValueT], is_expected: Callable[[ValueT], bool] = bool) -> ValueT:
    """Read until the value is as expected, and return it; fail if time runs out."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_expected(value := read()):
        assert time.monotonic() < deadline, value
        time.sleep(0.2)
    return value
