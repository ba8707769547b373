"""What is counted and measured: lines in CloudWatch's embedded metric format, nothing personal in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

NAMESPACE = "callhooks"
CALL_ANSWERED = "CallAnswered"
"""A new call got the verbs of the call plan."""
CALL_FELL_BACK = "CallFellBack"
"""A new call got the fallback, or the last resort, since something is broken."""
CALL_REFUSED = "CallRefused"
"""The call hook refused a request with credentials or a signature: from the telephony server, or a pretender."""
CALL_REFUSED_ANONYMOUS = "CallRefusedAnonymous"
"""The call hook refused a request with neither: a scan, or a telephony application without credentials."""
EVENT_STORED = "EventStored"
EVENT_REPEATED = "EventRepeated"
ANSWER_TIME = "AnswerTime"
"""Milliseconds from a request's arrival at API Gateway to its answer, the start of a container included."""
CALL_ANSWER_TIME = "CallAnswerTime"
"""The same for what a caller waits for in silence: new calls and action hooks."""


def count(name: str, *, provider: str | None = None, reason: str | None = None) -> None:
    """Add one to a metric. `reason` is one of a few fixed texts, since every new one is a metric of its own.

    An alarm watches one metric, so that each is counted for the whole stack besides.
    """
    with _line() as metrics:
        metrics.add_metric(name, MetricUnit.Count, 1)
        dimensions = {"provider": provider, "reason": reason}
        particular = {dimension: value for dimension, value in dimensions.items() if value is not None}
        if particular:
            metrics.add_dimensions(service=metrics.service, **particular)


def measure(name: str, value: int, *, provider: str) -> None:
    """Tell how high something has become, for an alarm on its maximum."""
    with _line() as metrics:
        metrics.add_dimension("provider", provider)
        metrics.add_metric(name, MetricUnit.Count, value)


def emit_delivery_metrics(
    counted: Sequence[str],
    milliseconds: int,
    *,
    provider: str,
    caller_waits: bool = False,
    log_fields: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the one line of a delivery: what is counted, how long its sender waited, and further fields."""
    with _line() as metrics:
        metrics.add_dimension("provider", provider)
        for name in counted:
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
