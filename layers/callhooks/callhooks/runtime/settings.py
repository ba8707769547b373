"""What the template tells a function, from its environment.

Every `from_environment` raises `KeyError` for a variable that is missing, and names it, and `ValueError` for a number
that is none. `credentials` is a secret's ARN, or for `sam local` its JSON value.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
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


class JambonzSettings(NamedTuple):
    """Settings of the functions that jambonz calls; `webhook_secrets` is a secret as `credentials` is.

    `public_url` is the address that hooks are given, empty for the one that a request came to.
    """

    credentials: str
    webhook_secrets: str
    signature_header: str
    public_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment."""
        return cls(
            credentials=environment["JAMBONZ_CREDENTIALS"],
            webhook_secrets=environment["JAMBONZ_WEBHOOK_SECRETS"],
            signature_header=environment["JAMBONZ_SIGNATURE_HEADER"],
            public_url=environment["PUBLIC_URL"],
        )


class ClientSettings(NamedTuple):
    """Where SIP clients are kept."""

    clients_table: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment."""
        return cls(clients_table=environment["CLIENTS_TABLE"])


class ToolSettings(NamedTuple):
    """Where it is noted which tool calls were run."""

    tool_calls_table: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment."""
        return cls(tool_calls_table=environment["TOOL_CALLS_TABLE"])


class ProjectorSettings(NamedTuple):
    """Where events are published, and where those go that could not be projected: a bus's name, a queue's URL."""

    call_bus: str
    retry_queue_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment."""
        return cls(call_bus=environment["CALL_BUS"], retry_queue_url=environment["PROJECTION_RETRY_QUEUE"])


class PathTokenSettings(NamedTuple):
    """Settings of a function whose provider proves itself by a token in the path, such as `WAVIX`."""

    credentials: str
    allowed_addresses: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], *, provider: str) -> Self:
        """Read the environment."""
        return cls(
            credentials=environment[f"{provider}_CREDENTIALS"],
            allowed_addresses=environment[f"{provider}_ALLOWED_ADDRESSES"],
        )


class BirdSettings(NamedTuple):
    """Settings of the function that Bird calls."""

    credentials: str
    public_url: str
    signature_window: timedelta
    statuses: str
    channel_id: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment."""
        return cls(
            credentials=environment["BIRD_CREDENTIALS"],
            public_url=environment["PUBLIC_URL"],
            signature_window=timedelta(hours=float(environment["BIRD_SIGNATURE_WINDOW_HOURS"])),
            statuses=environment["BIRD_STATUSES"],
            channel_id=environment["BIRD_CHANNEL_ID"],
        )


class CallLogSettings(NamedTuple):
    """Settings of the function that shows calls."""

    credentials: str
    public_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment."""
        return cls(credentials=environment["CONSOLE_CREDENTIALS"], public_url=environment["PUBLIC_URL"])
