"""A small synthetic day, of the kind that `make soak` has at full length."""

from __future__ import annotations

from tests.faulty_proxy import FaultyProxy
from tests.running_stack import RunningStack
from tests.soak import soak


def test_of_a_day_with_an_outage_nothing_is_lost_doubled_or_let_in(running: RunningStack, proxy: FaultyProxy) -> None:
    report = soak(running, proxy, deliveries=600, outage_seconds=4)
    report.show()
    assert report.broken == {}
