"""Hypothesis profiles: the number of examples in property tests, and whether they are random.

`make test` uses the same examples in every run. `make fuzz` uses random examples, and more of them.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

FIXED, FUZZ = "fixed", "fuzz"
FUZZ_FACTOR = 5


def register_profiles() -> None:
    """Register both profiles and load the one for `make test`; `--hypothesis-profile fuzz` loads the other."""
    # Hypothesis uses constants of all loaded modules. Turn this off, otherwise a seed does not reproduce a run.
    providers._get_local_constants = lambda: providers._local_constants  # noqa: SLF001 - Hypothesis has no setting for this
    # No time limits: the speed of test machines varies.
    usual = settings(
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    settings.register_profile(FIXED, usual, derandomize=True)
    # Set derandomize explicitly: with a `CI` variable, Hypothesis turns it on.
    settings.register_profile(FUZZ, usual, derandomize=False, max_examples=FUZZ_FACTOR * usual.max_examples)
    settings.load_profile(FIXED)


def examples(usual: int) -> settings:
    """Return the settings of a test with this many examples in `make test`, and more in `make fuzz`."""
    factor = FUZZ_FACTOR if settings.get_current_profile_name() == FUZZ else 1
    return settings(max_examples=factor * usual)
