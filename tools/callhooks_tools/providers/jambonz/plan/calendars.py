"""Check of a plan's calendars, and their preparation for the functions (`plan.opening_hours` of the layer)."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import date
from importlib.resources import files
from itertools import chain

from callhooks.providers.jambonz.plan.opening_hours import DAY_MINUTES
from pydantic import JsonValue

from callhooks_tools.providers.jambonz.plan.document import PlanPath, did_you_mean

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MEMBERS = ("timezone", "open", "closed", "special")
LEAP_YEAR = 2028

_HOURS = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)\s*-\s*([01]?\d|2[0-4]):([0-5]\d)", re.ASCII)
_RANGE = re.compile(r"(\S+?)\s*\.\.\s*(\S+)")

Report = Callable[[PlanPath, str], None]


def prepared_calendar(written: JsonValue, place: PlanPath, report: Report) -> dict[str, JsonValue] | None:
    """Return a calendar as the functions read it; `None` if a reported fault makes that impossible."""
    if not isinstance(written, dict):
        report(place, "must be a mapping with timezone and open")
        return None
    for name in written.keys() - set(MEMBERS):
        report((*place, name), f"unknown member{did_you_mean(name, MEMBERS)}")
    zone = _zone(written.get("timezone"), (*place, "timezone"), report)
    week = _week(written.get("open"), (*place, "open"), report)
    special = _special(written.get("special", {}), (*place, "special"), report)
    closed = _closed(written.get("closed", []), (*place, "closed"), report)
    if zone is None:
        return None
    return {"timezone": written["timezone"], "zone": zone, "week": week, "closed": closed, "special": special}


def _zone(name: JsonValue, place: PlanPath, report: Report) -> str | None:
    if not isinstance(name, str):
        report(place, "must be a time zone such as Europe/Amsterdam")
        return None
    zones = set(files("tzdata").joinpath("zones").read_text("utf-8").split())
    if name not in zones:
        report(place, f"{name!r} is not a time zone of the tz database{did_you_mean(name, zones)}")
        return None
    # The tzdata package, not the files of this machine, so that every build gives the same plan.
    file = files("tzdata").joinpath("zoneinfo", *name.split("/"))
    return base64.b64encode(file.read_bytes()).decode("ascii")


def _week(written: JsonValue, place: PlanPath, report: Report) -> list[JsonValue]:
    week: list[list[JsonValue]] = [[] for _ in WEEKDAYS]
    if not isinstance(written, dict):
        report(place, 'must be a mapping of weekdays, such as {mon-fri: "09:00-17:30"}')
        return []
    for days, hours in written.items():
        numbers = _weekdays(days)
        if numbers is None:
            report((*place, days), f"{days!r}: write a weekday as mon, mon-fri, or sat,sun")
            continue
        for number in numbers:
            week[number].extend(_hours(hours, (*place, days), report))
    return list(week)


def _weekdays(text: str) -> list[int] | None:
    numbers: list[int] = []
    for part in text.lower().split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        ends = [first, last] if dash else [first]
        if not all(end in WEEKDAYS for end in ends):
            return None
        start, end = WEEKDAYS.index(ends[0]), WEEKDAYS.index(ends[-1])
        numbers += range(start, end + 1) if start <= end else chain(range(start, 7), range(end + 1))
    return numbers


def _hours(written: JsonValue, place: PlanPath, report: Report) -> list[JsonValue]:
    texts = written if isinstance(written, list) else [written]
    hours: list[JsonValue] = []
    for text in texts:
        found = _HOURS.fullmatch(text.strip()) if isinstance(text, str) else None
        if found is None:
            report(place, f'{text!r}: write hours as "09:00-17:30", or a list of them')
            continue
        numbers = [int(number) for number in found.groups()]
        start, end = numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]
        if max(start, end) > DAY_MINUTES or start in {DAY_MINUTES, end}:
            report(place, f"{text!r}: times go from 00:00 to 24:00, and hours must not end when they begin")
            continue
        hours.append([start, end if end > start else end + DAY_MINUTES])
    return hours


def _closed(written: JsonValue, place: PlanPath, report: Report) -> list[JsonValue]:
    closed: list[JsonValue] = []
    for number, text in enumerate(written if isinstance(written, list) else [written]):
        found = _RANGE.fullmatch(text.strip()) if isinstance(text, str) else None
        ends = list(found.groups()) if found else [text, text]
        if not all(_is_day(end) for end in ends) or len(str(ends[0])) != len(str(ends[1])):
            report(
                (*place, number),
                f'{text!r}: write a date as "2026-12-25", "12-25" for every year, or two with .. between them',
            )
        elif len(str(ends[0])) == 10 and str(ends[0]) > str(ends[1]):
            report((*place, number), f"{text!r} ends before it begins")
        else:
            closed.append([str(end) for end in ends])
    return closed


def _special(written: JsonValue, place: PlanPath, report: Report) -> dict[str, JsonValue]:
    special: dict[str, JsonValue] = {}
    if not isinstance(written, dict):
        report(place, 'must be a mapping of dates, such as {"2026-12-24": "09:00-12:00"}')
        return special
    for day, hours in written.items():
        if _is_day(day) and len(day) == 10:
            special[day] = _hours(hours, (*place, day), report)
        else:
            report((*place, day), f'{day!r}: write a date as "2026-12-24"')
    return special


def _is_day(text: JsonValue) -> bool:
    if not isinstance(text, str):
        return False
    full_date = text if len(text) == 10 else f"{LEAP_YEAR}-{text}"
    try:
        return date.fromisoformat(full_date).isoformat() == full_date
    except ValueError:
        return False
