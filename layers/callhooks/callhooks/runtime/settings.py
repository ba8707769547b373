"""Settings of the functions, from the environment variables that the template sets.

Every `from_environment` raises `KeyError`, with the name, if a variable is missing, and `ValueError` if a number is
malformed. `credentials` is a secret's ARN; for `sam local` it is the secret's JSON value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Self


class StoreSettings(NamedTuple):
    """The events table, and how long events are stored; 0 days means indefinitely."""

    events_table: str
    retention_days: float

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment."""
        return cls(events_table=environment["EVENTS_TABLE"], retention_days=float(environment["RETENTION_DAYS"]))


class SpillSettings(NamedTuple):
    """The URL of the spill queue, for events that could not be written to the table."""

    spill_queue_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment."""
        return cls(spill_queue_url=environment["SPILL_QUEUE"])


class ProjectorSettings(NamedTuple):
    """The name of the event bus, and the URL of the retry queue for events that could not be projected."""

    call_bus: str
    retry_queue_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment."""
        return cls(call_bus=environment["CALL_BUS"], retry_queue_url=environment["PROJECTION_RETRY_QUEUE"])


class CallLogSettings(NamedTuple):
    """Settings of the call log function."""

    credentials: str
    public_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment."""
        return cls(credentials=environment["CONSOLE_CREDENTIALS"], public_url=environment["PUBLIC_URL"])
