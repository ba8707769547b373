"""Placeholders in the verbs of a plan: `{from}`, `{caller_name|friend}`, `{digits:spelled}`, `{SALES_NUMBER}`.

Each is replaced once by a text that is fit for its place, and nothing in that text is looked at again. What a caller
says, dials or sends in a header can so become no markup, no address and no placeholder; the operator's own variables go
in as they are, but for what would break the place itself. `{{` and `}}` are the braces themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from html import escape
from typing import Protocol, TypeAlias
from urllib.parse import quote

LONGEST_VALUE = 500
SPELLED = "spelled"

Value: TypeAlias = str | int | float | bool

_PLACEHOLDER = re.compile(
    r"\{\{|\}\}|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_.-]+)?)(?::(?P<form>[a-z]+))?(?:\|(?P<default>[^{}|]*))?\}"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_NOT_SPOKEN = re.compile(r"[<>{}\\]+")
_NOT_DIALLED = re.compile(r"[^0-9A-Za-z+*#._-]+")
_SSML = re.compile(r"\s*<speak\b", re.IGNORECASE)


class Place(Enum):
    """Where a text stands in a verb, which says what would be dangerous there."""

    PLAIN = "plain"
    SPEECH = "speech"
    DIALLED = "dialled"
    ADDRESS = "address"


_PLACES = {
    "text": Place.SPEECH,
    "say": Place.SPEECH,
    "prompt": Place.SPEECH,
    "number": Place.DIALLED,
    "callerId": Place.DIALLED,
    "user": Place.DIALLED,
    "to": Place.DIALLED,
    "from": Place.DIALLED,
    "overrideTo": Place.DIALLED,
    "dtmf": Place.DIALLED,
    "url": Place.ADDRESS,
    "sipUri": Place.ADDRESS,
    "referTo": Place.ADDRESS,
    "referredBy": Place.ADDRESS,
    "uri": Place.ADDRESS,
    "proxy": Place.ADDRESS,
    "host": Place.ADDRESS,
    "play": Place.ADDRESS,
    "media": Place.ADDRESS,
    "dialMusic": Place.ADDRESS,
    "onHoldMusic": Place.ADDRESS,
    "siprecServerURL": Place.ADDRESS,
    "voicemailUrl": Place.ADDRESS,
}


class Values(Protocol):
    """What placeholders stand for."""

    def variable(self, name: str) -> Value | None:
        """A variable of the plan; `None` where there is none of that name."""

    def told(self, name: str) -> str | None:
        """What the call tells, or who calls; `None` where it is not known."""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One placeholder as it was written; `before` is the text that stands before it."""

    name: str
    form: str | None
    default: str | None
    before: str
    is_all: bool


def placeholders_in(text: str) -> Iterator[Placeholder]:
    """The placeholders of a text, in order."""
    for found in _PLACEHOLDER.finditer(text):
        if found["name"]:
            yield Placeholder(
                found["name"], found["form"], found["default"], text[: found.start()], found.group() == text
            )


def place_of(key: str, verb: str) -> Place:
    """The place that a member of a verb is, by its name; one that ends with `Hook` is an address."""
    if verb == "message" and key == "text":
        return Place.PLAIN
    return Place.ADDRESS if key.endswith("Hook") else _PLACES.get(key, Place.PLAIN)


def filled_in(text: str, place: Place, values: Values) -> Value:
    """A text with its placeholders replaced.

    A text that is nothing but a variable becomes that variable's own value, so that a number stays a number.
    """
    if "{" not in text and "}" not in text:
        return text
    only = next((one for one in placeholders_in(text) if one.is_all and not one.form), None)
    if only is not None:
        variable = values.variable(only.name)
        if variable is not None and not isinstance(variable, str):
            return variable
    in_markup = place is Place.SPEECH and _SSML.match(text) is not None

    def replace(found: re.Match[str]) -> str:
        if not found["name"]:
            return found.group()[0]
        variable = values.variable(found["name"])
        if variable is not None:
            value = without_control(_text_of(variable))
        else:
            value = _harmless(values.told(found["name"]) or "", place)
        value = value or found["default"] or ""
        if found["form"] == SPELLED:
            value = " ".join(letter for letter in value if not letter.isspace())
        return escape(value) if in_markup else value

    return _PLACEHOLDER.sub(replace, text)


def without_control(value: str) -> str:
    """A text without line ends and what else controls a protocol or a terminal."""
    return _CONTROL.sub(" ", value).strip()


def _harmless(value: str, place: Place) -> str:
    text = without_control(value[:LONGEST_VALUE])
    if place is Place.SPEECH:
        return _NOT_SPOKEN.sub(" ", text).strip()
    if place is Place.DIALLED:
        return _NOT_DIALLED.sub("", text)
    if place is Place.ADDRESS:
        return quote(text, safe="+")
    return text


def _text_of(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
