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
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import groupby, islice
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias
from unicodedata import category

from pydantic import BaseModel, ConfigDict, Field

from callhooks.calls.call import Call, CallStatus, CallSummary, Outcome, Result, Seconds
from callhooks.calls.repository import DAY_SHARDS, MAX_BATCH_KEYS, calls_at, day_shard, summary_of_item
from callhooks.events.event_item import Item, partition_key, party_key
from callhooks.runtime.errors import CallhooksError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, QueryInputTypeDef

MAX_LISTED = 2_000
"""Entries that one page of a list may read. With filters, a page can end before it reaches its limit."""
MAX_COUNTED = 50_000
UNDER_WAY: Literal["under_way"] = "under_way"

_MAX_QUERY_LIMIT = 1_000
_COUNT_BATCH = 80_000
_MAX_CURSOR_LENGTH = 4_096
_BEFORE_ALL, _AFTER_ALL = "0", "~"
_STARTED_AT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z", re.ASCII)
_COUNTED_ATTRIBUTES = ("pk", "started_at", "provider", "outcome", "result", "talk_seconds", "parent_call_id")

IndexEntry: TypeAlias = 'Mapping[str, "AttributeValueTypeDef"]'
OutcomeOrUnderWay: TypeAlias = Outcome | Literal["under_way"]


class InvalidCursor(CallhooksError, ValueError):
    """A cursor is malformed, was changed, or belongs to another query."""


class Position(NamedTuple):
    """Position of a call in a list: its start as stored, and its partition key."""

    started_at: str
    pk: str


@dataclass(frozen=True, slots=True)
class CallQuery:
    """Query for calls of a day (`2026-11-21`, UTC), of a number, or both; the other fields are filters.

    Without `legs`, calls that have a parent are left out.
    """

    day: str | None = None
    number: str | None = None
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
        """Return whether an index entry passes the filters; its key already matches the day and the number."""
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
        )


