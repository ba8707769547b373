"""A person's events and calls, found by a number and removed, so that a run that was killed can be run again.

What holds the number is removed after all that is only found through it: the rest of its call, and its legs. A later
run thus finds again whatever is left. A call's own item goes after its events that could make it again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from callhooks.event import Details, canonical_party, utc_text
from callhooks.items import EVENT_PREFIX, Item, body_of_item, details_of_item, is_call_partition, partition_key

from callhooks_tools.stored_events import text_of
from callhooks_tools.workers import at_once

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

SHORTEST_SEARCHED = 8
"""The fewest digits that are looked for within texts: a shorter number would be found in times and ids."""
MOST_LOOKS = 5
PROJECTION_SECONDS = 60.0
"""How long the projector may work on what it has read: its function's time-out."""
RECENT = timedelta(days=1)
"""How long the table's stream keeps an event for the projector."""

_SEPARATOR = r"[ \t\-.()/+\u00a0\u00ad\u2000-\u2015\u202a-\u202f\u2060\u2212\ufffd]"
"""What may stand between two digits; `+` is a space of a form, and U+FFFD a byte that is no UTF-8."""
_TRUNK_ZERO = r"\([ \u00a0]?0[ \u00a0]?\)"
_BETWEEN = f"(?:{_TRUNK_ZERO}|{_SEPARATOR}){{0,4}}"
_BEFORE = rf"(?<![0-9A-Za-z])(?<![0-9]\.)(?:(?:00|011){_BETWEEN})?"
"""What no number is part of: a longer one, an identifier, a fraction."""
_AFTER = "(?:(?![0-9A-Za-z])|(?=[xX]|[eE][xX][tT]))"
_DIALLED_FIRST = re.compile(r"\A(?:00(?=[1-9][0-9]{5,14}\Z)|011(?=[1-9][0-9]{8,14}\Z))", re.ASCII)
"""What is dialled before a country code; shorter, `011` begins a number of Turin or Sheffield."""
_ESCAPED = re.compile(r"""\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))""")
_ESCAPES = dict(zip('"\\/bfnrt', '"\\/\b\f\n\r\t', strict=True))
_DEEPEST_ESCAPES = 3
_NOT_SEARCHED = frozenset({"pk", "sk", "answer", "expires_at"})


class StillComing(Exception):
    """Events of a call came in faster than they could be removed."""


class Holds(IntEnum):
    """What an item has to do with a number."""

    NOT = 0
    MENTION = 1
    PARTY = 2


@dataclass(frozen=True, slots=True)
class Person:
    """A number, or a SIP user, that is looked for; `canonical` is its digits from the country code on, or the user."""

    canonical: str
    _pattern: re.Pattern[str] | None = field(repr=False)

    @classmethod
    def of(cls, party: str) -> Person:
        """The person with this number.

        Raises:
            ValueError: it is empty.
        """
        canonical = _canonical(party)
        if not canonical:
            raise ValueError("A number with its country code is wanted, or a SIP user.")
        if not (canonical.isascii() and canonical.isdigit()) or len(canonical) < SHORTEST_SEARCHED:
            return cls(canonical, None)
        return cls(canonical, re.compile(_BEFORE + _BETWEEN.join(canonical) + _AFTER))

    @property
    def is_searched(self) -> bool:
        """Whether it is looked for within texts, too; what is short, or no number, is only compared with parties."""
        return self._pattern is not None

    def held_by(self, item: Item) -> Holds:
        """Whether an item names the person as caller or called party, or holds the number anywhere else.

        What a sender was answered is not looked at: that is made of the call plan.
        """
        if any(_canonical(text_of(item, name)) == self.canonical for name in ("from", "to")):
            return Holds.PARTY
        pattern = self._pattern
        if pattern is None:
            return Holds.NOT
        texts = (text for name, value in item.items() if name not in _NOT_SEARCHED for text in _texts(value))
        details = (str(value) for value in _details(item).values())
        found = any(pattern.search(way) for text in (*texts, *details, _body_text(item)) for way in _ways_to_read(text))
        return Holds.MENTION if found else Holds.NOT


def _canonical(party: str) -> str:
    """A number by its digits, without what is dialled before its country code and the zero after it; else the user."""
    digits = canonical_party(re.sub(_SEPARATOR, " ", re.sub(_TRUNK_ZERO, "", party)))
    if digits.isascii() and digits.isdigit():
        return _DIALLED_FIRST.sub("", digits, count=1)
    return canonical_party(party)


def _body_text(item: Item) -> str:
    if "body" not in item:
        return ""
    try:
        body = body_of_item(item)
    except (KeyError, ValueError):
        # No body as `event_item` keeps it: it may not keep all others from being found.
        body = bytes(item["body"].get("B", b""))
    return body.decode("utf-8", "replace")


def _details(item: Item) -> Details:
    """What was understood of an event; nothing where that cannot be read, or where it is none."""
    try:
        return details_of_item(item)
    except (KeyError, ValueError):
        return {}


def _texts(value: AttributeValueTypeDef) -> Iterator[str]:
    for kind in ("S", "N"):
        if kind in value:
            yield value[kind]
    for member in (*value.get("L", ()), *value.get("M", {}).values()):
        yield from _texts(member)


