"""Spans of time and time zones: days, hours, weeks and months as people count them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from callhooks.events.call_event import utc_text
from callhooks.runtime.errors import CallhooksError

MIN_YEAR, MAX_YEAR = 1970, 8999
YEARS = "^(19[7-9]|[2-8][0-9]{2})[0-9]-"
"""Pattern of a day or time in these years."""

ZONE = "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$"
"""Pattern of the name of a time zone."""

_DAY = timedelta(days=1)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_ZONE = re.compile(ZONE)
# A plus sign that is not encoded arrives as a space.
_DECODED_PLUS = re.compile(r"(T\S+) (\d{2}(:?\d{2})?)$", re.ASCII)
_SMALLEST_STEP = timedelta(milliseconds=1)


class UnknownZone(CallhooksError, ValueError):
    """A name is not in the time zone database."""


class Unit(StrEnum):
    """Unit of time by which calls are counted."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Span(NamedTuple):
    """Time from `since` up to, but without, `until`; both as they are stored (`2026-11-21T06:30:00.000Z`)."""

    since: str
    until: str

    @classmethod
    def of_day(cls, day: date, zone: tzinfo = UTC) -> Span:
        """Return the span of a day. On a day of a clock change it has more or fewer than 24 hours."""
        return cls(utc_text(start_of_day(day, zone)), utc_text(start_of_day(day + _DAY, zone)))

    @classmethod
    def between(cls, since: datetime, until: datetime) -> Span:
        """Return the span between two times. Calls start at whole milliseconds, so the ends are rounded up to one."""
        return cls(*(utc_text(moment + _SMALLEST_STEP - timedelta(microseconds=1)) for moment in (since, until)))

    def as_day(self, zone: tzinfo) -> str | None:
        """Return the day of a zone that this span is, such as `2026-11-21`; `None` for another span."""
        day = datetime.fromisoformat(self.since).astimezone(zone).date()
        return day.isoformat() if self == Span.of_day(day, zone) else None


def find_zone(name: str) -> tzinfo:
    """Return a time zone by its name in the IANA database.

    Raises:
        UnknownZone: there is no zone of this name.
    """
    if name == "UTC":
        return UTC
    if not _ZONE.fullmatch(name):
        raise UnknownZone
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # The database also has directories and files that are not zones.
        raise UnknownZone from None


def start_of_day(day: date, zone: tzinfo) -> datetime:
    """Return the time at which a day starts. If the clocks skip midnight, it starts at the change."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def parse_date(text: str) -> date:
    """Parse a date such as `2026-11-21`.

    Raises:
        ValueError: the text is not a date.
    """
    if not _DATE.fullmatch(text):
        raise ValueError("not a date")
    day = date.fromisoformat(text)
    if not MIN_YEAR <= day.year <= MAX_YEAR:
        raise ValueError("no year of a call")
    return day


def parse_moment(text: str) -> date | datetime:
    """Parse a date, or a time in ISO 8601 with a zone.

    Raises:
        ValueError: the text is neither.
    """
    if _DATE.fullmatch(text):
        return parse_date(text)
    moment = datetime.fromisoformat(_DECODED_PLUS.sub(r"\1+\2", text.upper()))
    if moment.utcoffset() is None or not MIN_YEAR <= moment.year <= MAX_YEAR:
        raise ValueError("no zone, or no year of a call")
    return moment.astimezone(UTC)


def days_back(newest: date, oldest: date) -> Iterator[date]:
    """Yield the days from `newest` back to `oldest`."""
    for number in range((newest - oldest).days + 1):
        yield newest - number * _DAY


def bucket_starts(unit: Unit, zone: tzinfo) -> Callable[[str], str]:
    """Return a function from the start of a call, as stored, to the local start of its hour, day, week or month.

    Weeks start on Monday.
    """

    @cache
    def start_of_bucket(minute: str) -> str:
        # Zones change their offset at whole minutes, so that all calls of a minute are in the same bucket.
        local = datetime.fromisoformat(f"{minute}:00Z").astimezone(zone)
        if unit is Unit.HOUR:
            # The fold stays: an hour that occurs twice is two buckets.
            return local.replace(minute=0, second=0).isoformat()
        day = local.date()
        if unit is Unit.WEEK:
            day -= day.weekday() * _DAY
        elif unit is Unit.MONTH:
            day = day.replace(day=1)
        return start_of_day(day, zone).astimezone(zone).isoformat()

    return lambda started_at: start_of_bucket(started_at[: len("2026-11-21T06:30")])
