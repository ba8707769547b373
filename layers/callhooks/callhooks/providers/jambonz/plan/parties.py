"""Parties as SIP and people write them: escaped SIP users, and the number that a text stands for."""

from __future__ import annotations

import re
from typing import NamedTuple

from callhooks.providers.jambonz.plan.numbers import (
    PHONE_DIGITS,
    SEPARATORS,
    plain_characters,
    visible,
    without_trunk_zero,
)

MAX_LENGTH = 200
"""A longer text is not read as a number."""
MAX_PARTY = 64
"""A longer text is neither dialled nor the name of a user."""

# The characters around an escape must not be a part of another, broken one: decoding twice then changes nothing.
_NOT_IN_AN_ESCAPE = r"(?<!%)(?<!%[0-9A-Fa-f])"
_DIALLED_ESCAPE = re.compile(rf"{_NOT_IN_AN_ESCAPE}%(2[3ABab]|3[0-9])")
_SEPARATOR_ESCAPE = re.compile(rf"{_NOT_IN_AN_ESCAPE}%(2[089DEde])")

_URI = re.compile(
    r'(?:(?:"(?:[^"\\]|\\.)*"|[^<"]*)\s*<\s*)?(?:sips?|tel):(?:(?P<user>[^@<>]*)@|(?P<all>[^@<>;?]*))',
    re.IGNORECASE | re.DOTALL,
)
# Compiled when it is first used: most numbers are plain.
_PASTED = r"(?is)(?P<scheme>(?:(?:sips?|tel|callto):(?://)?)?)\s*(?P<user>[^@;]*)(?P<rest>.*)"
_PARAMETERS = re.compile(r";[A-Za-z].*", re.DOTALL)
_SUBSCRIBER = re.compile(r"(\+?[0-9().\-]{7,})(?:;[A-Za-z][A-Za-z0-9-]*(?:=[^;@\s]*)?)+", re.ASCII)
"""A number with parameters, as carriers send it in the user: `+14155550150;verstat=TN-Validation-Passed`."""

_KEYS = re.compile(r"(?:[*#]*|(?:[*#](?:[0-9*#]*[*#])?)?\+)[0-9][0-9*#]*", re.ASCII)
"""An extension, a number or a star code, also before an international number: `*31#+14155550150`."""
_WRITTEN = re.compile(r"\(?\+? ?\(?[0-9]+(?:[ ().\-/]{1,3}[0-9]+)+\)?", re.ASCII)
_NO_NUMBER = re.compile(
    r"[0-9]+\.[0-9]+|[0-9]{1,4}([-./ ])[0-9]{1,2}\1[0-9]{1,4}|(?:[0-9]{1,3}\.){3}[0-9]{1,3}", re.ASCII
)
"""Fractions, dates and IP addresses."""


class PastedNumber(NamedTuple):
    """A number as pasted, and `text`, as it is dialled or compared.

    A number is an extension, a number or a star code; in a SIP URI, that is its user. If the text is not a number, but
    a name or an address, `text` lacks only the invisible characters. `lost_zero`: a trunk zero in brackets is left out.
    """

    text: str
    is_number: bool
    lost_zero: bool = False


def decoded_party(party: str) -> str:
    """Return a party with the escapes in its user decoded that stand for characters of a number.

    `%2B14155550150` and `21%23` become `+14155550150` and `21#`; `x%40evil.net` stays. A space or another separator is
    decoded only if the user is then a number. A second decoding changes nothing.
    """
    if "%" not in party:
        return party
    user, at, host = party.partition("@")
    user = _DIALLED_ESCAPE.sub(_character, user)
    written = _SEPARATOR_ESCAPE.sub(_character, user)
    is_number = written != user and dialled_number(written) is not None
    return f"{written if is_number else user}{at}{host}"


def party_user(text: str) -> str:
    """Return the user of a SIP or tel URI, also in angle brackets after a name; any other text decoded.

    The parameters of a number are no part of it.
    """
    text = text.strip()
    found = _URI.match(text)
    if found is None:
        text = decoded_party(text)
        number = _SUBSCRIBER.fullmatch(text)
        return number[1] if number else text
    user = found["all"] if found["user"] is None else _PARAMETERS.sub("", found["user"].partition(":")[0])
    return decoded_party(user)


def dialled_number(text: str) -> str | None:
    """Return the number that a text stands for, as it is dialled; `None` if it stands for none.

    The text is a number in any usual notation, an extension, a star code, or a SIP or tel URI with one of them as its
    user. Nothing but separators, typographic variants and invisible characters is left out.
    """
    if len(text) > MAX_LENGTH:
        return None
    typed = without_trunk_zero(plain_characters(party_user(text)).strip(" "))
    if len(typed) > MAX_PARTY:
        return None
    if _KEYS.fullmatch(typed):
        return typed
    if _NO_NUMBER.fullmatch(typed) or not _WRITTEN.fullmatch(typed):
        return None
    number = typed.translate(SEPARATORS)
    # Separators are common in phone numbers only.
    return number if len(number.removeprefix("+")) in PHONE_DIGITS else None


def read_pasted(text: str) -> PastedNumber:
    """Return the number in a text without the characters that only separate, decorate or hide."""
    if _KEYS.fullmatch(text):
        return PastedNumber(text, is_number=True)
    if "@" not in text:
        # The user of an address keeps its escapes: it may need them.
        text = decoded_party(text)
    uri = re.fullmatch(_PASTED, plain_characters(text).strip()) if len(text) <= MAX_LENGTH else None
    if uri is not None:
        without_zero = without_trunk_zero(uri["user"])
        number = without_zero.translate(SEPARATORS)
        # A short user of an address, such as 10.01@pbx.example.com, may really have these characters.
        is_user = uri["rest"].startswith("@") and not number.startswith("+") and len(number) < PHONE_DIGITS[0]
        if _KEYS.fullmatch(number) and not is_user:
            scheme = uri["scheme"] if uri["rest"] or uri["scheme"].lower().startswith("sip") else ""
            return PastedNumber(f"{scheme}{number}{uri['rest']}", is_number=True, lost_zero=without_zero != uri["user"])
    return PastedNumber(visible(text), is_number=False)


def _character(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16))
