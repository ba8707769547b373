"""What a million events cost, by list prices and the sizes of real items."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from callhooks.events.event_item import Item

from bench.calls import RECORDED_CALLS, stored_item
from bench.cost import (
    Index,
    Pace,
    Prices,
    Usage,
    cost_of,
    cost_of_duplicates,
    fixed_cost,
    index_units,
    indexes,
    secrets_of,
    size_of,
    units,
    usage_of,
)

MAX_FOR_RECEIVING = 2.40
MAX_FOR_ALL = 5.50
"""Without secrets, whose cost depends on how many containers there are and not on events alone."""
MAX_FOR_SECRETS = 0.32
ONE = Usage(
    events=1, functions=3, secrets=2, batches=1, folds=1, receiving_write_units=1, call_write_units=1,
    index_write_units=3, read_units=1, bus_units=1, answer_bytes=1000, stored_bytes=2000, log_bytes=274,
)  # fmt: skip
LISTED = Index(("day", "start"), ("status",))


def entry(**members: str) -> Item:
    return {name: {"S": text} for name, text in {"pk": "p", "sk": "call", **members}.items()}


@pytest.mark.parametrize("provider", RECORDED_CALLS)
def test_a_million_events_cost_what_was_promised(provider: str) -> None:
    cost = cost_of(usage_of(provider), Pace(), Prices())
    assert cost.receiving - cost.secrets <= MAX_FOR_RECEIVING
    assert cost.total - cost.secrets <= MAX_FOR_ALL
    assert cost.secrets <= MAX_FOR_SECRETS


@pytest.mark.parametrize(("provider", "calls"), {"jambonz": 2, "wavix": 1, "bird": 1, "voipstudio": 1}.items())
def test_a_whole_call_is_one_call_or_two_legs(provider: str, calls: int) -> None:
    assert len({stored_item(provider, name)["pk"]["S"] for name in RECORDED_CALLS[provider]}) == calls


def test_the_sum_is_that_of_the_list_prices() -> None:
    pace = Pace(
        delivery_seconds=0.01, batch_seconds=0.01, fold_seconds=0.02, access_log_bytes=74, batch_log_bytes=174,
        memory_gb=1, cold_starts=0,
    )  # fmt: skip
    assert asdict(cost_of(ONE, pace, Prices())) == pytest.approx(
        {
            "api": 1.0, "function": 0.20 + 0.133334, "table": 0.625, "logs": 0.20, "transfer": 0.09,
            "secrets": 2 * 3 * 8_640 * 0.000005, "projector": 0.20 + 0.400002, "reading": 0.125, "call": 0.625,
            "indexes": 1.875, "bus": 1.0, "projector_logs": 0.10, "storage": 2.7,
        }
    )  # fmt: skip


def test_secrets_are_read_by_each_container_at_its_start_and_every_five_minutes() -> None:
    usage = replace(ONE, functions=1, secrets=1)
    starts, refreshes = 5_000, 30 * 24 * 12
    assert cost_of(usage, Pace(), Prices()).secrets == pytest.approx((starts + refreshes) * 0.05 / 10_000)
    busy = Pace(events_a_month=100_000_000)
    assert cost_of(usage, busy, Prices()).secrets == pytest.approx((starts + refreshes / 100) * 0.05 / 10_000)


def test_secrets_are_those_of_the_template() -> None:
    secrets = {provider: secrets_of(provider) for provider in RECORDED_CALLS}
    assert secrets == {"jambonz": 2, "wavix": 1, "bird": 1, "voipstudio": 1}
    assert fixed_cost(Prices()) == pytest.approx(6 * 0.40)


def test_a_repeat_costs_a_request_and_a_write_that_finds_it_there() -> None:
    pace = replace(Pace(), delivery_seconds=0, access_log_bytes=-26)
    usage = replace(ONE, receiving_write_units=2, answer_bytes=0, log_bytes=-26)
    assert cost_of_duplicates(0.5, usage, pace, Prices()) == pytest.approx((1.0 + 0.20 + 2 * 0.625) / 2)


def test_events_that_come_together_are_folded_together() -> None:
    together, alone = usage_of("jambonz"), usage_of("jambonz", window_seconds=0)
    assert together.batches < alone.batches == 1
    assert together.call_write_units < alone.call_write_units
    assert together.receiving_write_units == alone.receiving_write_units


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({"a": {"S": "\u00e9"}}, 3),
        ({"ab": {"B": b"123"}}, 5),
        ({"n": {"N": "-12.5"}}, 4),
        ({"f": {"BOOL": True}}, 2),
        ({"m": {"M": {"x": {"S": "y"}}}}, 7),
        ({"l": {"L": [{"S": "y"}]}}, 6),
    ],
)
def test_items_are_as_large_as_dynamodb_counts_them(item: Item, size: int) -> None:
    assert size_of(item) == size


def test_a_write_unit_is_a_kilobyte_begun() -> None:
    assert [units({"a": {"S": "x" * length}}) for length in (1, 1023, 1024)] == [1, 1, 2]


@pytest.mark.parametrize(
    ("before", "after", "written"),
    [
        ({}, entry(day="1", start="2", status="a"), 1),
        (entry(day="1", start="2", status="a"), entry(day="1", start="2", status="a", other="b"), 0),
        (entry(day="1", start="2", status="a"), entry(day="1", start="2", status="b"), 1),
        (entry(day="1", start="2", status="a"), entry(day="1", start="1", status="a"), 2),
        ({}, entry(status="a"), 0),
    ],
)
def test_an_index_is_written_where_what_it_repeats_has_changed(before: Item, after: Item, written: int) -> None:
    assert index_units(LISTED, before, after) == written


def test_the_indexes_are_those_of_the_template() -> None:
    assert [index.key[0] for index in indexes()] == ["day_shard", "from_party", "to_party", "conversation_id"]
    assert [bool(index.projected) for index in indexes()] == [True, False, False, False]
