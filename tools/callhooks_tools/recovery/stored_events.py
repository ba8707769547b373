"""Scans of the events table, and the selection of stored events by time, provider, kind or number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from callhooks.events.call_event import Kind, canonical_party, utc_text
from callhooks.events.event_item import EVENT_PREFIX, Item

from callhooks_tools.stack.terminal import progress

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import ScanInputTypeDef, ScanOutputTypeDef

SEGMENTS = 4
"""Number of segments that are scanned in parallel."""

_AGE = re.compile(r"([0-9]{1,6})([mhdw])", re.ASCII)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True, slots=True)
class ScanPage:
    """Page of a scan: the items that pass its filter, and the number of items that were scanned."""

    items: Sequence[Item]
    scanned: int


def scan(client: DynamoDBClient, request: ScanInputTypeDef) -> Iterator[ScanPage]:
    """Yield all pages of a table, with several segments scanned in parallel. Concurrent writes may be missing.

    Raises:
        ClientError, BotoCoreError: the table could not be read.
    """

    def read(start: tuple[int, Item]) -> ScanOutputTypeDef:
        segment, key = start
        part: ScanInputTypeDef = {**request, "ConsistentRead": True, "Segment": segment, "TotalSegments": SEGMENTS}
        if key:
            part["ExclusiveStartKey"] = key
        return client.scan(**part)

    with ThreadPoolExecutor(SEGMENTS) as workers:
        starts: list[tuple[int, Item]] = [(segment, {}) for segment in range(SEGMENTS)]
        while starts:
            following = []
            for (segment, _), reply in zip(starts, workers.map(read, starts), strict=True):
                yield ScanPage(reply["Items"], reply["ScannedCount"])
                if "LastEvaluatedKey" in reply:
                    following.append((segment, reply["LastEvaluatedKey"]))
            starts = following


def with_progress(pages: Iterable[ScanPage]) -> Iterator[Sequence[Item]]:
    """Yield the items of each page, and show the number of scanned items on the terminal."""
    with progress("items scanned") as advance:
        for page in pages:
            advance(page.scanned)
            yield page.items


def text_of(item: Item, name: str) -> str:
    """Return a text attribute of an item; empty if it has none of that name."""
    return item.get(name, {}).get("S", "")


@dataclass(frozen=True, slots=True)
class Selection:
    """Filter for stored events; an event must match every member that is not empty.

    Attributes:
        since: the earliest time, inclusive.
        until: the latest time, exclusive.
        number: a canonical number or SIP user, in `from` or `to`.
        by_arrival: whether `since` and `until` apply to the time of receipt instead of the time of the event.
    """

    since: datetime | None = None
    until: datetime | None = None
    provider: str | None = None
    kinds: Sequence[Kind] = ()
    number: str | None = None
    by_arrival: bool = False

    def pages(self, client: DynamoDBClient, table_name: str) -> Iterator[ScanPage]:
        """Yield pages of matching events, with their keys, kinds and times.

        Raises:
            ClientError, BotoCoreError: the table could not be read.
        """
        for page in scan(client, self._request(table_name)):
            yield ScanPage([item for item in page.items if self._is_of_number(item)], page.scanned)

    def _is_of_number(self, item: Item) -> bool:
        parties = (canonical_party(text_of(item, name)) for name in ("from", "to"))
        return self.number is None or self.number in parties

    def _request(self, table_name: str) -> ScanInputTypeDef:
        values = {":events": EVENT_PREFIX}
        conditions = ["begins_with(sk, :events)"]
        time_attribute = "#received_at" if self.by_arrival else "#occurred_at"
        if self.since is not None:
            conditions.append(f"{time_attribute} >= :since")
            values[":since"] = utc_text(self.since)
        if self.until is not None:
            conditions.append(f"{time_attribute} < :until")
            values[":until"] = utc_text(self.until)
        if self.provider is not None:
            conditions.append("#provider = :provider")
            values[":provider"] = self.provider
        if self.kinds:
            kinds = {f":kind{number}": kind.value for number, kind in enumerate(self.kinds)}
            conditions.append(f"#kind IN ({', '.join(kinds)})")
            values |= kinds
        condition = " AND ".join(conditions)
        projection = "pk, sk, #occurred_at, #kind, #from, #to"
        return {
            "TableName": table_name,
            "FilterExpression": condition,
            "ProjectionExpression": projection,
            "ExpressionAttributeNames": {name: name[1:] for name in re.findall(r"#\w+", f"{condition} {projection}")},
            "ExpressionAttributeValues": {name: {"S": value} for name, value in values.items()},
        }


def parse_time(text: str, now: datetime, *, end: bool = False) -> datetime:
    """Parse a time as a user writes it: ISO 8601, `today`, `yesterday`, or an age such as `2h`.

    A time without an offset is in UTC. A day stands for its start, or with `end` for the start of the next day.

    Raises:
        ValueError: the text is none of these.
    """
    word = text.strip().lower()
    today = now.astimezone(UTC).date()
    try:
        if age := parse_age(word):
            return now - age
        if day := {"today": today, "yesterday": today - timedelta(days=1)}.get(word) or _day_of(word):
            start = datetime(day.year, day.month, day.day, tzinfo=UTC)
            return start + timedelta(days=1) if end else start
        moment = datetime.fromisoformat(word.upper())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text} is not a valid time. Use 2026-11-21, 2026-11-21T06:30Z, today, yesterday, or an age such as 2h "
            "(30m, 7d, 2w)."
        ) from None


def parse_age(word: str) -> timedelta | None:
    """Parse `30m`, `2h`, `7d` or `2w`; return `None` for any other word."""
    age = _AGE.fullmatch(word)
    return int(age[1]) * _UNITS[age[2]] if age else None


def _day_of(word: str) -> date | None:
    try:
        return date.fromisoformat(word)
    except ValueError:
        return None
