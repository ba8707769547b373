"""A short version of the synthetic day of `make soak`."""

from __future__ import annotations

from tests.faulty_proxy import FaultyProxy
from tests.running_stack import RunningStack
from tests.soak import soak


def test_a_day_with_an_outage_breaks_no_promise(running: RunningStack, proxy: FaultyProxy) -> None:
    report = soak(running, proxy, deliveries=600, outage_seconds=4)
    report.show()
    assert report.broken == {}
