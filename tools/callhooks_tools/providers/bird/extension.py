"""Bird's commands and call control."""

from __future__ import annotations

import typer

from callhooks_tools.providers.bird.command import bird_app
from callhooks_tools.providers.bird.control import BirdCalls
from callhooks_tools.providers.call_control import CallControl


def register(app: typer.Typer) -> None:
    """Add the command `bird`."""
    app.add_typer(bird_app, name="bird")


def call_control() -> CallControl:
    """Return the call control of Bird."""
    return BirdCalls()
