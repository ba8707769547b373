"""Speech in any script: the words of a transcript, normalised to look for phrases in them.

Only the build and the first transcript of a container import this module, so a cold start does not wait for it.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right

from callhooks.providers.jambonz.plan.patterns import Phrase

_MAX_MARKS = 30
"""Unicode's limit for the marks of one letter in a stream (UAX 15)."""

_APOSTROPHES = frozenset("'\u2018\u2019\u201b\u02b9\u02bb\u02bc\u02bd\u2032\u00b7\u05f3\u05f4")
"""Signs inside words: apostrophes, the Hebrew geresh and gershayim, and the Catalan dot."""
_TATWEEL, _ZERO_WIDTH_SPACE = "\u0640", "\u200b"
_INVISIBLE = (
    *(0x034F, 0x0350, 0x115F, 0x1161, 0x17B4, 0x17B6, 0x180B, 0x1810),
    *(0xFE00, 0xFE10, 0xE0000, 0xE1000),
)
"""Characters that Unicode ignores by default, besides those of the category Cf. All blocks here: first, last + 1."""
_VOWEL_POINTS = (
    *(0x0591, 0x05C8),  # Hebrew
    *(0x0610, 0x061B, 0x064B, 0x0653, 0x0656, 0x0660, 0x0670, 0x0671, 0x06D6, 0x06EE),  # Arabic
    *(0x0711, 0x0712, 0x0730, 0x074B),  # Syriac
    *(0x08CA, 0x0900, 0xFB1E, 0xFB1F, 0x10EFC, 0x10F00),  # Arabic, Hebrew, Arabic
)
"""Optional points and marks of recitation. The Arabic hamza and madda (0653 to 0655) are parts of letters."""
_HANGUL = (0x1100, 0x1160, 0xA960, 0xA980, 0xAC00, 0xD7A4)
_HANGUL_ENDINGS = (0x1160, 0x1200, 0xD7B0, 0xD800)
_WITHOUT_SPACES = (
    *(0x0E00, 0x10A0, 0x1780, 0x1800),  # Thai, Lao, Tibetan, Myanmar; Khmer
    *(0x1950, 0x19E0, 0x1A20, 0x1AB0, 0x1B00, 0x1B80),  # Tai Le, New Tai Lue; Lanna; Balinese
    *(0x2E80, 0xA4D0),  # Han, kana, Bopomofo, Yi
    *(0xA980, 0xAA00, 0xAA60, 0xAAE0),  # Javanese, Myanmar; Myanmar, Tai Viet
    *(0xF900, 0xFB00, 0x11700, 0x11750),  # Han; Ahom
    *(0x16FE0, 0x19000, 0x1AFF0, 0x1B300, 0x20000, 0x40000),  # Tangut, Khitan; kana, Nushu; Han
)
"""Blocks of scripts without spaces between words."""
_STACKERS = frozenset("\u1039\u17d2\u1a60\u1b44\ua9c0")
"""Signs that put the next letter under the letter before them."""
_DOT_ABOVE, _DOTLESS_I = "\u0307", "\u0131"

# A half-width voiced sound mark counts as a letter, but becomes a mark.
_OVERLONG = re.compile(rf"([\W\uff9e\uff9f]{{{_MAX_MARKS}}})[\W\uff9e\uff9f]+")
_GERSHAYIM = re.compile('(?<=[\u05d0-\u05ea])["\u201d](?=[\u05d0-\u05ea])')

# Classes of characters, one letter for each: Word, Unspaced, Hangul, Mark, Stacker, and - for everything else.
_TOKEN = re.compile("W[WMS]*|U(?:SU|[MS])*|H[MS]*")
_WORD_EDGE = "/"


def spoken_words(text: str) -> str:
    """Return the words of a text in a form that can be compared, with spaces between them.

    Case, punctuation, joiners, apostrophes and optional vowel points are removed; digits are ASCII. In scripts without
    spaces between words, each letter with its marks is a word. In Hangul, each syllable is a word, and `/` marks both
    ends of a word as written.
    """
    folded = _folded(text)
    classes = folded.translate({ord(char): _class_of(char) for char in set(folded)})
    words: list[str] = []
    hangul_end = -1
    for found in _TOKEN.finditer(classes):
        is_hangul = found[0][0] == "H"
        if found.start() != hangul_end or not is_hangul:
            words += _edge(words, is_needed=is_hangul or hangul_end >= 0)
        words.append(folded[found.start() : found.end()])
        hangul_end = found.end() if is_hangul else -1
    return " ".join([*words, *_edge(words, is_needed=hangul_end >= 0)])


def parse_phrase(text: str) -> Phrase:
    """Return a phrase to look for. Its words are empty if it has no letter and no digit, so that it never matches.

    In Hangul, particles and endings may follow, unless the phrase is a single syllable.
    """
    words = spoken_words(text)
    ends_in_hangul = words.endswith(f" {_WORD_EDGE}")
    is_syllable = words.startswith(_WORD_EDGE) and words.count(" ") == 2
    return Phrase(text, words.removesuffix(f" {_WORD_EDGE}") if ends_in_hangul and not is_syllable else words)


def _folded(text: str) -> str:
    """Fold case and compatibility forms, and remove what does not distinguish words.

    The time to normalise a text grows with the square of the marks in a row, so their number is limited first.
    """
    limited = _OVERLONG.sub(r"\1 ", text)
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", limited).casefold())
    kept = decomposed.translate({ord(char): _replacement(char) for char in set(decomposed)})
    joined = _GERSHAYIM.sub("", kept)
    # Turkish: I and dotless i, and I with a dot and i, are the same letters in another case.
    folded = joined.replace(_DOTLESS_I, "i").replace(f"i{_DOT_ABOVE}", "i")
    return unicodedata.normalize("NFC", folded)


def _replacement(char: str) -> str:
    if char.isascii():
        return "" if char in _APOSTROPHES else char
    if char in _APOSTROPHES or char == _TATWEEL or _is_in(_INVISIBLE, char):
        return ""
    if char.isdigit():
        return str(unicodedata.digit(char))
    category = unicodedata.category(char)
    if category == "Cf":
        return " " if char == _ZERO_WIDTH_SPACE else ""
    return "" if category == "Mn" and _is_in(_VOWEL_POINTS, char) else char


def _class_of(char: str) -> str:
    if char.isascii():
        return "W" if char.isalnum() else "-"
    if char in _STACKERS:
        return "S"
    if unicodedata.category(char)[0] == "M" or _is_in(_HANGUL_ENDINGS, char):
        return "M"
    if not char.isalnum():
        return "-"
    if _is_in(_HANGUL, char):
        return "H"
    return "U" if _is_in(_WITHOUT_SPACES, char) else "W"


def _is_in(edges: tuple[int, ...], char: str) -> bool:
    """Return whether a character is in one of the blocks that have these edges, in order."""
    return bisect_right(edges, ord(char)) % 2 == 1


def _edge(words: list[str], *, is_needed: bool) -> list[str]:
    return [_WORD_EDGE] if is_needed and words[-1:] != [_WORD_EDGE] else []
