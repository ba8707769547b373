"""Requests to AWS, several at once: those of a key wait for each other."""

from __future__ import annotations

import threading

import pytest
from callhooks_tools.recovery.workers import AHEAD, at_once_by_key
from hypothesis import given
from hypothesis import strategies as st

from tests.properties import examples


@given(st.lists(st.integers(0, 5), max_size=3 * AHEAD))
@examples(20)
def test_those_of_a_key_are_done_in_their_order_and_each_once(keys: list[int]) -> None:
    done: list[tuple[int, int]] = []
    things = list(enumerate(keys))

    def work(thing: tuple[int, int]) -> tuple[int, int]:
        done.append(thing)
        return thing

    results = list(at_once_by_key(work, iter(things), key=lambda thing: thing[1]))
    assert sorted(results) == things
    for key in set(keys):
        assert [thing for thing in done if thing[1] == key] == [thing for thing in things if thing[1] == key]


def test_a_slow_one_holds_up_those_of_its_key_alone() -> None:
    done: list[str] = []
    other_done = threading.Event()

    def work(name: str) -> None:
        if name == "a1":
            assert other_done.wait(10)
        done.append(name)
        if name == "b1":
            other_done.set()

    list(at_once_by_key(work, ["a1", "a2", "b1"], key=lambda name: name[0]))
    assert done == ["b1", "a1", "a2"]


def test_what_is_raised_ends_it_before_the_next_of_its_key() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        done.append(number)
        if number == 1:
            raise KeyError

    with pytest.raises(KeyError):
        list(at_once_by_key(work, [0, 1, 2], key=lambda _: "one"))
    assert done == [0, 1]
