"""What the template tells a function, from its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JambonzSettings:
    """Settings of the functions that jambonz calls.

    Each of `credentials` and `webhook_secrets` is a secret's ARN, or for `sam local` its JSON value.
    """

    events_table: str
    credentials: str
    webhook_secrets: str
    signature_header: str
    retention_days: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> JambonzSettings:
        """Read the environment.

        Raises:
            KeyError: a variable is missing; names it.
            ValueError: RETENTION_DAYS is not a whole number.
        """
        return cls(
            events_table=environment["EVENTS_TABLE"],
            credentials=environment["JAMBONZ_CREDENTIALS"],
            webhook_secrets=environment["JAMBONZ_WEBHOOK_SECRETS"],
            signature_header=environment["JAMBONZ_SIGNATURE_HEADER"],
            retention_days=int(environment["RETENTION_DAYS"]),
        )
