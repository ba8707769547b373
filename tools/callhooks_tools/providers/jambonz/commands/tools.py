"""`callhooks tools`: list the tools that language models can call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from callhooks.providers.jambonz.llm_tools.toolbox import Tool, Toolbox, load_toolbox

from callhooks_tools.providers.jambonz.plan.tool_declarations import PLACE, Vendor, declared
from callhooks_tools.stack.stack import ROOT
from callhooks_tools.stack.terminal import JsonOutput, console, errors, fail, print_json

TOOLS_FOLDER = ROOT / "functions" / "jambonz_tool" / "tools"


def tools(
    vendor: Annotated[
        Vendor | None,
        typer.Option(help="Print the declarations for this vendor as JSON, ready to paste into the verb."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only check that all tools are valid.")] = False,
    as_json: JsonOutput = False,
) -> None:
    """List the tools that language models can call, with their arguments."""
    toolbox = load_toolbox(TOOLS_FOLDER)
    _fail_for(toolbox)
    available = list(toolbox.tools.values())
    if check:
        console.print(f"All {len(available)} tools in {TOOLS_FOLDER} are valid.")
    elif vendor is not None:
        errors.print(f"Where to paste it: {PLACE[vendor]}")
        print(json.dumps(declared(available, vendor), indent=2, ensure_ascii=False))
    elif as_json:
        print_json(
            [{"name": tool.name, "description": tool.description, "parameters": tool.parameters} for tool in available]
        )
    else:
        for tool in available:
            console.print(tool.name, style="bold")
            console.print(f"  {tool.description}")
            for line in _arguments(tool):
                console.print(f"  {line}")


def _fail_for(toolbox: Toolbox) -> None:
    if toolbox.problems:
        fail("\n".join(toolbox.problems))


def _arguments(tool: Tool) -> Iterator[str]:
    properties: Any = tool.parameters["properties"]
    required: Any = tool.parameters.get("required", [])
    for name, schema in properties.items():
        rules = {member: value for member, value in schema.items() if member != "description"}
        argument = f"{name}: {json.dumps(rules, ensure_ascii=False)}"
        optional = "" if name in required else " (optional)"
        yield f"{argument}{optional}  {schema.get('description', '')}".rstrip()
