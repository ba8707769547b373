"""What property tests draw: the same in every run of `make test`, whatever ran before."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.properties import FUZZ, FUZZ_FACTOR, SAME, examples


def drawn() -> list[object]:
    """The examples of a property test."""
    values: list[object] = []

    @given(st.text() | st.integers() | st.floats() | st.binary())
    @settings(settings.get_profile(SAME), max_examples=200)
    def take(value: object) -> None:
        values.append(value)

    take()
    return list(map(repr, values))


class TestTheExamplesOfMakeTest:
    def test_are_the_same_again(self) -> None:
        first = drawn()
        random.seed(4711)
        assert drawn() == first

    def test_do_not_depend_on_the_modules_that_are_loaded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = drawn()
        constants = [f"a constant, number {number}" for number in range(500)]
        (tmp_path / "full_of_constants.py").write_text(
            f"TEXTS = {constants}\nNUMBERS = {list(range(90_000, 90_500))}\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        __import__("full_of_constants")
        assert drawn() == first

    def test_are_held_to_no_time(self) -> None:
        profile = settings.get_profile(SAME)
        assert (profile.deadline, profile.database) == (None, None)
        assert HealthCheck.too_slow in profile.suppress_health_check


@pytest.mark.parametrize(("profile", "number"), [(SAME, 30), (FUZZ, 30 * FUZZ_FACTOR)])
def test_a_test_takes_as_many_as_it_says_or_a_multiple(profile: str, number: int) -> None:
    usual = settings.get_current_profile_name()
    settings.load_profile(profile)
    try:
        assert examples(30).max_examples == number
    finally:
        settings.load_profile(usual)


def test_make_fuzz_takes_others_and_more() -> None:
    profile = settings.get_profile(FUZZ)
    assert not profile.derandomize
    assert profile.print_blob
    assert profile.max_examples >= 5 * settings.get_profile(SAME).max_examples
