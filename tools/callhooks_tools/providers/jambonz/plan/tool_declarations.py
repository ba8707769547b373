"""Declarations of tools in the format of each vendor of language models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any

from callhooks.providers.jambonz.llm_tools.toolbox import Tool

Declaration = Mapping[str, object]


class Vendor(StrEnum):
    """Vendors of jambonz's `llm` and speech-to-speech verbs."""

    OPENAI = "openai"
    MICROSOFT = "microsoft"
    GOOGLE = "google"
    ULTRAVOX = "ultravox"
    ELEVENLABS = "elevenlabs"
    DEEPGRAM = "deepgram"
    VOICEAGENT = "voiceagent"


PLACE = {
    Vendor.OPENAI: "llmOptions.session_update.tools",
    Vendor.MICROSOFT: "llmOptions.session_update.tools",
    Vendor.GOOGLE: "llmOptions.setup.tools",
    Vendor.ULTRAVOX: "llmOptions.selectedTools",
    Vendor.ELEVENLABS: "the tools of your agent at ElevenLabs, one by one; the verb only names the agent",
    Vendor.DEEPGRAM: "llmOptions.Settings.agent.think.functions",
    Vendor.VOICEAGENT: "llmOptions.Settings.agent.think.functions",
}
"""Place of the declarations in the verb."""


def declared(tools: Iterable[Tool], vendor: Vendor) -> list[Declaration]:
    """Return the declarations of tools in the format of a vendor."""
    if vendor is Vendor.GOOGLE:
        return [{"functionDeclarations": [_google(tool) for tool in tools]}]
    return [_DECLARATIONS[vendor](tool) for tool in tools]


def _function(tool: Tool) -> Declaration:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}


def _openai(tool: Tool) -> Declaration:
    return {"type": "function", **_function(tool)}


def _google(tool: Tool) -> Declaration:
    # Gemini rejects an object without properties, and the keyword additionalProperties.
    declaration = {"name": tool.name, "description": tool.description}
    if not tool.parameters["properties"]:
        return declaration
    return {**declaration, "parameters": _without_member(tool.parameters, "additionalProperties")}


def _ultravox(tool: Tool) -> Declaration:
    required = _required(tool)
    parameters = [
        {"name": name, "location": "PARAMETER_LOCATION_BODY", "schema": schema, "required": name in required}
        for name, schema in _properties(tool).items()
    ]
    return {
        "temporaryTool": {
            "modelToolName": tool.name,
            "description": tool.description,
            "dynamicParameters": parameters,
            "client": {},
        }
    }


def _elevenlabs(tool: Tool) -> Declaration:
    # ElevenLabs requires a description of every argument, and accepts only these keywords of JSON Schema.
    accepted = ("type", "description", "enum", "items", "properties", "required")
    properties = {
        name: {"description": name, **{member: schema[member] for member in accepted if member in schema}}
        for name, schema in _properties(tool).items()
    }
    return {
        "type": "client",
        "name": tool.name,
        "description": tool.description,
        "expects_response": True,
        "parameters": {"type": "object", "properties": properties, "required": _required(tool)},
    }


_DECLARATIONS: Mapping[Vendor, Callable[[Tool], Declaration]] = {
    Vendor.OPENAI: _openai,
    Vendor.MICROSOFT: _openai,
    Vendor.ULTRAVOX: _ultravox,
    Vendor.ELEVENLABS: _elevenlabs,
    Vendor.DEEPGRAM: _function,
    Vendor.VOICEAGENT: _function,
}


def _properties(tool: Tool) -> dict[str, dict[str, Any]]:
    properties: Any = tool.parameters["properties"]
    return dict(properties)


def _required(tool: Tool) -> list[str]:
    required: Any = tool.parameters.get("required", [])
    return list(required)


def _without_member(node: Any, member: str) -> Any:
    if isinstance(node, list):
        return [_without_member(one, member) for one in node]
    if not isinstance(node, dict):
        return node
    return {name: _without_member(value, member) for name, value in node.items() if name != member}
