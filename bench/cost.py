"""Cost model: dollars for a million events, from requests, bytes and list prices.

The sizes are real: the deployed code stores, folds and lists complete recorded calls. The projector gets the events
that the stream collects within a second, for one call at a time. In a busy stack, a batch contains events of many
calls, which costs less.

`fixed_cost` is what a stack costs without any traffic, and what the metrics and the secrets of ordinary deliveries add.

Not included: metrics of failures, messages in the retry and spill queues, rejected requests, and the call log's own
reads.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, fields
from functools import cache
from io import StringIO
from math import ceil
from typing import Any

import yaml
from callhooks.calls.call import fold
from callhooks.calls.event_bus import bus_entry
from callhooks.calls.repository import call_item
from callhooks.events.call_event import Kind
from callhooks.events.event_item import EVENT_PREFIX, Item, event_of_item
from callhooks.providers.jambonz.new_call import NEW_CALL_KEY
from callhooks.providers.registry import hints_for
from callhooks.runtime.metrics import EVENT_STORED, emit_delivery_metrics
from callhooks.webhooks.credentials import MAX_AGE_SECONDS
from callhooks_tools.stack.stack import ROOT
from callhooks_tools.stack.terminal import console
from rich.table import Table

from bench.calls import RECORDED_CALLS, stored_item

KB = 1024
MILLION = 1_000_000
RETENTION_DAYS = 90


@dataclass(frozen=True)
class Prices:
    """List prices of us-east-1 in dollars, in November 2026; Lambda's are for arm64. See `docs/performance.md`."""

    http_api_request: float = 1.00 / MILLION
    lambda_request: float = 0.20 / MILLION
    lambda_gb_second: float = 0.0000133334
    write_unit: float = 0.625 / MILLION
    read_unit: float = 0.125 / MILLION
    bus_event: float = 1.00 / MILLION
    log_gb: float = 0.50
    transfer_out_gb: float = 0.09
    stored_gb_month: float = 0.25
    backup_gb_month: float = 0.20
    secret_request: float = 0.05 / 10_000
    secret_month: float = 0.40
    alarm_month: float = 0.10
    metric_month: float = 0.30
    dashboard_month: float = 3.00
    queue_request: float = 0.40 / MILLION


@dataclass(frozen=True)
class Usage:
    """Average usage of one event of a call, including the projector's `batches` and the `folds` in them.

    `functions` is the number of functions that receive the provider's events. Each of them reads `secrets`.
    """

    events: int
    functions: int
    secrets: int
    batches: float
    folds: float
    receiving_write_units: float
    call_write_units: float
    index_write_units: float
    read_units: float
    bus_units: float
    answer_bytes: float
    stored_bytes: float
    log_bytes: float


@dataclass(frozen=True)
class Pace:
    """Assumed billed seconds of a delivery, a projector batch and a fold, and assumed bytes of log lines.

    A function has `memory_gb`. `cold_starts` is the share of deliveries that start a container, which takes
    `cold_seconds` more and reads the function's secrets. A provider sends `events_a_month`: enough to keep one
    container of each of its functions warm all month. A warm container reads its secrets every five minutes.
    """

    delivery_seconds: float = 0.010
    batch_seconds: float = 0.013
    fold_seconds: float = 0.022
    access_log_bytes: float = 123
    batch_log_bytes: float = 94
    memory_gb: float = 0.5
    cold_starts: float = 1 / 200
    cold_seconds: float = 0.5
    events_a_month: float = MILLION


SECONDS_A_MONTH = 30 * 24 * 3600
RECEIVERS: Mapping[str, tuple[str, ...]] = {
    "jambonz": ("JambonzNewCall", "JambonzEvent", "JambonzAction"),
    "wavix": ("WavixCall",),
    "bird": ("BirdVoice",),
    "voipstudio": ("VoipstudioEvent",),
}
"""The functions that receive a call's events, by their names in the template."""
STACK = "callhooks"
ANSWER_MILLISECONDS = 12
HEADER_BYTES = 300
"""Headers of an answer."""
LOG_EVENT_BYTES = 26
"""Overhead that CloudWatch counts for each line."""


@dataclass(frozen=True)
class Cost:
    """Dollars for a million fresh events."""

    api: float
    function: float
    table: float
    logs: float
    transfer: float
    secrets: float
    projector: float
    reading: float
    call: float
    indexes: float
    bus: float
    projector_logs: float
    storage: float

    @property
    def receiving(self) -> float:
        """Return the cost of authenticating, answering and storing the events."""
        return self.api + self.function + self.table + self.logs + self.transfer + self.secrets

    @property
    def projecting(self) -> float:
        """Return the cost of folding, listing and publishing the events."""
        return self.projector + self.reading + self.call + self.indexes + self.bus + self.projector_logs

    @property
    def total(self) -> float:
        """Return the cost of receiving and projecting, without long-term storage."""
        return self.receiving + self.projecting


