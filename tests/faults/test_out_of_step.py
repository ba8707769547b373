"""Senders whose clocks are fast or slow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from callhooks_tools.stack.recordings import as_sent_by

from tests.faults.traffic import Baseline, Traffic, a_minute_ago, assert_same_answers

TIMES = {"started_at", "ringing_at", "answered_at", "ended_at", "last_event_at"}


@pytest.mark.parametrize(
    ("provider", "skew", "status"),
    [
        ("jambonz", timedelta(seconds=-290), 200),
        ("jambonz", timedelta(seconds=290), 200),
        ("jambonz", timedelta(seconds=-310), 401),
        ("jambonz", timedelta(seconds=310), 401),
        ("bird", timedelta(hours=-24, minutes=1), 200),
        ("bird", timedelta(seconds=290), 200),
        ("bird", timedelta(hours=-24, minutes=-1), 401),
        ("bird", timedelta(seconds=310), 401),
    ],
)
def test_a_signature_is_valid_within_its_window(traffic: Traffic, provider: str, skew: timedelta, status: int) -> None:
    """Sign with a clock at both edges of each window: five minutes for jambonz, 24 hours and five minutes for Bird."""
    (call,) = (call for call in traffic.place() if call.provider == provider)
    stack = traffic.running.stack
    delivery = as_sent_by(
        provider, call.deliveries[0], stack.credentials.of(provider), datetime.now(UTC) + skew, base_url=stack.base_url
    )
    assert traffic.post(call, delivery).status == status
    assert len(traffic.events_of(call)) == (status == 200)


@pytest.mark.parametrize(
    ("skew", "outside_their_window"),
    [
        (timedelta(seconds=-200), set()),
        (timedelta(seconds=270), set()),
        (timedelta(hours=6), {"jambonz", "bird"}),
        (timedelta(hours=-6), {"jambonz"}),
    ],
)
def test_a_wrong_clock_shifts_the_times_of_a_call_and_changes_nothing_else(
    traffic: Traffic, skew: timedelta, outside_their_window: set[str]
) -> None:
    """Send calls with shifted clocks, except where the shift would make the signature invalid."""
    now = a_minute_ago()
    twins, calls = traffic.place(now), traffic.place(now + skew)
    twins, calls = ([call for call in some if call.provider not in outside_their_window] for some in (twins, calls))
    baseline = Baseline(traffic.send(twins), traffic.records_of(twins))
    sent = traffic.send(calls)
    assert_same_answers(baseline, sent)
    traffic.assert_stored_once(sent)
    for record, baseline_record in zip(traffic.records_of(calls), baseline.records, strict=True):
        assert {**record, **dict.fromkeys(TIMES)} == {**baseline_record, **dict.fromkeys(TIMES)}
        for name in TIMES & set(baseline_record):
            assert moment(record, name) - moment(baseline_record, name) == skew


def moment(record: dict[str, Any], name: str) -> datetime:
    return datetime.fromisoformat(record[name]["S"])
