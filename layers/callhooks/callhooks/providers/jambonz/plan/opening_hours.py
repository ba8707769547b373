"""Calendars: opening hours by weekday, closed days, and special days with different hours.

Hours are local time in the calendar's time zone, before and after every change of daylight saving time. Hours that run
past midnight belong to the day on which they begin.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from types import MappingProxyType
from typing import NamedTuple

DAY_MINUTES = 1440
LOOK_AHEAD_DAYS = 400


class Hours(NamedTuple):
    """Opening hours from a minute of the day to another (exclusive); an end over 1440 is on the next day."""

    start: int
    end: int


class ClosedDays(NamedTuple):
    """Range of closed days, both ends included: `YYYY-MM-DD`, or `MM-DD` for every year."""

    first: str
    last: str

    def contains(self, day: date) -> bool:
        """Return whether a day is in the range; a yearly range may run past the end of the year."""
        text = day.isoformat()[-len(self.first) :]
        if self.first <= self.last:
            return self.first <= text <= self.last
        return text >= self.first or text <= self.last


class Calendar(NamedTuple):
    """Opening hours: `week` holds the hours of each weekday from Monday on, `special` those of dates (`YYYY-MM-DD`)."""

    timezone: str
    zone: tzinfo
    week: tuple[tuple[Hours, ...], ...]
    closed: tuple[ClosedDays, ...] = ()
    special: Mapping[str, tuple[Hours, ...]] = MappingProxyType({})

    def is_open(self, now: datetime) -> bool:
        """Return whether a moment (aware) is within the opening hours."""
        local = now.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        return any(
            hours.start <= minute + days_ago * DAY_MINUTES < hours.end
            for days_ago in (0, 1)
            for hours in self.hours_on(local.date() - timedelta(days=days_ago))
        )

    def next_change(self, now: datetime) -> datetime | None:
        """Return when the calendar next opens or closes, in UTC; `None` if that is more than 400 days away."""
        is_open = self.is_open(now)
        today = now.astimezone(self.zone).date()
        for days in range(-1, LOOK_AHEAD_DAYS):
            for moment in sorted(self._boundaries(today + timedelta(days=days))):
                if moment > now and self.is_open(moment) is not is_open:
                    return moment
        return None

    def hours_on(self, day: date) -> tuple[Hours, ...]:
        """Return the hours that begin on a day: special hours, none on a closed day, otherwise the weekday's."""
        special = self.special.get(day.isoformat())
        if special is not None:
            return special
        if any(days.contains(day) for days in self.closed):
            return ()
        return self.week[day.weekday()]

    def _boundaries(self, day: date) -> Iterator[datetime]:
        for hours in self.hours_on(day):
            for minute in (hours.start, hours.end):
                local = datetime(day.year, day.month, day.day) + timedelta(minutes=minute)  # noqa: DTZ001 - a wall clock
                first, second = (local.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
                yield first
                if first != second:
                    # The clock shows this time twice or never, so the clock change itself may open or close.
                    yield second
                    yield self._clock_change(*sorted((first, second)))

    def _clock_change(self, before: datetime, after: datetime) -> datetime:
        """Return the first minute with the new offset between two moments with different UTC offsets."""
        offset = before.astimezone(self.zone).utcoffset()
        low, high = 0, int((after - before).total_seconds()) // 60
        while high - low > 1:
            middle = (low + high) // 2
            same = (before + timedelta(minutes=middle)).astimezone(self.zone).utcoffset() == offset
            low, high = (middle, high) if same else (low, middle)
        return before + timedelta(minutes=high)


def read_zone(name: str, packed: str) -> tzinfo:
    """Read a time zone from a TZif file (RFC 8536) in base64.

    The plan contains the file, because Lambda's image may not have time zone files.

    Raises:
        ValueError: it is not a TZif file.
    """
    # Only a plan with calendars pays for this import.
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    return ZoneInfo.from_file(io.BytesIO(base64.b64decode(packed, validate=True)), key=name)
