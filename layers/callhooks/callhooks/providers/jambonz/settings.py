"""Settings of the functions that jambonz calls, read from their environment.

Every `from_environment` raises `KeyError` with the name of a missing variable. `credentials` is the ARN of a secret, or
its JSON value for `sam local`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Self


class JambonzSettings(NamedTuple):
    """Settings of the functions that jambonz calls. `webhook_secrets` has the format of `credentials`.

    `public_url` is the base URL of the hooks in responses; empty for the host of the request.
    """

    credentials: str
    webhook_secrets: str
    signature_header: str
    public_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings from the environment."""
        return cls(
            credentials=environment["JAMBONZ_CREDENTIALS"],
            webhook_secrets=environment["JAMBONZ_WEBHOOK_SECRETS"],
            signature_header=environment["JAMBONZ_SIGNATURE_HEADER"],
            public_url=environment["PUBLIC_URL"],
        )


class ClientSettings(NamedTuple):
    """The table of SIP clients."""

    clients_table: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings from the environment."""
        return cls(clients_table=environment["CLIENTS_TABLE"])


class ToolSettings(NamedTuple):
    """The table that records which tool calls have run."""

    tool_calls_table: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings from the environment."""
        return cls(tool_calls_table=environment["TOOL_CALLS_TABLE"])
