"""Placeholders in the verbs of a plan: `{from}`, `{caller_name|friend}`, `{digits:spelled}`, `{SALES_NUMBER}`.

Each is replaced once by a text that is fit for its place, and nothing in that text is looked at again. What a caller
says, dials or sends in a header can so become no markup, no address and no placeholder; the operator's own variables go
in as they are, but for what would break the place itself. `{{` and `}}` are the braces themselves.
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
_STRAY = re.compile(r"\{\s*[A-Za-z_][A-Za-z0-9_.: |-]{0,40}\}?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_NOT_SPOKEN = re.compile(r"[<>{}\\]+")
_NOT_DIALLED = re.compile(r"[^0-9A-Za-z+*#._-]+")
_NOT_IN_A_HEADER = re.compile(r'[<>"\\;]+')
_SSML = re.compile(r"\s*(<\?xml[^>]*\?>\s*)?<speak\b", re.IGNORECASE)
_SIP_URI = re.compile(r"\s*<?\s*(sips?|tel):", re.IGNORECASE)
_JSON = re.compile(r"\s*[\[{]\s*[\"\[{}\]]")
_ADDRESS = re.compile(r"\s*<?\s*([a-z][a-z0-9+.-]*://|(sips?|tel|mailto):)", re.IGNORECASE)


class TextContext(Enum):
    """Where a text stands in a verb, which says what would be dangerous there."""

    PLAIN = "plain"
    SPEECH = "speech"
    DIALLED = "dialled"
    ADDRESS = "address"
    HEADER = "header"
    JSON = "json"


OWN_DATA = frozenset({"metadata", "data", "tag"})
"""Members whose own members jambonz hands on as they are, whatever their names."""
HEADERS = frozenset({"headers"})
PARTIES = frozenset({"target"})

_SPOKEN = frozenset({"text", "say", "prompt", "welcomeMessage"})
_DIALLED = frozenset({"number", "callerId", "user", "to", "from", "overrideTo", "dtmf", "referTo", "referredBy"})
_OF_A_PARTY = frozenset({"name", "trunk", "tenant"})
_IN_QUOTES = frozenset({"callerName", "referredByDisplayName", "reason"})
_ADDRESS_ENDINGS = ("url", "uri", "hook", "endpoint", "music", "proxy", "host", "play", "media")


class Values(Protocol):
    """What placeholders stand for."""

    def variable(self, name: str) -> Value | None:
        """A variable of the plan; `None` where there is none of that name."""

    def told(self, name: str) -> str | None:
        """What the call tells, or who calls; `None` where it is not known."""


class Placeholder(NamedTuple):
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


def stray_braces(text: str) -> Iterator[str]:
    """What looks like a placeholder in a text and is none: `{caller-name}`, `{ from }`, `{from`."""
    left = _PLACEHOLDER.sub(lambda found: " " * len(found.group()), text)
    yield from (found.group().strip() for found in _STRAY.finditer(left))


def place_of(key: str, within: str, text: str) -> TextContext:
    """The place of a text: by its member's name, by the member (or the verb) it lies in, and by how it begins."""
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


def filled_in(text: str, place: TextContext, values: Values) -> Value:
    """A text with its placeholders replaced.

    A text that is nothing but a variable becomes that variable's own value, so that a number stays a number where it is
    neither spoken nor dialled.
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
            value = _harmless(values.told(found["name"]) or "", place, text)
        value = value or found["default"] or ""
        if found["form"] == SPELLED:
            value = " ".join(letter for letter in value.removeprefix("+") if not letter.isspace())
        return escape(value) if in_markup else value

    return _PLACEHOLDER.sub(replace, text)


def without_control(value: str) -> str:
    """A text without line ends and what else controls a protocol or a terminal."""
    return _CONTROL.sub(" ", value).strip()


def _harmless(value: str, place: TextContext, text: str) -> str:
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
            # A path would go up by two dots.
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
