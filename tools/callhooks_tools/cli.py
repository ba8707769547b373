"""The `callhooks` command."""

from __future__ import annotations

import json
import logging
import secrets as generated_secrets
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import httpx
import typer
from callhooks.providers.description import Setting

from callhooks_tools.commands import doctor as doctor_command
from callhooks_tools.commands import forget as forget_command
from callhooks_tools.commands import rebuild as rebuild_command
from callhooks_tools.commands import recover as recover_command
from callhooks_tools.commands import replay as replay_command
from callhooks_tools.commands import urls as urls_command
from callhooks_tools.commands.control import control_app
from callhooks_tools.commands.quarantine import quarantine_app
from callhooks_tools.providers import registry
from callhooks_tools.stack import recordings as deliveries
from callhooks_tools.stack.connection_guide import Guide
from callhooks_tools.stack.provider_names import checked_name
from callhooks_tools.stack.secrets import (
    CONSOLE_PASSWORD,
    SHORTEST_TOKEN,
    TOKEN,
    LastSecret,
    SecretKind,
    SenderSecrets,
    masked,
    secret_kinds,
)
from callhooks_tools.stack.stack import (
    ROOT,
    STACK_FILE,
    LocalStack,
    StackUnknown,
)
from callhooks_tools.stack.terminal import StackName, console, fail, pretty, running_stack, stack_in_aws

LOCAL_ENV_FILE = ROOT / "events" / "local-env.json"
SHORTEST_SECRET = 8
GENERATED_SECRET_BYTES = 20
app = typer.Typer(
    help="Run, try and operate callhooks: every voice webhook answered, verified and kept.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
)
secret_app = typer.Typer(
    help="Secrets of which several are valid at once: webhook secrets, signing keys, tokens in URLs, passwords.",
    no_args_is_help=True,
)
app.add_typer(secret_app, name="secret")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(control_app, name="control")
app.command("rebuild")(rebuild_command.rebuild)
app.command("replay")(replay_command.replay)
app.command("forget")(forget_command.forget)
app.command("recover")(recover_command.recover)
app.command("urls")(urls_command.urls)
app.command("doctor")(doctor_command.doctor)
registry.register(app)

EventFile = Annotated[Path, typer.Argument(help="A recorded delivery, such as events/PROVIDER/CASE.json.")]


def checked_kind(text: str) -> str:
    """The name of a kind of secrets.

    Raises:
        BadParameter: there is no such kind; names those that there are.
    """
    if text not in secret_kinds():
        raise typer.BadParameter(f"{text} is none of {', '.join(secret_kinds())}.")
    return text


KindName = Annotated[
    str,
    typer.Argument(parser=checked_kind, metavar="KIND", help="Which secrets: a provider's name, or console-password."),
]


@app.command()
def run(
    port: Annotated[
        int, typer.Option(help="Port of the HTTP API on 127.0.0.1; 0 takes a free one.", min=0, max=65535)
    ] = 8080,
    parameter: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A parameter of template.yaml, such as RetentionDays=30."),
    ] = None,
) -> None:
    """Start the whole application on this machine, without an AWS account."""
    # The web server of the front is imported by the one command that needs it.
    from callhooks_tools.local.engine import EngineFailed  # noqa: PLC0415
    from callhooks_tools.local.run import LocalRunFailed, local_run, prepare_folder  # noqa: PLC0415

    parameters = dict(_parameter(text) for text in parameter or [])
    registry.check_before_run()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    started = time.monotonic()
    try:
        logging.basicConfig(filename=prepare_folder(STACK_FILE) / "front.log")
        with local_run(
            port=port,
            parameters=parameters,
            stack_file=STACK_FILE,
            step=_step,
            tell_request=_tell_request,
        ) as stack:
            _show(stack, time.monotonic() - started)
            while True:
                signal.pause()
    except (LocalRunFailed, EngineFailed) as error:
        fail(str(error))
    except KeyboardInterrupt:
        console.print("Stopped; nothing is left running.")


