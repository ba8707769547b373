"""The `callhooks` command: a table of all subcommands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from callhooks_tools.providers import registry

COMMANDS: Mapping[str, str] = {
    "run": "callhooks_tools.commands.run:run",
    "sam-local": "callhooks_tools.commands.sam_local:sam_local_app",
    "send": "callhooks_tools.commands.send:send",
    "event": "callhooks_tools.commands.send:event",
    "urls": "callhooks_tools.commands.urls:urls",
    "doctor": "callhooks_tools.commands.doctor:doctor",
    "recover": "callhooks_tools.commands.recover:recover",
    "rebuild": "callhooks_tools.commands.rebuild:rebuild",
    "replay": "callhooks_tools.commands.replay:replay",
    "forget": "callhooks_tools.commands.forget:forget",
    "check-removal": "callhooks_tools.commands.upkeep:check_removal",
    "prune": "callhooks_tools.commands.upkeep:prune",
    "openapi": "callhooks_tools.commands.openapi:openapi",
    "secret": "callhooks_tools.commands.secret:secret_app",
    "quarantine": "callhooks_tools.commands.quarantine:quarantine_app",
    "control": "callhooks_tools.commands.control:control_app",
    **registry.commands(),
}
"""Each command, as the module and the name of its function or its Typer application."""


class _LazyCommands(Mapping[str, object]):
    """All commands. The module of one is imported when it is used, which halves the start of most commands."""

    def __getitem__(self, name: str) -> object:
        return _load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


@cache
def _load(name: str) -> object:
    module, _, attribute = COMMANDS[name].partition(":")
    found = getattr(import_module(module), attribute)
    only = typer.Typer()
    if isinstance(found, typer.Typer):
        only.add_typer(found, name=name)
    else:
        only.command(name)(found)
    return typer.main.get_group(only).commands[name]


class _Group(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": _LazyCommands()})


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
)


@app.callback()
def callhooks() -> None:
    """Run, test and operate a callhooks stack."""


def main() -> None:
    """Run the command."""
    app()
