"""Terminal output, shared by all commands: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn, Protocol, TypeAlias, TypeVar

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

COMMAND = "callhooks"
FAILED = 1
USAGE = 2
INTERRUPTED = 130
"""Exit codes: the command failed or refused, the command line is wrong, Ctrl-C (docs/command.md#exit-codes)."""

OutcomeT = TypeVar("OutcomeT", bound=StrEnum)
JsonOutput: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]

# Markup and emoji are off because passwords and paths can look like either.
console = Console(highlight=False, soft_wrap=True, emoji=False, markup=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False, markup=False)


def callhooks(command: str) -> str:
    """Return a `callhooks` command that can be pasted: the name if it is on PATH, otherwise the path that was used."""
    called, on_path = Path(sys.argv[0]), shutil.which(COMMAND)
    if called.name != COMMAND or not called.exists() or (on_path and Path(on_path).samefile(called)):
        return f"{COMMAND} {command}"
    return f"{shlex.quote(_shortest(called))} {command}"


def _shortest(path: Path) -> str:
    """Return a path relative to the current folder if it is inside."""
    absolute, folder = Path(os.path.abspath(path)), Path.cwd()  # noqa: PTH100 - does not follow the links of .venv
    return str(absolute.relative_to(folder)) if absolute.is_relative_to(folder) else str(absolute)


def print_json(value: object) -> None:
    """Print the result of a command as one JSON document: an array if it lists, an object if it shows one thing."""
    print(shown_lines(json.dumps(value, indent=2, ensure_ascii=False, default=_member)))


def show_counts(noun: str, counts: Mapping[OutcomeT, int], outcomes: type[OutcomeT], *, as_json: bool) -> None:
    """Print the number of each outcome. Without JSON, omit outcomes that did not occur."""
    if as_json:
        print_json({outcome.name.lower(): counts.get(outcome, 0) for outcome in outcomes})
    elif counts:
        console.print(
            f"{noun}: {', '.join(f'{counts[outcome]} {outcome}' for outcome in outcomes if outcome in counts)}."
        )


def _member(value: object) -> object:
    """Return a value that JSON does not know as one that it does."""
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def note(message: str) -> None:
    """Print a remark or a hint on standard error."""
    errors.print(message)


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
        raise typer.Exit(FAILED)


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


def fail(message: str, *, code: int = FAILED) -> NoReturn:
    """End the command with an error."""
    errors.print(message, style="red")
    raise typer.Exit(code)


def misuse(message: str) -> NoReturn:
    """End the command because an option or an argument is wrong."""
    fail(message, code=USAGE)
