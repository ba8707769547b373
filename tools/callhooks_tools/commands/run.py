"""`callhooks run`: start the local stack."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from types import FrameType
from typing import Annotated, NoReturn

import typer
from callhooks.providers.description import Setting

from callhooks_tools.commands import urls as urls_command
from callhooks_tools.providers import registry
from callhooks_tools.stack.connection_guide import Guide
from callhooks_tools.stack.selection import local_option
from callhooks_tools.stack.stack import STACK_FILE, LocalStack
from callhooks_tools.stack.terminal import console, fail, misuse


def run(
    port: Annotated[
        int, typer.Option(help="Port of the HTTP API on 127.0.0.1. 0 picks a free port.", min=0, max=65535)
    ] = 8080,
    parameter: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Template parameter, for example RetentionDays=30. Repeatable."),
    ] = None,
) -> None:
    """Start the whole application on this machine. No AWS account needed."""
    # Imported here because no other command needs the web server.
    from callhooks_tools.local.engine import EngineFailed  # noqa: PLC0415
    from callhooks_tools.local.run import LocalStackFailed, prepare_folder, run_local_stack  # noqa: PLC0415

    parameters = dict(_parameter(text) for text in parameter or [])
    registry.check_before_run()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    started = time.monotonic()
    try:
        logging.basicConfig(filename=prepare_folder(STACK_FILE) / "front.log")
        with run_local_stack(
            port=port,
            parameters=parameters,
            stack_file=STACK_FILE,
            step=_step,
            on_request=_print_request,
        ) as stack:
            _print_summary(stack, time.monotonic() - started)
            while True:
                # A signal that another thread receives would not end signal.pause().
                time.sleep(1)
    except (LocalStackFailed, EngineFailed) as error:
        fail(str(error))
    except KeyboardInterrupt:
        console.print("Stopped.")


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isalnum() or '"' in value:
        misuse(
            f"Invalid --parameter {text!r}. Use NAME=VALUE without quotes, for example --parameter RetentionDays=30."
        )
    return name, value


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    console.print("\nStopping the local stack ...")
    raise KeyboardInterrupt


@contextmanager
def _step(name: str) -> Iterator[None]:
    started = time.monotonic()
    console.print(f"{name} ... ", end="")
    duration = ""
    try:
        yield
        duration = f"{time.monotonic() - started:.1f} s"
    finally:
        console.print(duration)


def _print_summary(stack: LocalStack, seconds: float) -> None:
    guide = Guide(stack.base_url, stack.stack_name, stack.credentials, stack_options=local_option())

    console.print(f"\nReady in {seconds:.0f} s", style="bold green")
    urls_command.show(guide.sections())
    console.print("\nLocal stack", style="bold")
    urls_command.show_fields(
        [
            Setting("AWS endpoint", stack.aws_endpoint_url),
            Setting("Events table", stack.events_table),
            Setting("Function logs", str(STACK_FILE.with_name("run") / "engine.log")),
            Setting("Stack file (JSON)", str(STACK_FILE)),
        ]
    )
    for text in registry.first_deliveries(stack, STACK_FILE.parent):
        console.print(f"\n{text}\n")
    console.print("Press Ctrl-C to stop the local stack and delete its data.")


def _print_request(line: str) -> None:
    console.print(f"{datetime.now():%H:%M:%S}  {line}")  # noqa: DTZ005 - local time
