"""`callhooks urls`: show the settings for each provider and the address of the console."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from callhooks.providers.description import Setting

from callhooks_tools.providers.registry import account_findings
from callhooks_tools.stack.connection_guide import Guide, Section
from callhooks_tools.stack.secrets import masked, read_credentials
from callhooks_tools.stack.selection import SelectedStack, stack_in_aws, with_stack_options
from callhooks_tools.stack.terminal import JsonOutput, callhooks, console, errors, note, print_json, shown

NAME_WIDTH = 21
FIELD_INDENT = "    "


@with_stack_options
def urls(
    show_credentials: Annotated[
        bool, typer.Option("--credentials", help="Show passwords, tokens and keys instead of placeholders.")
    ] = False,
    as_json: JsonOutput = False,
    *,
    selected: SelectedStack,
) -> None:
    """Show the URLs and settings to enter at each provider, and the address of the console.

    It also reports webhooks with another address in accounts whose API keys are in the environment.
    """
    session, outputs = stack_in_aws(selected)
    credentials = read_credentials(session, outputs) if show_credentials else None
    sections = Guide(
        outputs.base_url, outputs.call_bus, credentials, stack_options=selected.options, format_added=masked
    ).sections()
    if as_json:
        print_json(sections)
    else:
        show(sections)
    if not show_credentials:
        note(f"\nValues in < > are secret. To show them, run: {callhooks(f'urls --credentials{selected.options}')}")
    for finding in account_findings(session, outputs, datetime.now(UTC)):
        errors.print(f"\nWARNING  {shown(finding.message)}", style="yellow")
        note(shown(finding.remedy))


def show(sections: Sequence[Section]) -> None:
    """Print sections with their groups of settings."""
    for section in sections:
        console.print(f"\n{section.title}", style="bold")
        for group in section.groups:
            console.print(f"  {group.location}")
            show_fields(group.fields)
            for text in group.notes:
                console.print(f"{FIELD_INDENT}{text}", style="dim")


def show_fields(fields: Sequence[Setting]) -> None:
    """Print settings, one on each line."""
    for field in fields:
        name = f"  {field.name}" if field.is_nested else field.name
        console.print(f"{FIELD_INDENT}{name:<{NAME_WIDTH}} {field.value}")