@dataclass(frozen=True, slots=True)
class Cursor:
    """Start of the next page, with the day of its query."""

    day: str | None
    after: Position
    checksum: str

    @classmethod
    def at(cls, position: Position, query: CallQuery) -> Cursor:
        """Return the cursor of a page that ends at this position."""
        return cls(query.day, position, _checksum(position, query))

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Parse a cursor.

        Raises:
            InvalidCursor: the text is not a cursor.
        """
        if len(text) > _MAX_CURSOR_LENGTH:
            raise InvalidCursor
        try:
            day, started_at, pk, checksum = json.loads(base64.b64decode(text, altchars=b"-_", validate=True))
        except (ValueError, TypeError, RecursionError):
            raise InvalidCursor from None
        texts = (started_at, pk, checksum) if day is None else (day, started_at, pk, checksum)
        if not all(isinstance(part, str) for part in texts) or not _STARTED_AT.fullmatch(started_at):
            raise InvalidCursor
        cursor = cls(day, Position(started_at, pk), checksum)
        # Several base64 strings can stand for the same bytes; accept only the one that `str` returns.
        if str(cursor) != text:
            raise InvalidCursor
        return cursor

    def position_for(self, query: CallQuery) -> Position:
        """Return the position after which the next page of this query starts.

        Raises:
            InvalidCursor: the cursor belongs to another query, or was changed.
        """
        if (self.day, self.checksum) != (query.day, _checksum(self.after, query)):
            raise InvalidCursor
        return self.after

    def __str__(self) -> str:
        members = json.dumps([self.day, *self.after, self.checksum], separators=(",", ":"))
        return base64.urlsafe_b64encode(members.encode("ascii")).decode("ascii")


class ListedCall(CallSummary):
    """Call in a list, with the path of its timeline."""

    path: str = Field(description="Path of the call. Contains its id, or a hash of an id with special characters")


class CallPage(BaseModel):
    """Page of a list."""

    model_config = ConfigDict(frozen=True)

    calls: tuple[ListedCall, ...]
    cursor: str | None = Field(description="Cursor for the next page; null at the end of the list")


class CallCount(BaseModel):
    """Number of calls of a provider that started in the same hour and had the same outcome and result."""

    model_config = ConfigDict(frozen=True)

    hour: int = Field(ge=0, le=23, description="UTC")
    provider: str
    outcome: OutcomeOrUnderWay
    result: Result
    calls: int
    talk_seconds: Seconds


class DayCounts(BaseModel):
    """Counts of a day. Add up the counts of all its pages."""

    model_config = ConfigDict(frozen=True)

    day: str = Field(json_schema_extra={"format": "date"})
    counts: tuple[CallCount, ...]
    cursor: str | None = Field(description="Cursor for the remaining calls; null at the end")


class CallList:
    """Calls by day, number and conversation.

    Methods raise botocore's exceptions if the table cannot be read.
    """

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def page(self, query: CallQuery, *, limit: int, after: Position | None = None) -> CallPage:
        """Return a page of the calls of a day or of a number, newest first.

        Read at most `MAX_LISTED` entries, so a page can be short or empty and still have a cursor.
        """
        calls: list[ListedCall] = []
        last, scanned = after, 0
        for entry in self._newest_first(query, after, batch_size=limit):
            if last is not None and (len(calls) == limit or scanned == MAX_LISTED):
                return CallPage(calls=tuple(calls), cursor=str(Cursor.at(last, query)))
            last, scanned = _position(entry), scanned + 1
            if query.matches(entry):
                calls.append(listed_call(entry))
        return CallPage(calls=tuple(calls), cursor=None)

    def counts(self, day: str, *, legs: bool = True, after: Position | None = None) -> DayCounts:
        """Count the calls of a day by hour, provider, outcome and result; read at most `MAX_COUNTED` entries."""
        query = CallQuery(day=day, legs=legs)
        calls: Counter[tuple[int, str, OutcomeOrUnderWay, Result]] = Counter()
        talk_milliseconds: Counter[tuple[int, str, OutcomeOrUnderWay, Result]] = Counter()
        last, counted, cursor = after, 0, None
        for entry in self._newest_first(query, after, batch_size=_COUNT_BATCH, attributes=_COUNTED_ATTRIBUTES):
            if last is not None and counted == MAX_COUNTED:
                cursor = str(Cursor.at(last, query))
                break
            last, counted = _position(entry), counted + 1
            if not query.matches(entry):
                continue
            key = (int(last.started_at[11:13]), entry["provider"]["S"], _outcome(entry), _result(entry))
            calls[key] += 1
            talk_milliseconds[key] += _milliseconds(entry)
        counts = tuple(
            CallCount(
                hour=key[0],
                provider=key[1],
                outcome=key[2],
                result=key[3],
                calls=calls[key],
                talk_seconds=talk_milliseconds[key] / 1000
                if talk_milliseconds[key] % 1000
                else talk_milliseconds[key] // 1000,
            )
            for key in sorted(calls)
        )
        return DayCounts(day=day, counts=counts, cursor=cursor)

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

    def _newest_first(
        self, query: CallQuery, after: Position | None, *, batch_size: int, attributes: Sequence[str] = ()
    ) -> Iterator[IndexEntry]:
        """Yield the calls of a query once each, reading lazily."""
        entries = self._entries(query, after, batch_size=batch_size, attributes=attributes)
        return entries if query.number is None else self._with_calls(entries, batch_size)

    def _with_calls(self, entries: Iterator[IndexEntry], batch_size: int) -> Iterator[IndexEntry]:
        """Replace entries that hold only keys with their calls, in the same order."""
        while batch := list(islice(entries, min(batch_size + 1, MAX_BATCH_KEYS))):
            calls = {call["pk"]["S"]: call for call in self._calls(entry["pk"]["S"] for entry in batch)}
            for entry in batch:
                if entry["pk"]["S"] in calls:
                    yield {**calls[entry["pk"]["S"]], "started_at": entry["started_at"]}

    def _calls(self, keys: Iterable[str]) -> Iterator[Item]:
        return calls_at(self._client, self._table_name, keys)

    def _entries(
        self, query: CallQuery, after: Position | None, *, batch_size: int, attributes: Sequence[str]
    ) -> Iterator[IndexEntry]:
        """Yield the entries of all partitions that a query needs once each, reading lazily."""
        partitions = _partitions(query)
        oldest = f"{query.day}T" if query.day and query.number else _BEFORE_ALL
        newest = after.started_at if after else f"{query.day}U" if query.day and query.number else _AFTER_ALL
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
            if last is None or _position(entry) < last:
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
            # `result` is a reserved word.
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


def _partitions(query: CallQuery) -> list[tuple[str, str, str]]:
    """Return index, attribute name and value of each partition that a query needs."""
    if query.number is not None:
        party = party_key(_clean_number(query.number))
        return [("by_from", "from_party", party), ("by_to", "to_party", party)]
    if query.day is None:
        raise ValueError("a query needs a day or a number")
    return [("by_day", "day_shard", day_shard(query.day, shard)) for shard in range(DAY_SHARDS)]


def _clean_number(number: str) -> str:
    """Clean a number copied from a phone book: drop invisible direction marks, turn typographic dashes into hyphens."""
    letters = ("-" if category(letter) == "Pd" else letter for letter in number if category(letter) != "Cf")
    return "".join(letters).strip(" <>")


def _checksum(position: Position, query: CallQuery) -> str:
    """Return a checksum over position and query. It detects mistakes, not attacks: every user may read all calls."""
    number = query.number and party_key(_clean_number(query.number))
    names = [name and name.casefold() for name in (query.context, query.queue)]
    narrowed = [
        query.provider,
        query.status,
        query.outcome,
        query.direction,
        query.legs,
        query.result,
        query.flow,
        *names,
    ]
    members = json.dumps([*position, query.day, number, *narrowed])
    return hashlib.sha256(members.encode("ascii")).hexdigest()[:16]


def _position(entry: IndexEntry) -> Position:
    return Position(entry["started_at"]["S"], entry["pk"]["S"])


def _outcome(entry: IndexEntry) -> OutcomeOrUnderWay:
    return Outcome(entry["outcome"]["S"]) if "outcome" in entry else UNDER_WAY


def _result(entry: IndexEntry) -> Result:
    return Result(entry["result"]["S"]) if "result" in entry else Result.IN_PROGRESS


def _is_named(wanted: str | None, name: str | None) -> bool:
    return wanted is None or (name is not None and name.casefold() == wanted.casefold())


def _milliseconds(entry: IndexEntry) -> int:
    """Return the talk time as an integer, because a sum of floats depends on its order."""
    return round(1000 * float(entry["talk_seconds"]["N"])) if "talk_seconds" in entry else 0


def _text(entry: IndexEntry, name: str) -> str | None:
    return entry[name]["S"] if name in entry else None
