"""Metrics, as log lines in CloudWatch's embedded metric format, without personal data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

NAMESPACE = "callhooks"
CALL_ANSWERED = "CallAnswered"
"""A new call got the verbs of the call plan."""
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
ANSWER_TIME = "AnswerTime"
"""Milliseconds from a request's arrival at API Gateway to its answer, including a cold start."""
CALL_ANSWER_TIME = "CallAnswerTime"
"""The same, only for requests during which the caller hears nothing: new calls and action hooks."""


def count(name: str, *, provider: str | None = None, reason: str | None = None) -> None:
    """Add one to a metric. `reason` is one of a few fixed strings, because each new value creates a separate metric.

    An alarm watches a single metric, so the total for the stack is counted as well.
    """
    with _line() as metrics:
        metrics.add_metric(name, MetricUnit.Count, 1)
        dimensions = {"provider": provider, "reason": reason}
        labels = {dimension: value for dimension, value in dimensions.items() if value is not None}
        if labels:
            metrics.add_dimensions(service=metrics.service, **labels)


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
    with _line() as metrics:
        metrics.add_dimension("provider", provider)
        for name in counters:
            metrics.add_metric(name, MetricUnit.Count, 1)
        for name in (ANSWER_TIME, CALL_ANSWER_TIME) if caller_waits else (ANSWER_TIME,):
            metrics.add_metric(name, MetricUnit.Milliseconds, milliseconds)
        for name, value in log_fields.items():
            metrics.add_metadata(name, value)


@contextmanager
def _line() -> Iterator[EphemeralMetrics]:
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    yield metrics
    metrics.flush_metrics()
