"""What is counted: one log line in CloudWatch's embedded metric format for each count, nothing personal in it."""

from __future__ import annotations

from aws_lambda_powertools import single_metric
from aws_lambda_powertools.metrics import MetricUnit

NAMESPACE = "callhooks"
CALL_FELL_BACK = "CallFellBack"
"""A new call got the fallback, since something is broken."""


def count(name: str, *, provider: str | None = None, reason: str | None = None) -> None:
    """Add one to a metric. `reason` is one of a few fixed texts, since every new one is a metric of its own.

    An alarm watches one metric, so that what it is to know of at once is counted without provider and reason.
    """
    with single_metric(name=name, unit=MetricUnit.Count, value=1, namespace=NAMESPACE) as metric:
        for dimension, value in (("provider", provider), ("reason", reason)):
            if value is not None:
                metric.add_dimension(dimension, value)


def measure(name: str, value: int, *, provider: str) -> None:
    """Tell how high something has become, for an alarm on its maximum."""
    with single_metric(name=name, unit=MetricUnit.Count, value=value, namespace=NAMESPACE) as metric:
        metric.add_dimension("provider", provider)
