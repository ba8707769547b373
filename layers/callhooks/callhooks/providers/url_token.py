"""Senders who can prove themselves by an unguessable URL alone: neither Wavix nor VoIPstudio signs what it sends."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from callhooks.runtime.http import Request, Sender, Unauthorized
from callhooks.webhooks.credentials import SecretValue, secret_texts

Networks: TypeAlias = "tuple[IPv4Network | IPv6Network, ...]"


@dataclass(frozen=True, slots=True)
class PathTokens:
    """The tokens that are valid now."""

    tokens: tuple[str, ...]


def read_tokens(secrets: Sequence[SecretValue]) -> PathTokens:
    """The tokens of a secret: the generated `token`, and `further_tokens` where an operator has added some.

    Raises:
        CredentialsUnavailable: a member is missing or of a wrong type.
    """
    (secret,) = secrets
    return PathTokens(secret_texts(secret, "token"))


def read_networks(text: str) -> Networks:
    """Addresses and networks (CIDR) separated by commas; none where the text is empty.

    Raises:
        ValueError: one of them is neither.
    """
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def precheck_credentials(request: Request, *, allowed: Networks) -> None:
    """Check that there is a token in the path, and the sender's address where only some are allowed.

    Raises:
        Unauthorized: with the reason for the log.
    """
    if not request.path_parameters.get("token"):
        raise Unauthorized("no token")
    if allowed and not _is_allowed(request.source_address, allowed):
        raise Unauthorized("address not allowed")


def verify(request: Request, credentials: PathTokens) -> Sender:
    """Check the token in the path.

    Raises:
        Unauthorized: with the reason for the log.
    """
    given = request.path_parameters.get("token", "").encode("utf-8", "surrogatepass")
    # Every token is compared, so that the time tells nothing about which came close.
    if not sum(hmac.compare_digest(given, token.encode("utf-8")) for token in credentials.tokens):
        raise Unauthorized("wrong token")
    return Sender()


def _is_allowed(source: str, allowed: Networks) -> bool:
    try:
        address = ip_address(source)
    except ValueError:
        return False
    return any(address in network for network in allowed)
