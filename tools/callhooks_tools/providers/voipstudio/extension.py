"""VoIPstudio's call control."""

from __future__ import annotations

from callhooks_tools.providers.call_control import CallControl
from callhooks_tools.providers.voipstudio.control import VoipstudioCalls


def call_control() -> CallControl:
    """Return the call control of VoIPstudio."""
    return VoipstudioCalls()
