"""Provider names on the command line."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer
from callhooks.providers.registry import providers


def checked_name(text: str) -> str:
    """Return the name of a provider.

    Raises:
        BadParameter: there is no such provider. The message lists all providers.
    """
    if text not in providers():
        raise typer.BadParameter(f"{text} is not one of {', '.join(providers())}.")
    return text


OfProvider: TypeAlias = Annotated[
    str | None,
    typer.Option("--provider", parser=checked_name, metavar="PROVIDER", help="Only deliveries from this provider."),
]
