"""Placeholders in the verbs of a plan: `{from}`, `{caller_name|friend}`, `{digits:spelled}`, `{SALES_NUMBER}`.

Each placeholder is replaced once by a value that is safe in its position; placeholders in the value are not replaced.
So nothing that a caller says, dials or sends in a header can become markup, an address or a placeholder. The operator's
variables go in unchanged, except for control characters. `{{` and `}}` stand for braces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import Enum
from html import escape
from typing import NamedTuple, Protocol, TypeAlias
from urllib.parse import quote

MAX_VALUE = 500
SPELLED = "spelled"

Value: TypeAlias = str | int | float | bool

_PLACEHOLDER = re.compile(
    r"\{\{|\}\}|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_.-]+)?)(?::(?P<form>[a-z]+))?(?:\|(?P<default>[^{}|]*))?\}"
)
_LOOKS_LIKE_A_PLACEHOLDER = re.compile(r"\{\s*[A-Za-z_][A-Za-z0-9_.: |-]{0,40}\}?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_NOT_SPOKEN = re.compile(r"[<>{}\\]+")
_NOT_DIALLED = re.compile(r"[^0-9A-Za-z+*#._-]+")
_NOT_IN_A_HEADER = re.compile(r'[<>"\\;]+')
_SSML = re.compile(r"\s*(<\?xml[^>]*\?>\s*)?<speak\b", re.IGNORECASE)
_SIP_URI = re.compile(r"\s*<?\s*(sips?|tel):", re.IGNORECASE)
_JSON = re.compile(r"\s*[\[{]\s*[\"\[{}\]]")
_ADDRESS = re.compile(r"\s*<?\s*([a-z][a-z0-9+.-]*://|(sips?|tel|mailto):)", re.IGNORECASE)


class TextContext(Enum):
    """Position of a string in a verb, which determines the characters that are dangerous in it."""

    PLAIN = "plain"
    SPEECH = "speech"
    DIALLED = "dialled"
    ADDRESS = "address"
    HEADER = "header"
    JSON = "json"


OWN_DATA = frozenset({"metadata", "data", "tag"})
"""Members with arbitrary content, which jambonz passes on unchanged."""
HEADERS = frozenset({"headers"})
PARTIES = frozenset({"target"})

_SPOKEN = frozenset({"text", "say", "prompt", "welcomeMessage"})
_DIALLED = frozenset({"number", "callerId", "user", "to", "from", "overrideTo", "dtmf", "referTo", "referredBy"})
_OF_A_PARTY = frozenset({"name", "trunk", "tenant"})
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
    return TextContext.DIALLED if key in _DIALLED or (within in PARTIES and key in _OF_A_PARTY) else TextContext.PLAIN


def fill_in(text: str, place: TextContext, values: Values) -> Value:
    """Replace the placeholders in a string.

    If the text consists of one variable and is neither spoken nor dialled, the result keeps the variable's type.
    """
    if "{" not in text and "}" not in text:
        return text
    only = next((one for one in placeholders_in(text) if one.is_all and not one.form), None)
    if only is not None and place is TextContext.PLAIN:
        variable = values.variable(only.name)
        if variable is not None and not isinstance(variable, str):
            return variable
    in_markup = place is TextContext.SPEECH and _SSML.match(text) is not None

    def replace(found: re.Match[str]) -> str:
        if not found["name"]:
            return found.group()[0]
        variable = values.variable(found["name"])
        if variable is not None:
            value = without_control(_text_of(variable))
        else:
            value = _sanitised(values.fact(found["name"]) or "", place, text)
        value = value or found["default"] or ""
        if found["form"] == SPELLED:
            value = " ".join(letter for letter in value.removeprefix("+") if not letter.isspace())
        return escape(value) if in_markup else value

    return _PLACEHOLDER.sub(replace, text)


def without_control(value: str) -> str:
    """Replace line ends and other control characters with spaces."""
    return _CONTROL.sub(" ", value).strip()


def _sanitised(value: str, place: TextContext, text: str) -> str:
    plain = without_control(value[:MAX_VALUE])
    match place:
        case TextContext.SPEECH:
            return _NOT_SPOKEN.sub(" ", plain).strip()
        case TextContext.DIALLED:
            return _NOT_DIALLED.sub("", _user_part(plain))
        case TextContext.ADDRESS:
            if _SIP_URI.match(text):
                return quote(_user_part(plain), safe="+")
            quoted = quote(plain, safe="")
            # Two dots would lead to the parent folder.
            plain = quoted.replace(".", "%2E") if plain in (".", "..") else quoted
        case TextContext.HEADER:
            plain = _NOT_IN_A_HEADER.sub(" ", plain).strip()
        case TextContext.JSON:
            plain = json.dumps(plain)[1:-1]
    return plain


def _user_part(party: str) -> str:
    for scheme in ("sips:", "sip:", "tel:"):
        if party.lower().startswith(scheme):
            return party[len(scheme) :].partition("@")[0].partition(";")[0]
    return party


def _text_of(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
