"""Metrics, as log lines in CloudWatch's embedded metric format, without personal data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

NAMESPACE = "callhooks"
CALL_FELL_BACK = "CallFellBack"
"""A new call got the fallback or the built-in plan because something is broken."""
CALL_REFUSED = "CallRefused"
"""The call hook rejected a request with credentials or a signature: from the telephony server, or an impostor."""
CALL_REFUSED_ANONYMOUS = "CallRefusedAnonymous"
"""The call hook rejected a request that had no `Authorization` header and no signature.

A scan sends such requests, and so does a telephony application without credentials.
"""
EVENT_STORED = "EventStored"
EVENT_REPEATED = "EventRepeated"
WEBHOOK_REFUSED = "WebhookRefused"
EVENT_QUARANTINED = "EventQuarantined"
CALL_ANSWER_TIME = "CallAnswerTime"
"""The answer time of requests during which the caller hears nothing: new calls and action hooks."""
ANSWER_TIME_FIELD = "answer_ms"
"""Field of a delivery's log line: milliseconds from its arrival at API Gateway to its answer, with a cold start.

It is a metric only while a caller waits, because each metric of each provider is billed.
"""
SPLIT_BY_REASON = frozenset((WEBHOOK_REFUSED, EVENT_QUARANTINED))
"""Counters that the dashboard splits by provider and reason. Each combination is billed as a metric."""


def count(name: str, *, provider: str | None = None, reason: str | None = None) -> None:
    """Add one to a metric of the stack, which an alarm can watch. `reason` is one of a few fixed strings.

    Provider and reason are fields of the log line. They are dimensions only of the counters in `SPLIT_BY_REASON`.
    """
    with _line() as metrics:
        metrics.add_metric(name, MetricUnit.Count, 1)
        fields = {"provider": provider, "reason": reason}
        labels = {field: value for field, value in fields.items() if value is not None}
        if name in SPLIT_BY_REASON:
            metrics.add_dimensions(service=metrics.service, **labels)
            return
        for field, value in labels.items():
            metrics.add_metadata(field, value)


def measure(name: str, value: int, *, provider: str) -> None:
    """Emit a value, for an alarm on its maximum or a sum."""
    with _line() as metrics:
        metrics.add_dimension("provider", provider)
        metrics.add_metric(name, MetricUnit.Count, value)


def emit_delivery_metrics(
    counters: Sequence[str],
    milliseconds: int,
    *,
    provider: str,
    caller_waits: bool = False,
    log_fields: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the log line of a delivery: its counters, how long its sender waited, and further fields."""
    fields = {ANSWER_TIME_FIELD: milliseconds, **log_fields}
    if not counters and not caller_waits:
        # The format does not allow a line without a metric.
        print(json.dumps({"provider": provider, **fields}, separators=(",", ":")))
        return
    with _line() as metrics:
        metrics.add_dimension("provider", provider)
        for name in counters:
            metrics.add_metric(name, MetricUnit.Count, 1)
        if caller_waits:
            metrics.add_metric(CALL_ANSWER_TIME, MetricUnit.Milliseconds, milliseconds)
        for name, value in fields.items():
            metrics.add_metadata(name, value)


@contextmanager
def _line() -> Iterator[EphemeralMetrics]:
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    yield metrics
    metrics.flush_metrics()
