"""One deployment for all faults, and the proxy that causes them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.traffic import Traffic
from tests.faulty_proxy import FaultyProxy, route_functions_through
from tests.running_stack import RunningStack, deployment_for


@pytest.fixture(scope="session")
def running() -> Iterator[RunningStack]:
    with deployment_for("faults") as running:
        yield running


@pytest.fixture(scope="session")
def proxy(running: RunningStack) -> Iterator[FaultyProxy]:
    """Start the proxy, and send the AWS requests of all functions through it."""
    proxy = FaultyProxy(running.stack.aws_endpoint_url)
    proxy.start()
    route_functions_through(running, proxy)
    yield proxy
    proxy.stop()


@pytest.fixture(scope="session")
def traffic(running: RunningStack, proxy: FaultyProxy) -> Iterator[Traffic]:
    """Return senders of all four providers, after warming up every function."""
    traffic = Traffic(running, proxy)
    traffic.warm_up()
    yield traffic
    traffic.client.close()