def cost_of(usage: Usage, pace: Pace, prices: Prices) -> Cost:
    """Return the cost of a million events with this usage."""
    gb_second = prices.lambda_gb_second * pace.memory_gb
    delivery = pace.delivery_seconds + pace.cold_starts * pace.cold_seconds
    refreshes = usage.functions * SECONDS_A_MONTH / MAX_AGE_SECONDS / pace.events_a_month
    return Cost(
        api=MILLION * prices.http_api_request,
        function=MILLION * (prices.lambda_request + delivery * gb_second),
        table=MILLION * usage.receiving_write_units * prices.write_unit,
        logs=MILLION * _logged(usage, pace) * prices.log_gb,
        transfer=MILLION * usage.answer_bytes / 1e9 * prices.transfer_out_gb,
        secrets=MILLION * usage.secrets * (pace.cold_starts + refreshes) * prices.secret_request,
        projector=MILLION
        * (
            usage.batches * prices.lambda_request
            + (usage.batches * pace.batch_seconds + usage.folds * pace.fold_seconds) * gb_second
        ),
        reading=MILLION * usage.read_units * prices.read_unit,
        call=MILLION * usage.call_write_units * prices.write_unit,
        indexes=MILLION * usage.index_write_units * prices.write_unit,
        bus=MILLION * usage.bus_units * prices.bus_event,
        projector_logs=MILLION * usage.batches * (pace.batch_log_bytes + LOG_EVENT_BYTES) / 1e9 * prices.log_gb,
        storage=MILLION
        * usage.stored_bytes
        / 1e9
        * (prices.stored_gb_month + prices.backup_gb_month)
        * (RETENTION_DAYS / 30),
    )


def cost_of_duplicates(share: float, usage: Usage, pace: Pace, prices: Prices) -> float:
    """Return what this share of duplicates adds to a million fresh events. A duplicate takes one conditional write."""
    function = prices.lambda_request + pace.delivery_seconds * prices.lambda_gb_second * pace.memory_gb
    logs = _logged(usage, pace) * prices.log_gb
    transfer = usage.answer_bytes / 1e9 * prices.transfer_out_gb
    # A failed conditional write costs as much as writing the existing item.
    table = usage.receiving_write_units * prices.write_unit
    return MILLION * share * (prices.http_api_request + function + table + logs + transfer)


def _logged(usage: Usage, pace: Pace) -> float:
    """Return the gigabytes that a delivery logs: one line of the function, and one of API Gateway."""
    return (usage.log_bytes + pace.access_log_bytes + 2 * LOG_EVENT_BYTES) / 1e9


def usage_of(provider: str, *, window_seconds: float = 1) -> Usage:
    """Return the usage of a provider's recorded call. With a window of 0, each event is projected separately."""
    items = {name: stored_item(provider, name) for name in RECORDED_CALLS[provider]}
    of_call: dict[str, list[Item]] = {}
    listed: dict[str, Item] = {}
    folds = call_units = listing_units = read_units = bus_units = 0
    batches = list(_batches(RECORDED_CALLS[provider], window_seconds))
    for batch in batches:
        for name in batch:
            of_call.setdefault(items[name]["pk"]["S"], []).append(items[name])
        for pk in {items[name]["pk"]["S"]: None for name in batch}:
            folds += 1
            read_units += ceil(sum(map(size_of, of_call[pk])) / (4 * KB))
            call = fold([event_of_item(one) for one in of_call[pk]], hints_for(provider))
            call_record = call_item(pk, call, expires_at=1)
            call_units += units(call_record)
            listing_units += sum(index_units(index, listed.get(pk, {}), call_record) for index in indexes())
            listed[pk] = call_record
            for item in (items[name] for name in batch if items[name]["pk"]["S"] == pk):
                entry = bus_entry(event_of_item(item), call, pk=pk, sk=item["sk"]["S"])
                bus_units += ceil(entry.size / (64 * KB))
    number = len(items)
    return Usage(
        events=number,
        functions=len(RECEIVERS[provider]),
        secrets=secrets_of(provider),
        batches=len(batches) / number,
        folds=folds / number,
        receiving_write_units=sum(map(units, items.values())) / number,
        call_write_units=call_units / number,
        index_write_units=listing_units / number,
        read_units=read_units / number,
        bus_units=bus_units / number,
        answer_bytes=sum(len(item["answer"]["S"]) for item in items.values()) / number + HEADER_BYTES,
        stored_bytes=(sum(map(size_of, items.values())) + 2 * sum(map(size_of, listed.values()))) / number,
        log_bytes=sum(map(_line_bytes, items.values())) / number,
    )


