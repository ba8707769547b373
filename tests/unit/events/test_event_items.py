"""The details and the body of an event are stored unchanged, in as few write units as possible."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from callhooks.events.call_event import CallEvent, Kind
from callhooks.events.event_item import Item, body_of_item, details_of_item, event_item, event_of_item
from callhooks.runtime.http import Request, Response
from hypothesis import given
from hypothesis import strategies as st

from tests.support import NOW, size_of
from tests.webhook_functions import FUNCTIONS, recordings

WRITE_UNIT_BYTES = 1024

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
details = texts | st.booleans() | st.integers(-(10**37), 10**37) | st.decimals(-(10**20), 10**20, places=5)


def item_with(values: dict[str, Any], body: bytes = b"{}") -> Item:
    event = CallEvent("wavix", "1", "key", Kind.ANSWERED, "answered", NOW, details=values)
    return event_item(event, Request("POST", "/", body=body), Response(200, "[]"), retention_days=90)


def typed(values: Mapping[str, Any]) -> dict[str, tuple[type, Any]]:
    """Return details with their types: an integral number is an `int`, because subscribers get a `Decimal` as text."""
    normalised = {
        name: int(value) if isinstance(value, Decimal) and value == int(value) else value
        for name, value in values.items()
    }
    return {name: (type(value), value) for name, value in normalised.items()}


@given(values=st.dictionaries(texts, details), body=st.binary(max_size=3000))
def test_details_and_body_are_read_back_unchanged(values: dict[str, Any], body: bytes) -> None:
    item = item_with(values, body)
    assert typed(details_of_item(item)) == typed(values)
    assert body_of_item(item) == body
    assert typed(event_of_item(item).details) == typed(values)


@given(values=st.dictionaries(texts, details), body=st.binary(max_size=3000))
def test_details_and_body_are_read_back_from_the_stream_as_base64(values: dict[str, Any], body: bytes) -> None:
    streamed: Item = json.loads(
        json.dumps(item_with(values, body), default=lambda raw: base64.b64encode(raw).decode("ascii"))
    )
    assert event_of_item(streamed).details == values


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (Decimal(12), 12),
        (Decimal("1.50"), Decimal("1.5")),
        (10**60, str(10**60)),  # DynamoDB cannot store it as a number.
        (Decimal("1E-90"), "1E-90"),
        ("Jane \ud83d", "Jane \ud83d"),
    ],
)
def test_a_detail_is_read_back_with_its_type(value: object, read: object) -> None:
    found = details_of_item(item_with({"name": value}))["name"]
    assert (type(found), found) == (type(read), read)


def test_details_in_the_older_map_format_are_read() -> None:
    older: Item = {"details": {"M": {"trunk": {"S": "main"}, "charge": {"N": "1.25"}, "ended": {"BOOL": True}}}}
    assert details_of_item(older) == {"trunk": "main", "charge": Decimal("1.25"), "ended": True}


@pytest.mark.parametrize("packed", [b"", b"x", b"\x03\x00", base64.b64decode("q1YqAQA=")])
def test_broken_details_raise_value_error(packed: bytes) -> None:
    item = item_with({"a": "b"})
    item["details"] = {"B": packed}
    with pytest.raises(ValueError, match="the details of an event cannot be read"):
        details_of_item(item)


@pytest.mark.parametrize("body", [b"{}", b"\x1f\x8b\x08", b"\x1f\x8b\x08" + b"\0" * 20])
def test_a_broken_body_raises_value_error(body: bytes) -> None:
    item = item_with({"a": "b"})
    item |= {"body": {"B": body}, "body_encoding": {"S": "gzip"}}
    with pytest.raises(ValueError, match="the body of an event cannot be read"):
        event_of_item(item)


@pytest.mark.parametrize("provider", ["wavix", "voipstudio", "bird"])
def test_every_recorded_event_costs_one_write_unit(provider: str) -> None:
    sizes = []
    for event in recordings(provider):
        function = FUNCTIONS[provider]()
        function.deliver(function.sign(event))
        sizes += [size_of({"M": item}) for item in function.items]
    assert len(sizes) > len(recordings(provider)) / 2
    assert max(sizes) <= WRITE_UNIT_BYTES
