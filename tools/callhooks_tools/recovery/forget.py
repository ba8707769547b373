"""Find and remove a person's events and calls by a number, in an order that allows an interrupted run to be repeated.

If only an answer contains the number, the item stays and the number is redacted in the answer.
Items with the number are removed after all items that are found only through them: the rest of the call, and its legs.
A later run therefore finds everything that is left. A call's own item is removed after its events, which could
recreate it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError
from callhooks.events.call_event import Details, canonical_party, utc_text
from callhooks.events.event_item import (
    EVENT_PREFIX,
    QUARANTINE,
    Item,
    details_of_item,
    is_call_partition,
    partition_key,
)

from callhooks_tools.recovery.encoded_text import NumberPattern, contains_number, redact
from callhooks_tools.recovery.stored_events import text_of
from callhooks_tools.recovery.workers import map_concurrently

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MIN_SEARCH_LENGTH = 8
"""Minimum number of digits for a search in texts: a shorter number would match times and ids."""
TOOL_CALL_KEY = "id"
TOOL_RESULT = "data"
"""Attribute in which Powertools stores the result of a tool."""
MAX_PASSES = 5
PROJECTION_SECONDS = 60.0
"""How long the projector may work on events that it has read: the timeout of its function."""
RECENT = timedelta(days=1)
"""How long the table's stream retains an event for the projector."""

_INVISIBLE = "".join(sign for sign in map(chr, range(0x10000)) if unicodedata.category(sign) in ("Cf", "Pd", "Zs"))
"""Spaces and dashes of every script, and format characters."""
_SEPARATOR = rf"[{re.escape(_INVISIBLE)}\t.()/+\u2212\uff08\uff09\uff0b\uff0e\uff0f\ufffd\udc80-\udcff]"
"""Separators between digits. `+` is a space in a form; U+DC80 and above are bytes that are not UTF-8."""
_TRUNK_ZERO = r"[(\uff08][ \u00a0]?0[ \u00a0]?[)\uff09]"
_BETWEEN = f"(?:{_TRUNK_ZERO}|{_SEPARATOR}){{0,4}}"
_BEFORE = rf"(?<![0-9A-Za-z])(?<![0-9]\.)\+?(?:(?:00|011){_BETWEEN})?"
"""Excludes matches within a longer number, an identifier or a fraction."""
_AFTER = "(?:(?![0-9A-Za-z])|(?=[xX]|[eE][xX][tT]))"
_DIALLED_FIRST = re.compile(r"\A(?:00(?=[1-9][0-9]{5,14}\Z)|011(?=[1-9][0-9]{8,14}\Z))", re.ASCII)
"""International dialling prefix. In a shorter number, `011` is the area code of Turin or Sheffield."""
_NOT_SEARCHED = frozenset({"answer", "expires_at", "day_shard"})
"""Days and seconds have as many digits as a number; answers are searched separately."""


class EventsStillArriving(Exception):
    """Events of a call arrived faster than they could be removed."""


class Match(IntEnum):
    """How an item relates to a number."""

    NONE = 0
    MENTION = 1
    PARTY = 2


@dataclass(frozen=True, slots=True)
class Person:
    """Number or SIP user to search for; `canonical` is the digits from the country code on, or the user.

    `pattern` finds it in texts. It is `None` for a short number or a SIP user, which is only compared with caller and
    callee.
    """

    canonical: str
    pattern: NumberPattern | None = field(repr=False)

    @classmethod
    def of(cls, party: str) -> Person:
        """Return the person with this number or SIP user.

        Raises:
            ValueError: it is empty.
        """
        canonical = _canonical(party)
        if not canonical:
            raise ValueError("Give a number with its country code, or a SIP user.")
        if not (canonical.isascii() and canonical.isdigit()) or len(canonical) < MIN_SEARCH_LENGTH:
            return cls(canonical, None)
        ways = re.compile(_BEFORE + _BETWEEN.join(canonical) + _AFTER)
        return cls(canonical, NumberPattern(canonical, ways, re.compile(_TRUNK_ZERO)))

    @property
    def is_searched(self) -> bool:
        """True if texts are searched for it."""
        return self.pattern is not None

    def match(self, item: Item) -> Match:
        """Return whether the person is caller or callee, or the number is anywhere except in the answer."""
        if any(_canonical(text_of(item, name)) == self.canonical for name in ("from", "to")):
            return Match.PARTY
        if self.pattern is None:
            return Match.NONE
        return Match.MENTION if contains_number(self.pattern, *_contents(item)) else Match.NONE

    def is_named_in(self, answer: str) -> bool:
        """Return whether an answer contains the number."""
        return self.pattern is not None and contains_number(self.pattern, answer)

    def redacted(self, answer: str) -> str:
        """Return an answer without the number."""
        return answer if self.pattern is None else redact(self.pattern, answer)


