"""The `callhooks` command: a table of all subcommands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from callhooks_tools.providers import registry

DISTRIBUTION = "callhooks-tools"
CONTEXT: Mapping[str, Any] = {"help_option_names": ["--help", "-h"]}
COMMANDS: Mapping[str, tuple[str, str]] = {
    "run": ("callhooks_tools.commands.run:run", "Start the whole application on this machine."),
    "sam-local": (
        "callhooks_tools.commands.sam_local:sam_local_app",
        "Run functions in containers with sam local. Needs Docker.",
    ),
    "send": ("callhooks_tools.commands.send:send", "Send recorded webhooks to the local stack."),
    "event": ("callhooks_tools.commands.send:event", "Print a recorded webhook, signed now, for sam local."),
    "urls": ("callhooks_tools.commands.urls:urls", "Show what to enter at each provider, and the console's address."),
    "doctor": ("callhooks_tools.commands.doctor:doctor", "Check a stack, and explain what is wrong."),
    "recover": ("callhooks_tools.commands.recover:recover", "Store deliveries that are only in the logs."),
    "rebuild": ("callhooks_tools.commands.rebuild:rebuild", "Rebuild call records from stored events."),
    "replay": ("callhooks_tools.commands.replay:replay", "Publish stored events again."),
    "forget": ("callhooks_tools.commands.forget:forget", "Remove a person's events and calls."),
    "check-removal": (
        "callhooks_tools.commands.upkeep:check_removal",
        "Check that a stack has no subscribers, before you remove it.",
    ),
    "prune": ("callhooks_tools.commands.upkeep:prune", "Delete old versions of the functions."),
    "openapi": ("callhooks_tools.commands.openapi:openapi", "Print the OpenAPI description of the call log API."),
    "secret": ("callhooks_tools.commands.secret:secret_app", "Manage secrets, signing keys, tokens and passwords."),
    "quarantine": (
        "callhooks_tools.commands.quarantine:quarantine_app",
        "Inspect and retry deliveries that could not be processed.",
    ),
    "control": (
        "callhooks_tools.commands.control:control_app",
        "Show, transfer or end a call through its provider's API.",
    ),
    **registry.commands(),
}
"""Each command: the module and the name of its function or Typer application, and its line in the list of commands."""


class _LazyCommands(Mapping[str, object]):
    """All commands. The module of one is imported when it is used."""

    def __getitem__(self, name: str) -> object:
        return _load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


@cache
def _load(name: str) -> object:
    module, _, attribute = COMMANDS[name][0].partition(":")
    found = getattr(import_module(module), attribute)
    only = typer.Typer()
    if isinstance(found, typer.Typer):
        only.add_typer(found, name=name)
    else:
        only.command(name)(found)
    command = typer.main.get_group(only).commands[name]
    _hide_types_of_flags(command)
    return command


def _hide_types_of_flags(command: Any) -> None:
    """Remove `<bool>` from the help of a command and of its commands."""
    for parameter in command.get_params(typer.Context(command, **CONTEXT)):
        _hide_type_of_flag(parameter)
    for nested in getattr(command, "commands", {}).values():
        _hide_types_of_flags(nested)


def _hide_type_of_flag(parameter: Any) -> None:
    if getattr(parameter, "is_flag", False):
        parameter.metavar = ""


class _Group(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": _LazyCommands()})

    def get_params(self, ctx: Any) -> Any:
        """Return the options, with `-h`."""
        parameters = super().get_params(ctx)
        for parameter in parameters:
            _hide_type_of_flag(parameter)
        return parameters

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - defined by Typer
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - defined by Typer
        """Return a command for the list of commands, without importing its module; `None` if there is none."""
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name][1]) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command to run, with its name and arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and self.commands[str(name)], rest


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings=dict(CONTEXT),
)


def _print_version(value: bool) -> None:
    if value:
        # Imported here because only this option needs it.
        from importlib.metadata import version  # noqa: PLC0415

        print(f"callhooks {version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def callhooks(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Run, test and operate a callhooks stack."""


def main() -> None:
    """Run the command."""
    app()
