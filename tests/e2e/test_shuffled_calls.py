"""Calls of all four providers, sent in order, and the same calls sent shuffled and doubled: the same records.

`CALLHOOKS_CALLS` says how many calls; .ci/run takes the default, and the thousand of the promise take some minutes.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from callhooks.store import partition_key
from callhooks_tools.deliveries import Delivery, as_sent_by, read_delivery
from callhooks_tools.stack import Provider
from pydantic import JsonValue, TypeAdapter, ValidationError

from tests.running_stack import RunningStack
from tests.support import EVENTS

CALLS = int(os.environ.get("CALLHOOKS_CALLS", "60"))
AT_ONCE = 50
SENDERS = 8
PROJECTED_WITHIN_SECONDS = 240
RECORDED_AT = datetime(2026, 11, 21, 6, 30, tzinfo=UTC)

SEQUENCES: dict[Provider, list[list[str]]] = {
    Provider.JAMBONZ: [
        ["new_call", "call_status_inbound_trying", "call_status_inbound_in_progress", "action_gather_digits",
         "call_status_inbound_completed"],
        ["new_call", "call_status_inbound_trying", "call_status_inbound_no_answer"],
        ["call_status_dial_leg_trying", "call_status_dial_leg_ringing", "call_status_dial_leg_busy"],
    ],
    Provider.WAVIX: [
        ["call_setup", "ringing", "early_media", "answered", "on_call_event_collect_completed", "completed",
         "post_call_answered"],
        ["call_setup", "ringing", "cancelled", "post_call_noanswer"],
        ["call_setup", "busy"],
    ],
    Provider.BIRD: [
        ["voice_inbound_starting", "voice_inbound_ringing", "voice_inbound_ongoing", "voice_inbound_completed"],
        ["voice_outbound_accepted", "voice_outbound_starting", "voice_outbound_ringing", "voice_outbound_cancelled"],
    ],
    Provider.VOIPSTUDIO: [
        ["call_initial", "call_ringing", "call_connected", "call_hold", "call_dtmf", "call_unhold", "call_hangup",
         "queue_wrapup_start"],
        ["call_initial", "call_ringing", "call_missed_queue"],
    ],
}  # fmt: skip
_MOMENT = TypeAdapter(datetime)


@dataclass(frozen=True)
class PlacedCall:
    """A call and its deliveries in the order in which they were made."""

    provider: Provider
    call_id: str
    deliveries: list[Delivery]

    @property
    def pk(self) -> str:
        return partition_key(self.provider.value, self.call_id)


def place(running: RunningStack, provider: Provider, names: list[str], number: int, began: datetime) -> PlacedCall:
    """One call by its recordings, at a time of its own, as its provider sends it."""
    call_id = str(uuid.uuid4().int % 10**12) if provider is Provider.VOIPSTUDIO else str(uuid.uuid4())
    access = running.stack.credentials.of(provider)
    deliveries = []
    for step, name in enumerate(names):
        recorded = read_delivery(EVENTS / provider.value / f"{name}.json")
        document = shifted(json.loads(recorded.request.body), began - RECORDED_AT)
        assert isinstance(document, dict)
        call = document["payload"] if provider is Provider.BIRD else document
        assert isinstance(call, dict)
        call.update(named(provider, call, call_id))
        call["from"] = call.get("from") and f"+1212555{number:04}"
        delivery = Delivery({**recorded.event, "body": json.dumps(document)})
        sent_at = began + timedelta(seconds=2 * step)
        deliveries.append(as_sent_by(provider, delivery, access, sent_at, base_url=running.stack.base_url))
    return PlacedCall(provider, call_id, deliveries)


def named(provider: Provider, call: Mapping[str, JsonValue], call_id: str) -> dict[str, JsonValue]:
    if provider is Provider.JAMBONZ:
        return {"call_sid": call_id}
    if provider is Provider.VOIPSTUDIO:
        return {"call_id": call_id, "id": f"{call_id}-{call['id']}"}
    return {name: call_id for name in ("id", "uuid") if name in call}


def shifted(value: JsonValue, by: timedelta) -> JsonValue:
    """A document with all its times moved; VoIPstudio has them without a zone."""
    if isinstance(value, dict):
        return {name: shifted(member, by) for name, member in value.items()}
    if isinstance(value, str) and value.startswith("2026-11-21"):
        try:
            moment = _MOMENT.validate_python(value) + by
        except ValidationError:
            return value
        return f"{moment:%Y-%m-%d %H:%M:%S}" if moment.tzinfo is None else moment.isoformat(timespec="milliseconds")
    return value


def record_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """A call's item without what is of this very call: its id, and what follows from that."""
    own = {"pk", "call_id", "day_shard", "expires_at"}
    return {name: value for name, value in item.items() if name not in own}


def call_items(running: RunningStack) -> dict[str, dict[str, Any]]:
    pages = running.client("dynamodb").get_paginator("scan").paginate(
        TableName=running.stack.events_table,
        FilterExpression="sk = :call",
        ExpressionAttributeValues={":call": {"S": "call"}},
    )  # fmt: skip
    return {item["pk"]["S"]: item for page in pages for item in page["Items"]}


def batches() -> Iterator[range]:
    for first in range(0, CALLS, AT_ONCE):
        yield range(first, min(first + AT_ONCE, CALLS))


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


def test_calls_sent_shuffled_and_doubled_are_the_same_as_sent_in_order(running: RunningStack, post: Any) -> None:
    kinds = [(provider, names) for provider, sequences in SEQUENCES.items() for names in sequences]
    chance = random.Random(4711)  # noqa: S311 - an order, and no secret
    pairs: list[tuple[PlacedCall, PlacedCall]] = []
    with ThreadPoolExecutor(SENDERS) as pool:
        for numbers in batches():
            # jambonz's signature tells when it was sent, and is valid for five minutes.
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
            chance.shuffle(shuffled)
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
    outcomes = {items[first.pk]["outcome"]["S"] for first, _ in pairs}
    assert outcomes == {"answered", "busy", "cancelled", "missed"}
