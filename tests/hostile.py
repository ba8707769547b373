"""Hostile input: mutated recorded deliveries, texts that slow down patterns, and numbers out of any range."""

from __future__ import annotations

import gzip
import json
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from types import FrameType
from typing import Any, NoReturn, TypeAlias

from hypothesis import strategies as st

Path: TypeAlias = "tuple[str | int, ...]"

CANARY = "zq9canary"
"""Marker in hostile texts. A response or log that contains it repeats the request."""
PROCESSOR_SECONDS = 20
"""Limit of processor time. Normal runs need less than a hundredth of it."""

_RAW = re.compile('"\ue000(.*?)\ue001"', re.DOTALL)


class Hung(BaseException):
    """The code under test hangs. A `BaseException`, so that no handler catches it."""


@contextmanager
def in_bounded_time() -> Iterator[None]:
    """Raise `Hung` if the block needs too much processor time, which does not depend on the machine's load."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise Hung

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, PROCESSOR_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def raw(literal: str) -> str:
    """Return a text that `as_json` replaces with this literal, which may be invalid JSON."""
    return f"\ue000{literal}\ue001"


def as_json(document: object, *, ascii_only: bool = True) -> bytes:
    """Return the JSON of a document with its `raw` literals. Lone surrogates become invalid UTF-8."""
    text = json.dumps(document, ensure_ascii=False)
    text = _RAW.sub(lambda found: json.loads(f'"{found[1]}"'), text)
    if ascii_only:
        text = "".join(letter if letter < "\x80" else json.dumps(letter)[1:-1] for letter in text)
    return text.encode("utf-8", "surrogatepass")


UNFRIENDLY: Sequence[Callable[[int], str]] = (
    lambda length: " " * length,
    lambda length: '"' * length,
    lambda length: f'"a"{" " * length}x',
    lambda length: f'"a" <{"<" * length}',
    lambda length: "0" * length,
    lambda length: f"+{'1' * length}",
    lambda length: f"{'(' * length}{')' * length}",
    lambda length: "-" * length,
    lambda length: "sip:" * length,
    lambda length: f"sip:{'@' * length}",
    lambda length: "{caller_name}" * length,
    lambda length: "{" * length,
    lambda length: f"<speak>{'<' * length}",
    lambda length: "%" * length,
    lambda length: "a," * length,
    lambda length: "a/" * length,
    lambda length: "../" * length,
    lambda length: f"Q.850;{'cause=' * length}",
    lambda length: f"Q.850{' ' * length}x",
    lambda length: f"2026-11-21T06:30:00{'0' * length}",
    lambda length: f"2026-11-21 06:30:00.{'9' * length}Z",
    lambda length: "P1D" * length,
    lambda length: "\x00" * length,
    lambda length: "\x1b[2J" * length,
    lambda length: "\r\nx-injected: 1" * length,
    lambda length: "\u0130" * length,  # longer in lower case
    lambda length: "\ufdfa" * length,
    lambda length: "\u202e" * length,
    lambda length: "\U0001f4de" * length,
    lambda length: "\ud800" * length,
    lambda length: "\udc00\ud800" * length,
    lambda length: "#" * length,
    lambda length: "=" * length,
)
"""Texts of any length that break careless patterns, conversions or stores."""

LITERALS: Sequence[str] = (
    "NaN", "Infinity", "-Infinity", "-0", "-0.0", "0e999999", "1e999", "-1e999", "1e-999", "1e308", "9e37", "9e38",
    "-9e38", "1e39", "1E400", "9" * 37, "9" * 38, "9" * 39, "-" + "9" * 38, "1" + "0" * 37, "1" + "0" * 38,
    "1" + "0" * 5000, "1e" + "9" * 3000, "0." + "0" * 200 + "1", "0." + "123456789" * 6, "1e-130", "1e125", "1e126",
    "253402300800", "-62135596801", "1e18", "9223372036854775808", "01", "+1", ".5", "1.", "0x10", "'a'", "undefined",
    "", "[[[]]", "tru", "[" * 100 + "]" * 100, "[" * 500 + "]" * 500, "[" * 990 + "]" * 990, "[" * 20_000,
    "[" * 20_000 + "]" * 20_000, '{"a":' * 200 + "1" + "}" * 200, '{"a":' * 5_000,
)  # fmt: skip
"""JSON and almost-JSON literals that Python does not write."""

LONG = 128 * 1024
EXTREMES: dict[str, bytes] = {
    "brackets": b"[" * LONG,
    "braces": b'{"a":' * (LONG // 5),
    "closed brackets": b"[" * 50_000 + b"]" * 50_000,
    "digits": b"9" * LONG,
    "zeros": b"1" + b"0" * (LONG - 1),
    "a decimal": b"0." + b"1" * (LONG - 2),
    "an exponent": b"1e" + b"9" * (LONG - 2),
    "minus": b"-" * LONG,
    "quotes": b'"' * LONG,
    "blanks": b" " * LONG,
    "an open text": b'"' + b"a" * (LONG - 1),
    "backslashes": b'"' + b"\\\\" * (LONG // 2 - 1) + b'"',
    "escapes": b'"' + b"\\u0000" * (LONG // 6 - 1) + b'"',
    "lone surrogates": b'"' + b"\\ud800" * (LONG // 6 - 1) + b'"',
    "reversed surrogates": b'"' + b"\\udc00\\ud800" * (LONG // 12 - 1) + b'"',
    "commas": b"[" + b"," * (LONG - 2) + b"]",
    "numbers": b"[" + b"1," * (LONG // 2 - 2) + b"1]",
    "nulls": b"[" + b"null," * (LONG // 5 - 2) + b"null]",
    "objects": b"[" + b"{}," * (LONG // 3 - 2) + b"{}]",
    "members": b"{" + b",".join(b'"%d":0' % number for number in range(12_000)) + b"}",
    "one member repeated": b"{" + b'"call_sid":"a",' * (LONG // 15 - 1) + b'"call_sid":"b"}',
    "zero bytes": b"\0" * LONG,
    "invalid UTF-8": b"\xff" * LONG,
    "overlong UTF-8": b"\xc0\x80" * (LONG // 2),
    "UTF-16": "[".encode("utf-16") * (LONG // 4),
    "byte order marks": b"\xef\xbb\xbf" * (LONG // 3),
    "gzip": gzip.compress(b"[" * 50_000_000),
    "brotli": b"\xce\xb2\xcf\x81" + b"\x8b\x02\x80" * 1000,
    "over the size limit": b" " * (4 * 1024 * 1024),
}
"""Bodies of the maximum size that make a careless parser hang."""

_texts = st.text(st.characters(), max_size=40)  # lone surrogates included
_lengths = st.sampled_from([1, 1, 1, 40, 40, 600, 6000])
texts: st.SearchStrategy[str] = (
    _texts
    | _texts.map(lambda text: CANARY + text)
    | st.builds(lambda make, length: make(length), st.sampled_from(UNFRIENDLY), _lengths)
)
leaves: st.SearchStrategy[object] = (
    st.none()
    | st.booleans()
    | st.integers(-(10**45), 10**45)
    | st.floats()
    | texts
    | st.sampled_from(LITERALS).map(raw)
    | st.datetimes().map(str)
    | st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat())
    | st.decimals(allow_nan=False).map(str)
)
values: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


def paths_in(value: object, path: Path = ()) -> Iterator[Path]:
    """Yield the paths of all values in a document, starting with the document itself."""
    yield path
    members: Sequence[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    for name, member in members:
        yield from paths_in(member, (*path, name))


def at(document: Any, path: Path) -> Any:
    """Return the value at a path."""
    for name in path:
        document = document[name]
    return document


def changed(document: Any, path: Path, value: object) -> Any:
    """Return a copy of a document with another value at a path."""
    if not path:
        return value
    copy = deepcopy(document)
    at(copy, path[:-1])[path[-1]] = value
    return copy


def _without(document: Any, path: Path) -> Any:
    copy = deepcopy(document)
    if path:
        del at(copy, path[:-1])[path[-1]]
    return copy


@st.composite
def mutated(draw: st.DrawFn, original: object, max_changes: int = 4) -> Any:
    """Return a document with values replaced, moved, copied, nested or removed, or members renamed."""
    document = deepcopy(original)
    for _ in range(draw(st.integers(1, max_changes))):
        paths = list(paths_in(document))
        path = draw(st.sampled_from(paths))
        old = at(document, path)
        match draw(st.sampled_from(["value", "value", "value", "remove", "copy", "nest", "retype", "add", "rename"])):
            case "remove":
                document = _without(document, path)
            case "copy":
                document = changed(document, path, deepcopy(at(document, draw(st.sampled_from(paths)))))
            case "nest":
                document = changed(document, path, draw(st.sampled_from([[old], {"": old}, {"id": old}, [[old, old]]])))
            case "retype":
                kinds: list[object] = [str(old), json.dumps(old), [], {}, None, True, 0, "", "null", raw("1.5")]
                document = changed(document, path, draw(st.sampled_from(kinds)))
            case "add" if isinstance(old, dict):
                document = changed(document, path, {**old, draw(texts): draw(values)})
            case "rename" if path and isinstance(path[-1], str):
                document = _without(document, path)
                at(document, path[:-1])[draw(texts)] = old
            case _:
                document = changed(document, path, draw(values))
    return document


@st.composite
def bodies(draw: st.DrawFn, recorded: Sequence[bytes]) -> bytes:
    """Return a recorded body, unchanged or mutated as a document or as bytes, or an unrelated body."""
    body = draw(st.sampled_from(recorded))
    variant = draw(st.sampled_from(["recorded", "document", "document", "document", "twice", "bytes", "packed", "any"]))
    try:
        document = json.loads(body)
    except ValueError:
        document, variant = {}, variant if variant in ("bytes", "any") else "any"
    match variant:
        case "recorded":
            return body
        case "document":
            return as_json(draw(mutated(document)), ascii_only=draw(st.booleans()))
        case "twice" if isinstance(document, dict) and document:
            name, value = draw(st.sampled_from(sorted(document))), as_json(draw(values))
            return b'{"%s":%s,%s' % (name.encode(), value, body.lstrip()[1:])
        case "bytes":
            start = draw(st.integers(0, len(body)))
            return body[:start] + draw(st.binary(max_size=8)) + body[start + draw(st.integers(0, 8)) :]
        case "packed":
            packed = [
                gzip.compress(body), body + b"\0", b"\xef\xbb\xbf" + body, b"\x1f\x8b\x08" + body, body * 2,
                body.decode().encode("utf-16"), body.decode().encode("utf-32"), b"\xce\xb2\xcf\x81" + body,
            ]  # fmt: skip
            return draw(st.sampled_from(packed))
        case _:
            return draw(st.binary(max_size=300) | values.map(as_json))
