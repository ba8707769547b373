"""`callhooks tools`: the list of tools, and their declarations for each vendor."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from callhooks.providers.jambonz.llm_tools.toolbox import ToolCall, tool_of
from callhooks_tools.providers.jambonz.commands import tools as tools_command
from callhooks_tools.providers.jambonz.plan.tool_declarations import PLACE, Vendor, declared
from pydantic import BaseModel, Field


class Size(enum.StrEnum):
    SMALL = "small"
    LARGE = "large"


class Address(BaseModel):
    street: str


def order(
    call: ToolCall,
    number: Annotated[int, Field(ge=1, description="Which one.")],
    size: Size = Size.SMALL,
    address: Address | None = None,
) -> None:
    """Order something."""


def greet() -> None:
    """Greet."""


TOOLS = [tool_of(order), tool_of(greet)]
NUMBER = {"description": "Which one.", "minimum": 1, "type": "integer"}
SIZE = {"default": "small", "enum": ["small", "large"], "type": "string"}


def for_vendor(vendor: Vendor) -> Any:
    declarations: Any = declared(TOOLS, vendor)
    return declarations


@pytest.mark.parametrize("vendor", [Vendor.OPENAI, Vendor.MICROSOFT])
def test_openai_gets_functions(vendor: Vendor) -> None:
    first, second = for_vendor(vendor)
    assert (first["type"], first["name"], first["description"]) == ("function", "order", "Order something.")
    assert first["parameters"]["properties"]["number"] == NUMBER
    assert first["parameters"]["required"] == ["number"]
    assert second["parameters"] == {"additionalProperties": False, "properties": {}, "type": "object"}


def test_google_gets_one_list_of_declarations_without_empty_objects() -> None:
    ((first, second),) = (declaration["functionDeclarations"] for declaration in for_vendor(Vendor.GOOGLE))
    assert first["parameters"]["properties"]["size"] == SIZE
    assert "additionalProperties" not in json.dumps(first)
    assert second == {"name": "greet", "description": "Greet."}


def test_ultravox_gets_client_tools_with_dynamic_parameters() -> None:
    first, second = (declaration["temporaryTool"] for declaration in for_vendor(Vendor.ULTRAVOX))
    assert (first["modelToolName"], first["client"]) == ("order", {})
    assert first["dynamicParameters"][:2] == [
        {"name": "number", "location": "PARAMETER_LOCATION_BODY", "schema": NUMBER, "required": True},
        {"name": "size", "location": "PARAMETER_LOCATION_BODY", "schema": SIZE, "required": False},
    ]
    assert second["dynamicParameters"] == []


def test_elevenlabs_gets_client_tools_with_every_argument_described() -> None:
    first, _ = for_vendor(Vendor.ELEVENLABS)
    assert (first["type"], first["expects_response"]) == ("client", True)
    assert first["parameters"]["properties"]["number"] == {"description": "Which one.", "type": "integer"}
    size = {"description": "size", "enum": ["small", "large"], "type": "string"}
    assert first["parameters"]["properties"]["size"] == size


@pytest.mark.parametrize("vendor", [Vendor.DEEPGRAM, Vendor.VOICEAGENT])
def test_deepgram_gets_functions_without_a_type(vendor: Vendor) -> None:
    first, _ = for_vendor(vendor)
    assert list(first) == ["name", "description", "parameters"]


@pytest.mark.parametrize("vendor", Vendor)
def test_the_command_prints_only_json_to_stdout_and_its_place_to_stderr(
    vendor: Vendor, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not [text for text in ("$ref", '"call"') if text in json.dumps(declared(TOOLS, vendor))]
    tools_command.tools(vendor=vendor)
    printed = capsys.readouterr()
    assert "opening_hours" in json.dumps(json.loads(printed.out))
    assert PLACE[vendor] in printed.err


def test_the_command_lists_and_checks_the_tools_with_their_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    tools_command.tools()
    printed = capsys.readouterr().out
    assert "who_answers\n  Find out who answers one of our numbers now" in printed
    assert (
        '  limit: {"default": 5, "maximum": 10, "minimum": 1, "type": "integer"} (optional)  '
        "How many calls to list at most.\n" in printed
    )
    tools_command.tools(check=True)
    assert "All 3 tools in " in capsys.readouterr().out


@pytest.mark.parametrize("check", [True, False])
def test_the_command_fails_for_a_tool_that_cannot_be_used(
    check: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.py").write_text("import no_such_module")
    (tmp_path / "two.py").write_text("def two(a):\n    'Two.'\n")
    monkeypatch.setattr(tools_command, "TOOLS_FOLDER", tmp_path)
    with pytest.raises(typer.Exit) as raised:
        tools_command.tools(check=check)
    assert raised.value.exit_code == 1
    problems = capsys.readouterr().err.splitlines()
    assert problems[0].startswith("one.py cannot be imported: ModuleNotFoundError")
    assert problems[1] == "two.py: two has the parameter a without a type"
