"""Send the events of a call in random order, from many senders at the same time."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

from tests.faults.traffic import SENDERS, Traffic

COPIES = 3


def test_a_shuffled_flood_of_duplicates_results_in_the_same_call(traffic: Traffic) -> None:
    """Send every delivery of one call per provider three times, shuffled, from eight senders."""
    calls, baseline = traffic.place_twins()
    rng = random.Random(4711)  # noqa: S311 - not used for a secret
    flood = [(call, delivery) for call in calls for delivery in call.deliveries] * COPIES
    rng.shuffle(flood)
    with ThreadPoolExecutor(SENDERS) as pool:
        sent = list(pool.map(traffic.send_until_accepted, *zip(*flood, strict=True)))

    assert {one.status for one in sent} == {200}
    deliveries = {one.body for one in sent}
    assert len({(one.body, one.answer) for one in sent}) == len(deliveries)
    assert sorted(one.body for one in sent if not one.is_replayed) == sorted(deliveries)
    traffic.assert_stored_once(sent)
    assert traffic.records_of(calls) == baseline.records
