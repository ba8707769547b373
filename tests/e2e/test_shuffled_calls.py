"""Calls of all four providers end in the same records, whether sent in order or shuffled with duplicates.

`CALLHOOKS_CALLS` sets the number of calls. .ci/run uses the default; a thousand calls take some minutes.
"""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from callhooks_tools.stack.recordings import Delivery

from tests.placed_calls import SEQUENCES, PlacedCall, place, record_of
from tests.running_stack import RunningStack

CALLS = int(os.environ.get("CALLHOOKS_CALLS", "60"))
BATCH_SIZE = 50
SENDERS = 8
PROJECTED_WITHIN_SECONDS = 240


def call_items(running: RunningStack) -> dict[str, dict[str, Any]]:
    pages = running.client("dynamodb").get_paginator("scan").paginate(
        TableName=running.stack.events_table,
        FilterExpression="sk = :call",
        ExpressionAttributeValues={":call": {"S": "call"}},
    )  # fmt: skip
    return {item["pk"]["S"]: item for page in pages for item in page["Items"]}


def batches() -> Iterator[range]:
    for first in range(0, CALLS, BATCH_SIZE):
        yield range(first, min(first + BATCH_SIZE, CALLS))


@pytest.fixture
def post(running: RunningStack) -> Iterator[Any]:
    with httpx.Client(base_url=running.stack.base_url, timeout=30, trust_env=False) as client:

        def send(delivery: Delivery) -> int:
            request = delivery.request
            return client.request(
                request.method,
                request.path,
                params=request.query,
                headers=delivery.headers_to_send,
                content=request.body,
            ).status_code

        yield send


def test_shuffled_and_duplicated_deliveries_result_in_the_same_calls(running: RunningStack, post: Any) -> None:
    kinds = [(provider, names) for provider, sequences in SEQUENCES.items() for names in sequences]
    rng = random.Random(4711)  # noqa: S311 - not used for a secret
    pairs: list[tuple[PlacedCall, PlacedCall]] = []
    with ThreadPoolExecutor(SENDERS) as pool:
        for numbers in batches():
            # jambonz's signature contains the time of sending, and is valid for five minutes.
            began = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=60)
            placed = [
                (place(running, *kind, number, began), place(running, *kind, number, began))
                for number, kind in zip(
                    numbers, itertools.islice(itertools.cycle(kinds), numbers.start, None), strict=False
                )
            ]
            in_order = [call.deliveries for call, _ in placed]
            statuses = list(pool.map(lambda deliveries: [post(one) for one in deliveries], in_order))
            shuffled = [delivery for _, call in placed for delivery in [*call.deliveries, *call.deliveries]]
            rng.shuffle(shuffled)
            assert {*itertools.chain(*statuses), *pool.map(post, shuffled)} == {200}
            pairs += placed

    deadline = time.monotonic() + PROJECTED_WITHIN_SECONDS
    expected = {call.pk: len(call.deliveries) for pair in pairs for call in pair}
    while time.monotonic() < deadline:
        items = call_items(running)
        behind = [
            pk for pk, count in expected.items() if int(items.get(pk, {}).get("event_count", {"N": 0})["N"]) < count
        ]
        if not behind:
            break
        time.sleep(0.5)
    assert {pk: int(items[pk]["event_count"]["N"]) for pk in expected} == expected
    assert [record_of(items[first.pk]) for first, _ in pairs] == [record_of(items[second.pk]) for _, second in pairs]
    for item in (items[pk] for pk in expected):
        times = [item[name]["S"] for name in ("started_at", "ringing_at", "answered_at", "ended_at") if name in item]
        assert times == sorted(times)
    outcomes = {items[first.pk]["outcome"]["S"] for first, _ in pairs}
    assert outcomes == {"answered", "busy", "cancelled", "missed"}
