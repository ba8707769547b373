"""`callhooks sam-local`: run functions in Lambda's containers, against the local stack."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from callhooks_tools.commands.event import LOCAL_ENV_FILE
from callhooks_tools.stack.stack import ROOT, STACK_FILE, local_aws_environment
from callhooks_tools.stack.terminal import errors, fail

STOP_SECONDS = 20
INTERRUPTED = 130
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
        help="Replace variables of the local stack by those in this sam local file.",
        show_default="events/local-env.json",
    ),
]


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
    if event not in (None, "-"):
        _check_event(Path(event))
    arguments = [function, *(["--event", event] if event else [])]
    raise typer.Exit(_run("invoke", arguments, context.args, env_vars, function=function))


@sam_local_app.command(context_settings=_SETTINGS)
def start_api(
    context: typer.Context,
    port: Annotated[int, typer.Option("--port", "-p", help="Port of the HTTP API.", min=1, max=65535)] = 3000,
    env_vars: EnvVars = LOCAL_ENV_FILE,
) -> None:
    """Serve the HTTP API until Ctrl-C. Each request runs its function in a container.

    Further options go to sam local start-api, for example --warm-containers LAZY.
    """
    # Hooks in responses contain the address of the API, and signatures cover it.
    status = _run("start-api", ["--port", str(port)], context.args, env_vars, public_url=f"http://127.0.0.1:{port}")
    raise typer.Exit(0 if status == INTERRUPTED else status)


def _check_event(path: Path) -> None:
    if path.is_file():
        return
    folder = path.parent if path.parent.is_dir() and path.parent.resolve() != Path.cwd() else ROOT / "events"
    known = sorted(_shown(found) for found in folder.glob("*.json" if folder == path.parent else "*/*.json"))
    fail(f"No such event: {path}. Use one of: {', '.join(known)}")


def _run(
    command: str,
    arguments: Sequence[str],
    options: Sequence[str],
    env_vars: Path,
    *,
    function: str | None = None,
    public_url: str = "",
) -> int:
    """Run `sam local` against the local stack and return its exit status."""
    # Imported here because no other command needs the web server of the local stack.
    from callhooks_tools.local import sam_local  # noqa: PLC0415
    from callhooks_tools.local.containers import Docker, Processor, SamLocalFailed, images_for  # noqa: PLC0415

    for number in SIGNALS:
        signal.signal(number, _interrupt)
    try:
        # Everything that can be missing is checked before the build, which can take a minute.
        functions = sam_local.function_names()
        if function is not None and function not in functions:
            fail(f"Unknown function {function}. Use one of: {', '.join(functions)}")
        own = sam_local.variables_of_file(env_vars)
        stack = sam_local.read_stack()
        deployed = sam_local.variables_of_stack(stack)
        processor, docker = Processor.of_this_machine(), Docker()
        bridge = docker.bridge()
        images = images_for([function] if function else functions, options, processor, sam_local.runtime_version())
        docker.provide(images, processor, may_pull="--skip-pull-image" not in options)

        folder = sam_local.make_folder(STACK_FILE)
        template = sam_local.build(folder, processor)
        with sam_local.engine_for_containers(stack.engine, bridge) as address:
            variables = sam_local.variables_for_containers(deployed, own, stack.engine, address, public_url)
            with sam_local.env_vars_file(folder, variables) as file:
                files = ["--template", _shown(template), "--env-vars", _shown(file)]
                line = [_shown(sam_local.SAM), "local", command, *arguments, *files, *options]
                errors.print(shlex.join(line), style="bold")
                return _run_to_end(line, local_aws_environment(stack.engine))
    except SamLocalFailed as error:
        fail(str(error))
    except KeyboardInterrupt:
        errors.print("Stopped.")
        return INTERRUPTED


def _run_to_end(line: Sequence[str], environment: dict[str, str]) -> int:
    # In a session of its own, so that Ctrl-C reaches it once and it can remove its containers.
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
    """Return a path as short as possible for the current folder."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
