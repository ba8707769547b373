"""Search: one text that is a call id, a number, a part of a number, or a part of a caller's name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from unicodedata import category, normalize

from callhooks.events.event_item import party_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

MIN_DIGITS = 4
"""Digits that a part of a number needs: fewer are in almost every number."""

SEARCHABLE = f"[^0-9\\s()/.+-]|([0-9][\\s()/.+-]*){{{MIN_DIGITS}}}"
"""Pattern in a text that can be searched for: a letter, or enough digits."""

MIN_WHOLE_DIGITS = 7
"""Digits of the shortest number that can be called from anywhere; shorter ones are extensions or parts."""

_NUMBER = re.compile(r"[+(]*[0-9][0-9 ()/.+-]*", re.ASCII)
_NOT_DIGITS = re.compile(r"[^0-9]+", re.ASCII)


@dataclass(frozen=True)
class Search:
    """Searched text, and the partition keys that a call with this id can have."""

    text: str
    keys: tuple[str, ...]

    @cached_property
    def party(self) -> str:
        """Return the key of the number or SIP user in the indexes of numbers."""
        return party_key(self.digits or clean_number(self.text))

    @cached_property
    def digits(self) -> str:
        """Return the digits of a number or of its part; empty if the text is not a number."""
        text = clean_number(normalize("NFKC", self.text))
        return _NOT_DIGITS.sub("", text) if _NUMBER.fullmatch(text) else ""

    @property
    def may_be_whole_number(self) -> bool:
        """Return whether calls of exactly this number are all that is meant."""
        return len(self.digits) >= MIN_WHOLE_DIGITS

    def matches(self, entry: Mapping[str, AttributeValueTypeDef]) -> bool:
        """Return whether an entry is a call with this id, number, part of a number, or part of a caller's name."""
        if entry["pk"]["S"] in self.keys:
            return True
        parties = [entry[name]["S"] for name in ("from", "to") if name in entry]
        if self._folded in _folded(entry["caller_name"]["S"] if "caller_name" in entry else ""):
            return True
        if not self.digits:
            return any(self._folded in _folded(party) or party_key(party) == self.party for party in parties)
        return any(self._is_part_of(_NOT_DIGITS.sub("", party)) for party in parties)

    def _is_part_of(self, number: str) -> bool:
        # A national number starts with a zero that the number with its country code does not have.
        is_national = self.digits.startswith("0") and self.may_be_whole_number
        return self.digits in number or (is_national and number.endswith(self.digits[1:]))

    @cached_property
    def _folded(self) -> str:
        return _folded(self.text)


def clean_number(number: str) -> str:
    """Clean a number copied from a phone book: drop invisible direction marks, turn typographic dashes into hyphens."""
    letters = ("-" if category(letter) == "Pd" else letter for letter in number if category(letter) != "Cf")
    return "".join(letters).strip(" <>")


def _folded(text: str) -> str:
    return " ".join(normalize("NFKC", text).casefold().split())
