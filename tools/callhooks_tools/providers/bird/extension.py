"""What the command has for Bird alone."""

from __future__ import annotations

import typer

from callhooks_tools.providers.bird.command import bird_app


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(bird_app, name="bird")
