"""What lies in the table of events, for the commands that look at all of it."""

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
"""How many parts of the table are read at once."""

_AGO = re.compile(r"([0-9]{1,6})([mhdw])", re.ASCII)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True, slots=True)
class ScanPage:
    """What one request of a scan brought: the items that pass its filter, and how many there were to look at."""

    items: Sequence[Item]
    looked_at: int


def scan(client: DynamoDBClient, request: ScanInputTypeDef) -> Iterator[ScanPage]:
    """All pages of a table, several parts of which are read at once. What is written meanwhile may be in it or not.

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


def watched(pages: Iterable[ScanPage]) -> Iterator[Sequence[Item]]:
    """The items of each page; a line on the terminal counts what was looked at."""
    with progress("items looked at") as advance:
        for page in pages:
            advance(page.looked_at)
            yield page.items


def text_of(item: Item, name: str) -> str:
    """A text of an item; empty where it has none of that name."""
    return item.get(name, {}).get("S", "")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events are meant: those that are as every member says that is not empty.

    `since` is the first moment and `until` the first one after it, by when an event happened, or with `by_arrival` by
    when it came in; `number` is canonical.
    """

    since: datetime | None = None
    until: datetime | None = None
    provider: str | None = None
    kinds: Sequence[Kind] = ()
    number: str | None = None
    by_arrival: bool = False

    def pages(self, client: DynamoDBClient, table_name: str) -> Iterator[ScanPage]:
        """Pages of them, with their keys, kinds and times.

        Raises:
            ClientError, BotoCoreError: the table could not be read.
        """
        for page in scan(client, self._request(table_name)):
            yield ScanPage([item for item in page.items if self._is_of_number(item)], page.looked_at)

    def _is_of_number(self, item: Item) -> bool:
        parties = (canonical_party(text_of(item, name)) for name in ("from", "to"))
        return self.number is None or self.number in parties

    def _request(self, table_name: str) -> ScanInputTypeDef:
        values = {":events": EVENT_PREFIX}
        conditions = ["begins_with(sk, :events)"]
        moment = "#received_at" if self.by_arrival else "#occurred_at"
        if self.since is not None:
            conditions.append(f"{moment} >= :since")
            values[":since"] = utc_text(self.since)
        if self.until is not None:
            conditions.append(f"{moment} < :until")
            values[":until"] = utc_text(self.until)
        if self.provider is not None:
            conditions.append("#provider = :provider")
            values[":provider"] = self.provider
        if self.kinds:
            kinds = {f":kind{number}": kind.value for number, kind in enumerate(self.kinds)}
            conditions.append(f"#kind IN ({', '.join(kinds)})")
            values |= kinds
        condition = " AND ".join(conditions)
        shown = "pk, sk, #occurred_at, #kind, #from, #to"
        return {
            "TableName": table_name,
            "FilterExpression": condition,
            "ProjectionExpression": shown,
            "ExpressionAttributeNames": {name: name[1:] for name in re.findall(r"#\w+", f"{condition} {shown}")},
            "ExpressionAttributeValues": {name: {"S": value} for name, value in values.items()},
        }


def moment_of(text: str, now: datetime, *, end: bool = False) -> datetime:
    """A moment as a user writes it: ISO 8601, `today`, `yesterday`, or `2h` for so long ago.

    It is UTC where it has no offset. A day is its first moment, or with `end` the first one after it.

    Raises:
        ValueError: it is none of these.
    """
    word = text.strip().lower()
    today = now.astimezone(UTC).date()
    try:
        if ago := age_of(word):
            return now - ago
        if day := {"today": today, "yesterday": today - timedelta(days=1)}.get(word) or _day_of(word):
            start = datetime(day.year, day.month, day.day, tzinfo=UTC)
            return start + timedelta(days=1) if end else start
        moment = datetime.fromisoformat(word.upper())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text} is no moment: write 2026-11-21, 2026-11-21T06:30Z, today, yesterday, or 2h for two hours ago "
            "(30m, 7d, 2w)."
        ) from None


def age_of(word: str) -> timedelta | None:
    """How long `30m`, `2h`, `7d` or `2w` is; `None` for any other word."""
    ago = _AGO.fullmatch(word)
    return int(ago[1]) * _UNITS[ago[2]] if ago else None


def _day_of(word: str) -> date | None:
    try:
        return date.fromisoformat(word)
    except ValueError:
        return None
