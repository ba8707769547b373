"""Requests to AWS, several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

AT_ONCE = 8
AHEAD = 200

ThingT = TypeVar("ThingT")
ResultT = TypeVar("ResultT")


def at_once(work: Callable[[ThingT], ResultT], things: Iterable[ThingT]) -> Iterator[ResultT]:
    """Do the same with each thing, several at once, and give the results in the things' order.

    What `work` raises ends it; at most `AHEAD` things more are then still done.
    """
    ahead = iter(things)
    with ThreadPoolExecutor(AT_ONCE) as workers:
        while some := list(islice(ahead, AHEAD)):
            yield from workers.map(work, some)
