"""Limits of DynamoDB items: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tests.support import MAX_ITEM_BYTES, resource, size_of

MAX_NAME_BYTES = 65_535
MAX_NESTING = 32
MAX_DIGITS = 38

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)


def assert_storable(item: Mapping[str, Any]) -> None:
    """Fail if DynamoDB would reject an item because of its size, its keys or its values."""
    assert size_of({"M": item}) <= MAX_ITEM_BYTES
    limits = {"pk": 2048, "sk": 1024}
    for index in resource("EventsTable")["GlobalSecondaryIndexes"]:
        for key, limit in zip(index["KeySchema"], (2048, 1024), strict=False):
            if key["AttributeName"] in item:
                limits[key["AttributeName"]] = limit
    for name, limit in limits.items():
        assert 0 < len(item[name]["S"].encode()) <= limit, name
    _assert_storable_value({"M": dict(item)}, MAX_NESTING)


def _assert_storable_value(value: Mapping[str, Any], levels: int) -> None:
    assert levels > 0
    ((kind, content),) = value.items()
    match kind:
        case "M":
            for name, member in content.items():
                assert 0 < len(name.encode()) <= MAX_NAME_BYTES
                _assert_storable_value(member, levels - 1)
        case "L":
            for member in content:
                _assert_storable_value(member, levels - 1)
        case "N":
            assert _NUMBER.fullmatch(content), content
            digits = "".join(map(str, Decimal(content).as_tuple().digits)).strip("0")
            assert len(digits) <= MAX_DIGITS, content
            assert not digits or -130 <= Decimal(content).adjusted() <= 125, content
        case "S":
            content.encode()  # no lone surrogate
        case "B":
            assert isinstance(content, bytes)
        case _:
            assert kind == "BOOL", kind
            assert isinstance(content, bool)
