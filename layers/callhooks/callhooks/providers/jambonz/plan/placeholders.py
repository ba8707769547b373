"""Placeholders in the verbs of a plan: `{from}`, `{caller_name|friend}`, `{digits:spelled}`, `{SALES_NUMBER}`.

Each placeholder is replaced once by a value that is safe in its position; placeholders in the value are not replaced.
So nothing that a caller says, dials or sends in a header can become markup, an address or a placeholder. The operator's
variables go in unchanged, except for control characters. `{{` and `}}` stand for braces.

Where jambonz dials, a value is put in whole or not at all: no dropped character must make it another valid number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from html import escape
from itertools import pairwise
from typing import NamedTuple, Protocol, TypeAlias
from urllib.parse import quote

from callhooks.providers.jambonz.plan.parties import MAX_PARTY, dialled_number, party_user

MAX_VALUE = 500
SPELLED = "spelled"

Value: TypeAlias = str | int | float | bool

_PLACEHOLDER = re.compile(
    r"\{\{|\}\}|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[\w.-]+)?)(?::(?P<form>[a-z]+))?(?:\|(?P<default>[^{}|]*))?\}"
)
_LOOKS_LIKE_A_PLACEHOLDER = re.compile(r"\{\s*[A-Za-z_][A-Za-z0-9_.: |-]{0,40}\}?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")
_NOT_SPOKEN = re.compile(r"[<>{}\\]+")
_USER = re.compile(r"[0-9A-Za-z+*#._-]+", re.ASCII)
_KEYS = re.compile(r"[0-9A-DW*#+,]+", re.ASCII | re.IGNORECASE)
"""Keys of a phone, `w` and `,` for a pause."""
_ESCAPE = re.compile(r"%(?:[2-6A-Fa-f][0-9A-Fa-f]|7[0-9A-Ea-e])")
"""An escape in a SIP user, which is not escaped again. Control characters are."""
_NOT_IN_A_HEADER = re.compile(r'[<>"\\;]+')
MARKUP = re.compile(r"\s*(<\?xml[^>]*\?>\s*)?<speak\b", re.IGNORECASE)
_SIP_URI = re.compile(r"\s*<?\s*(sips?|tel):", re.IGNORECASE)
_JSON = re.compile(r"\s*[\[{]\s*[\"\[{}\]]")
_ADDRESS = re.compile(r"\s*<?\s*([a-z][a-z0-9+.-]*://|(sips?|tel|mailto):)", re.IGNORECASE)


class TextContext(Enum):
    """Position of a string in a verb, which determines what it may contain.

    A `NUMBER` is dialled, `KEYS` are sent as tones, and a `USER` is a number or a SIP user.
    """

    PLAIN = "plain"
    SPEECH = "speech"
    NUMBER = "number"
    KEYS = "keys"
    USER = "user"
    ADDRESS = "address"
    HEADER = "header"
    JSON = "json"


OWN_DATA = frozenset({"metadata", "data", "tag"})
"""Members with arbitrary content, which jambonz passes on unchanged."""
HEADERS = frozenset({"headers"})
PARTIES = frozenset({"target"})

_ARE_DIALLED = frozenset({TextContext.NUMBER, TextContext.KEYS, TextContext.USER})
_SPOKEN = frozenset({"text", "say", "prompt", "welcomeMessage"})
_DIALLED = {
    ("target", "number"): TextContext.NUMBER,
    ("target", "name"): TextContext.USER,
    ("target", "overrideTo"): TextContext.USER,
    ("target", "tenant"): TextContext.USER,
    ("target", "user"): TextContext.USER,
    ("message", "to"): TextContext.NUMBER,
    ("message", "from"): TextContext.USER,
    ("dtmf", "dtmf"): TextContext.KEYS,
    ("sip:refer", "referTo"): TextContext.USER,
    ("sip:refer", "referredBy"): TextContext.USER,
}
"""By the member or verb around a string, and the name of its member. `callerId` is a number in every verb."""
_REQUIRED = frozenset(
    {
        ("dial", "target"),
        ("dtmf", "dtmf"),
        ("message", "from"),
        ("message", "to"),
        ("phone", "number"),
        ("sip", "sipUri"),
        ("sip:refer", "referTo"),
        ("teams", "number"),
        ("user", "name"),
    }
)
"""Members that a verb or a type of target needs. Any other member can be left out."""
_IN_QUOTES = frozenset({"callerName", "referredByDisplayName", "reason"})
_ADDRESS_ENDINGS = ("url", "uri", "hook", "endpoint", "music", "proxy", "host", "play", "media")


class Values(Protocol):
    """Source of the values of placeholders."""

    def variable(self, name: str) -> Value | None:
        """Return a variable of the plan; `None` if the plan has no such variable."""

    def fact(self, name: str) -> str | None:
        """Return a fact of the call; `None` if it is unknown."""


class Placeholder(NamedTuple):
    """A placeholder in a string; `before` is the text before it, `is_all` says that there is no other text."""

    name: str
    form: str | None
    default: str | None
    before: str
    is_all: bool


def placeholders_in(text: str) -> Iterator[Placeholder]:
    """Yield the placeholders of a string, in order."""
    for found in _PLACEHOLDER.finditer(text):
        if found["name"]:
            yield Placeholder(
                found["name"], found["form"], found["default"], text[: found.start()], found.group() == text
            )


def stray_braces(text: str) -> Iterator[str]:
    """Yield malformed placeholders in a string: `{caller-name}`, `{ from }`, `{from`."""
    left = _PLACEHOLDER.sub(lambda found: " " * len(found.group()), text)
    yield from (found.group().strip() for found in _LOOKS_LIKE_A_PLACEHOLDER.finditer(left))


def context_of(key: str, within: str, text: str) -> TextContext:
    """Return the context of a string, from its member's name, the member or verb around it, and its beginning."""
    if within in OWN_DATA:
        return TextContext.PLAIN
    if key in _SPOKEN:
        return TextContext.PLAIN if within == "message" else TextContext.SPEECH
    if _ADDRESS.match(text) or key.lower().endswith(_ADDRESS_ENDINGS):
        return TextContext.ADDRESS
    if within in HEADERS or key in _IN_QUOTES:
        return TextContext.HEADER
    if within == "sip:request" and key == "body" and _JSON.match(text):
        return TextContext.JSON
    return TextContext.NUMBER if key == "callerId" else _DIALLED.get((within, key), TextContext.PLAIN)


