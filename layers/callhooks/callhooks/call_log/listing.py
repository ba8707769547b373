"""Lists of calls, read page by page from the table's indexes, never by a scan.

The index of days has eight partitions a day. A partition takes 1,000 writes a second, and a call is written about four
times over its life: about 250 new calls a second for each shard, 2,000 in all. A list queries all shards and merges the
results: a page of 50 calls costs about 12 queries and 6 to 8 read units; a count costs half a read unit for eleven
calls.

The indexes of numbers hold only keys, so a call is written to them once and not with each of its events. A list reads
the items of its calls: a page of 50 costs 2 queries, a BatchGetItem and about 27 read units.

Pages are sorted by the start of a call and its key, newest first. DynamoDB sorts the entries of an index by start, but
returns entries with the same start in any order; they are read together and sorted here. A cursor is the position of
the last call that a page looked at, so calls that arrive later do not shift the next page.

A span is read one UTC day after another. A page ends after `MAX_DAYS` days, calls or not, so that a year costs no page
more than a month does.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from callhooks.call_log.search import Search, clean_number
from callhooks.call_log.spans import Span, Unit, bucket_starts, days_back
from callhooks.calls.call import Call, CallStatus, CallSummary, Outcome, Result, Seconds
from callhooks.calls.repository import DAY_SHARDS, MAX_BATCH_KEYS, calls_at, day_shard, summary_of_item
from callhooks.events.call_event import OUTBOUND, utc_text
from callhooks.events.event_item import Item, partition_key, party_key
from callhooks.runtime.errors import CallhooksError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, QueryInputTypeDef

MAX_LISTED = 2_000
"""Entries that one page of a list may read. With filters, a page can end before it reaches its limit."""
MAX_COUNTED = 50_000
MAX_DAYS = 32
"""UTC days that one page may read. The longest month touches 32, in every zone but UTC."""
MAX_PAGE_BYTES = 5_000_000
"""Lambda responses are limited to 6 MB. A page ends earlier if its texts are long."""

UNDER_WAY: Literal["under_way"] = "under_way"

_MAX_QUERY_LIMIT = 1_000
_COUNT_BATCH = 80_000
MAX_CURSOR_LENGTH = 4_096
_BEFORE_ALL = "0"
_COUNTED_ATTRIBUTES = ("pk", "started_at", "provider", "outcome", "result", "talk_seconds", "parent_call_id")

DATE_TIME: dict[str, JsonValue] = {"format": "date-time"}
StoredTime: TypeAlias = Annotated[str, Field(json_schema_extra=DATE_TIME)]
IndexEntry: TypeAlias = 'Mapping[str, "AttributeValueTypeDef"]'
OutcomeOrUnderWay: TypeAlias = Outcome | Literal["under_way"]


class InvalidCursor(CallhooksError, ValueError):
    """A cursor is malformed, was changed, or belongs to another query."""


class Position(NamedTuple):
    """Position in a list: the start of a call as stored, and its partition key.

    Without a key, it is the position behind all calls that started at this time or later.
    """

    started_at: str
    pk: str


_NEWEST = Position("9999-12-31T23:59:59.999Z", "~")
Step: TypeAlias = "tuple[Position, IndexEntry | None]"
"""A call at its position, or `None` at the position where a day ends."""


@dataclass(frozen=True, slots=True)
class CallQuery:
    """Query for calls of a span, of a number, or both, or for calls that a search finds; the other fields are filters.

    A search finds the calls with an id or a number on all days, and further calls only in the span. Without `legs`,
    calls that have a parent are left out.
    """

    span: Span | None = None
    number: str | None = None
    search: Search | None = None
    provider: str | None = None
    status: CallStatus | None = None
    outcome: OutcomeOrUnderWay | None = None
    direction: str | None = None
    result: Result | None = None
    flow: str | None = None
    context: str | None = None
    queue: str | None = None
    legs: bool = True

    def matches(self, entry: IndexEntry) -> bool:
        """Return whether an index entry passes the filters; its key already matches the span and the number."""
        return (
            self.provider in (None, _text(entry, "provider"))
            and self.status in (None, _text(entry, "status"))
            and self.outcome in (None, _outcome(entry))
            and self.direction in (None, _text(entry, "direction"))
            and self.result in (None, _result(entry))
            and (self.flow is None or any(flow["S"] == self.flow for flow in entry.get("flows", {}).get("L", ())))
            and _is_named(self.context, _text(entry, "context"))
            and _is_named(self.queue, _text(entry, "queue"))
            and (self.legs or "parent_call_id" not in entry)
            and (self.search is None or self.search.matches(entry))
        )


@dataclass(frozen=True, slots=True)
class Cursor:
    """Start of the next page, with the span of its query."""

    span: Span | None
    after: Position
    checksum: str

    @classmethod
    def at(cls, position: Position, query: CallQuery) -> Cursor:
        """Return the cursor of a page that ends at this position."""
        return cls(query.span, position, _checksum(position, query))

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Parse a cursor.

        Raises:
            InvalidCursor: the text is not a cursor.
        """
        if len(text) > MAX_CURSOR_LENGTH:
            raise InvalidCursor
        try:
            since, until, started_at, pk, checksum = json.loads(base64.b64decode(text, altchars=b"-_", validate=True))
            span = None if since is None and until is None else Span(since, until)
            times = (started_at, *(span or ()))
            is_valid = all(utc_text(datetime.fromisoformat(time)) == time for time in times)
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise InvalidCursor from None
        # Reading computes the days before and after these times, in any zone.
        if not is_valid or min(times) < "0002" or (span and not span.since <= span.until < "9999"):
            raise InvalidCursor
        if not isinstance(pk, str) or not isinstance(checksum, str):
            raise InvalidCursor
        cursor = cls(span, Position(started_at, pk), checksum)
        # Several base64 strings can stand for the same bytes; accept only the one that `str` returns.
        if str(cursor) != text:
            raise InvalidCursor
        return cursor

    def position_for(self, query: CallQuery) -> Position:
        """Return the position after which the next page of this query starts.

        Raises:
            InvalidCursor: the cursor belongs to another query, or was changed.
        """
        if (self.span, self.checksum) != (query.span, _checksum(self.after, query)):
            raise InvalidCursor
        return self.after

    def __str__(self) -> str:
        members = json.dumps([*(self.span or (None, None)), *self.after, self.checksum], separators=(",", ":"))
        return base64.urlsafe_b64encode(members.encode("ascii")).decode("ascii")


