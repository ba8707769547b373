"""Search for digits in all data of an item, decoded independently of the code under test."""

from __future__ import annotations

import base64
import binascii
import contextlib
import gzip
import html
import json
import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from callhooks.events.event_item import details_of_item

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{11,}(?:\n[A-Za-z0-9+/_-]+)*={0,2}")


def items_with(digits: str, items: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return the keys of the items that contain these digits in any encoding, with any separators between them."""
    return [
        (item["pk"]["S"], item["sk"]["S"])
        for item in items
        if any(digits in re.sub(r"\(0\)|[^0-9]", "", unicodedata.normalize("NFKC", text)) for text in texts_of(item))
    ]


def texts_of(item: Mapping[str, Any]) -> set[str]:
    """Return all texts in an item, and all texts that they decode to."""
    found: set[str] = set()
    values = [_plain({"M": {name: value for name, value in item.items() if name != "details"}})]
    if "details" in item:
        values.append(dict(details_of_item(item)))
    while values:
        value = values.pop()
        if isinstance(value, dict):
            values += [*value, *value.values()]
        elif isinstance(value, list):
            values += value
        elif isinstance(value, bytes):
            values += [text for data in (value, *_unpacked(value)) for text in _texts(data)]
        elif (text := str(value)) not in found:
            found.add(text)
            values += _decoded(text)
    return found


def _plain(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "M":
        return {name: _plain(member) for name, member in content.items()}
    return [_plain(member) for member in content] if kind == "L" else content


def _texts(data: bytes) -> Iterator[str]:
    for encoding in ("utf-8", "utf-16"):
        try:
            yield data.decode(encoding)
        except UnicodeDecodeError:
            continue


def _decoded(text: str) -> Iterator[Any]:
    yield from (unquote(text), html.unescape(text))
    yield re.sub(r"\\u([0-9a-f]{4})", lambda escape: chr(int(escape[1], 16)), text)
    with contextlib.suppress(ValueError):
        yield json.loads(text)
    runs = _BASE64.findall(text)
    after_dashes = {run[dash.end() :] for run in runs for dash in re.finditer("[-_]", run)}
    for run in after_dashes.union(runs):
        plain = "".join(run.split()).rstrip("=").replace("-", "+").replace("_", "/")
        try:
            yield base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        except binascii.Error:
            continue


def _unpacked(data: bytes) -> Iterator[bytes]:
    for unpack in (gzip.decompress, zlib.decompress, lambda packed: zlib.decompress(packed, -zlib.MAX_WBITS)):
        try:
            yield unpack(data)
        except (OSError, EOFError, zlib.error):
            continue
