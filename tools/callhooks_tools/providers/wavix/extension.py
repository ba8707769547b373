"""Wavix's commands and call control."""

from __future__ import annotations

import typer

from callhooks_tools.providers.call_control import CallControl
from callhooks_tools.providers.wavix.command import wavix_app
from callhooks_tools.providers.wavix.control import WavixCalls


def register(app: typer.Typer) -> None:
    """Add the command `wavix`."""
    app.add_typer(wavix_app, name="wavix")


def call_control() -> CallControl:
    """Return the call control of Wavix."""
    return WavixCalls()