def _line_bytes(item: Item) -> int:
    """Return the size of the log line of a fresh event, in bytes."""
    return len(_log_line(item))


def _log_line(item: Item) -> str:
    os.environ.setdefault("POWERTOOLS_SERVICE_NAME", STACK)
    is_new_call = item["sk"]["S"] == f"{EVENT_PREFIX}{NEW_CALL_KEY}"
    caller_waits = is_new_call or item["kind"]["S"] == Kind.VERB.value
    with redirect_stdout(StringIO()) as line:
        log_fields = {"call_id": item["pk"]["S"].partition("#")[2]}
        provider = item["provider"]["S"]
        emit_delivery_metrics(
            [EVENT_STORED], ANSWER_MILLISECONDS, provider=provider, caller_waits=caller_waits, log_fields=log_fields
        )
    return line.getvalue().strip()


def metrics_of(provider: str) -> int:
    """Return the number of metrics that a provider's ordinary deliveries write, each with its dimensions."""
    lines = [json.loads(_log_line(stored_item(provider, name))) for name in RECORDED_CALLS[provider]]
    return len(
        {
            (metric["Name"], *((dimension, line[dimension]) for dimension in sorted(dimensions)))
            for line in lines
            for described in line["_aws"]["CloudWatchMetrics"]
            for dimensions in described["Dimensions"]
            for metric in described["Metrics"]
        }
    )


def _batches(times: Mapping[str, float], window_seconds: float) -> Iterator[list[str]]:
    batch: list[str] = []
    for name, seconds in times.items():
        if batch and seconds - times[batch[0]] > window_seconds:
            yield batch
            batch = []
        batch.append(name)
    yield batch


def size_of(item: Item) -> int:
    """Return the size of an item as DynamoDB counts it: names and values, strings in UTF-8."""
    return sum(len(name.encode("utf-8")) + _value_size(value) for name, value in item.items())


def units(item: Item) -> int:
    """Return the write units of an item."""
    return ceil(size_of(item) / KB)


def _value_size(value: Any) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode("utf-8"))
        case "N":
            return (len(content.strip("-").replace(".", "")) + 1) // 2 + 1
        case "B":
            return len(content)
        case "M":
            return 3 + sum(1 + len(name.encode("utf-8")) + _value_size(one) for name, one in content.items())
        case "L":
            return 3 + sum(1 + _value_size(one) for one in content)
    return 1


@dataclass(frozen=True)
class Index:
    """Index of the events table: the attributes of its key, and the projected attributes."""

    key: tuple[str, ...]
    projected: tuple[str, ...]


@cache
def _resources() -> Mapping[str, Any]:
    document = yaml.load((ROOT / "template.yaml").read_text("utf-8"), Loader=_Template)  # noqa: S506 - a safe loader
    resources: Mapping[str, Any] = document["Resources"]
    return resources