def is_required(key: str, members: Mapping[str, object]) -> bool:
    """Return whether a verb or a target is of no use without one of its members."""
    return (members.get("verb", members.get("type")), key) in _REQUIRED


def fill_in(text: str, place: TextContext, values: Values) -> Value | None:
    """Replace the placeholders in a string; return `None` for a string that is dialled and has no valid value.

    If the text consists of one variable and is neither spoken nor dialled, the result keeps the variable's type.
    """
    if "{" not in text and "}" not in text:
        return text
    only = next((one for one in placeholders_in(text) if one.is_all and not one.form), None)
    if only is not None and place is TextContext.PLAIN:
        variable = values.variable(only.name)
        if variable is not None and not isinstance(variable, str):
            return variable
    in_markup = place is TextContext.SPEECH and MARKUP.match(text) is not None
    is_dialled = place in _ARE_DIALLED or (place is TextContext.ADDRESS and _SIP_URI.match(text) is not None)
    missing: list[str] = []

    def replace(found: re.Match[str]) -> str:
        if not found["name"]:
            return found.group()[0]
        value = _value_of(found["name"], place, values, is_dialled=is_dialled)
        if value is None and found["default"] is None:
            missing.append(found["name"])
        value = value or found["default"] or ""
        if found["form"] == SPELLED:
            value = " ".join(letter for letter in value.removeprefix("+") if not letter.isspace())
        return escape(value) if in_markup else value

    filled = _PLACEHOLDER.sub(replace, text)
    if place is TextContext.NUMBER:
        filled = dialled_number(filled) or ""
    return None if is_dialled and (missing or not filled) else filled


def _value_of(name: str, place: TextContext, values: Values, *, is_dialled: bool) -> str | None:
    """Return the text for a placeholder; `None` without one. A variable may be empty, such as an optional prefix."""
    variable = values.variable(name)
    if variable is not None:
        return _text_of(variable) if place is TextContext.NUMBER else without_control(_text_of(variable))
    value = values.fact(name) or ""
    return (_dialled(value, place) if is_dialled else _sanitised(value, place)) or None


def without_control(value: str) -> str:
    """Replace line ends and other control characters with spaces."""
    return _CONTROL.sub(" ", value).strip()


def _dialled(value: str, place: TextContext) -> str | None:
    """Return a value as it is dialled; `None` if it cannot be."""
    if len(value) > MAX_VALUE:
        return None
    number = dialled_number(value)
    if place is TextContext.NUMBER:
        return number
    if place is TextContext.KEYS:
        return value.strip() if _KEYS.fullmatch(value.strip()) else number
    user = party_user(value)
    is_plain = _USER.fullmatch(user) is not None and len(user) <= MAX_PARTY
    if place is TextContext.USER:
        return user if is_plain else number
    if number is not None and not is_plain:
        user = number
    if _CONTROL.search(user):
        return None
    ends = [0, *(end for found in _ESCAPE.finditer(user) for end in found.span()), len(user)]
    parts = [user[start:end] for start, end in pairwise(ends)]
    return "".join(part if index % 2 else quote(part, safe="+*") for index, part in enumerate(parts))


def _sanitised(value: str, place: TextContext) -> str:
    plain = without_control(value[:MAX_VALUE])
    match place:
        case TextContext.SPEECH:
            return _NOT_SPOKEN.sub(" ", plain).strip()
        case TextContext.ADDRESS:
            quoted = quote(plain, safe="")
            # Two dots would lead to the parent folder.
            plain = quoted.replace(".", "%2E") if plain in (".", "..") else quoted
        case TextContext.HEADER:
            plain = _NOT_IN_A_HEADER.sub(" ", plain).strip()
        case TextContext.JSON:
            plain = json.dumps(plain)[1:-1]
    return plain


def _text_of(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
