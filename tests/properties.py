"""Hypothesis profiles: the number of examples in property tests, and whether they are random.

`make test` uses the same examples in every run. `make fuzz` uses random examples, and more of them. `.ci/run` uses
fewer on the oldest Python version, where only the interpreter and its standard library differ.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

FIXED, FUZZ, FEW = "fixed", "fuzz", "few"
FACTORS = {FIXED: 1, FUZZ: 5, FEW: 0.2}


def register_profiles() -> None:
    """Register all profiles and load the one for `make test`; `--hypothesis-profile NAME` loads another."""
    # Hypothesis uses constants of all loaded modules. Turn this off, otherwise a seed does not reproduce a run.
    providers._get_local_constants = lambda: providers._local_constants  # noqa: SLF001 - Hypothesis has no setting for this
    # No time limits: the speed of test machines varies.
    usual = settings(
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    for name, factor in FACTORS.items():
        # Set derandomize explicitly: with a `CI` variable, Hypothesis turns it on.
        most = round(factor * usual.max_examples)
        settings.register_profile(name, usual, derandomize=name != FUZZ, max_examples=most)
    settings.load_profile(FIXED)


def examples(usual: int) -> settings:
    """Return the settings of a test with this many examples in `make test`, and five times as many in `make fuzz`."""
    return settings(max_examples=round(FACTORS[settings.get_current_profile_name()] * usual))
