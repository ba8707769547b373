"""JSON as it is really sent: what no store takes as a number stays text, and `NaN` and `Infinity` are absent."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isfinite

MAX_WHOLE_NUMBER = 38

_ABSENT = object()


def read_json(text: str, *, parse_float: Callable[[str], object] = str) -> object:
    """Return the JSON value in a text; a number that is no whole one, or a very long one, stays the text that was sent.

    `parse_float` makes something else of numbers that are no whole ones. `NaN`, `Infinity` and `-Infinity`, which are
    no JSON, are read as absent: a member of this value is left out, and in a list it is `None`.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    constants: list[str] = []

    def absent(constant: str) -> object:
        constants.append(constant)
        return _ABSENT

    value: object = json.loads(text, parse_int=_whole_number, parse_float=parse_float, parse_constant=absent)
    return _without_absent(value) if constants else value


def finite_float(digits: str) -> float | str:
    """Return a number as a float, or as the text that was sent where it is too large for one."""
    number = float(digits)
    return number if isfinite(number) else digits


def _without_absent(value: object) -> object:
    # No recursion: a document may be nested as deeply as the parser takes it.
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            for name in [name for name, member in node.items() if member is _ABSENT]:
                del node[name]
            waiting.extend(node.values())
        elif isinstance(node, list):
            node[:] = [None if element is _ABSENT else element for element in node]
            waiting.extend(node)
    return None if value is _ABSENT else value


def _whole_number(digits: str) -> int | str:
    # Python refuses to convert more than 4,300 digits, and a float would make two identifiers one.
    return int(digits) if len(digits) <= MAX_WHOLE_NUMBER else digits
