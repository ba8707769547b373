"""Selection of stored events: times as a user writes them, and the request to the table."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from callhooks.events.call_event import Kind
from callhooks_tools.recovery.stored_events import SEGMENTS, ScanPage, Selection, parse_time

from tests.support import NOW


@pytest.mark.parametrize(
    ("text", "first", "end"),
    [
        ("2026-11-20", "2026-11-20T00:00:00", "2026-11-21T00:00:00"),
        ("yesterday", "2026-11-20T00:00:00", "2026-11-21T00:00:00"),
        (" Today ", "2026-11-21T00:00:00", "2026-11-22T00:00:00"),
        ("2026-11-20T08:15", "2026-11-20T08:15:00", "2026-11-20T08:15:00"),
        ("2026-11-20 08:15:30.5", "2026-11-20T08:15:30.500", "2026-11-20T08:15:30.500"),
        ("2026-11-20t08:15z", "2026-11-20T08:15:00", "2026-11-20T08:15:00"),
        ("2026-11-20T08:15+02:00", "2026-11-20T06:15:00", "2026-11-20T06:15:00"),
        ("30m", "2026-11-21T06:00:00.250", "2026-11-21T06:00:00.250"),
        ("2h", "2026-11-21T04:30:00.250", "2026-11-21T04:30:00.250"),
        ("1d", "2026-11-20T06:30:00.250", "2026-11-20T06:30:00.250"),
        ("2w", "2026-11-07T06:30:00.250", "2026-11-07T06:30:00.250"),
    ],
)
def test_a_time_is_parsed_and_a_day_is_included_whole(text: str, first: str, end: str) -> None:
    assert parse_time(text, NOW) == datetime.fromisoformat(first).replace(tzinfo=UTC)
    assert parse_time(text, NOW, end=True) == datetime.fromisoformat(end).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "now", "2 hours", "2026-13-01", "2026-11-21T25:00", "-2h", "999999w", "9999-12-31", "0001-01-01T00:00+10:00"],
)
def test_an_invalid_time_is_rejected_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a valid time\. Use 2026-11-21"):
        parse_time(text, NOW, end=True)


def test_the_filter_contains_only_the_chosen_conditions() -> None:
    client = FakeScan([])
    assert list(Selection().pages(client.as_client(), "events")) == [ScanPage([], 0)] * SEGMENTS
    assert client.requests[-1]["FilterExpression"] == "begins_with(sk, :events)"
    list(Selection(provider="bird", kinds=(Kind.BUSY, Kind.FAILED)).pages(client.as_client(), "events"))
    assert client.requests[-1]["ExpressionAttributeValues"] == {
        ":events": {"S": "event#"},
        ":provider": {"S": "bird"},
        ":kind0": {"S": "call.busy"},
        ":kind1": {"S": "call.failed"},
    }


@pytest.mark.parametrize(
    ("item", "number", "is_chosen"),
    [
        ({"from": {"S": "+1 (415) 555-0123"}}, "14155550123", True),
        ({"from": {"S": "sip:Jane@example.com"}, "to": {"S": "200"}}, "jane", True),
        ({"to": {"S": "14155550123"}}, "14155550123", True),
        ({"to": {"S": "4155550123"}}, "14155550123", False),
        ({}, "14155550123", False),
        ({}, None, True),
    ],
)
def test_a_number_is_found_in_any_notation(item: dict[str, Any], number: str | None, is_chosen: bool) -> None:
    pages = Selection(number=number).pages(FakeScan([item]).as_client(), "events")
    assert [len(page.items) for page in pages] == [is_chosen] * SEGMENTS


@dataclass
class FakeScan:
    """DynamoDB's Scan; every segment returns the same items."""

    items: list[dict[str, Any]]
    requests: list[dict[str, Any]] = field(default_factory=list)

    def scan(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        return {"Items": self.items, "ScannedCount": len(self.items)}

    def as_client(self) -> Any:
        return self
