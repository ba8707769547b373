"""What a command printed."""

from __future__ import annotations

from typer.testing import Result


def done(result: Result) -> str:
    """What a command printed that succeeded."""
    assert result.exit_code == 0, result.output
    return result.stdout


def failed(result: Result) -> str:
    """The errors that a command printed that failed."""
    assert result.exit_code == 1, result.output
    return result.stderr
