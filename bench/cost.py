"""Cost model: dollars for a million events, from requests, bytes and list prices.

The sizes are real: the deployed code stores, folds and lists complete recorded calls. The projector gets the events
that the stream collects within a second, for one call at a time. In a busy stack, a batch contains events of many
calls, which costs less.

Not included: CloudWatch's metrics and alarms, the retry and spill queues, rejected requests, and the call log's own
reads.
"""

from __future__ import annotations

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
from callhooks.runtime.metrics import CALL_ANSWERED, EVENT_STORED, emit_delivery_metrics
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
    access_log_bytes: float = 73
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
    os.environ.setdefault("POWERTOOLS_SERVICE_NAME", STACK)
    is_new_call = item["sk"]["S"] == f"{EVENT_PREFIX}{NEW_CALL_KEY}"
    counted = [EVENT_STORED, CALL_ANSWERED] if is_new_call else [EVENT_STORED]
    caller_waits = is_new_call or item["kind"]["S"] == Kind.VERB.value
    with redirect_stdout(StringIO()) as line:
        log_fields = {"call_id": item["pk"]["S"].partition("#")[2]}
        provider = item["provider"]["S"]
        emit_delivery_metrics(
            counted, ANSWER_MILLISECONDS, provider=provider, caller_waits=caller_waits, log_fields=log_fields
        )
    return len(line.getvalue().strip())


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


def fixed_cost(prices: Prices) -> float:
    """Return the monthly cost of a stack's secrets in dollars, which does not depend on traffic."""
    secrets = [one for one in _resources().values() if one["Type"] == "AWS::SecretsManager::Secret"]
    return prices.secret_month * len(secrets)


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
    console.print(f"A stack's secrets cost ${fixed_cost(prices):.2f} a month in addition, regardless of traffic.")


if __name__ == "__main__":
    show(Pace(), Prices())
