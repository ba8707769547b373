"""Authentication by a secret token in the URL, for providers that do not sign their requests."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple, Self, TypeAlias

from callhooks.runtime.errors import Unauthorized
from callhooks.runtime.http import Request, Sender
from callhooks.webhooks.credentials import SecretValue, secret_texts
from callhooks.webhooks.webhook import MessageT, Webhook

Networks: TypeAlias = "tuple[IPv4Network | IPv6Network, ...]"


class PathTokenSettings(NamedTuple):
    """Settings of a function whose provider authenticates with a token in the path."""

    credentials: str
    allowed_addresses: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], *, provider: str) -> Self:
        """Read the settings from the environment; `provider` is the prefix of the variables, such as `WAVIX`."""
        return cls(
            credentials=environment[f"{provider}_CREDENTIALS"],
            allowed_addresses=environment[f"{provider}_ALLOWED_ADDRESSES"],
        )


@dataclass(frozen=True, slots=True)
class PathTokens:
    """The tokens that are valid now."""

    tokens: tuple[str, ...]


def read_tokens(secrets: Sequence[SecretValue]) -> PathTokens:
    """Return the tokens of a secret: the generated `token`, and the `further_tokens` that an operator has added.

    Raises:
        CredentialsUnavailable: a member is missing or has the wrong type.
    """
    (secret,) = secrets
    return PathTokens(secret_texts(secret, "token"))


def read_networks(text: str) -> Networks:
    """Parse comma-separated addresses and networks (CIDR); an empty text has none.

    Raises:
        ValueError: an entry is neither an address nor a network.
    """
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


class UrlTokenWebhook(Webhook[PathTokens, MessageT]):
    """Webhook that authenticates the token in its path and, if configured, the sender's address."""

    def __init__(self, *, allowed: Networks) -> None:
        self._allowed = allowed

    def precheck_credentials(self, request: Request, _now: datetime) -> None:
        """Check that the path has a token and that the sender's address is allowed."""
        if not request.path_parameters.get("token"):
            raise Unauthorized("no token")
        if self._allowed and not _is_allowed(request.source_address, self._allowed):
            raise Unauthorized("address not allowed")

    def authenticate(self, request: Request, credentials: PathTokens, _now: datetime) -> Sender:
        """Check the token in the path."""
        received = request.path_parameters.get("token", "").encode("utf-8", "surrogatepass")
        # Compare every token, so that timing does not reveal which one came close.
        if not sum(hmac.compare_digest(received, token.encode("utf-8")) for token in credentials.tokens):
            raise Unauthorized("wrong token")
        return Sender()


def _is_allowed(source: str, allowed: Networks) -> bool:
    try:
        address = ip_address(source)
    except ValueError:
        return False
    return any(address in network for network in allowed)
