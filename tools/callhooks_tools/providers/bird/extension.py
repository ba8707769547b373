"""Bird's call control."""

from __future__ import annotations

from callhooks_tools.providers.bird.control import BirdCalls
from callhooks_tools.providers.call_control import CallControl


def call_control() -> CallControl:
    """Return the call control of Bird."""
    return BirdCalls()
