"""What the commands share: the terminal, and the stack that a command is about."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, NoReturn, Protocol

import typer
from boto3.session import Session
from botocore.exceptions import BotoCoreError
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

from callhooks_tools.stack.secrets import read_credentials
from callhooks_tools.stack.stack import LocalStack, StackCredentials, StackOutputs, StackUnknown, use_local_engine

# No markup and no emoji but where it is written here: passwords and paths may look like either.
console = Console(highlight=False, soft_wrap=True, emoji=False, markup=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False, markup=False)

StackName = Annotated[
    str | None, typer.Option("--stack", help="A stack in AWS, with your own AWS credentials; else the local run.")
]


def local_stack() -> LocalStack:
    """The local run; ends the command where none is running."""
    try:
        return LocalStack.read()
    except StackUnknown as error:
        fail(str(error))


def running_stack() -> tuple[LocalStack, StackCredentials]:
    """The local run with the credentials that are valid now, and not when it was started."""
    stack = local_stack()
    return stack, read_credentials(*stack_in_aws(None))


def stack_in_aws(stack_name: str | None) -> tuple[Session, StackOutputs]:
    """A stack in AWS, or the local run where none is named; ends the command where it cannot be read."""
    session, name, _ = session_of(stack_name)
    try:
        return session, StackOutputs.read(session, name)
    except StackUnknown as error:
        fail(str(error))


def session_of(stack_name: str | None) -> tuple[Session, str, str | None]:
    """A session for a stack, its name, and where the local engine is; that is `None` for a stack in AWS."""
    if stack_name is not None:
        return _users_session(), stack_name, None
    local = local_stack()
    return use_local_engine(local.engine), local.stack_name, local.aws_endpoint_url


def _users_session() -> Session:
    try:
        # boto3 itself looks at AWS_DEFAULT_REGION alone, Lambda and other SDKs at AWS_REGION.
        return Session(region_name=os.environ.get("AWS_REGION"))
    except BotoCoreError as error:
        fail(f"AWS cannot be asked: {error}")


def pretty(text: str) -> str:
    """Return JSON with line ends and indents, other text as it is; nothing in it does anything to a terminal."""
    try:
        return shown_lines(json.dumps(json.loads(text), indent=2, ensure_ascii=False))
    except ValueError:
        return shown_lines(text)


def agree(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be taken back, but for `--yes`; ends the command where the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"{question} Nobody can be asked here: --yes does it.")
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)


def shown(text: str) -> str:
    """Text that was sent, in one line that does nothing to a terminal: what cannot be printed is escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def shown_lines(text: str) -> str:
    """Return text that was sent, in its lines, with what cannot be printed escaped; JSON stays the same JSON."""
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


class Advance(Protocol):
    """Is called after each thing, or after some together."""

    def __call__(self, number: int = 1) -> None:
        """Count so many more."""


@contextmanager
def progress(things: str, *, total: int | None = None, done: int = 0) -> Iterator[Advance]:
    """Count things on standard error, where somebody looks, and tell how long the rest takes where there is a total."""
    columns: list[ProgressColumn] = [SpinnerColumn()]
    if total is None:
        columns += [TextColumn("{task.completed:,}"), TextColumn(things), TimeElapsedColumn()]
    else:
        columns += [BarColumn(), MofNCompleteColumn(), TextColumn(f"{things}, left:"), TimeRemainingColumn()]
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as shown_progress:
        task = shown_progress.add_task(things, total=total, completed=done)

        def advance(number: int = 1) -> None:
            shown_progress.advance(task, number)

        yield advance


def fail(message: str) -> NoReturn:
    """End the command with an error."""
    errors.print(message, style="red")
    raise typer.Exit(1)