def _ways_to_read(text: str) -> Iterator[str]:
    """The text, and what its escapes of JSON and of URLs stand for: a digit may hide in one, or follow one."""
    yield text
    for _ in range(_DEEPEST_ESCAPES):
        read = text
        if "\\" in read:
            read = _ESCAPED.sub(_unescaped, read)
            yield read
        if "%" in read:
            read = unquote_plus(read)
            yield read
        if read == text:
            return
        text = read


def _unescaped(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else _ESCAPES[escape[2]]


@dataclass
class Found:
    """What there is of a person, by keys.

    `calls` are the partitions of calls and SMS that hold the number, with the stronger reason. `legs` are the
    partitions of calls that are legs of these and do not hold it themselves, then of legs of those, and so on.
    `alone` are events that belong to no call, `quarantined` deliveries that were not understood.
    """

    looked_at: int = 0
    calls: dict[str, Holds] = field(default_factory=dict)
    legs: list[list[str]] = field(default_factory=list)
    alone: list[tuple[str, str]] = field(default_factory=list)
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    providers: set[str] = field(default_factory=set)
    days: set[str] = field(default_factory=set)

    @property
    def number_of_legs(self) -> int:
        """How many legs there are that do not hold the number themselves."""
        return sum(map(len, self.legs))

    @property
    def removals(self) -> int:
        """How many things there are to remove; a call with all its events is one."""
        return len(self.calls) + self.number_of_legs + len(self.alone) + len(self.quarantined)


def find(pages: Iterable[Sequence[Item]], person: Person) -> Found:
    """What there is of a person in all items of the table."""
    found = Found()
    legs: dict[str, set[str]] = {}
    for item in (item for page in pages for item in page):
        found.looked_at += 1
        pk = item["pk"]["S"]
        for parent in _parents(item) if is_call_partition(pk) else ():
            legs.setdefault(parent, set()).add(pk)
        if holds := person.held_by(item):
            _note(found, item, holds)
    known = set(found.calls)
    level = known
    while level := {leg for pk in level for leg in legs.get(pk, ())} - known:
        found.legs.append(sorted(level))
        known |= level
    return found


def _parents(item: Item) -> Iterator[str]:
    """The partitions of the calls that the call of this item is a leg of."""
    details = _details(item)
    for told in (details.get("parent_call_sid"), details.get("parent_call_id"), text_of(item, "parent_call_id")):
        if told and isinstance(told, str):
            yield partition_key(item["pk"]["S"].partition("#")[0], told)


def _note(found: Found, item: Item, holds: Holds) -> None:
    pk, sk = item["pk"]["S"], item["sk"]["S"]
    provider, _, about = pk.partition("#")
    if provider == "quarantine":
        found.quarantined.append((pk, sk))
    elif about.startswith("none#"):
        found.alone.append((pk, sk))
    else:
        found.calls[pk] = max(holds, found.calls.get(pk, Holds.NOT))
    found.providers.add(text_of(item, "provider"))
    found.days.add((text_of(item, "occurred_at") or text_of(item, "received_at") or text_of(item, "started_at"))[:10])


@dataclass
class Removal:
    """Removes what was found, and counts the items that it has removed.

    Every method raises `ClientError` or `BotoCoreError` where the table refuses, and `StillComing`; all may be done
    again.
    """

    client: DynamoDBClient
    table_name: str
    person: Person
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    items: int = 0
    recent: list[str] = field(default_factory=list)
    """Partitions of calls that the projector may still be working on."""

    def remove(self, found: Found, advance: Callable[[], None]) -> None:
        """Remove all that was found; `advance` is told of each thing."""
        for level in (*reversed(found.legs), list(found.calls)):
            for pk, (items, newest) in zip(level, at_once(self._remove_partition, level), strict=True):
                self.items += items
                if is_call_partition(pk) and newest >= utc_text(self.clock() - RECENT):
                    self.recent.append(pk)
                advance()
        for _ in at_once(self._remove_item, (*found.alone, *found.quarantined)):
            self.items += 1
            advance()

    def remove_what_came_back(self) -> None:
        """Wait until the projector has written what it had read before, and remove that."""
        self.sleep(PROJECTION_SECONDS)
        for pk in self.recent:
            self.items += self._remove_partition(pk)[0]
        self.recent = []

    def _remove_partition(self, pk: str) -> tuple[int, str]:
        """How many items were removed, and when the newest of them was received."""
        number, newest = 0, ""
        for _ in range(MOST_LOOKS):
            items = self._items_of(pk)
            if not items:
                return number, newest
            for item in sorted(items, key=self._order):
                self._remove_item((pk, item["sk"]["S"]))
                newest = max(newest, text_of(item, "received_at"))
                number += 1
        raise StillComing

    def _order(self, item: Item) -> tuple[bool, bool, bool]:
        """What a later run would find the partition by comes last."""
        links = any(True for _ in _parents(item))
        return bool(self.person.held_by(item)), links, not item["sk"]["S"].startswith(EVENT_PREFIX)

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
