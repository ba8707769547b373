"""`callhooks sam-local`: run functions in Lambda's containers, against the local stack."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from callhooks_tools.commands.send import LOCAL_ENV_FILE
from callhooks_tools.local import sam_local
from callhooks_tools.local.build import in_use
from callhooks_tools.local.containers import Docker, Processor, SamLocalFailed, images_for
from callhooks_tools.stack.stack import STACK_FILE, local_aws_environment
from callhooks_tools.stack.terminal import INTERRUPTED, errors, fail, misuse

STOP_SECONDS = 20
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

sam_local_app = typer.Typer(
    no_args_is_help=True,
    help="Run functions in containers with sam local, against the running local stack. Needs Docker.",
)

# Options that this command does not know go to `sam local`.
_SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}

EnvVars = Annotated[
    Path,
    typer.Option(
        "--env-vars",
        "-n",
        help="Replace variables of the local stack by the ones in this sam local file.",
        show_default="events/local-env.json",
    ),
]


@dataclass(frozen=True, slots=True)
class _Command:
    """A command of `sam local`, with the options that go to it unchanged."""

    name: str
    options: Sequence[str]
    env_vars: Path
    function: str | None = None
    event: str | None = None
    port: int | None = None

    @property
    def public_url(self) -> str:
        """Return the address of the API, for hooks in responses and for signatures; empty for the one in the event."""
        return "" if self.port is None else f"http://127.0.0.1:{self.port}"


@sam_local_app.command(context_settings=_SETTINGS)
def invoke(
    context: typer.Context,
    function: Annotated[str, typer.Argument(help="The function's name in template.yaml.")],
    event: Annotated[
        str | None,
        typer.Option("--event", "-e", help="The event, for example events/PROVIDER/CASE.json, or - for stdin."),
    ] = None,
    env_vars: EnvVars = LOCAL_ENV_FILE,
) -> None:
    """Invoke a function once and print its response.

    Further options go to sam local invoke, for example --skip-pull-image or --debug.
    """
    text = None if event is None else _read_event(event)
    raise typer.Exit(_run(_Command("invoke", context.args, env_vars, function=function, event=text)))


@sam_local_app.command(context_settings=_SETTINGS)
def start_api(
    context: typer.Context,
    port: Annotated[int, typer.Option("--port", "-p", help="Port of the HTTP API.", min=1, max=65535)] = 3000,
    env_vars: EnvVars = LOCAL_ENV_FILE,
) -> None:
    """Serve the HTTP API until Ctrl-C. Each request runs its function in a container.

    Further options go to sam local start-api, for example --warm-containers LAZY.
    """
    status = _run(_Command("start-api", context.args, env_vars, port=port))
    raise typer.Exit(0 if status == INTERRUPTED else status)


def _read_event(name: str) -> str:
    if name == "-":
        return sys.stdin.read()
    path = Path(name)
    if not path.is_file():
        others = ", ".join(_shown(other) for other in sorted(path.parent.glob("*.json")))
        fail(f"No such event: {name}. " + (f"Use one of: {others}" if others else "Recorded ones are events/*/*.json."))
    try:
        return path.read_text("utf-8")
    except OSError as error:
        fail(f"{name}: {error.strerror}")
    except UnicodeDecodeError:
        fail(f"{name} is not UTF-8.")


def _run(command: _Command) -> int:
    """Run a command against the local stack and return its exit status."""
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    try:
        # Check everything that can be missing before the build, which can take a minute.
        functions = sam_local.function_names()
        if command.function is not None and command.function not in functions:
            misuse(f"Unknown function {command.function}. Use one of: {', '.join(functions)}")
        event = None if command.event is None else sam_local.with_new_request_id(command.event)
        own = sam_local.variables_of_file(command.env_vars)
        stack = sam_local.read_stack()
        deployed = sam_local.variables_of_stack(stack)
        processor, docker = Processor.of_this_machine(), Docker()
        bridge = docker.bridge()
        used = functions if command.function is None else [command.function]
        images = images_for(used, command.options, processor, sam_local.runtime_version())
        docker.provide(images, processor, may_pull="--skip-pull-image" not in command.options)

        folder = sam_local.make_folder(STACK_FILE)
        template = sam_local.build(folder, processor)
        line = [_shown(sam_local.SAM), "local", command.name, *([command.function] if command.function else [])]
        with ExitStack() as files:
            files.enter_context(in_use(template.parent))
            address = files.enter_context(sam_local.engine_for_containers(stack.engine, bridge))
            variables = sam_local.variables_for_containers(deployed, own, stack.engine, address, command.public_url)
            file = files.enter_context(sam_local.private_file(folder, "env-vars", json.dumps(variables)))
            line += ["--template", _shown(template), "--env-vars", _shown(file)]
            if event is not None:
                line += ["--event", _shown(files.enter_context(sam_local.private_file(folder, "event", event)))]
            if command.port is not None:
                line += ["--port", str(command.port)]
            line += command.options
            errors.print(shlex.join(line), style="bold")
            return _run_to_end(line, local_aws_environment(stack.engine))
    except SamLocalFailed as error:
        fail(str(error))
    except KeyboardInterrupt:
        errors.print("Stopped.")
        return INTERRUPTED


def _run_to_end(line: Sequence[str], environment: dict[str, str]) -> int:
    # In a separate session, so that Ctrl-C reaches it once and it can remove its containers.
    process = subprocess.Popen(line, env={**environment, "SAM_CLI_TELEMETRY": "0"}, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        raise


def _shown(path: Path) -> str:
    """Return a path that is as short as possible in the current folder."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