@app.command()
def send(
    files: Annotated[list[Path], typer.Argument(help="Recorded deliveries, such as events/PROVIDER/CASE.json.")],
    new_call: Annotated[
        bool,
        typer.Option("--new-call", help="Give each call an id not seen before, begun now; its events stay together."),
    ] = False,
    body_of: Annotated[
        str | None,
        typer.Option(
            "--as",
            parser=checked_name,
            metavar="PROVIDER",
            help="The files are bodies alone, to be sent as this provider sends them.",
        ),
    ] = None,
) -> None:
    """Send recorded deliveries to the running stack, signed or addressed for the provider they belong to."""
    stack, credentials = running_stack()
    new_ids = deliveries.NewCallIds()
    to_send = []
    with _errors():
        for file in files:
            delivery = deliveries.delivery_of_body(file, body_of) if body_of else deliveries.read_delivery(file)
            provider = delivery.provider
            if new_call:
                delivery = new_ids.renew(delivery, file)
            to_send.append((file, provider, delivery))
            # Before anything is sent.
            credentials.of(provider)
    if new_call:
        moved = deliveries.begun(datetime.now(UTC), [delivery for _, _, delivery in to_send])
        to_send = [(file, provider, delivery) for (file, provider, _), delivery in zip(to_send, moved, strict=True)]
    failed = False
    with httpx.Client(base_url=stack.base_url, timeout=15, trust_env=False) as client:
        for file, provider, recorded in to_send:
            delivery = deliveries.as_sent_by(
                provider, recorded, credentials.of(provider), datetime.now(UTC), base_url=stack.base_url
            )
            request = delivery.request
            started = time.monotonic()
            try:
                response = client.request(
                    request.method,
                    request.path,
                    params=request.query,
                    headers=delivery.headers_to_send,
                    content=request.body,
                )
            except httpx.TransportError as error:
                fail(f"{stack.base_url} does not answer ({type(error).__name__}). Is make run still running?")
            replayed = "  (a repeat: the first answer again)" if "idempotent-replayed" in response.headers else ""
            console.print(
                f"{request.method} {recorded.route}  {file.name}  "
                f"{response.status_code}  {1000 * (time.monotonic() - started):.0f} ms{replayed}"
            )
            if response.text:
                console.print(pretty(response.text))
            failed = failed or not response.is_success
    if failed:
        raise typer.Exit(1)


@app.command()
def event(
    file: EventFile,
    env_vars: Annotated[
        Path, typer.Option(help="Take the credentials from this sam local file.", show_default="events/local-env.json")
    ] = LOCAL_ENV_FILE,
    running: Annotated[bool, typer.Option("--running", help="Take those of the running stack instead.")] = False,
) -> None:
    """Print a recorded event as its provider sends it now, to be piped into sam local invoke -e -."""
    with _errors():
        delivery = deliveries.read_delivery(file)
        provider = delivery.provider
        if running:
            stack, credentials = running_stack()
            access, base_url = credentials.of(provider), stack.base_url
        else:
            access, base_url = deliveries.access_of_env_vars(env_vars, provider), ""
        sent = deliveries.as_sent_by(provider, delivery, access, datetime.now(UTC), base_url=base_url)
    print(json.dumps(sent.event, indent=2, ensure_ascii=False))


@app.command()
def openapi() -> None:
    """Print the description of the call log's API (OpenAPI 3.1)."""
    # Powertools' routes are imported by the one command that needs them.
    from callhooks.call_log.routes import openapi_text  # noqa: PLC0415

    print(openapi_text(), end="")


@secret_app.command("list")
def secret_list(
    kind: KindName,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show them whole.")] = False,
    stack_name: StackName = None,
) -> None:
    """Show the ends of the secrets that are valid now, the newest first."""
    known = _secrets_of(kind, stack_name).read()
    if not known:
        console.print(_none_left(kind, "No {words} is configured: {follows}."))
    for secret in known:
        console.print(secret if reveal else masked(secret))


