"""Which stored events are meant: moments as a user writes them, and what is asked of the table."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from callhooks.event import Kind
from callhooks_tools.stack import Provider
from callhooks_tools.stored_events import Selection, moment_of

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
def test_a_moment_is_read_and_a_day_is_taken_whole(text: str, first: str, end: str) -> None:
    assert moment_of(text, NOW) == datetime.fromisoformat(first).replace(tzinfo=UTC)
    assert moment_of(text, NOW, end=True) == datetime.fromisoformat(end).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "now", "2 hours", "2026-13-01", "2026-11-21T25:00", "-2h", "999999w", "9999-12-31", "0001-01-01T00:00+10:00"],
)
def test_what_is_no_moment_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="is no moment: write 2026-11-21"):
        moment_of(text, NOW, end=True)


def test_only_what_is_chosen_is_asked_for() -> None:
    assert Selection().request("events")["FilterExpression"] == "begins_with(sk, :events)"
    chosen = Selection(provider=Provider.BIRD, kinds=(Kind.BUSY, Kind.FAILED), number="14155550123").request("events")
    assert chosen["ExpressionAttributeValues"] == {
        ":events": {"S": "event#"},
        ":provider": {"S": "bird"},
        ":kind0": {"S": "call.busy"},
        ":kind1": {"S": "call.failed"},
        ":number": {"S": "14155550123"},
    }
