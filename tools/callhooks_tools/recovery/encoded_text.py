"""Find a number in encoded text and bytes, and redact it in text.

Decodes escapes (JSON, URLs, HTML), digits of other scripts, base64, gzip, zlib, deflate and UTF-16, nested in any
order. The limits below bound the time for hostile input.
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
"""Replacement for a number: never longer than the number, and without characters that JSON, URLs or HTML escape."""
MAX_LAYERS = 10
"""Maximum depth of base64 and compression."""
MAX_ESCAPES = 8
"""Maximum depth of escapes."""
MAX_DECODED_BYTES = 8 * 1024 * 1024
"""Maximum number of bytes that are decoded for one item: more than Lambda accepts in a request."""

_MIN_DIGITS = 8
_NO_DIGITS = bytes(set(range(256)) - set(b"0123456789"))
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")
_GZIP_START = re.compile(rb"\x1f\x8b\x08")
_MAX_MEMBERS = 100
_GZIP, _ZLIB, _DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_DEFLATED = (0b010, 0b100)
"""Types of the first block of raw deflate, which has no magic number. The third type is not compressed."""
_STEP_BYTES = 1024
"""Compressed bytes per decompression step. In damaged data, only the step with the error is lost."""
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{11,}(?:\r?\n[ \t]*[A-Za-z0-9+/_-]+)*={0,2}", re.ASCII)
"""Base64 of at least eight bytes, with or without line breaks."""
_MIN_BASE64 = 11
_BREAK = re.compile(r"[\s/]")
_DASH = re.compile("[-_]")
_MAX_PREFIXES = 8
_LINE_OR_SEGMENT = re.compile(r"[^\s/]{11,}")
_JSON_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*', re.DOTALL | re.ASCII)
"""A string or a number in a valid JSON document."""
_JSON_ESCAPES = dict(zip('"\\/bfnrt', '"\\/\b\f\n\r\t', strict=True))


class _Escape(NamedTuple):
    """Escape syntax. A text without its `marker` contains no such escape."""

    marker: str
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
        # All bytes of a UTF-8 character together.
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
    """Number of at least eight digits, with all its notations.

    `optional` matches a part with digits that may occur within the number.
    """

    digits: str
    pattern: re.Pattern[str]
    optional: re.Pattern[str]

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield the spans of the number in a text without escapes."""
        # Most texts do not contain the digits; this check is a hundred times faster than the pattern.
        digits = text.encode("utf-8", "surrogatepass").translate(None, _NO_DIGITS)
        if self.digits.encode("ascii") in digits or self.optional.search(text):
            yield from (found.span() for found in self.pattern.finditer(text))


def contains_number(number: NumberPattern, *texts: str | bytes) -> bool:
    """Return whether one of the texts contains a number in any supported encoding."""
    reader = _Reader(number)
    return any(reader.is_in_text(text) if isinstance(text, str) else reader.is_in_bytes(text) for text in texts)


def redact(number: NumberPattern, text: str) -> str:
    """Return a text with `MARK` in place of each occurrence of a number, otherwise unchanged.

    JSON stays JSON with the same members; a number without quotes becomes a string. Base64 that contains the number is
    replaced as a whole.
    """
    redacted = _Reader(number).redact(text)
    return json.dumps(MARK) if _is_json(text) and not _is_json(redacted) else redacted


class _Reader:
    """Decoder for the texts of one item, within the limits."""

    def __init__(self, number: NumberPattern) -> None:
        self._number = number
        self._bytes_left = MAX_DECODED_BYTES
        self._known: dict[tuple[str, int], bool] = {}

    def is_in_text(self, text: str, layers: int = MAX_LAYERS) -> bool:
        """Return whether a text contains the number."""
        return any(True for reading, _ in _readings(text) for _ in self._spans(reading, layers))

    def is_in_bytes(self, data: bytes, layers: int = MAX_LAYERS) -> bool:
        """Return whether bytes contain the number, as text in some encoding or compressed."""
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            return False
        if any(self.is_in_text(text, layers) for text in _texts_in(data)):
            return True
        return layers > 0 and any(self.is_in_bytes(unpacked, layers - 1) for unpacked in self._unpacked(data))

    def redact(self, text: str) -> str:
        """Return a text without the number."""
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
        # A lone surrogate cannot be stored, so it is escaped.
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
        """Yield the spans of the number in a text without escapes, and of base64 that contains it."""
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
        """Decompress until the first error or the limit."""
        unpacker, unpacked = zlib.decompressobj(window), bytearray()
        try:
            for start in range(0, len(data), _STEP_BYTES):
                room = self._bytes_left - len(unpacked)
                if unpacker.eof or room <= 0:
                    break
                unpacked += unpacker.decompress(data[start : start + _STEP_BYTES], room)
        except zlib.error:
            # Damaged, or not compressed at all; the output so far is still used.
            pass
        return bytes(unpacked)


def _readings(text: str, *, traced: bool = False) -> Iterator[tuple[str, Sequence[int]]]:
    """Yield the text, then the text after each layer of unescaping.

    If `traced`, each reading comes with the position in the original text of each of its characters, and of its end.
    """
    origins: Sequence[int] = range(len(text) + 1) if traced else ()
    yield _with_ascii_digits(text), origins
    for _ in range(MAX_ESCAPES):
        before = text
        for escape in _ESCAPES:
            if escape.marker in text and (unescaped := escape.pattern.sub(escape.decode, text)) != text:
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
    """Yield the possible texts of bytes; none for random bytes, which identifiers become if decoded as base64."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield data.decode("utf-16", "replace")
    if len(data.translate(None, _NO_DIGITS)) >= _MIN_DIGITS or _is_utf_8(data):
        yield data.decode("utf-8", "surrogateescape")
        if b"\0" in data:
            # ASCII text in UTF-16 or UTF-32 without a byte order mark.
            yield data.replace(b"\0", b"").decode("utf-8", "surrogateescape")


def _decoded_base64(run: str) -> Iterator[bytes]:
    """Yield the possible bytes of a run: as a whole, by line, by path segment, and after a prefix."""
    suffixes = [run[dash.end() :] for dash in islice(_DASH.finditer(run), _MAX_PREFIXES)]
    parts = {"".join(run.split()), *_LINE_OR_SEGMENT.findall(run)} if _BREAK.search(run) else {run}
    for text in parts.union(one for one in suffixes if len(one) >= _MIN_BASE64):
        unpadded = text.rstrip("=").replace("-", "+").replace("_", "/")
        decodable = unpadded[: len(unpadded) - (len(unpadded) % 4 == 1)]
        yield binascii.a2b_base64(decodable + "===")


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
        # Python cannot convert more than 4,300 digits to an int.
        json.loads(text, parse_int=str)
    except (ValueError, RecursionError):
        return False
    return True
