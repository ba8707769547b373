"""The events of a call in any order, from many senders at once."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

from tests.faults.traffic import SENDERS, Traffic

COPIES = 3


def test_a_flood_of_one_call_in_no_order_is_the_same_call(traffic: Traffic) -> None:
    """Sends every delivery of a call three times, shuffled, by eight senders; of each provider a call."""
    calls, usual = traffic.place_twins()
    chance = random.Random(4711)  # noqa: S311 - an order, and no secret
    flood = [(call, delivery) for call in calls for delivery in call.deliveries] * COPIES
    chance.shuffle(flood)
    with ThreadPoolExecutor(SENDERS) as pool:
        sent = list(pool.map(traffic.insist, *zip(*flood, strict=True)))

    assert {one.status for one in sent} == {200}
    deliveries = {one.body for one in sent}
    assert len({(one.body, one.answer) for one in sent}) == len(deliveries)
    assert sorted(one.body for one in sent if not one.is_replayed) == sorted(deliveries)
    traffic.assert_kept_once(sent)
    assert traffic.records_of(calls) == usual.records
