"""Concurrent requests to AWS."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

MAX_WORKERS = 8
READ_AHEAD = 200

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def map_concurrently(work: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> Iterator[ResultT]:
    """Apply `work` to several items at a time, and yield the results in the order of the items.

    An exception in `work` ends the iteration, after at most `READ_AHEAD` further items have been processed.
    """
    remaining = iter(items)
    with ThreadPoolExecutor(MAX_WORKERS) as workers:
        while batch := list(islice(remaining, READ_AHEAD)):
            yield from workers.map(work, batch)


def map_concurrently_by_key(
    work: Callable[[ItemT], ResultT], items: Iterable[ItemT], key: Callable[[ItemT], Hashable]
) -> Iterator[ResultT]:
    """Apply `work` to several items at a time, but to items with the same key one after the other, in their order.

    The order of the results is undefined. An exception in `work` ends the iteration, as in `map_concurrently`.
    """
    remaining = iter(items)
    while batch := list(islice(remaining, READ_AHEAD)):
        by_key: dict[Hashable, list[ItemT]] = {}
        for item in batch:
            by_key.setdefault(key(item), []).append(item)
        for results in map_concurrently(lambda group: [work(item) for item in group], by_key.values()):
            yield from results
