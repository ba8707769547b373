"""Cost of a million events, from list prices and the sizes of real items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest
from callhooks.events.event_item import Item
from callhooks.runtime import metrics

from bench.calls import RECORDED_CALLS, stored_item
from bench.cost import (
    HOURS_A_MONTH,
    OFFICE_HOURS_A_MONTH,
    RECEIVERS,
    Index,
    Pace,
    Prices,
    Usage,
    cost_of,
    cost_of_duplicates,
    fixed_cost,
    index_units,
    indexes,
    metrics_of,
    polled_queues,
    secrets_of,
    size_of,
    units,
    usage_of,
)
from tests.processed_template import resources
from tests.support import metric_lines

MAX_FOR_RECEIVING = 2.40
MAX_FOR_ALL = 5.50
"""Without secrets, whose cost also depends on the number of containers."""
MAX_FOR_SECRETS = 0.32
MAX_FIXED = 8.00
"""Dollars a month, at list prices."""
ONE = Usage(
    events=1, functions=3, secrets=2, batches=1, folds=1, receiving_write_units=1, call_write_units=1,
    index_write_units=3, read_units=1, bus_units=1, answer_bytes=1000, stored_bytes=2000, log_bytes=274,
)  # fmt: skip
LISTED = Index(("day", "start"), ("status",))


def entry(**members: str) -> Item:
    return {name: {"S": text} for name, text in {"pk": "p", "sk": "call", **members}.items()}


@pytest.mark.parametrize("provider", RECORDED_CALLS)
def test_a_million_events_cost_no_more_than_documented(provider: str) -> None:
    cost = cost_of(usage_of(provider), Pace(), Prices())
    assert cost.receiving - cost.secrets <= MAX_FOR_RECEIVING
    assert cost.total - cost.secrets <= MAX_FOR_ALL
    assert cost.secrets <= MAX_FOR_SECRETS


def test_the_cost_is_computed_from_the_list_prices() -> None:
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


def test_each_container_reads_secrets_at_its_start_and_every_five_minutes() -> None:
    usage = replace(ONE, functions=1, secrets=1)
    starts, refreshes = 5_000, 30 * 24 * 12
    assert cost_of(usage, Pace(), Prices()).secrets == pytest.approx((starts + refreshes) * 0.05 / 10_000)
    busy = Pace(events_a_month=100_000_000)
    assert cost_of(usage, busy, Prices()).secrets == pytest.approx((starts + refreshes / 100) * 0.05 / 10_000)


def test_the_template_and_the_recordings_have_as_many_secrets_and_call_legs() -> None:
    secrets = {provider: secrets_of(provider) for provider in RECORDED_CALLS}
    assert secrets == {"jambonz": 2, "wavix": 1, "bird": 1, "voipstudio": 1}
    legs = {one: {stored_item(one, name)["pk"]["S"] for name in names} for one, names in RECORDED_CALLS.items()}
    assert {provider: len(keys) for provider, keys in legs.items()} == {**dict.fromkeys(legs, 1), "jambonz": 2}


class TestAStack:
    def test_costs_at_most_eight_dollars_while_idle_and_with_office_hours(self) -> None:
        assert fixed_cost(Prices()).total <= MAX_FIXED
        assert fixed_cost(Prices(), ("jambonz",), OFFICE_HOURS_A_MONTH).total <= MAX_FIXED

    def test_costs_what_the_deployed_resources_and_their_polling_cost(self) -> None:
        sources = resources("AWS::Lambda::EventSourceMapping").values()
        queues = [source["EventSourceArn"]["Fn::GetAtt"][0] for source in sources if "Queue" in str(source)]
        polled = {
            name: resources("AWS::SQS::Queue")[name]["ReceiveMessageWaitTimeSeconds"]
            for name in queues
            if name in resources("AWS::SQS::Queue")
        }
        assert polled_queues() == polled == dict.fromkeys(("SpillQueue", "ProjectionRetryQueue"), 20)
        assert asdict(fixed_cost(Prices())) == pytest.approx(
            {
                "secrets": 0.40 * len(resources("AWS::SecretsManager::Secret")),
                "alarms": 0.10 * (len(resources("AWS::CloudWatch::Alarm")) - 1),  # one is for the canary
                "dashboard": 3.00,
                "polling": 0.40 * 2 * 0.648,
                "metrics": 0,
                "secret_requests": 0,
            }
        )

    @pytest.mark.parametrize(("providers", "number"), [(("jambonz",), 2), (("wavix",), 1), (tuple(RECEIVERS), 5)])
    def test_pays_for_the_metrics_of_ordinary_deliveries_by_the_hour(
        self, providers: tuple[str, ...], number: int
    ) -> None:
        assert sum(map(metrics_of, providers)) == number
        assert fixed_cost(Prices(), providers, HOURS_A_MONTH).metrics == pytest.approx(number * 0.30)
        assert fixed_cost(Prices(), providers, HOURS_A_MONTH / 3).metrics == pytest.approx(number * 0.10)

    def test_pays_for_reading_secrets_in_hours_with_events(self) -> None:
        # Three functions read two secrets, twelve times an hour.
        assert fixed_cost(Prices(), ("jambonz",), 100).secret_requests == pytest.approx(3 * 2 * 12 * 100 * 0.000005)

    def test_pays_for_one_metric_for_most_failures(self, capsys: pytest.CaptureFixture[str]) -> None:
        for reason in ("one", "another"):
            for name in ("ClientRefused", "EventSpilled", *metrics.SPLIT_BY_REASON):
                metrics.count(name, provider="jambonz", reason=reason)
        written = set(_written(metric_lines(capsys.readouterr().out)))
        names = [name for name, *_ in written]
        assert (names.count("ClientRefused"), names.count("EventSpilled")) == (1, 1)
        assert {names.count(name) for name in metrics.SPLIT_BY_REASON} == {3}, "the total, and one for each reason"


def _written(lines: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for line in lines:
        for described in line["_aws"]["CloudWatchMetrics"]:
            for dimensions in described["Dimensions"]:
                for metric in described["Metrics"]:
                    yield metric["Name"], *(line[name] for name in dimensions)


def test_a_duplicate_costs_a_request_and_a_rejected_conditional_write() -> None:
    pace = replace(Pace(), delivery_seconds=0, access_log_bytes=-26)
    usage = replace(ONE, receiving_write_units=2, answer_bytes=0, log_bytes=-26)
    assert cost_of_duplicates(0.5, usage, pace, Prices()) == pytest.approx((1.0 + 0.20 + 2 * 0.625) / 2)


def test_events_that_arrive_together_are_folded_together() -> None:
    together, separate = usage_of("jambonz"), usage_of("jambonz", window_seconds=0)
    assert together.batches < separate.batches == 1
    assert together.call_write_units < separate.call_write_units
    assert together.receiving_write_units == separate.receiving_write_units


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
def test_the_size_of_an_item_is_computed_like_dynamodb_does(item: Item, size: int) -> None:
    assert size_of(item) == size
    assert [units({"a": {"S": "x" * length}}) for length in (1, 1023, 1024)] == [1, 1, 2], "kilobytes, rounded up"


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
def test_an_index_is_written_only_if_its_attributes_change(before: Item, after: Item, written: int) -> None:
    assert index_units(LISTED, before, after) == written


def test_the_indexes_match_the_template() -> None:
    assert [index.key[0] for index in indexes()] == ["day_shard", "from_party", "to_party", "conversation_id"]
    assert [bool(index.projected) for index in indexes()] == [True, False, False, False]
