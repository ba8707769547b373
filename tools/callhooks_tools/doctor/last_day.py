"""Report of the last day: deliveries in quarantine, and the problems that the metrics count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from callhooks.events.call_event import utc_text
from callhooks.events.event_item import QUARANTINE
from callhooks.providers.registry import providers
from callhooks.runtime.metrics import CALL_FELL_BACK, NAMESPACE, WEBHOOK_REFUSED

from callhooks_tools.stack.deployment import IMPATIENT, Deployment
from callhooks_tools.stack.findings import Finding, FindingLevel, ok, reporting_aws_errors, warning
from callhooks_tools.stack.terminal import callhooks

QUARANTINED = "quarantine"
PROBLEMS = "problems of the last day"
LOOKBACK = timedelta(days=1)
LISTED_DAYS = 3
"""The key has the day of the signature. A retry may be a day older than its receipt, and a clock may be fast."""
EVENT_SPILLED = "EventSpilled"
EVENT_UNSTORED = "EventUnstored"
EVENT_NOT_PROJECTED = "EventNotProjected"
COUNTED = (CALL_FELL_BACK, EVENT_SPILLED, EVENT_UNSTORED, EVENT_NOT_PROJECTED, WEBHOOK_REFUSED)


def last_day_findings(deployment: Deployment, now: datetime) -> Iterator[Finding]:
    """Report the deliveries and problems of the last day. None of them fails the check of a deployment."""
    yield from _quarantine(deployment, now)
    yield from _problems(deployment, now)


@reporting_aws_errors(QUARANTINED)
def _quarantine(deployment: Deployment, now: datetime) -> Iterator[Finding]:
    counts = {name: number for name in providers() if (number := _quarantined(deployment, name, now))}
    if not counts:
        yield ok(QUARANTINED, "No delivery was put into quarantine within the last day.")
        return
    total = sum(counts.values())
    by_provider = ", ".join(f"{number} of {name}" for name, number in counts.items())
    yield warning(
        QUARANTINED,
        f"{_counted(total, 'delivery was', 'deliveries were')} put into quarantine within the last day: {by_provider}.",
        f"To see why: {deployment.callhooks(f'quarantine list --days {LISTED_DAYS}')}",
    )


def _quarantined(deployment: Deployment, provider: str, now: datetime) -> int:
    """Return the number of a provider's deliveries in quarantine that were received within the last day."""
    pages = deployment.session.client("dynamodb", config=IMPATIENT).get_paginator("query")
    days = [f"{now + timedelta(days=ahead):%Y-%m-%d}" for ahead in range(1 - LISTED_DAYS, 2)]
    return sum(
        page["Count"]
        for day in days
        for page in pages.paginate(
            TableName=deployment.outputs.events_table,
            KeyConditionExpression="pk = :pk",
            FilterExpression="received_at >= :since",
            ExpressionAttributeValues={
                ":pk": {"S": f"{QUARANTINE}{provider}#{day}"},
                ":since": {"S": utc_text(now - LOOKBACK)},
            },
            Select="COUNT",
        )
    )


@reporting_aws_errors(PROBLEMS)
def _problems(deployment: Deployment, now: datetime) -> Iterator[Finding]:
    counts = _counts(deployment, now)
    found = False
    for name, one, several, level, remedy in (
        (
            CALL_FELL_BACK,
            "new call got the fallback",
            "new calls got the fallback",
            FindingLevel.WARNING,
            f"The log names the cause (docs/operations.md#alarms). To check the plan: {callhooks('plan check')}",
        ),
        (
            EVENT_SPILLED,
            "event went to the spill queue",
            "events went to the spill queue",
            FindingLevel.WARNING,
            "The check of queues shows how many still wait there.",
        ),
        (
            EVENT_UNSTORED,
            "event was only written to the log",
            "events were only written to the log",
            FindingLevel.WARNING,
            f"If you have not stored them yet: {deployment.callhooks('recover')}",
        ),
        (
            EVENT_NOT_PROJECTED,
            "attempt to project an event failed",
            "attempts to project an event failed",
            FindingLevel.WARNING,
            f"If calls are out of date: {deployment.callhooks('rebuild')}",
        ),
        (
            WEBHOOK_REFUSED,
            "delivery was rejected",
            "deliveries were rejected",
            FindingLevel.OK,
            "Scans and this command's tests count too. The logs name each reason (docs/operations.md#logs).",
        ),
    ):
        number = counts.get(name, 0)
        if number:
            found = True
            yield Finding(PROBLEMS, level, f"{_counted(number, one, several)} within the last day.", remedy)
    if not found:
        yield ok(PROBLEMS, "None in the metrics.")


def _counts(deployment: Deployment, now: datetime) -> Mapping[str, int]:
    """Return the sums of the stack's metrics for the last day; a metric without data is missing."""
    queries: list[dict[str, Any]] = [
        {
            "Id": f"m{number}",
            "Label": name,
            "MetricStat": {
                "Metric": {
                    "Namespace": NAMESPACE,
                    "MetricName": name,
                    "Dimensions": [{"Name": "service", "Value": deployment.stack_name}],
                },
                "Period": 3600,
                "Stat": "Sum",
            },
        }
        for number, name in enumerate(COUNTED)
    ]
    pages = deployment.session.client("cloudwatch", config=IMPATIENT).get_paginator("get_metric_data")
    sums: dict[str, int] = {}
    for page in pages.paginate(MetricDataQueries=queries, StartTime=now - LOOKBACK, EndTime=now):
        for result in page["MetricDataResults"]:
            name = COUNTED[int(result["Id"].removeprefix("m"))]
            sums[name] = sums.get(name, 0) + round(sum(result["Values"]))
    return sums


def _counted(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"
