"""What the template tells a function, from its environment.

Every `from_environment` raises `KeyError` for a variable that is missing, and names it, and `ValueError` for a number
that is none. `credentials` is a secret's ARN, or for `sam local` its JSON value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Self


class StoreSettings(NamedTuple):
    """Where events are kept, and for how long; 0 days is for ever."""

    events_table: str
    retention_days: float

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment."""
        return cls(events_table=environment["EVENTS_TABLE"], retention_days=float(environment["RETENTION_DAYS"]))


class SpillSettings(NamedTuple):
    """Where events wait that could not be stored: a queue's URL."""

    spill_queue_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment."""
        return cls(spill_queue_url=environment["SPILL_QUEUE"])


class ProjectorSettings(NamedTuple):
    """Where events are published, and where those go that could not be projected: a bus's name, a queue's URL."""

    call_bus: str
    retry_queue_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment."""
        return cls(call_bus=environment["CALL_BUS"], retry_queue_url=environment["PROJECTION_RETRY_QUEUE"])


class CallLogSettings(NamedTuple):
    """Settings of the function that shows calls."""

    credentials: str
    public_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment."""
        return cls(credentials=environment["CONSOLE_CREDENTIALS"], public_url=environment["PUBLIC_URL"])
