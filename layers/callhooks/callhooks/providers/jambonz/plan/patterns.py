"""Patterns of a plan: parties, digits, strings and spoken phrases."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from callhooks.events.call_event import canonical_party
from callhooks.providers.jambonz.plan.call_facts import HEADER_PREFIX

MAX_DIALLED = 64

TEXT_CONDITIONS: Mapping[str, str] = {
    "trunk": "originating_sip_trunk_name",
    "application": "application_sid",
    **{
        member: member
        for member in (
            "account_sid",
            "application_sid",
            "caller_name",
            "local_sip_address",
            "originating_sip_ip",
            "originating_sip_trunk_name",
            "sbc_callid",
            "service_provider_sid",
            "sip.method",
            "sip.uri",
        )
    },
}
"""Conditions of a route on a text, by their name in the plan: the member of the call that each one compares."""
ADDRESSES = frozenset({"local_sip_address", "originating_sip_ip"})


class PartyPattern(NamedTuple):
    """Pattern for a calling or called party: exact, a prefix, or a dial pattern.

    `pattern` is set for a dial pattern. It has no nested repetition, so matching is fast.
    """

    text: str
    prefix: bool = False
    pattern: re.Pattern[str] | None = None

    def matches(self, party: str) -> bool:
        """Return whether a canonical party (see `canonical_party`) matches."""
        if self.pattern is not None:
            return len(party) <= MAX_DIALLED and self.pattern.fullmatch(party) is not None
        return party.startswith(self.text) if self.prefix else party == self.text


class TextPattern(NamedTuple):
    """Case-insensitive pattern for a string, in which `*` matches anything."""

    parts: tuple[str, ...]

    def matches(self, text: str) -> bool:
        """Return whether the whole text matches."""
        first, *others = self.parts
        rest = text.strip().casefold()
        if not others:
            return rest == first
        if not rest.startswith(first):
            return False
        rest = rest[len(first) :]
        for part in others[:-1]:
            _, found, rest = rest.partition(part) if part else ("", "*", rest)
            if not found:
                return False
        return rest.endswith(others[-1])


class Phrase(NamedTuple):
    """Phrase to look for in speech: `text` as written, and its words as `speech.parse_phrase` normalises them."""

    text: str
    words: str

    def is_in(self, spoken: str) -> bool:
        """Return whether the phrase is part of normalised speech (see `speech.spoken_words`)."""
        return f" {self.words} " in f" {spoken} "


def elements_of(value: str) -> tuple[str, ...]:
    """Return the elements of a header's value: SIP headers that are repeated arrive joined by commas.

    A comma in quotes or in angle brackets is part of an element. A quote or bracket that is never closed has no
    meaning, so it hides no comma.
    """
    if "," not in value:
        return (value,)
    ends = [-1]
    closing = ""
    for found in _DELIMITER.finditer(value):
        # A backslash escapes only in quotes.
        mark = found.group() if closing == '"' else found.group()[-1]
        if closing:
            closing = "" if mark == closing else closing
        elif mark == ",":
            ends.append(found.end() - 1)
        else:
            closing = _CLOSING.get(mark, "")
    if closing:
        return tuple(part.strip() for part in value.split(","))
    return tuple(value[start + 1 : end].strip() for start, end in zip(ends, [*ends[1:], len(value)], strict=True))


def parse_pattern(pattern: str) -> PartyPattern:
    """Parse a pattern for a party: `+14155551234`, `+1415*` (a prefix), `_1415555[2-5]XX` (a dial pattern), `*` (any).

    In a dial pattern, as in PBXs, X is any digit, Z is 1 to 9, N is 2 to 9, and `[2-5]` is one of these digits. At the
    end, `.` is one or more characters and `!` any number of them.

    Raises:
        ValueError: it begins with `_` but is not a dial pattern.
    """
    if pattern.startswith("_"):
        return PartyPattern(pattern, pattern=_dial_pattern(pattern[1:].removeprefix("+")))
    text = pattern.removesuffix("*")
    return PartyPattern(canonical_party(text), prefix=text != pattern)


class TextCondition(NamedTuple):
    """Condition of a route on a text of the call: its name in the plan, the member, and patterns for its value."""

    name: str
    member: str
    patterns: tuple[TextPattern, ...]

    def matches(self, value: str) -> bool:
        """Return whether a pattern matches the value, an element of a header, or an address without its port."""
        values = [value]
        if self.member.startswith(HEADER_PREFIX):
            values += elements_of(value)
        elif self.member in ADDRESSES:
            values.append(value.rpartition(":")[0])
        return any(pattern.matches(one) for pattern in self.patterns for one in values)


def parse_digits(keys: str) -> PartyPattern:
    """Parse a pattern for digits: `1`, `12#`, `*`, or a dial pattern such as `_2XX`.

    Raises:
        ValueError: it begins with `_` but is not a dial pattern.
    """
    if keys.startswith("_"):
        return PartyPattern(keys, pattern=_dial_pattern(keys[1:]))
    return PartyPattern(keys)


def parse_text_pattern(text: str) -> TextPattern:
    """Parse a pattern for a trunk, an application or a header: a string in which `*` matches anything."""
    return TextPattern(tuple(text.strip().casefold().split("*")))


_DELIMITER = re.compile(r'\\.|[,"<>]', re.DOTALL)
_CLOSING = {'"': '"', "<": ">"}
_DIAL_CLASSES = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]"}
_DIAL_TOKEN = re.compile(r"\[(?:[0-9](?:-[0-9])?)+\]|[0-9A-D*#]|[XZN]|[.!]", re.ASCII)


def _dial_pattern(text: str) -> re.Pattern[str]:
    tokens = _DIAL_TOKEN.findall(text)
    if not tokens or "".join(tokens) != text or any(token in ".!" for token in tokens[:-1]):
        raise ValueError("not a dial pattern")
    ends = {".": ".+", "!": ".*"}
    return re.compile(
        "".join(
            ends.get(token) or _DIAL_CLASSES.get(token) or (token if token.startswith("[") else re.escape(token))
            for token in tokens
        ),
        re.ASCII,
    )
