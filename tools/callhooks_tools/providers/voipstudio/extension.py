"""What the command has for VoIPstudio alone."""

from __future__ import annotations

from callhooks_tools.providers.call_control import CallControl
from callhooks_tools.providers.voipstudio.control import VoipstudioCalls


def call_control() -> CallControl:
    """Return VoIPstudio's part of `callhooks control`."""
    return VoipstudioCalls()