def _canonical(party: str) -> str:
    """Return a number's digits without dialling prefix and trunk zero, or the SIP user."""
    digits = canonical_party(re.sub(_SEPARATOR, " ", re.sub(_TRUNK_ZERO, "", party)))
    if digits.isascii() and digits.isdigit():
        return _DIALLED_FIRST.sub("", digits, count=1)
    return canonical_party(party)


def _contents(item: Item) -> Iterator[str | bytes]:
    """Yield the contents of an item except its answer: each bytes value, then all texts joined."""
    texts = []
    for content in _searched_values(item):
        if isinstance(content, bytes):
            yield content
        else:
            texts.append(content)
    # Neither a number nor an encoded text can span this character.
    yield "\0".join(texts)


def _searched_values(item: Item) -> Iterator[str | bytes]:
    for name, value in item.items():
        if name not in _NOT_SEARCHED and not (name == "pk" and _is_daily_partition(text_of(item, "pk"))):
            yield from _values(value)
    # Details are compressed with the body as the dictionary; only `details_of_item` can read them.
    for name, detail in _details(item).items():
        yield from (name, str(detail))


def _is_daily_partition(pk: str) -> bool:
    """Return whether a partition key contains a day, which has as many digits as a short number."""
    return pk.startswith(QUARANTINE) or pk.partition("#")[2].startswith("none#")


def _details(item: Item) -> Details:
    """Return the details of an event; empty if they cannot be read or the item is not an event."""
    try:
        return details_of_item(item)
    except (KeyError, ValueError):
        return {}


def _values(value: object) -> Iterator[str | bytes]:
    """Yield the names, texts, numbers and bytes in an attribute of any type."""
    if isinstance(value, str | bytes):
        yield value
    elif isinstance(value, Mapping):
        for name, member in value.items():
            yield name
            yield from _values(member)
    elif isinstance(value, Iterable):
        for member in value:
            yield from _values(member)


@dataclass
class SearchResult:
    """Keys of a person's items.

    Attributes:
        scanned: the number of items that were searched.
        calls: partitions of calls and SMS that contain the number, with the strongest match.
        legs: partitions of call legs of these calls that do not contain the number, then of their legs, and so on.
        events_without_call: events that belong to no call.
        quarantined: deliveries in quarantine.
        answers: items of other people whose answer contains the number; they stay.
    """

    scanned: int = 0
    calls: dict[str, Match] = field(default_factory=dict)
    legs: list[list[str]] = field(default_factory=list)
    events_without_call: list[tuple[str, str]] = field(default_factory=list)
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    answers: list[tuple[str, str]] = field(default_factory=list)
    providers: set[str] = field(default_factory=set)
    days: set[str] = field(default_factory=set)

    @property
    def number_of_legs(self) -> int:
        """Return the number of legs that do not contain the number themselves."""
        return sum(map(len, self.legs))

    @property
    def removals(self) -> int:
        """Return the number of removals; a call with all its events counts as one."""
        return len(self.calls) + self.number_of_legs + len(self.events_without_call) + len(self.quarantined)

    @property
    def total(self) -> int:
        """Return the number of removals and redactions."""
        return self.removals + len(self.answers)


def find(pages: Iterable[Sequence[Item]], person: Person) -> SearchResult:
    """Search all items of the table for a person."""
    found = SearchResult()
    legs: dict[str, set[str]] = {}
    for item in (item for page in pages for item in page):
        found.scanned += 1
        pk = item["pk"]["S"]
        for parent in _parents(item) if is_call_partition(pk) else ():
            legs.setdefault(parent, set()).add(pk)
        if match := person.match(item):
            _add(found, item, match)
        elif person.is_named_in(text_of(item, "answer")):
            found.answers.append((pk, item["sk"]["S"]))
            _add_origin(found, item)
    known = set(found.calls)
    level = known
    while level := {leg for pk in level for leg in legs.get(pk, ())} - known:
        found.legs.append(sorted(level))
        known |= level
    found.answers = [(pk, sk) for pk, sk in found.answers if pk not in known]
    return found


def find_tool_results(pages: Iterable[Sequence[Item]], person: Person) -> list[Item]:
    """Return the keys of the tool calls whose results contain the number."""
    items = (item for page in pages for item in page)
    return [{TOOL_CALL_KEY: item[TOOL_CALL_KEY]} for item in items if person.is_named_in(text_of(item, TOOL_RESULT))]


def _parents(item: Item) -> Iterator[str]:
    """Yield the partition keys of the calls of which this item's call is a leg."""
    details = _details(item)
    for parent in (details.get("parent_call_sid"), details.get("parent_call_id"), text_of(item, "parent_call_id")):
        if parent and isinstance(parent, str):
            yield partition_key(item["pk"]["S"].partition("#")[0], parent)


