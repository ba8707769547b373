"""How many examples property tests take, and whether they are the same each time: the profiles of Hypothesis.

`make test` takes the same examples in every run. `make fuzz` takes others in each round, and more of them.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

SAME, FUZZ = "same", "fuzz"
FUZZ_FACTOR = 5


def register_profiles() -> None:
    """Register both profiles and load the one of `make test`; `--hypothesis-profile fuzz` loads the other."""
    # Hypothesis mixes in the constants of every module that happens to be loaded: a seed would not repeat anything.
    providers._get_local_constants = lambda: providers._local_constants  # noqa: SLF001 - there is no setting for it
    # Machines are noisy: neither a test nor the making of its examples is held to a time.
    usual = settings(
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    settings.register_profile(SAME, usual, derandomize=True)
    # Hypothesis takes the same examples each time where it finds a `CI` variable.
    settings.register_profile(FUZZ, usual, derandomize=False, max_examples=FUZZ_FACTOR * usual.max_examples)
    settings.load_profile(SAME)


def examples(usual: int) -> settings:
    """Return the settings of a test that takes this many examples in `make test`, and more in `make fuzz`."""
    factor = FUZZ_FACTOR if settings.get_current_profile_name() == FUZZ else 1
    return settings(max_examples=factor * usual)
