"""Stacks that nobody has deployed: their outputs, and the credentials of their providers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType

from callhooks.providers.registry import providers
from callhooks_tools.stack.stack import ConsoleAccess, StackCredentials, StackOutputs

PROVIDERS = tuple(providers())
SECRET_IDS = {
    "JambonzCredentials": "credentials",
    "JambonzWebhookSecrets": "webhook-secrets",
    "WavixCredentials": "wavix-credentials",
    "BirdCredentials": "bird-credentials",
    "VoipstudioCredentials": "voipstudio-credentials",
}
"""The secrets of the simulated account, by their names in the template."""


def stack_outputs(
    *,
    secrets: Mapping[str, str] = MappingProxyType(SECRET_IDS),
    parameters: Mapping[str, str] = MappingProxyType({}),
    **members: str,
) -> StackOutputs:
    """Outputs that are empty but for some members."""
    empty = {member.name: "" for member in fields(StackOutputs) if member.name not in ("secrets", "parameters")}
    known = {**empty, "console_credentials": "console-credentials", **members}
    return StackOutputs(**known, secrets=secrets, parameters=parameters)


def stack_credentials(
    *, jambonz: Mapping[str, str], wavix: str, bird: str, voipstudio: str, console: ConsoleAccess
) -> StackCredentials:
    """Credentials of all providers: tokens, and the signing key."""
    return StackCredentials(
        providers={
            "jambonz": jambonz,
            "wavix": {"token": wavix},
            "bird": {"signing_key": bird},
            "voipstudio": {"token": voipstudio},
        },
        console=console,
    )