@secret_app.command("add")
def secret_add(
    kind: KindName,
    generate: Annotated[bool, typer.Option("--generate", help="Make a random one instead of asking.")] = False,
    stack_name: StackName = None,
) -> None:
    """Make one more secret valid; asks for it, or reads it from standard input."""
    secret_kind = secret_kinds()[kind]
    words = secret_kind.secret.words
    if generate and secret_kind.secret.is_theirs:
        fail(f"The {words} is made by {secret_kind.owner}: take it from its portal.")
    secret = generated_secrets.token_hex(GENERATED_SECRET_BYTES) if generate else _ask_secret(words)
    _check_secret(secret_kind, secret)
    if not _secrets_of(kind, stack_name).add(secret):
        console.print(f"The {_named(kind)} {masked(secret)} is valid already.")
        return
    console.print(f"The {_named(kind)} {masked(secret)} is valid within five minutes.")
    if not secret_kind.secret.is_theirs:
        users = "those who sign in" if kind == CONSOLE_PASSWORD else "the provider"
        console.print(
            f"callhooks urls --credentials shows it. After those five minutes give it to {users}, then remove the old "
            f"one, which callhooks secret list {kind} --reveal shows."
        )


@secret_app.command("remove")
def secret_remove(kind: KindName, stack_name: StackName = None) -> None:
    """Take a secret away; asks for it, or reads it from standard input."""
    words = secret_kinds()[kind].secret.words
    secret = _ask_secret(words)
    known = _secrets_of(kind, stack_name)
    try:
        removed = known.remove(secret)
    except LastSecret:
        fail(f"That is the only {words}: add another one first, or nothing would be let in.")
    if not removed:
        fail(f"That {words} is not configured.")
    console.print(f"The {_named(kind)} {masked(secret)} is not valid any more in five minutes.")
    if not known.read():
        console.print(_none_left(kind, "No {words} is left: {follows} any more."))


def main() -> None:
    """Entry point of the command."""
    app()


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isalnum() or '"' in value:
        fail(f"--parameter takes NAME=VALUE, and not {text}")
    return name, value


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    console.print("\nStopping ...")
    raise KeyboardInterrupt


@contextmanager
def _step(name: str) -> Iterator[None]:
    started = time.monotonic()
    console.print(f"{name} ... ", end="")
    try:
        yield
    except BaseException:
        console.print()
        raise
    console.print(f"{time.monotonic() - started:.1f} s")


def _show(stack: LocalStack, seconds: float) -> None:
    guide = Guide(stack.base_url, stack.stack_name, stack.credentials)

    console.print(f"\nReady after {seconds:.0f} s", style="bold green")
    urls_command.show(guide.sections())
    console.print("\nThis run", style="bold")
    urls_command.show_fields(
        [
            Setting("AWS endpoint", stack.aws_endpoint_url),
            Setting("Table of events", stack.events_table),
            Setting("Logs of the functions", str(STACK_FILE.with_name("run") / "engine.log")),
            Setting("For programs", str(STACK_FILE)),
        ]
    )
    for text in registry.first_deliveries(stack, STACK_FILE.parent):
        console.print(f"\n{text}\n")
    console.print("Ctrl-C stops everything.")


def _tell_request(line: str) -> None:
    console.print(f"{datetime.now():%H:%M:%S}  {line}")  # noqa: DTZ005 - the time on the user's own clock


def _secrets_of(kind: str, stack_name: str | None) -> SenderSecrets:
    session, outputs = stack_in_aws(stack_name)
    try:
        return SenderSecrets.of(kind, session, outputs)
    except StackUnknown as error:
        fail(str(error))


def _named(kind: str) -> str:
    return f"{kind.partition('-')[0]} {secret_kinds()[kind].secret.words}"


def _none_left(kind: str, text: str) -> str:
    secret = secret_kinds()[kind].secret
    return text.format(words=secret.words, follows=secret.unchecked or "nothing is let in")


def _ask_secret(name: str) -> str:
    text = typer.prompt(name.capitalize(), hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    secret = str(text).strip()
    if not secret:
        fail(f"No {name} was given.")
    return secret


def _check_secret(kind: SecretKind, secret: str) -> None:
    if kind.secret.is_in_url and not TOKEN.fullmatch(secret):
        fail(f"A token stands in a URL: it has at least {SHORTEST_TOKEN} letters, digits or any of . _ ~ -")
    shortest = kind.shortest or SHORTEST_SECRET
    if len(secret) < shortest or not secret.isprintable():
        fail(f"A {kind.secret.words} has at least {shortest} printable characters.")


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except (deliveries.DeliveryUnusable, StackUnknown) as error:
        fail(str(error))
