"""Lenient JSON parsing: numbers that cannot be stored stay text, and `NaN` and `Infinity` are dropped."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isfinite

MAX_INTEGER_DIGITS = 38

_ABSENT = object()


def read_json(text: str, *, parse_float: Callable[[str], object] = str) -> object:
    """Return the JSON value in a string. Fractions and integers of more than 38 digits stay the string that was sent.

    `parse_float` converts fractions to something else. `NaN`, `Infinity` and `-Infinity` are not JSON: an object
    member with such a value is dropped, and a list element becomes `None`.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    constants: list[str] = []

    def absent(constant: str) -> object:
        constants.append(constant)
        return _ABSENT

    value: object = json.loads(text, parse_int=_integer_or_text, parse_float=parse_float, parse_constant=absent)
    return _without_absent(value) if constants else value


def finite_float(digits: str) -> float | str:
    """Return a number as a float, or the text that was sent if it is too large for one."""
    number = float(digits)
    return number if isfinite(number) else digits


def _without_absent(value: object) -> object:
    # Not recursive: a document may be as deeply nested as the parser allows.
    pending = [value]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            for name in [name for name, member in node.items() if member is _ABSENT]:
                del node[name]
            pending.extend(node.values())
        elif isinstance(node, list):
            node[:] = [None if element is _ABSENT else element for element in node]
            pending.extend(node)
    return None if value is _ABSENT else value


def _integer_or_text(digits: str) -> int | str:
    # Python does not convert more than 4,300 digits, and a float could merge two identifiers.
    return int(digits) if len(digits) <= MAX_INTEGER_DIGITS else digits
