"""Outputs and credentials of simulated stacks."""

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
"""Secret ids of the simulated account, by their names in the template."""


def stack_outputs(
    *,
    secrets: Mapping[str, str] = MappingProxyType(SECRET_IDS),
    parameters: Mapping[str, str] = MappingProxyType({}),
    **members: str,
) -> StackOutputs:
    """Return outputs in which all other members are empty."""
    empty = {member.name: "" for member in fields(StackOutputs) if member.name not in ("secrets", "parameters")}
    outputs = {**empty, "console_credentials": "console-credentials", **members}
    return StackOutputs(**outputs, secrets=secrets, parameters=parameters)


def stack_credentials(
    *, jambonz: Mapping[str, str], wavix: str, bird: str, voipstudio: str, console: ConsoleAccess
) -> StackCredentials:
    """Return credentials of all providers and of the console."""
    return StackCredentials(
        providers={
            "jambonz": jambonz,
            "wavix": {"token": wavix},
            "bird": {"signing_key": bird},
            "voipstudio": {"token": voipstudio},
        },
        console=console,
    )
