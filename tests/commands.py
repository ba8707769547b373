"""Output of commands."""

from __future__ import annotations

import os

from typer.testing import Result


def done(result: Result) -> str:
    """Return the output of a command, which must have succeeded."""
    assert result.exit_code == 0, result.output
    return result.stdout


def notes(result: Result) -> str:
    """Return what a command that succeeded printed apart from its result."""
    assert result.exit_code == 0, result.output
    return result.stderr


def failed(result: Result) -> str:
    """Return the errors of a command, which must have failed."""
    assert result.exit_code == 1, result.output
    return result.stderr


def misused(result: Result) -> str:
    """Return the errors of a command whose options or arguments are wrong."""
    assert result.exit_code == 2, result.output
    return result.stderr


def environment_of_make() -> dict[str, str]:
    """Return this environment without the settings of a `make` that runs the tests, and without AWS settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MAKE", "MFLAGS"))}
