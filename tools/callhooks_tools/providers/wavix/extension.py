"""Wavix's call control."""

from __future__ import annotations

from callhooks_tools.providers.call_control import CallControl
from callhooks_tools.providers.wavix.control import WavixCalls


def call_control() -> CallControl:
    """Return the call control of Wavix."""
    return WavixCalls()
