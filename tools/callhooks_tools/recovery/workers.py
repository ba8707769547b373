"""Requests to AWS, several at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
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


def at_once_by_key(
    work: Callable[[ThingT], ResultT], things: Iterable[ThingT], key: Callable[[ThingT], Hashable]
) -> Iterator[ResultT]:
    """Do the same with each thing, several at once, but one after the other with those of a key, in the things' order.

    The results come in no certain order. What `work` raises ends it, as it ends `at_once`.
    """
    ahead = iter(things)
    while some := list(islice(ahead, AHEAD)):
        of_key: dict[Hashable, list[ThingT]] = {}
        for thing in some:
            of_key.setdefault(key(thing), []).append(thing)
        for results in at_once(lambda alike: [work(thing) for thing in alike], of_key.values()):
            yield from results
