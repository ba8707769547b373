"""The `callhooks` command: registers all subcommands."""

from __future__ import annotations

import typer

from callhooks_tools.commands.control import control_app
from callhooks_tools.commands.doctor import doctor
from callhooks_tools.commands.event import event
from callhooks_tools.commands.forget import forget
from callhooks_tools.commands.openapi import openapi
from callhooks_tools.commands.quarantine import quarantine_app
from callhooks_tools.commands.rebuild import rebuild
from callhooks_tools.commands.recover import recover
from callhooks_tools.commands.replay import replay
from callhooks_tools.commands.run import run
from callhooks_tools.commands.secret import secret_app
from callhooks_tools.commands.send import send
from callhooks_tools.commands.urls import urls
from callhooks_tools.providers import registry

app = typer.Typer(
    help="Run, test and operate a callhooks stack.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
)
for command in (run, send, event, urls, doctor, recover, rebuild, replay, forget, openapi):
    app.command()(command)
app.add_typer(secret_app, name="secret")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(control_app, name="control")
registry.register(app)


def main() -> None:
    """Run the command."""
    app()
