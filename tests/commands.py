"""Output of commands."""

from __future__ import annotations

from typer.testing import Result


def done(result: Result) -> str:
    """Return the output of a command, which must have succeeded."""
    assert result.exit_code == 0, result.output
    return result.stdout


def failed(result: Result) -> str:
    """Return the errors of a command, which must have failed."""
    assert result.exit_code == 1, result.output
    return result.stderr
