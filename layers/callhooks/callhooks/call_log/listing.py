"""CallList: calls looked up in the indexes of the table, a page at a time, and never by a scan.

The index of days has eight partitions a day. One takes 1,000 writes a second, and a call is written about four times
over its life, each of which writes its entry: about 250 new calls a second for each shard, 2,000 in all, so that a day
of a busy system does not end in one hot partition. A list asks all of them, one after the other, and merges what they
give: a page of 50 costs about 12 queries and 6 to 8 read units, a count half a read unit for each eleven calls.

The indexes of numbers have keys alone, so that a call is written into each of them once and not with each of its
events; its item is read for a list: a page of 50 costs 2 queries, a BatchGetItem and about 27 read units.

Pages go by the start of a call and its key, the newest first. DynamoDB has an index's entries in the order of their
start, but those of one moment in any order, so that they are read whole and put in order here. A cursor is the place
of the last call that was looked at: what arrives later shifts nothing.
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

from callhooks.calls.call import Call, CallStatus, CallSummary, Outcome, Seconds
from callhooks.calls.repository import DAY_SHARDS, MAX_AT_ONCE, calls_at, day_shard, summary_of_item
from callhooks.events.event_item import Item, partition_key, party_key
from callhooks.runtime.errors import CallhooksError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, QueryInputTypeDef

MAX_LISTED = 2_000
"""Entries that one page of a list may look at: with filters it may end short of its limit."""
MAX_COUNTED = 50_000
UNDER_WAY: Literal["under_way"] = "under_way"

_LARGEST_QUERY = 1_000
_TO_COUNT_AT_ONCE = 80_000
_LONGEST_CURSOR = 4_096
_BEFORE_ALL, _AFTER_ALL = "0", "~"
_STARTED_AT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z", re.ASCII)
_COUNTED_ATTRIBUTES = ("pk", "started_at", "provider", "outcome", "talk_seconds", "parent_call_id")

IndexEntry: TypeAlias = 'Mapping[str, "AttributeValueTypeDef"]'
OutcomeOrUnderWay: TypeAlias = Outcome | Literal["under_way"]


class CursorRefused(CallhooksError, ValueError):
    """A cursor that was not given out, or not for this question."""


class Position(NamedTuple):
    """The place of a call in a list: its start as it is stored, and its partition key."""

    started_at: str
    pk: str


@dataclass(frozen=True, slots=True)
class CallQuery:
    """Which calls are asked for: of a day (`2026-11-21`, UTC), of a number or both, narrowed down by the rest.

    Without `legs`, calls that have a parent are left out.
    """

    day: str | None = None
    number: str | None = None
    provider: str | None = None
    status: CallStatus | None = None
    outcome: OutcomeOrUnderWay | None = None
    direction: str | None = None
    legs: bool = True

    def takes(self, entry: IndexEntry) -> bool:
        """Whether an entry of an index is of these calls; its day and its number are so by its key."""
        return (
            self.provider in (None, _text(entry, "provider"))
            and self.status in (None, _text(entry, "status"))
            and self.outcome in (None, _outcome(entry))
            and self.direction in (None, _text(entry, "direction"))
            and (self.legs or "parent_call_id" not in entry)
        )


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the next page begins, and the day that its question is about."""

    day: str | None
    after: Position
    seal: str

    @classmethod
    def behind(cls, position: Position, question: CallQuery) -> Cursor:
        """The cursor of a page that ends at this position."""
        return cls(question.day, position, _seal(position, question))

    @classmethod
    def read(cls, text: str) -> Cursor:
        """A cursor as it was given out.

        Raises:
            CursorRefused: it is none.
        """
        if len(text) > _LONGEST_CURSOR:
            raise CursorRefused
        try:
            day, started_at, pk, seal = json.loads(base64.b64decode(text, altchars=b"-_", validate=True))
        except (ValueError, TypeError, RecursionError):
            raise CursorRefused from None
        texts = (started_at, pk, seal) if day is None else (day, started_at, pk, seal)
        if not all(isinstance(part, str) for part in texts) or not _STARTED_AT.fullmatch(started_at):
            raise CursorRefused
        cursor = cls(day, Position(started_at, pk), seal)
        # Base64 has more than one text for the same bytes.
        if str(cursor) != text:
            raise CursorRefused
        return cursor

    def position_in(self, question: CallQuery) -> Position:
        """The place where the next page of this question begins.

        Raises:
            CursorRefused: it is the cursor of another question, or was changed.
        """
        if (self.day, self.seal) != (question.day, _seal(self.after, question)):
            raise CursorRefused
        return self.after

    def __str__(self) -> str:
        members = json.dumps([self.day, *self.after, self.seal], separators=(",", ":"))
        return base64.urlsafe_b64encode(members.encode("ascii")).decode("ascii")


