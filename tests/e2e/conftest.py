"""One deployment, shared by all tests that do not change it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.running_stack import RunningStack, deployment_for


@pytest.fixture(scope="session")
def running() -> Iterator[RunningStack]:
    with deployment_for("e2e") as running:
        yield running