class ListedCall(CallSummary):
    """Call in a list, with the path of its timeline."""

    path: str = Field(description="Path of the call. Contains its id, or a hash of an id with special characters")


class CallPage(BaseModel):
    """Page of a list."""

    model_config = ConfigDict(frozen=True)

    calls: tuple[ListedCall, ...]
    cursor: str | None = Field(description="Cursor for the next page; null at the end of the list")
    read_to: StoredTime | None = Field(
        description="Time back to which this page and those before it are complete; null after a list of all days"
    )


class Per(StrEnum):
    """Member of a call by which calls are counted, in addition to provider and outcome."""

    NUMBER = "number"
    TRUNK = "trunk"


class CallCount(BaseModel):
    """Number of calls of a provider that started in the same hour, day, week or month and ended alike."""

    model_config = ConfigDict(frozen=True)

    start: str = Field(
        description="Start of the hour, day, week or month, with the offset of the zone", json_schema_extra=DATE_TIME
    )
    hour: int | None = Field(ge=0, le=23, description="Hour of `start`; null if calls are not counted by hour")
    provider: str
    outcome: OutcomeOrUnderWay
    result: Result
    number: str | None = Field(
        description="With per=number: your number, which is the caller of an outbound call and the callee of others"
    )
    trunk: str | None = Field(description="With per=trunk: the SIP trunk; null if the call had none")
    calls: int
    talk_seconds: Seconds


class CallCounts(BaseModel):
    """Counts of a span. Add up the counts of all its pages."""

    model_config = ConfigDict(frozen=True)

    day: str | None = Field(description="The day, if the span is one", json_schema_extra={"format": "date"})
    since: StoredTime
    until: StoredTime
    counts: tuple[CallCount, ...]
    cursor: str | None = Field(description="Cursor for the remaining calls; null at the end")
    read_to: StoredTime = Field(description="Time back to which this page and those before it have counted all calls")


_ATTRIBUTES_PER = {Per.NUMBER: ("direction", "from", "to"), Per.TRUNK: ("trunk",)}


