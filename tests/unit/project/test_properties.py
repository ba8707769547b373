"""Property tests draw the same examples in every run of `make test`, regardless of earlier tests."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties import FIXED, FUZZ, examples


def drawn_examples() -> list[object]:
    """Return the examples that a property test gets."""
    values: list[object] = []

    @given(st.text() | st.integers() | st.floats() | st.binary())
    @settings(settings.get_profile(FIXED), max_examples=200)
    def record(value: object) -> None:
        values.append(value)

    record()
    return list(map(repr, values))


class TestExamplesOfMakeTest:
    def test_are_the_same_in_a_second_run(self) -> None:
        first = drawn_examples()
        random.seed(4711)
        assert drawn_examples() == first

    def test_do_not_depend_on_the_loaded_modules(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = drawn_examples()
        constants = [f"a constant, number {number}" for number in range(500)]
        (tmp_path / "full_of_constants.py").write_text(
            f"TEXTS = {constants}\nNUMBERS = {list(range(90_000, 90_500))}\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        __import__("full_of_constants")
        assert drawn_examples() == first


@pytest.mark.parametrize(("profile", "number"), [("fixed", 30), ("fuzz", 150), ("few", 6)])
def test_the_profile_sets_the_number_of_examples_and_only_fuzz_is_random(profile: str, number: int) -> None:
    usual = settings.get_current_profile_name()
    settings.load_profile(profile)
    try:
        assert examples(30).max_examples == number
        assert settings.get_profile(profile).derandomize is (profile != FUZZ)
        assert settings.get_profile(FUZZ).print_blob, "prints how to repeat a failure"
    finally:
        settings.load_profile(usual)