def secrets_of(provider: str) -> int:
    """Return the number of secrets that a provider's function reads at its start, from its permissions."""
    (policy,) = _resources()[f"{RECEIVERS[provider][0]}Role"]["Properties"]["Policies"]
    (readable,) = [
        statement["Resource"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Action"] == "secretsmanager:GetSecretValue"
    ]
    return 1 if isinstance(readable, str) else len(readable)


POLLERS = 5
"""Connections by which Lambda asks an idle queue for messages, according to AWS."""
HOURS_A_MONTH = 30 * 24
OFFICE_HOURS_A_MONTH = 22 * 8


@dataclass(frozen=True)
class FixedCost:
    """Dollars a month for a stack. The first four do not depend on traffic."""

    secrets: float
    alarms: float
    dashboard: float
    polling: float
    metrics: float
    secret_requests: float

    @property
    def total(self) -> float:
        """Return the sum of all parts."""
        parts: list[float] = [getattr(self, part.name) for part in fields(self)]
        return sum(parts)


def fixed_cost(prices: Prices, providers: Sequence[str] = (), hours: float = 0) -> FixedCost:
    """Return the monthly cost of a stack in which these providers send events in so many hours of a month.

    A metric is billed for the hours in which it is written. In such an hour, a container of each function that receives
    events is warm, and reads its secrets every five minutes. Without providers, the stack is idle.
    """
    reads_an_hour = 3600 / MAX_AGE_SECONDS
    return FixedCost(
        secrets=prices.secret_month * _number_of("AWS::SecretsManager::Secret"),
        alarms=prices.alarm_month * _number_of("AWS::CloudWatch::Alarm"),
        dashboard=prices.dashboard_month * _number_of("AWS::CloudWatch::Dashboard"),
        polling=prices.queue_request * sum(POLLERS * HOURS_A_MONTH * 3600 / wait for wait in polled_queues().values()),
        metrics=prices.metric_month * sum(map(metrics_of, providers)) * hours / HOURS_A_MONTH,
        secret_requests=prices.secret_request
        * sum(len(RECEIVERS[provider]) * secrets_of(provider) for provider in providers)
        * reads_an_hour
        * hours,
    )


def _number_of(resource_type: str) -> int:
    # With the default parameters: none of these resources has a condition that is on by default.
    return sum(one["Type"] == resource_type and "Condition" not in one for one in _resources().values())


def polled_queues() -> Mapping[str, int]:
    """Return the queues that Lambda asks for messages, with the seconds for which each request waits."""
    sources = [
        source["Properties"]["Queue"].partition(".")[0]
        for one in _resources().values()
        if one["Type"] == "AWS::Serverless::Function"
        for source in one["Properties"]["Events"].values()
        if source["Type"] == "SQS"
    ]
    return {queue: _resources()[queue]["Properties"]["ReceiveMessageWaitTimeSeconds"] for queue in sources}


SCENARIOS: Mapping[str, tuple[Sequence[str], float]] = {
    "idle": ((), 0),
    "jambonz, office hours": (("jambonz",), OFFICE_HOURS_A_MONTH),
    "jambonz, every hour": (("jambonz",), HOURS_A_MONTH),
    "all four, every hour": (tuple(RECEIVERS), HOURS_A_MONTH),
}
"""The providers that send events, and the hours of a month in which they do."""


@cache
def indexes() -> Sequence[Index]:
    """Return the indexes that the template declares."""
    found = _resources()["EventsTable"]["Properties"]["GlobalSecondaryIndexes"]
    return tuple(
        Index(
            tuple(member["AttributeName"] for member in one["KeySchema"]),
            tuple(one["Projection"].get("NonKeyAttributes", ())),
        )
        for one in found
    )


def index_units(index: Index, before: Item, after: Item) -> int:
    """Return the write units that a write costs in an index: none if the index entry does not change."""
    old, new = _entry(index, before), _entry(index, after)
    if old == new:
        return 0
    written = units(new) if new else 0
    moved = old and any(old[name] != new.get(name) for name in index.key)
    return written + (units(old) if moved else 0)


def _entry(index: Index, item: Item) -> Item:
    if not all(name in item for name in index.key):
        return {}
    return {name: item[name] for name in ("pk", "sk", *index.key, *index.projected) if name in item}


class _Template(yaml.SafeLoader):
    """YAML loader that ignores intrinsic functions."""


_Template.add_multi_constructor("!", lambda _loader, _suffix, node: str(node.value))

DUPLICATES = 0.1


def show(pace: Pace, prices: Prices) -> None:
    """Print the cost of a million events of each provider."""
    table = Table("dollars for a million events", *RECORDED_CALLS)
    costs = {provider: cost_of(usage_of(provider), pace, prices) for provider in RECORDED_CALLS}
    single = [cost_of(usage_of(provider, window_seconds=0), pace, prices).total for provider in RECORDED_CALLS]
    for part in fields(Cost):
        if part.name != "storage":
            table.add_row(part.name.replace("_", " "), *(f"{getattr(cost, part.name):.2f}" for cost in costs.values()))
    table.add_section()
    table.add_row("receiving", *(f"{cost.receiving:.2f}" for cost in costs.values()))
    table.add_row("receiving, projecting and publishing", *(f"{cost.total:.2f}" for cost in costs.values()))
    table.add_row("the same, if each event is projected alone", *(f"{total:.2f}" for total in single))
    duplicates = [cost_of_duplicates(DUPLICATES, usage_of(provider), pace, prices) for provider in RECORDED_CALLS]
    table.add_row(f"{DUPLICATES:.0%} duplicates add", *(f"{cost:.2f}" for cost in duplicates))
    table.add_row(
        f"storage for {RETENTION_DAYS} days, with backup", *(f"{cost.storage:.2f}" for cost in costs.values())
    )
    console.print(table)
    months = Table("dollars a month for a stack", *SCENARIOS)
    stacks = [fixed_cost(prices, providers, hours) for providers, hours in SCENARIOS.values()]
    for part in fields(FixedCost):
        months.add_row(part.name.replace("_", " "), *(f"{getattr(stack, part.name):.2f}" for stack in stacks))
    months.add_section()
    months.add_row("total", *(f"{stack.total:.2f}" for stack in stacks))
    console.print(months)


if __name__ == "__main__":
    show(Pace(), Prices())