def _add(found: SearchResult, item: Item, match: Match) -> None:
    pk, sk = item["pk"]["S"], item["sk"]["S"]
    provider, _, rest = pk.partition("#")
    if provider == "quarantine":
        found.quarantined.append((pk, sk))
    elif rest.startswith("none#"):
        found.events_without_call.append((pk, sk))
    else:
        found.calls[pk] = max(match, found.calls.get(pk, Match.NONE))
    _add_origin(found, item)


def _add_origin(found: SearchResult, item: Item) -> None:
    found.providers.add(text_of(item, "provider"))
    found.days.add((text_of(item, "occurred_at") or text_of(item, "received_at") or text_of(item, "started_at"))[:10])


@dataclass(frozen=True, slots=True)
class Redaction:
    """Redacts a person's number in one attribute of a table's items, and changes nothing else."""

    client: DynamoDBClient
    table_name: str
    person: Person
    attribute: str

    def redact(self, key: Item) -> bool:
        """Redact the attribute of one item; return `False` if the item is gone, has changed, or lacks the number.

        Raises:
            ClientError, BotoCoreError: the table rejected a request.
        """
        names = {"#text": self.attribute}
        reply = self.client.get_item(
            TableName=self.table_name,
            Key=key,
            ProjectionExpression="#text",
            ExpressionAttributeNames=names,
            ConsistentRead=True,
        )
        text = text_of(reply.get("Item", {}), self.attribute)
        redacted = self.person.redacted(text)
        if redacted == text:
            return False
        try:
            self.client.update_item(
                TableName=self.table_name,
                Key=key,
                UpdateExpression="SET #text = :redacted",
                # Do not recreate a deleted item or overwrite a newer one.
                ConditionExpression="#text = :text",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues={":text": {"S": text}, ":redacted": {"S": redacted}},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return False
        return True


@dataclass
class Removal:
    """Removes the items that were found, redacts answers that stay, and counts both.

    Every method raises `ClientError` or `BotoCoreError` if the table rejects a request, and `EventsStillArriving`.
    All methods can be repeated.
    """

    client: DynamoDBClient
    table_name: str
    person: Person
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    items: int = 0
    recent: list[str] = field(default_factory=list)
    """Partitions of calls that the projector may still be writing."""
    redacted: int = 0

    def remove(self, found: SearchResult, advance: Callable[[], None]) -> None:
        """Remove all items that were found, and redact the answers; call `advance` after each step."""
        for level in (*reversed(found.legs), list(found.calls)):
            for pk, (items, newest) in zip(level, map_concurrently(self._remove_partition, level), strict=True):
                self.items += items
                if is_call_partition(pk) and newest >= utc_text(self.clock() - RECENT):
                    self.recent.append(pk)
                advance()
        for _ in map_concurrently(self._remove_item, (*found.events_without_call, *found.quarantined)):
            self.items += 1
            advance()
        redaction = Redaction(self.client, self.table_name, self.person, "answer")
        keys: list[Item] = [{"pk": {"S": pk}, "sk": {"S": sk}} for pk, sk in found.answers]
        for is_redacted in map_concurrently(redaction.redact, keys):
            self.redacted += is_redacted
            advance()

    def remove_reappeared(self) -> None:
        """Wait until the projector has written the calls that it had already read, and remove them again."""
        self.sleep(PROJECTION_SECONDS)
        for pk in self.recent:
            self.items += self._remove_partition(pk)[0]
        self.recent = []

    def _remove_partition(self, pk: str) -> tuple[int, str]:
        """Return the number of removed items, and when the newest of them was received."""
        number, newest = 0, ""
        for _ in range(MAX_PASSES):
            items = self._items_of(pk)
            if not items:
                return number, newest
            for item in sorted(items, key=self._order):
                self._remove_item((pk, item["sk"]["S"]))
                newest = max(newest, text_of(item, "received_at"))
                number += 1
        raise EventsStillArriving

    def _order(self, item: Item) -> tuple[bool, bool, bool]:
        """Return a sort key that puts items by which a later run would find the partition last."""
        links = any(True for _ in _parents(item))
        return bool(self.person.match(item)), links, not item["sk"]["S"].startswith(EVENT_PREFIX)

    def _items_of(self, pk: str) -> list[Item]:
        pages = self.client.get_paginator("query").paginate(
            TableName=self.table_name,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": pk}},
            ConsistentRead=True,
        )
        return [item for page in pages for item in page["Items"]]

    def _remove_item(self, key: tuple[str, str]) -> None:
        pk, sk = key
        self.client.delete_item(TableName=self.table_name, Key={"pk": {"S": pk}, "sk": {"S": sk}})
