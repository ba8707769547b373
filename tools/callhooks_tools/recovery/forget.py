"""A person's events and calls, found by a number and removed, so that a run that was killed can be run again.

Where only an answer names the number, nothing is removed: the number is redacted in the answer.
What holds the number is removed after all that is only found through it: the rest of its call, and its legs. A later
run thus finds again whatever is left. A call's own item goes after its events that could make it again.
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

from callhooks_tools.recovery.encoded_text import NumberPattern, is_held_by, redact
from callhooks_tools.recovery.stored_events import text_of
from callhooks_tools.recovery.workers import at_once

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MIN_SEARCH_LENGTH = 8
"""The fewest digits that are looked for within texts: a shorter number would be found in times and ids."""
TOOL_CALL_KEY = "id"
TOOL_RESULT = "data"
"""Where Powertools keeps the results of tools."""
MAX_LOOKS = 5
PROJECTION_SECONDS = 60.0
"""How long the projector may work on what it has read: its function's time-out."""
RECENT = timedelta(days=1)
"""How long the table's stream keeps an event for the projector."""

_INVISIBLE = "".join(sign for sign in map(chr, range(0x10000)) if unicodedata.category(sign) in ("Cf", "Pd", "Zs"))
"""Spaces and dashes in every script, and the signs that steer text."""
_SEPARATOR = rf"[{re.escape(_INVISIBLE)}\t.()/+\u2212\uff08\uff09\uff0b\uff0e\uff0f\ufffd\udc80-\udcff]"
"""What may stand between two digits; `+` is a space of a form, U+DC80 and those after it bytes that are no UTF-8."""
_TRUNK_ZERO = r"[(\uff08][ \u00a0]?0[ \u00a0]?[)\uff09]"
_BETWEEN = f"(?:{_TRUNK_ZERO}|{_SEPARATOR}){{0,4}}"
_BEFORE = rf"(?<![0-9A-Za-z])(?<![0-9]\.)\+?(?:(?:00|011){_BETWEEN})?"
"""What no number is part of: a longer one, an identifier, a fraction."""
_AFTER = "(?:(?![0-9A-Za-z])|(?=[xX]|[eE][xX][tT]))"
_DIALLED_FIRST = re.compile(r"\A(?:00(?=[1-9][0-9]{5,14}\Z)|011(?=[1-9][0-9]{8,14}\Z))", re.ASCII)
"""What is dialled before a country code; shorter, `011` begins a number of Turin or Sheffield."""
_NOT_SEARCHED = frozenset({"answer", "expires_at", "day_shard"})
"""Days and seconds have as many digits as a number; an answer is searched, but for another purpose."""


class StillComing(Exception):
    """Events of a call came in faster than they could be removed."""


class Holds(IntEnum):
    """What an item has to do with a number."""

    NOT = 0
    MENTION = 1
    PARTY = 2


@dataclass(frozen=True, slots=True)
class Person:
    """A number, or a SIP user, that is looked for; `canonical` is its digits from the country code on, or the user.

    `pattern` finds it within texts; `None` for what is short or no number, which is only compared with parties.
    """

    canonical: str
    pattern: NumberPattern | None = field(repr=False)

    @classmethod
    def of(cls, party: str) -> Person:
        """The person with this number.

        Raises:
            ValueError: it is empty.
        """
        canonical = _canonical(party)
        if not canonical:
            raise ValueError("A number with its country code is wanted, or a SIP user.")
        if not (canonical.isascii() and canonical.isdigit()) or len(canonical) < MIN_SEARCH_LENGTH:
            return cls(canonical, None)
        ways = re.compile(_BEFORE + _BETWEEN.join(canonical) + _AFTER)
        return cls(canonical, NumberPattern(canonical, ways, re.compile(_TRUNK_ZERO)))

    @property
    def is_searched(self) -> bool:
        """Whether it is looked for within texts, too."""
        return self.pattern is not None

    def held_by(self, item: Item) -> Holds:
        """Return whether the person is caller or called party, or the number is anywhere but in the answer."""
        if any(_canonical(text_of(item, name)) == self.canonical for name in ("from", "to")):
            return Holds.PARTY
        if self.pattern is None:
            return Holds.NOT
        return Holds.MENTION if is_held_by(self.pattern, *_contents(item)) else Holds.NOT

    def is_named_in(self, answer: str) -> bool:
        """Return whether an answer holds the number."""
        return self.pattern is not None and is_held_by(self.pattern, answer)

    def redacted(self, answer: str) -> str:
        """Return an answer without the number."""
        return answer if self.pattern is None else redact(self.pattern, answer)


def _canonical(party: str) -> str:
    """A number by its digits, without what is dialled before its country code and the zero after it; else the user."""
    digits = canonical_party(re.sub(_SEPARATOR, " ", re.sub(_TRUNK_ZERO, "", party)))
    if digits.isascii() and digits.isdigit():
        return _DIALLED_FIRST.sub("", digits, count=1)
    return canonical_party(party)


