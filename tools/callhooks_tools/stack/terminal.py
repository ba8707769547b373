"""Terminal output, shared by all commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn, Protocol

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

# Markup and emoji are off because passwords and paths can look like either.
console = Console(highlight=False, soft_wrap=True, emoji=False, markup=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False, markup=False)


def pretty(text: str) -> str:
    """Return JSON indented and other text unchanged, both with control characters escaped."""
    try:
        return shown_lines(json.dumps(json.loads(text), indent=2, ensure_ascii=False))
    except ValueError:
        return shown_lines(text)


def agree(question: str, *, yes: bool) -> None:
    """Ask for confirmation unless `--yes` was given; end the command if the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"{question} Not a terminal. Re-run with --yes.")
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)


def shown(text: str) -> str:
    """Return text in one line, with unprintable characters escaped, so that it cannot control the terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def shown_lines(text: str) -> str:
    """Return text in its lines, with unprintable characters escaped. JSON stays equal JSON."""
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


class Advance(Protocol):
    """Callback that advances a progress bar."""

    def __call__(self, number: int = 1) -> None:
        """Add to the number of processed items."""


@contextmanager
def progress(noun: str, *, total: int | None = None, done: int = 0) -> Iterator[Advance]:
    """Show a counter on standard error if it is a terminal, with the remaining time if the total is known."""
    columns: list[ProgressColumn] = [SpinnerColumn()]
    if total is None:
        columns += [TextColumn("{task.completed:,}"), TextColumn(noun), TimeElapsedColumn()]
    else:
        columns += [BarColumn(), MofNCompleteColumn(), TextColumn(f"{noun}, left:"), TimeRemainingColumn()]
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as shown_progress:
        task = shown_progress.add_task(noun, total=total, completed=done)

        def advance(number: int = 1) -> None:
            shown_progress.advance(task, number)

        yield advance


def fail(message: str) -> NoReturn:
    """End the command with an error."""
    errors.print(message, style="red")
    raise typer.Exit(1)
