"""Items outside of the table: in the spill queue or in the log."""

from __future__ import annotations

import base64
import gzip
import json

import pytest
from callhooks.events.call_event import CallEvent, Kind
from callhooks.events.event_item import MAX_UNPACKED_BYTES, event_item, pack_item, unpack_item
from callhooks.runtime.http import Request, Response

from tests.support import MAX_ITEM_BYTES, NOW, incompressible, size_of

MAX_MESSAGE_BYTES = 1024 * 1024
MAX_BODY_BYTES = 128 * 1024


def packed(document: object) -> str:
    return base64.b64encode(gzip.compress(json.dumps(document).encode(), mtime=0)).decode()


def test_the_largest_item_fits_into_one_message() -> None:
    both = incompressible(2 * MAX_BODY_BYTES)
    raw = both[:MAX_BODY_BYTES]
    details = {"text": base64.b64encode(both[MAX_BODY_BYTES:]).decode()}
    event = CallEvent("wavix", "call-1", "key-1", Kind.RINGING, "ringing", NOW, details=details)
    item = event_item(event, Request("POST", "/", body=raw), Response(200, "[]"), retention_days=90)
    assert size_of({"M": item}) < MAX_ITEM_BYTES
    assert len(pack_item(item)) < MAX_MESSAGE_BYTES


KEYS = {"pk": {"S": "wavix#1"}, "sk": {"S": "event#1"}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not base64 +14155550123",
        base64.b64encode(b"not gzip").decode(),
        base64.b64encode(gzip.compress(b"not JSON", mtime=0)).decode(),
        *map(packed, ([], "text", {"pk": "wavix#1", "sk": "event#1"}, {"pk": KEYS["pk"]}, {**KEYS, "pk": {"S": 1}})),
        packed({**KEYS, "body": {"B": {"base64": "%"}}}),
        packed(KEYS)[:-8],
        packed({**KEYS, "text": {"S": "a" * MAX_UNPACKED_BYTES}}),
        base64.b64encode(gzip.compress(b"[" * 100_000, mtime=0)).decode(),
    ],
)
def test_an_invalid_packed_item_raises_an_error_without_its_content(text: str) -> None:
    with pytest.raises(ValueError, match=r"\Anot a packed item( \(\w+\))?\Z"):
        unpack_item(text)
