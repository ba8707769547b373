"""What the command has for Wavix alone."""

from __future__ import annotations

import typer

from callhooks_tools.providers.wavix.command import wavix_app


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(wavix_app, name="wavix")
