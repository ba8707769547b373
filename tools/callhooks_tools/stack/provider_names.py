"""A provider as an operator names it on the command line."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer
from callhooks.providers.registry import providers


def checked_name(text: str) -> str:
    """The name of a provider.

    Raises:
        BadParameter: there is no such provider; names those that there are.
    """
    if text not in providers():
        raise typer.BadParameter(f"{text} is none of {', '.join(providers())}.")
    return text


OfProvider: TypeAlias = Annotated[
    str | None,
    typer.Option("--provider", parser=checked_name, metavar="PROVIDER", help="Only what this provider has sent."),
]
