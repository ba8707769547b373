"""What the template tells the functions that jambonz calls, from their environment.

Every `from_environment` raises `KeyError` for a variable that is missing, and names it. `credentials` is a secret's
ARN, or for `sam local` its JSON value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Self


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
