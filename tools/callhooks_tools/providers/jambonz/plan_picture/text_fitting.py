"""Text in pictures: its width without a known font, and line breaks."""

from __future__ import annotations

import re
import unicodedata

_GAP = re.compile("[^\x21-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")
"""Spaces, control characters, characters that XML does not allow, and characters that change the text direction."""

_WIDTHS = {
    char: width
    for width, chars in {
        0.3: "'ijl", 0.35: " \xa0,.:;I", 0.4: "()-[]ft", 0.45: "!/\\r", 0.5: '"', 0.55: "csz", 0.6: "*?JL_`kvxy|",
        0.7: "ABEKPSVXYZ", 0.75: "CRU", 0.8: "&DGHNOQ", 0.85: "#+<=>^w~", 0.95: "M", 1.0: "%Wm…→↑↻", 1.05: "@",
    }.items()
    for char in chars
}  # fmt: skip
"""Widths in ems, the widest of Liberation Sans, Roboto, Noto Sans, Open Sans and DejaVu Sans. Default: 0.65."""


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the maximum width of a string in pixels, in the usual sans-serif fonts."""
    return sum(map(_ems, text)) * size * (1.15 if bold else 1)


def _ems(char: str) -> float:
    if char in _WIDTHS:
        return _WIDTHS[char]
    if char.isascii():
        return 0.65
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    if unicodedata.east_asian_width(char) in "WF" or unicodedata.category(char) == "So":
        return 1.4 if char >= "\U0001f000" else 1.05
    return 0.85


def clean(text: str) -> str:
    """Return the text in one line, without characters that XML does not allow; non-breaking spaces stay."""
    return _GAP.sub(" ", text).strip(" ")


def wrap(text: str, width: float, size: float, lines: int, *, bold: bool = False) -> list[str]:
    """Break a string into at most `lines` lines of a width; an ellipsis replaces the rest."""
    found: list[str] = []
    rest = clean(text)
    while rest and len(found) < lines:
        ellipsis = "…" if len(found) == lines - 1 else ""
        if text_width(rest, size, bold=bold) <= width:
            ellipsis, fits = "", len(rest)
        else:
            room = width - text_width(ellipsis, size, bold=bold)
            fits = max(1, _prefix(rest, room, size * (1.15 if bold else 1)))
            # Break at a space or in a path, unless that leaves less than half a line.
            gap = max(rest.rfind(" ", fits // 2, fits + 1), rest.rfind("/", fits // 2, fits) + 1)
            fits = gap if gap > 0 else fits
        found.append(rest[:fits].rstrip() + ellipsis)
        rest = rest[fits:].lstrip()
    return found


def _prefix(text: str, width: float, size: float) -> int:
    """Return the number of characters that fit into a width."""
    for index, char in enumerate(text):
        width -= _ems(char) * size
        if width < 0:
            return index
    return len(text)
