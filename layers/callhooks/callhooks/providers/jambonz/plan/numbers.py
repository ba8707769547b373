"""Characters of phone numbers: variants in other scripts, invisible characters, and trunk zeros in brackets."""

from __future__ import annotations

import re

MAX_COUNTRY_CODE = 3
PHONE_DIGITS = range(7, 16)
"""E.164 allows 15 digits; a number with fewer than 7 is an extension or a short code."""
ZERO_IS_DIALLED = frozenset({"39", "378", "225", "229", "241", "242"})
"""Country codes after which a zero is part of the number: Italy, San Marino, Ivory Coast, Benin, Gabon, Congo."""

SEPARATORS = str.maketrans("", "", " \t\r\n-.()/[]")
INVISIBLE = dict.fromkeys(
    (0xAD, 0x61C, 0x180E, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070))
)
"""Table for `str.translate` that removes soft hyphens, marks of direction, characters without width, and the BOM."""
_ALIKE = {
    **dict.fromkeys("\u00b7\u2022\u2024\u3002\uff61\u30fb\uff65", "."),
    **dict.fromkeys(
        "\u058a\u05be\u1806\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u2796\u30fc\ufe58\ufe63\uff70", "-"
    ),
    **dict.fromkeys("\u2044\u2215", "/"),
    **dict.fromkeys("\u207a\u208a\ufb29\ufe62\u2795", "+"),
    **dict.fromkeys("\u207d\u3014\u3010\ufe59", "("),
    **dict.fromkeys("\u207e\u3015\u3011\ufe5a", ")"),
    **dict.fromkeys("\u2217\u204e\ufe61", "*"),
    "\ufe5f": "#",
}
"""Characters that people type, or that programs substitute, for a character of a number."""

# Compiled when it is first used: most numbers are plain.
_TRUNK_ZERO = r"(?as)(?<=[0-9])([^0-9]*)[(\[]\s*0([0-9\s]*)[)\]](?=.*[0-9]|\s*\Z)"


def plain_characters(text: str) -> str:
    """Return a text with digits of any script and full-width or typographic characters replaced by ASCII."""
    return text if text.isascii() else "".join(map(_plain, text))


def visible(text: str) -> str:
    """Return a text without invisible characters, and without spaces around it."""
    return text.strip() if text.isascii() else text.translate(INVISIBLE).strip()


def _plain(char: str) -> str:
    if char.isascii():
        return char
    if ord(char) in INVISIBLE:
        return ""
    if char.isspace():
        return " "
    if char.isdecimal():
        return str(int(char))
    # The full-width forms of ASCII have the same order.
    return chr(ord(char) - 0xFEE0) if "\uff01" <= char <= "\uff5e" else _ALIKE.get(char, char)


def without_trunk_zero(text: str) -> str:
    """Return `+32 (0)470` or `+32 (0470)` without the zero that is dialled only within the country."""
    found = re.search(_TRUNK_ZERO, text)
    if found is None:
        return text
    before = re.sub(r"[^0-9+]", "", text[: found.start()])
    country = before.removeprefix("+").removeprefix("00")
    is_international = country != before
    # In a number that begins with the trunk zero already, brackets have no such meaning.
    is_trunk_zero = is_international or (not found[2].strip() and not before.startswith("0"))
    has_long_code = bool(found[2].strip()) and len(country) > MAX_COUNTRY_CODE
    if not is_trunk_zero or has_long_code or country in ZERO_IS_DIALLED:
        return text
    rest = (text[: found.start()] + found[1], found[2], text[found.end() :])
    return " ".join(part.strip() for part in rest if part.strip())
