"""Find a number in text and bytes however they are encoded, and redact it in a text.

Reads escapes (JSON, URLs, HTML), digits of other scripts, base64, gzip, zlib, deflate and UTF-16, each inside the
others. What a sender made to be slow is read up to the bounds below.
"""

from __future__ import annotations

import binascii
import codecs
import html
import json
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

MARK = "***"
"""Replaces what is redacted: no longer than any number, and without need of an escape in JSON, URLs and HTML."""
MAX_LAYERS = 10
"""How many layers of base64 and compression are read."""
MAX_ESCAPES = 8
"""How many layers of escapes are read."""
MAX_DECODED_BYTES = 8 * 1024 * 1024
"""How much is decoded for one item in all: more than Lambda takes of a request."""

_FEWEST_DIGITS = 8
_NO_DIGITS = bytes(set(range(256)) - set(b"0123456789"))
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")
_GZIP_START = re.compile(rb"\x1f\x8b\x08")
_MAX_MEMBERS = 100
_GZIP, _ZLIB, _DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_DEFLATED = (0b010, 0b100)
"""The types of a first block of raw deflate, which has no other mark; the third is not compressed."""
_STEP_BYTES = 1024
"""Compressed bytes that are unpacked at once: what comes before a fault is kept but for the last of these."""
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{11,}(?:\r?\n[ \t]*[A-Za-z0-9+/_-]+)*={0,2}", re.ASCII)
"""Base64 of eight bytes or more, in lines or not."""
_MIN_BASE64 = 11
_BREAK = re.compile(r"[\s/]")
_DASH = re.compile("[-_]")
_MAX_PREFIXES = 8
_LINE_OR_SEGMENT = re.compile(r"[^\s/]{11,}")
_JSON_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*', re.DOTALL | re.ASCII)
"""A string or a number of a valid JSON document."""
_JSON_ESCAPES = dict(zip('"\\/bfnrt', '"\\/\b\f\n\r\t', strict=True))


class _Escape(NamedTuple):
    """A way to escape characters; a text without `sign` has none of it."""

    sign: str
    pattern: re.Pattern[str]
    decode: Callable[[re.Match[str]], str]


_ESCAPES = (
    _Escape(
        "\\",
        re.compile(r"""\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))"""),
        lambda found: chr(int(found[1], 16)) if found[1] else _JSON_ESCAPES[found[2]],
    ),
    _Escape(
        "%",
        # The bytes of one character together, where they are UTF-8.
        re.compile(
            "%[cd]x%xx|%ex(?:%xx){2}|%fx(?:%xx){3}|%xx".replace("x", "[0-9a-f]"),
            re.IGNORECASE | re.ASCII,
        ),
        lambda found: bytes.fromhex(found[0].replace("%", "")).decode("utf-8", "surrogateescape"),
    ),
    _Escape(
        "&", re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|\w{1,31});"), lambda found: html.unescape(found[0])
    ),
)


