"""Update the stack between deliveries of the same events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from callhooks_tools.local.run import Sam

from tests.faults.traffic import Traffic

DAYS = 30


def test_duplicates_after_a_stack_update_get_the_first_answer(traffic: Traffic) -> None:
    """Change `RetentionDays` between two deliveries of the same events, so that every function restarts."""
    calls, baseline = traffic.place_twins()
    sent = traffic.send(calls)
    assert traffic.records_of(calls) == baseline.records

    stack = traffic.running.stack
    sam = Sam(traffic.running.folder / "run", stack.engine)
    sam.deploy(sam.build(), {"PublicUrl": stack.base_url, "RetentionDays": str(DAYS)})
    traffic.force_cold_starts()
    traffic.warm_up()

    traffic.assert_duplicates_get_the_first_answers(sent)
    traffic.assert_stored_once(sent)
    assert traffic.records_of(calls) == baseline.records

    later = traffic.place()
    traffic.send(later)
    expiries = [
        datetime.fromtimestamp(int(item["expires_at"]["N"]), UTC) for call in later for item in traffic.events_of(call)
    ]
    expected = datetime.now(UTC) + timedelta(days=DAYS)
    assert len(expiries) == sum(len(call.deliveries) for call in later)
    assert all(abs(expiry - expected) < timedelta(hours=1) for expiry in expiries)
