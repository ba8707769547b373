"""Concurrent requests to AWS: items with the same key wait for each other."""

from __future__ import annotations

import threading

import pytest
from callhooks_tools.recovery.workers import READ_AHEAD, map_concurrently_by_key
from hypothesis import given
from hypothesis import strategies as st

from tests.properties import examples


@given(st.lists(st.integers(0, 5), max_size=3 * READ_AHEAD))
@examples(20)
def test_items_with_the_same_key_are_processed_once_and_in_order(keys: list[int]) -> None:
    done: list[tuple[int, int]] = []
    items = list(enumerate(keys))

    def work(item: tuple[int, int]) -> tuple[int, int]:
        done.append(item)
        return item

    results = list(map_concurrently_by_key(work, iter(items), key=lambda item: item[1]))
    assert sorted(results) == items
    for key in set(keys):
        assert [item for item in done if item[1] == key] == [item for item in items if item[1] == key]


def test_a_slow_item_delays_only_items_with_the_same_key() -> None:
    done: list[str] = []
    other_done = threading.Event()

    def work(name: str) -> None:
        if name == "a1":
            assert other_done.wait(10)
        done.append(name)
        if name == "b1":
            other_done.set()

    list(map_concurrently_by_key(work, ["a1", "a2", "b1"], key=lambda name: name[0]))
    assert done == ["b1", "a1", "a2"]


def test_an_exception_ends_the_iteration_before_the_next_item_of_the_key() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        done.append(number)
        if number == 1:
            raise KeyError

    with pytest.raises(KeyError):
        list(map_concurrently_by_key(work, [0, 1, 2], key=lambda _: "one"))
    assert done == [0, 1]
