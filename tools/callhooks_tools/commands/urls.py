"""`callhooks urls`: what each provider is to be given, and where calls are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from callhooks.providers.description import Setting

from callhooks_tools.stack.connection_guide import Guide, Section
from callhooks_tools.stack.secrets import masked, read_credentials
from callhooks_tools.stack.terminal import StackName, console, stack_in_aws

NAME_WIDTH = 21
FIELD_INDENT = "    "


def urls(
    show_credentials: Annotated[
        bool, typer.Option("--credentials", help="Show passwords, tokens and keys, and URLs with a token, whole.")
    ] = False,
    stack_name: StackName = None,
) -> None:
    """Show what is to be entered at each provider, field by field, and where calls are shown."""
    session, outputs = stack_in_aws(stack_name)
    option = f" --stack {stack_name}" if stack_name else ""
    credentials = read_credentials(session, outputs) if show_credentials else None
    show(Guide(outputs.base_url, outputs.call_bus, credentials, stack_option=option, show_added=masked).sections())
    if not show_credentials:
        console.print(f"\nWhat stands in < > is secret: callhooks urls --credentials{option} shows it whole.")


def show(shown: Sequence[Section]) -> None:
    """Print sections."""
    for section in shown:
        console.print(f"\n{section.title}", style="bold")
        for place in section.places:
            console.print(f"  {place.location}")
            show_fields(place.fields)
            for note in place.notes:
                console.print(f"{FIELD_INDENT}{note}", style="dim")


def show_fields(fields: Sequence[Setting]) -> None:
    """Print fields."""
    for field in fields:
        console.print(f"{FIELD_INDENT}{field.name:<{NAME_WIDTH}} {field.value}")
