"""Calendars: open or closed at a moment, and the next change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from callhooks.providers.jambonz.plan.opening_hours import Calendar, ClosedDays, Hours, read_zone
from callhooks.providers.jambonz.plan.plan import Plan
from callhooks_tools.providers.jambonz.plan.calendars import prepared_calendar
from callhooks_tools.providers.jambonz.plan.document import PlanPath
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import JsonValue

NIGHT_BAR: JsonValue = {"fri": "22:00-02:00"}


def no_fault(place: PlanPath, message: str) -> None:
    pytest.fail(f"{place}: {message}")


def calendar(open_: JsonValue, timezone: str = "Europe/Amsterdam", **members: JsonValue) -> Calendar:
    """Return a calendar, prepared from the notation of a plan."""
    prepared = prepared_calendar({"timezone": timezone, "open": open_, **members}, ("calendars", "c"), no_fault)
    assert prepared is not None
    week, closed, special = prepared["week"], prepared["closed"], prepared["special"]
    assert isinstance(week, list)
    assert isinstance(closed, list)
    assert isinstance(special, dict)
    return Calendar(
        timezone=timezone,
        zone=read_zone(timezone, str(prepared["zone"])),
        week=tuple(tuple(Hours(*hours) for hours in day) for day in week),  # type: ignore[misc, union-attr]
        closed=tuple(ClosedDays(*days) for days in closed),  # type: ignore[misc]
        special={day: tuple(Hours(*hours) for hours in times) for day, times in special.items()},  # type: ignore[misc, union-attr]
    )


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


EVERY_DAY: JsonValue = {"mon-sun": "09:00-17:00"}
MOMENTS: dict[str, tuple[Calendar, str, str]] = {
    "hours include their first minute and exclude their last": (
        calendar({"mon-fri": "09:00-17:30"}, "UTC"),
        "2026-11-23T09:00:00 2026-11-23T17:29:59 2026-11-27T12:00",
        "2026-11-23T08:59:59 2026-11-23T17:30:00 2026-11-28T12:00 2026-11-29T12:00",
    ),
    "a day may have several hours, and hours several days": (
        calendar({"mon,wed": ["09:00-12:00", "13:00-17:00"], "sat-sun": "00:00-24:00"}, "UTC"),
        "2026-11-23T09:30 2026-11-23T13:30 2026-11-25T10:00 2026-11-28T00:00 2026-11-29T23:59",
        "2026-11-23T12:30 2026-11-24T10:00 2026-11-30T00:00",
    ),
    "hours over midnight belong to the day on which they begin": (
        calendar(NIGHT_BAR, "UTC"),
        "2026-11-27T22:00 2026-11-28T01:59",
        "2026-11-27T21:59 2026-11-28T02:00 2026-11-28T22:00 2026-11-27T01:00",
    ),
    "hours over midnight do not apply if that day is closed": (
        calendar(NIGHT_BAR, "UTC", closed=["2026-11-27"]), "", "2026-11-28T01:00",
    ),
    "hours over midnight continue into a closed day": (
        calendar(NIGHT_BAR, "UTC", closed=["2026-11-28"]), "2026-11-28T01:00", "",
    ),
    "hours over midnight continue from Sunday into Monday": (
        calendar({"sun": "20:00-04:00"}, "UTC"), "2026-11-30T03:00", "",
    ),
    "a day is closed once": (
        calendar(EVERY_DAY, "UTC", closed=["2026-12-25"]), "2025-12-25T12:00", "2026-12-25T12:00",
    ),
    "a day is closed every year": (
        calendar(EVERY_DAY, "UTC", closed=["12-25", "02-29"]), "2026-12-26T12:00",
        "2026-12-25T12:00 2029-12-25T12:00 2028-02-29T12:00",
    ),
    "a range is closed once": (
        calendar(EVERY_DAY, "UTC", closed=["2026-12-24..2027-01-02"]),
        "2026-12-23T12:00 2027-01-03T12:00 2027-12-25T12:00",
        "2026-12-24T12:00 2026-12-31T12:00 2027-01-01T12:00 2027-01-02T12:00",
    ),
    "a range is closed every year": (
        calendar(EVERY_DAY, "UTC", closed=["12-30..01-02"]), "2027-01-04T12:00", "2026-12-31T12:00 2027-01-01T12:00",
    ),
    "a special day overrides a closed day": (
        calendar({"mon-fri": "09:00-17:00"}, "UTC", closed=["12-24..12-26"], special={"2026-12-24": "10:00-12:00"}),
        "2026-12-24T10:00",
        "2026-12-24T09:00 2026-12-25T10:00",
    ),
    # In Amsterdam the clock went from 02:00 to 03:00 on 29 March 2026, and from 03:00 back to 02:00 on 25 October.
    "hours are local time": (
        calendar(EVERY_DAY),
        "2026-03-28T08:00 2026-03-29T07:00 2026-10-24T07:00 2026-10-25T08:00",
        "2026-03-28T07:59 2026-03-29T06:59 2026-10-25T07:59",
    ),
    "a repeated hour is open twice, a skipped hour never": (
        calendar({"sun": "02:00-03:00"}),
        "2026-10-25T00:30 2026-10-25T01:30",
        "2026-10-25T02:30 2026-03-29T00:00 2026-03-29T00:30 2026-03-29T01:00 2026-03-29T01:30 2026-03-29T02:00",
    ),
}  # fmt: skip
"""For each promise: a calendar, moments at which it is open, and moments at which it is closed."""


@pytest.mark.parametrize("promise", MOMENTS)
def test_a_calendar_is_open_or_closed_as_promised(promise: str) -> None:
    tested, is_open, is_closed = MOMENTS[promise]
    assert [moment for moment in is_open.split() if not tested.is_open(utc(moment))] == []
    assert [moment for moment in is_closed.split() if tested.is_open(utc(moment))] == []


class TestTheNextChange:
    def test_after_a_night_with_a_clock_change_is_in_local_time(self) -> None:
        bar = calendar({"sat": "22:00-04:00"})
        assert bar.next_change(utc("2026-03-28T22:00")) == utc("2026-03-29T02:00")
        assert bar.next_change(utc("2026-10-24T22:00")) == utc("2026-10-25T03:00")

    def test_is_the_next_opening_or_closing(self) -> None:
        office = calendar({"mon-fri": "09:00-17:00"}, "UTC", closed=["2026-11-30"])
        assert office.next_change(utc("2026-11-27T12:00")) == utc("2026-11-27T17:00")
        assert office.next_change(utc("2026-11-27T17:00")) == utc("2026-12-01T09:00")

    def test_is_not_between_adjoining_hours(self) -> None:
        always = calendar({"mon-sun": "00:00-24:00"}, "UTC", closed=["2026-12-25"])
        assert always.next_change(utc("2026-11-27T12:00")) == utc("2026-12-25T00:00")

    def test_is_none_for_a_calendar_that_never_changes(self) -> None:
        assert calendar({}, "UTC").next_change(utc("2026-11-27T12:00")) is None
        assert calendar({"mon-sun": "00:00-24:00"}).next_change(utc("2026-11-27T12:00")) is None

    def test_may_be_the_clock_change_itself(self) -> None:
        bar = calendar({"sat": "22:00-02:15"})
        assert bar.next_change(utc("2026-03-28T22:00")) == utc("2026-03-29T01:00"), "from 01:59 to 03:00"
        late = calendar({"sun": "02:30-05:00"})
        assert late.next_change(utc("2026-10-25T00:45")) == utc("2026-10-25T01:00"), "from 02:59 back to 02:00"

    def test_is_returned_by_a_plan_in_local_time(self) -> None:
        office = calendar({"mon-fri": "09:00-17:00"})
        change = Plan((), {}, (), calendars={"office": office}).next_change("office", utc("2026-11-27T12:00"))
        assert change is not None
        assert change.isoformat() == "2026-11-27T17:00:00+01:00"

    @example(datetime(2026, 3, 28, 21, 0), "Europe/Amsterdam")  # noqa: DTZ001
    @given(
        st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001
        st.sampled_from(["Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    )
    def test_is_the_first_moment_with_another_state(self, moment: datetime, timezone: str) -> None:
        now = moment.replace(tzinfo=UTC, microsecond=0)
        shop = calendar({"mon-sat": ["09:00-12:30", "22:00-02:15"], "sun": "01:30-02:30"}, timezone)
        change = shop.next_change(now)
        assert change is not None
        assert shop.is_open(change) is not shop.is_open(now)
        assert shop.is_open(change - timedelta(seconds=1)) is shop.is_open(now)


@given(st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)))  # noqa: DTZ001
def test_hours_match_a_minute_by_minute_check_of_local_time(moment: datetime) -> None:
    office = calendar({"mon-fri": "09:00-17:00"}, "America/New_York", closed=["12-25"])
    local = moment.replace(tzinfo=UTC).astimezone(office.zone)
    expected = local.weekday() < 5 and 9 <= local.hour < 17 and (local.month, local.day) != (12, 25)
    assert office.is_open(moment.replace(tzinfo=UTC)) is expected


@pytest.mark.parametrize(
    ("written", "place", "message"),
    [
        ("office", (), "must be a mapping with timezone and open"),
        ({"timezone": "Europe/Amsterdm", "open": {}}, ("timezone",), "did you mean 'Europe/Amsterdam'?"),
        ({"open": {}}, ("timezone",), "must be a time zone such as"),
        ({"timezone": "UTC"}, ("open",), "must be a mapping of weekdays"),
        ({"timezone": "UTC", "opn": {}, "open": {}}, ("opn",), "unknown member; did you mean 'open'?"),
        ({"timezone": "UTC", "open": {"monday": "09:00-17:00"}}, ("open", "monday"), "write a weekday as mon"),
        ({"timezone": "UTC", "open": {"mon": "9-17"}}, ("open", "mon"), 'write hours as "09:00-17:30"'),
        ({"timezone": "UTC", "open": {"mon": 9}}, ("open", "mon"), 'write hours as "09:00-17:30"'),
        ({"timezone": "UTC", "open": {"mon": "09:00-24:30"}}, ("open", "mon"), "times go from 00:00 to 24:00"),
        ({"timezone": "UTC", "open": {"mon": "09:00-09:00"}}, ("open", "mon"), "hours must not end when they begin"),
        ({"timezone": "UTC", "open": {}, "closed": ["25 December"]}, ("closed", 0), "write a date as"),
        ({"timezone": "UTC", "open": {}, "closed": ["2026-02-29"]}, ("closed", 0), "write a date as"),
        ({"timezone": "UTC", "open": {}, "closed": ["2026-12-25..12-26"]}, ("closed", 0), "write a date as"),
        ({"timezone": "UTC", "open": {}, "closed": ["2026-12-25..2026-12-24"]}, ("closed", 0), "ends before it begins"),
        ({"timezone": "UTC", "open": {}, "special": {"12-24": "09:00-12:00"}}, ("special", "12-24"), "write a date as"),
        ({"timezone": "UTC", "open": {}, "special": []}, ("special",), "must be a mapping of dates"),
    ],
)
def test_a_fault_is_reported_at_its_place(written: JsonValue, place: PlanPath, message: str) -> None:
    reported: dict[PlanPath, str] = {}
    prepared_calendar(written, (), lambda where, text: reported.update({where: text}))
    assert list(reported) == [place]
    assert message in reported[place]