class NumberPattern(NamedTuple):
    """A number of eight digits or more, and the ways to write it.

    `optional` matches what has digits of its own and may stand within the number.
    """

    digits: str
    pattern: re.Pattern[str]
    optional: re.Pattern[str]

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Give where the number is in a text without escapes."""
        # Most texts have other digits, which is seen a hundred times faster than by the pattern.
        digits = text.encode("utf-8", "surrogatepass").translate(None, _NO_DIGITS)
        if self.digits.encode("ascii") in digits or self.optional.search(text):
            yield from (found.span() for found in self.pattern.finditer(text))


def is_held_by(number: NumberPattern, *texts: str | bytes) -> bool:
    """Return whether one of the texts holds a number, however it is encoded there."""
    reader = _Reader(number)
    return any(reader.is_in_text(text) if isinstance(text, str) else reader.is_in_bytes(text) for text in texts)


def redact(number: NumberPattern, text: str) -> str:
    """Return a text with `MARK` in place of a number, wherever it is, and all else as it was.

    JSON stays JSON, with the same members, and a number in it becomes a string. Base64 that hides the number becomes
    `MARK` whole.
    """
    redacted = _Reader(number).redact(text)
    return json.dumps(MARK) if _is_json(text) and not _is_json(redacted) else redacted


class _Reader:
    """Reads the texts of one item, as far as the bounds allow."""

    def __init__(self, number: NumberPattern) -> None:
        self._number = number
        self._bytes_left = MAX_DECODED_BYTES
        self._known: dict[tuple[str, int], bool] = {}

    def is_in_text(self, text: str, layers: int = MAX_LAYERS) -> bool:
        """Return whether a text holds the number."""
        return any(True for reading, _ in _readings(text) for _ in self._spans(reading, layers))

    def is_in_bytes(self, data: bytes, layers: int = MAX_LAYERS) -> bool:
        """Return whether bytes hold the number: as text in some encoding, or compressed."""
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            return False
        if any(self.is_in_text(text, layers) for text in _texts_in(data)):
            return True
        return layers > 0 and any(self.is_in_bytes(unpacked, layers - 1) for unpacked in self._unpacked(data))

    def redact(self, text: str) -> str:
        """Return a text that does not hold the number any more."""
        if not self.is_in_text(text):
            return text
        if text.lstrip().startswith(("{", "[", '"')) and _is_json(text):
            return _JSON_SCALAR.sub(lambda scalar: self._redacted_scalar(scalar[0]), text)
        return self._redacted_spans(text)

    def _redacted_scalar(self, scalar: str) -> str:
        if not scalar.startswith('"'):
            return json.dumps(MARK) if any(self._number.spans(scalar)) else scalar
        string = json.loads(scalar)
        redacted = self.redact(string)
        if redacted == string:
            return scalar
        # A lone surrogate, which no store takes, becomes its escape.
        return json.dumps(redacted, ensure_ascii=scalar.isascii()).encode("utf-8", "backslashreplace").decode("utf-8")

    def _redacted_spans(self, text: str) -> str:
        spans = {
            (origins[start], max(origins[end], origins[end - 1] + 1))
            for reading, origins in _readings(text, traced=True)
            for start, end in self._spans(reading, MAX_LAYERS)
        }
        parts, done = [], 0
        for start, end in sorted(spans):
            if start >= done:
                parts += [text[done:start], MARK]
            done = max(done, end)
        return "".join((*parts, text[done:]))

    def _spans(self, text: str, layers: int) -> Iterator[tuple[int, int]]:
        """Give where the number is in a text without escapes, and the base64 that hides it."""
        yield from self._number.spans(text)
        for run in _BASE64.finditer(text) if layers else ():
            if self._is_in_base64(run[0], layers - 1):
                yield run.span()

    def _is_in_base64(self, run: str, layers: int) -> bool:
        known = self._known.get((run, layers))
        if known is None:
            known = any(self.is_in_bytes(data, layers) for data in _decoded_base64(run))
            self._known[run, layers] = known
        return known

    def _unpacked(self, data: bytes) -> Iterator[bytes]:
        for start in islice(_GZIP_START.finditer(data), _MAX_MEMBERS):
            yield self._inflated(memoryview(data)[start.start() :], _GZIP)
        if _is_zlib(data):
            yield self._inflated(data, _ZLIB)
        elif data[:1] and data[0] & 0b110 in _DEFLATED:
            yield self._inflated(data, _DEFLATE)

    def _inflated(self, data: bytes | memoryview, window: int) -> bytes:
        """Unpack as much as is sound, and as there is room for."""
        unpacker, unpacked = zlib.decompressobj(window), bytearray()
        try:
            for start in range(0, len(data), _STEP_BYTES):
                room = self._bytes_left - len(unpacked)
                if unpacker.eof or room <= 0:
                    break
                unpacked += unpacker.decompress(data[start : start + _STEP_BYTES], room)
        except zlib.error:
            # Broken, or never compressed: what came before stays.
            pass
        return bytes(unpacked)


def _readings(text: str, *, traced: bool = False) -> Iterator[tuple[str, Sequence[int]]]:
    """Give the text, and what its escapes stand for, one layer after the other.

    `traced` readings come with where in the text each of their characters begins, and where the last one ends.
    """
    origins: Sequence[int] = range(len(text) + 1) if traced else ()
    yield _with_ascii_digits(text), origins
    for _ in range(MAX_ESCAPES):
        before = text
        for escape in _ESCAPES:
            if escape.sign in text and (unescaped := escape.pattern.sub(escape.decode, text)) != text:
                if traced:
                    origins = _origins_unescaped(text, origins, escape)
                text = unescaped
                yield _with_ascii_digits(text), origins
        if text == before:
            return


def _origins_unescaped(text: str, origins: Sequence[int], escape: _Escape) -> Sequence[int]:
    unescaped: list[int] = []
    end = 0
    for found in escape.pattern.finditer(text):
        unescaped += origins[end : found.start()]
        unescaped += [origins[found.start()]] * len(escape.decode(found))
        end = found.end()
    return [*unescaped, *origins[end:]]


def _with_ascii_digits(text: str) -> str:
    """Return a text of the same length with the digits of all scripts as ASCII."""
    return text if text.isascii() else _OTHER_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)


def _texts_in(data: bytes) -> Iterator[str]:
    """Give the texts that bytes may be; none for noise, which most identifiers are if they are taken for base64."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield data.decode("utf-16", "replace")
    if len(data.translate(None, _NO_DIGITS)) >= _FEWEST_DIGITS or _is_utf_8(data):
        yield data.decode("utf-8", "surrogateescape")
        if b"\0" in data:
            # UTF-16 and UTF-32 without a mark at the beginning, as far as it is ASCII.
            yield data.replace(b"\0", b"").decode("utf-8", "surrogateescape")


def _decoded_base64(run: str) -> Iterator[bytes]:
    """Give the bytes that a run may stand for: whole, by its lines, by the segments of a path, and behind a prefix."""
    behind = [run[dash.end() :] for dash in islice(_DASH.finditer(run), _MAX_PREFIXES)]
    parts = {"".join(run.split()), *_LINE_OR_SEGMENT.findall(run)} if _BREAK.search(run) else {run}
    for text in parts.union(one for one in behind if len(one) >= _MIN_BASE64):
        plain = text.rstrip("=").replace("-", "+").replace("_", "/")
        whole = plain[: len(plain) - (len(plain) % 4 == 1)]
        yield binascii.a2b_base64(whole + "===")


def _is_zlib(data: bytes) -> bool:
    return len(data) > 2 and data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_json(text: str) -> bool:
    try:
        # Python refuses to make an int of more than 4,300 digits.
        json.loads(text, parse_int=str)
    except (ValueError, RecursionError):
        return False
    return True