class _CountKey(NamedTuple):
    """Members of a `CallCount` by which calls are counted together."""

    start: str
    provider: str
    outcome: OutcomeOrUnderWay
    result: Result
    number: str | None
    trunk: str | None

    def sort_key(self) -> tuple[str, ...]:
        # Times of several offsets are in order only in one zone.
        return (utc_text(datetime.fromisoformat(self.start)), *(text or "" for text in self[1:]))


class CallList:
    """Calls by day, number and conversation.

    Methods raise botocore's exceptions if the table cannot be read.
    """

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def page(self, query: CallQuery, *, limit: int, after: Position | None = None) -> CallPage:
        """Return a page of the calls of a span, of a number or of a search, newest first.

        Read at most `MAX_LISTED` entries and `MAX_DAYS` days, so a page can be short or empty and still have a cursor.
        """
        calls: list[ListedCall] = []
        last, scanned, days, size = after or _NEWEST, 0, 0, 0
        steps, oldest = self._steps(query, last, limit)
        for position, entry in steps:
            if entry is None:
                last, days = position, days + 1
                if days == MAX_DAYS:
                    break
                continue
            if len(calls) == limit or scanned == MAX_LISTED:
                break
            scanned += 1
            if query.matches(entry):
                size += _size(entry)
                if calls and size > MAX_PAGE_BYTES:
                    break
                calls.append(listed_call(entry))
            last = position
        else:
            return CallPage(calls=tuple(calls), cursor=None, read_to=oldest)
        read_to = max(last.started_at, oldest or _BEFORE_ALL)
        return CallPage(calls=tuple(calls), cursor=str(Cursor.at(last, query)), read_to=read_to)

    def counts(
        self, query: CallQuery, *, by: Unit = Unit.HOUR, zone: tzinfo = UTC, per: Per | None = None,
        after: Position | None = None,
    ) -> CallCounts:  # fmt: skip
        """Count the calls of a span by unit, provider, outcome and result.

        Read at most `MAX_COUNTED` calls and `MAX_DAYS` days.
        """
        if query.span is None:
            raise ValueError("counts need a span")
        start_of = bucket_starts(by, zone)
        calls: Counter[_CountKey] = Counter()
        talk_milliseconds: Counter[_CountKey] = Counter()
        last, counted, days, size, ended = after or _NEWEST, 0, 0, 0, False
        attributes = (*_COUNTED_ATTRIBUTES, *(_ATTRIBUTES_PER[per] if per else ()))
        for position, entry in self._steps_of_span(query.span, last, _COUNT_BATCH, attributes):
            if entry is None:
                last, days = position, days + 1
                if days == MAX_DAYS:
                    break
                continue
            if counted == MAX_COUNTED:
                break
            counted += 1
            if query.matches(entry):
                key = _CountKey(start_of(position.started_at), *_counted_as(entry, per))
                size += 0 if key in calls else _size(key)
                if calls and size > MAX_PAGE_BYTES:
                    break
                calls[key] += 1
                talk_milliseconds[key] += _milliseconds(entry)
            last = position
        else:
            ended = True
        return CallCounts(
            day=query.span.as_day(zone),
            since=query.span.since,
            until=query.span.until,
            counts=tuple(
                CallCount(
                    **key._asdict(),
                    hour=datetime.fromisoformat(key.start).hour if by is Unit.HOUR else None,
                    calls=calls[key],
                    talk_seconds=_seconds(talk_milliseconds[key]),
                )
                for key in sorted(calls, key=_CountKey.sort_key)
            ),
            cursor=None if ended else str(Cursor.at(last, query)),
            read_to=query.span.since if ended else last.started_at,
        )

    def legs(self, pk: str, call: Call) -> tuple[ListedCall, ...]:
        """Return the other calls of a call's conversation, oldest first: its legs, or its parent and siblings.

        Raises:
            ReadsThrottled: DynamoDB is throttled.
        """
        conversation = partition_key(call.provider, call.conversation_id)
        reply = self._client.query(
            TableName=self._table_name,
            IndexName="by_conversation",
            KeyConditionExpression="conversation_id = :conversation",
            ExpressionAttributeValues={":conversation": {"S": conversation}},
            Limit=MAX_BATCH_KEYS - 1,
        )
        # A conversation is named after the parent; the parent itself has no entry in the index.
        keys = {conversation, *(entry["pk"]["S"] for entry in reply["Items"])} - {pk}
        return tuple(listed_call(item) for item in sorted(self._calls(keys), key=_position))

    def _steps(self, query: CallQuery, after: Position, batch_size: int) -> tuple[Iterator[Step], str | None]:
        """Return the calls of a query, read lazily, and the time back to which it asks; `None` for all days."""
        oldest = query.span.since if query.span else None
        if query.number is not None:
            return self._steps_of_number(party_key(clean_number(query.number)), query.span, after, batch_size), oldest
        if query.span is None:
            raise ValueError("a query needs a span or a number")
        if query.search is not None:
            return self._steps_of_search(query.search, query.span, after, batch_size)
        return self._steps_of_span(query.span, after, batch_size), oldest

    def _steps_of_search(
        self, search: Search, span: Span, after: Position, batch_size: int
    ) -> tuple[Iterator[Step], str | None]:
        with_id = sorted(self._calls(search.keys), key=_position, reverse=True)
        by_id = iter([(_position(call), call) for call in with_id if _position(call) < after])
        # Only digits can be both an id and part of a number.
        if with_id and not search.digits:
            return by_id, None
        by_number = self._steps_of_number(search.party, None, after, batch_size)
        if search.may_be_whole_number and any(True for _ in self._steps_of_number(search.party, None, _NEWEST, 1)):
            return _merged(by_id, by_number), None
        return _merged(by_id, by_number, self._steps_of_span(span, after, batch_size)), span.since

    def _steps_of_number(self, party: str, span: Span | None, after: Position, batch_size: int) -> Iterator[Step]:
        """Yield the calls of a number once each. The indexes of numbers hold only keys."""
        after = min(after, Position(span.until, "")) if span else after
        partitions = [("by_from", "from_party", party), ("by_to", "to_party", party)]
        oldest = span.since if span else _BEFORE_ALL
        entries = self._entries(partitions, oldest, after.started_at, after, batch_size)
        while batch := list(islice(entries, min(batch_size + 1, MAX_BATCH_KEYS))):
            calls = {call["pk"]["S"]: call for call in self._calls(entry["pk"]["S"] for entry in batch)}
            for entry in batch:
                if entry["pk"]["S"] in calls:
                    yield _position(entry), {**calls[entry["pk"]["S"]], "started_at": entry["started_at"]}

    def _steps_of_span(
        self, span: Span, after: Position, batch_size: int, attributes: Sequence[str] = ()
    ) -> Iterator[Step]:
        """Yield the calls of a span once each, and the end of each UTC day but the last."""
        after = min(after, Position(span.until, ""))
        newest_day, oldest_day = (date.fromisoformat(text[:10]) for text in (after.started_at, span.since))
        if after == Position(_midnight(newest_day), ""):
            newest_day -= timedelta(days=1)
        for day in days_back(newest_day, oldest_day):
            partitions = [("by_day", "day_shard", day_shard(day.isoformat(), shard)) for shard in range(DAY_SHARDS)]
            oldest = max(span.since, _midnight(day))
            newest = min(after.started_at, f"{day}U")
            for entry in self._entries(partitions, oldest, newest, after, batch_size, attributes):
                yield _position(entry), entry
            if day > oldest_day:
                yield Position(oldest, ""), None

    def _calls(self, keys: Iterable[str]) -> Iterator[Item]:
        return calls_at(self._client, self._table_name, keys)

    def _entries(  # noqa: PLR0913, PLR0917
        self,
        partitions: Sequence[tuple[str, str, str]],
        oldest: str,
        newest: str,
        after: Position,
        batch_size: int,
        attributes: Sequence[str] = (),
    ) -> Iterator[IndexEntry]:
        """Yield the entries of all partitions after a position once each, reading lazily."""
        if newest < oldest:
            return
        sources = [
            self._partition(partition, oldest, newest, batch_size // len(partitions) + 4, attributes)
            for partition in partitions
        ]
        last = after
        for entry in merge(*sources, key=_position, reverse=True):
            # Skip duplicates (a number that calls itself is in both indexes) and entries of the previous page, which
            # are read again if they have the same start as its last call.
            if _position(entry) < last:
                last = _position(entry)
                yield entry

    def _partition(
        self, partition: tuple[str, str, str], oldest: str, newest: str, batch_size: int, attributes: Sequence[str]
    ) -> Iterator[IndexEntry]:
        index, key, value = partition
        query: QueryInputTypeDef = {
            "TableName": self._table_name,
            "IndexName": index,
            "KeyConditionExpression": f"{key} = :value AND started_at BETWEEN :oldest AND :newest",
            "ExpressionAttributeValues": {":value": {"S": value}, ":oldest": {"S": oldest}, ":newest": {"S": newest}},
            "ScanIndexForward": False,
        }
        if attributes:
            names = {f"#{number}": name for number, name in enumerate(attributes)}
            query |= {"ProjectionExpression": ", ".join(names), "ExpressionAttributeNames": names}
        for _, same_start in groupby(self._query_pages(query, batch_size), key=lambda entry: entry["started_at"]["S"]):
            yield from sorted(same_start, key=_position, reverse=True)

    def _query_pages(self, query: QueryInputTypeDef, batch_size: int) -> Iterator[IndexEntry]:
        query["Limit"] = batch_size
        while True:
            reply = self._client.query(**query)
            yield from reply["Items"]
            if "LastEvaluatedKey" not in reply:
                return
            query["ExclusiveStartKey"] = reply["LastEvaluatedKey"]
            # A caller that needs a second reply is searching for rare calls: read in larger steps.
            query["Limit"] = max(batch_size, min(2 * query["Limit"], _MAX_QUERY_LIMIT))


def listed_call(item: IndexEntry) -> ListedCall:
    """Return a call for a list, from its item or its index entry."""
    summary = summary_of_item(item)
    return ListedCall.model_validate({**summary.model_dump(by_alias=True), "path": call_path(item["pk"]["S"])})


def call_path(pk: str) -> str:
    """Return the API path of a call from its partition key. Such keys need no percent-encoding."""
    provider, _, key = pk.partition("#")
    return f"/calls/{provider}/{key}"


def _merged(*sources: Iterator[Step]) -> Iterator[Step]:
    """Merge the steps of sources, newest first, each once."""
    last = None
    for step in merge(*sources, key=itemgetter(0), reverse=True):
        if step[0] != last:
            last = step[0]
            yield step


def _checksum(position: Position, query: CallQuery) -> str:
    """Return a checksum over position and query. It detects mistakes, not attacks: every user may read all calls."""
    compared = replace(
        query,
        number=query.number and party_key(clean_number(query.number)),
        context=query.context and query.context.casefold(),
        queue=query.queue and query.queue.casefold(),
    )
    members = json.dumps([*position, *astuple(compared)])
    return hashlib.sha256(members.encode("ascii")).hexdigest()[:16]


def _position(entry: IndexEntry) -> Position:
    return Position(entry["started_at"]["S"], entry["pk"]["S"])


def _midnight(day: date) -> str:
    return f"{day}T00:00:00.000Z"


def _size(value: object) -> int:
    """Return at least the bytes of an entry in a response: JSON, within the JSON that Lambda makes of the response."""
    return len(json.dumps(json.dumps(value)))


def _counted_as(entry: IndexEntry, per: Per | None) -> tuple[str, OutcomeOrUnderWay, Result, str | None, str | None]:
    ours = "from" if _text(entry, "direction") == OUTBOUND else "to"
    number = _text(entry, ours) if per is Per.NUMBER else None
    trunk = _text(entry, "trunk") if per is Per.TRUNK else None
    return entry["provider"]["S"], _outcome(entry), _result(entry), number, trunk


def _outcome(entry: IndexEntry) -> OutcomeOrUnderWay:
    return Outcome(entry["outcome"]["S"]) if "outcome" in entry else UNDER_WAY


def _result(entry: IndexEntry) -> Result:
    return Result(entry["result"]["S"]) if "result" in entry else Result.IN_PROGRESS


def _is_named(wanted: str | None, name: str | None) -> bool:
    return wanted is None or (name is not None and name.casefold() == wanted.casefold())


def _milliseconds(entry: IndexEntry) -> int:
    """Return the talk time as an integer, because a sum of floats depends on its order."""
    return round(1000 * float(entry["talk_seconds"]["N"])) if "talk_seconds" in entry else 0


def _seconds(milliseconds: int) -> Seconds:
    return milliseconds / 1000 if milliseconds % 1000 else milliseconds // 1000


def _text(entry: IndexEntry, name: str) -> str | None:
    return entry[name]["S"] if name in entry else None