class ListedCall(CallSummary):
    """A call as a list shows it, and where its timeline is."""

    path: str = Field(description="Where the call itself is: its id, or a hash of it where the id has odd characters")


class CallPage(BaseModel):
    """One page of a list."""

    model_config = ConfigDict(frozen=True)

    calls: tuple[ListedCall, ...]
    cursor: str | None = Field(description="What the next page is asked for with; null at the end of the list")


class CallCount(BaseModel):
    """How many calls of a provider began in an hour and went the same way."""

    model_config = ConfigDict(frozen=True)

    hour: int = Field(ge=0, le=23, description="UTC")
    provider: str
    outcome: OutcomeOrUnderWay
    calls: int
    talk_seconds: Seconds


class DayCounts(BaseModel):
    """Counts of a day. Those of a further page are to be added to them."""

    model_config = ConfigDict(frozen=True)

    day: str = Field(json_schema_extra={"format": "date"})
    counts: tuple[CallCount, ...]
    cursor: str | None = Field(description="What the rest is asked for with; null where this is all")


class CallList:
    """Calls by day, number and conversation.

    Every method raises what botocore raises where the table cannot be read.
    """

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def page(self, question: CallQuery, *, limit: int, after: Position | None = None) -> CallPage:
        """The calls of a day or of a number, the newest first.

        It looks at `MAX_LISTED` entries at most, so that a page may be short, or empty, and have a cursor.
        """
        calls: list[ListedCall] = []
        last, looked_at = after, 0
        for entry in self._newest_first(question, after, at_once=limit):
            if last is not None and (len(calls) == limit or looked_at == MAX_LISTED):
                return CallPage(calls=tuple(calls), cursor=str(Cursor.behind(last, question)))
            last, looked_at = _position(entry), looked_at + 1
            if question.takes(entry):
                calls.append(listed_call(entry))
        return CallPage(calls=tuple(calls), cursor=None)

    def counts(self, day: str, *, legs: bool = True, after: Position | None = None) -> DayCounts:
        """How many calls of a day there are, by hour, provider and outcome; it looks at `MAX_COUNTED`."""
        question = CallQuery(day=day, legs=legs)
        calls: Counter[tuple[int, str, OutcomeOrUnderWay]] = Counter()
        talked: Counter[tuple[int, str, OutcomeOrUnderWay]] = Counter()
        last, counted, cursor = after, 0, None
        for entry in self._newest_first(question, after, at_once=_TO_COUNT_AT_ONCE, attributes=_COUNTED_ATTRIBUTES):
            if last is not None and counted == MAX_COUNTED:
                cursor = str(Cursor.behind(last, question))
                break
            last, counted = _position(entry), counted + 1
            if not question.takes(entry):
                continue
            key = (int(last.started_at[11:13]), entry["provider"]["S"], _outcome(entry))
            calls[key] += 1
            talked[key] += _milliseconds(entry)
        counts = tuple(
            CallCount(
                hour=key[0],
                provider=key[1],
                outcome=key[2],
                calls=calls[key],
                talk_seconds=talked[key] / 1000 if talked[key] % 1000 else talked[key] // 1000,
            )
            for key in sorted(calls)
        )
        return DayCounts(day=day, counts=counts, cursor=cursor)

    def legs(self, pk: str, call: Call) -> tuple[ListedCall, ...]:
        """The other calls of a call's conversation, the oldest first: its legs, or its parent and its siblings.

        Raises:
            CallsUnread: DynamoDB is throttled.
        """
        conversation = partition_key(call.provider, call.conversation_id)
        reply = self._client.query(
            TableName=self._table_name,
            IndexName="by_conversation",
            KeyConditionExpression="conversation_id = :conversation",
            ExpressionAttributeValues={":conversation": {"S": conversation}},
            Limit=MAX_AT_ONCE - 1,
        )
        # The conversation is named after the parent, which is in none itself.
        keys = {conversation, *(entry["pk"]["S"] for entry in reply["Items"])} - {pk}
        return tuple(listed_call(item) for item in sorted(self._calls(keys), key=_position))

    def _newest_first(
        self, question: CallQuery, after: Position | None, *, at_once: int, attributes: Sequence[str] = ()
    ) -> Iterator[IndexEntry]:
        """The calls that a question is about, each once, read as far as they are taken."""
        entries = self._entries(question, after, at_once=at_once, attributes=attributes)
        return entries if question.number is None else self._with_their_calls(entries, at_once)

    def _with_their_calls(self, entries: Iterator[IndexEntry], at_once: int) -> Iterator[IndexEntry]:
        """The calls of entries that have nothing but keys, each at the place of its entry."""
        while batch := list(islice(entries, min(at_once + 1, MAX_AT_ONCE))):
            calls = {call["pk"]["S"]: call for call in self._calls(entry["pk"]["S"] for entry in batch)}
            for entry in batch:
                if entry["pk"]["S"] in calls:
                    yield {**calls[entry["pk"]["S"]], "started_at": entry["started_at"]}

    def _calls(self, keys: Iterable[str]) -> Iterator[Item]:
        return calls_at(self._client, self._table_name, keys)

    def _entries(
        self, question: CallQuery, after: Position | None, *, at_once: int, attributes: Sequence[str]
    ) -> Iterator[IndexEntry]:
        """The entries of all indexes that a question needs, each once, read as far as they are taken."""
        partitions = _partitions(question)
        oldest = f"{question.day}T" if question.day and question.number else _BEFORE_ALL
        newest = after.started_at if after else f"{question.day}U" if question.day and question.number else _AFTER_ALL
        if newest < oldest:
            return
        sources = [
            self._partition(partition, oldest, newest, at_once // len(partitions) + 4, attributes)
            for partition in partitions
        ]
        last = after
        for entry in merge(*sources, key=_position, reverse=True):
            # Whoever calls themselves is in both indexes of numbers, and all of the last moment is read again.
            if last is None or _position(entry) < last:
                last = _position(entry)
                yield entry

    def _partition(
        self, partition: tuple[str, str, str], oldest: str, newest: str, at_once: int, attributes: Sequence[str]
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
            query["ProjectionExpression"] = ", ".join(attributes)
        for _, of_one_moment in groupby(self._queried(query, at_once), key=lambda entry: entry["started_at"]["S"]):
            yield from sorted(of_one_moment, key=_position, reverse=True)

    def _queried(self, query: QueryInputTypeDef, at_once: int) -> Iterator[IndexEntry]:
        query["Limit"] = at_once
        while True:
            reply = self._client.query(**query)
            yield from reply["Items"]
            if "LastEvaluatedKey" not in reply:
                return
            query["ExclusiveStartKey"] = reply["LastEvaluatedKey"]
            # Who wants more than a page is looking for something that is rare.
            query["Limit"] = max(at_once, min(2 * query["Limit"], _LARGEST_QUERY))


def listed_call(item: IndexEntry) -> ListedCall:
    """A call as a list shows it, of its item or of its entry in an index."""
    summary = summary_of_item(item)
    return ListedCall.model_validate({**summary.model_dump(by_alias=True), "path": call_path(item["pk"]["S"])})


def call_path(pk: str) -> str:
    """Where the call of a partition key is in the API. Such a key has no character that a path would escape."""
    provider, _, key = pk.partition("#")
    return f"/calls/{provider}/{key}"


def _partitions(question: CallQuery) -> list[tuple[str, str, str]]:
    """Index, name and value of each partition that a question is about."""
    if question.number is not None:
        party = party_key(_as_typed(question.number))
        return [("by_from", "from_party", party), ("by_to", "to_party", party)]
    if question.day is None:
        raise ValueError("a question has a day or a number")
    return [("by_day", "day_shard", day_shard(question.day, shard)) for shard in range(DAY_SHARDS)]


def _as_typed(number: str) -> str:
    """A number without what a phone book puts around it: marks of direction, and dashes that only look like one."""
    letters = ("-" if category(letter) == "Pd" else letter for letter in number if category(letter) != "Cf")
    return "".join(letters).strip(" <>")


def _seal(position: Position, question: CallQuery) -> str:
    """What tells a cursor's own question from others. It finds slips: whoever may ask may look at every call anyway."""
    number = question.number and party_key(_as_typed(question.number))
    narrowed = [question.provider, question.status, question.outcome, question.direction, question.legs]
    members = json.dumps([*position, question.day, number, *narrowed])
    return hashlib.sha256(members.encode("ascii")).hexdigest()[:16]


def _position(entry: IndexEntry) -> Position:
    return Position(entry["started_at"]["S"], entry["pk"]["S"])


def _outcome(entry: IndexEntry) -> OutcomeOrUnderWay:
    return Outcome(entry["outcome"]["S"]) if "outcome" in entry else UNDER_WAY


def _milliseconds(entry: IndexEntry) -> int:
    """The talk time, in whole numbers: a sum of floats depends on its order."""
    return round(1000 * float(entry["talk_seconds"]["N"])) if "talk_seconds" in entry else 0


def _text(entry: IndexEntry, name: str) -> str | None:
    return entry[name]["S"] if name in entry else None