def _contents(item: Item) -> Iterator[str | bytes]:
    """Give all that an item keeps but its answer: its texts as one, and what is bytes."""
    texts = []
    for content in _all_of(item):
        if isinstance(content, bytes):
            yield content
        else:
            texts.append(content)
    # No number goes across this sign, and nothing that is encoded does.
    yield "\0".join(texts)


def _all_of(item: Item) -> Iterator[str | bytes]:
    for name, value in item.items():
        if name not in _NOT_SEARCHED and not (name == "pk" and _is_of_a_day(text_of(item, "pk"))):
            yield from _values(value)
    # Compressed with the body as its dictionary, which only `details_of_item` knows.
    for name, detail in _details(item).items():
        yield from (name, str(detail))


def _is_of_a_day(pk: str) -> bool:
    """Whether a partition is named by a day, which has as many digits as a short number."""
    return pk.startswith(QUARANTINE) or pk.partition("#")[2].startswith("none#")


def _details(item: Item) -> Details:
    """What was understood of an event; nothing where that cannot be read, or where it is none."""
    try:
        return details_of_item(item)
    except (KeyError, ValueError):
        return {}


def _values(value: object) -> Iterator[str | bytes]:
    """Give the names, texts, numbers and bytes in an attribute of any type."""
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
class Found:
    """What there is of a person, by keys.

    `calls` are the partitions of calls and SMS that hold the number, with the stronger reason. `legs` are the
    partitions of calls that are legs of these and do not hold it themselves, then of legs of those, and so on.
    `alone` are events that belong to no call, `quarantined` deliveries that were not understood. `answers` are items
    that stay, of which only the answer holds the number.
    """

    looked_at: int = 0
    calls: dict[str, Holds] = field(default_factory=dict)
    legs: list[list[str]] = field(default_factory=list)
    alone: list[tuple[str, str]] = field(default_factory=list)
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    answers: list[tuple[str, str]] = field(default_factory=list)
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

    @property
    def things(self) -> int:
        """Return how many things there are to remove or to redact."""
        return self.removals + len(self.answers)


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
        elif person.is_named_in(text_of(item, "answer")):
            found.answers.append((pk, item["sk"]["S"]))
            _note_origin(found, item)
    known = set(found.calls)
    level = known
    while level := {leg for pk in level for leg in legs.get(pk, ())} - known:
        found.legs.append(sorted(level))
        known |= level
    found.answers = [(pk, sk) for pk, sk in found.answers if pk not in known]
    return found


def find_tool_results(pages: Iterable[Sequence[Item]], person: Person) -> list[Item]:
    """Return the keys of the tool calls whose results hold the number, from all items of their table."""
    items = (item for page in pages for item in page)
    return [{TOOL_CALL_KEY: item[TOOL_CALL_KEY]} for item in items if person.is_named_in(text_of(item, TOOL_RESULT))]


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
    _note_origin(found, item)


def _note_origin(found: Found, item: Item) -> None:
    found.providers.add(text_of(item, "provider"))
    found.days.add((text_of(item, "occurred_at") or text_of(item, "received_at") or text_of(item, "started_at"))[:10])


@dataclass(frozen=True, slots=True)
class Redaction:
    """Redacts a person's number in one attribute of items of a table, and touches nothing else of them."""

    client: DynamoDBClient
    table_name: str
    person: Person
    attribute: str

    def redact(self, key: Item) -> bool:
        """Redact the attribute of one item; `False` where it is gone, or changed, or without the number by now.

        Raises:
            ClientError, BotoCoreError: the table refuses.
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
                # An item that is gone stays gone, and what is newer stays.
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
    """Removes what was found, redacts answers that stay, and counts both.

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
    redacted: int = 0

    def remove(self, found: Found, advance: Callable[[], None]) -> None:
        """Remove all that was found, and redact the answers; `advance` is called after each thing."""
        for level in (*reversed(found.legs), list(found.calls)):
            for pk, (items, newest) in zip(level, at_once(self._remove_partition, level), strict=True):
                self.items += items
                if is_call_partition(pk) and newest >= utc_text(self.clock() - RECENT):
                    self.recent.append(pk)
                advance()
        for _ in at_once(self._remove_item, (*found.alone, *found.quarantined)):
            self.items += 1
            advance()
        redaction = Redaction(self.client, self.table_name, self.person, "answer")
        keys: list[Item] = [{"pk": {"S": pk}, "sk": {"S": sk}} for pk, sk in found.answers]
        for is_redacted in at_once(redaction.redact, keys):
            self.redacted += is_redacted
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
        for _ in range(MAX_LOOKS):
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
