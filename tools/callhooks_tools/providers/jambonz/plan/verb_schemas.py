"""JSON Schemas of the verbs that a jambonz server accepts, closed to unknown members."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin

import yaml

Schema = dict[str, Any]
"""A JSON Schema (draft 2020-12) without references."""

NOT_IN_ANSWERS = "rest:dial"
"""jambonz's internal first verb of a call created through REST; in a response, it makes jambonz wait for ever."""


@cache
def verbs_of_0_9() -> dict[str, Schema]:
    """Return the verbs of the open-source jambonz 0.9 by name, from the table next to this module."""
    table = _Table(yaml.safe_load(Path(__file__).with_name("verbs_0_9.yaml").read_text("utf-8")))
    return {name: table.members({"verb": [name], "id": "string", **members}) for name, members in table.verbs.items()}


@cache
def verbs_of_the_sdk() -> dict[str, Schema]:
    """Return the verbs of jambonz 11 by name, from the schemas in jambonz's Python SDK."""
    package = find_spec("jambonz_sdk")  # importing the package would take a second
    if package is None or package.origin is None:
        raise ModuleNotFoundError("jambonz_sdk is not installed: run make setup")
    schemas = Path(package.origin).with_name("schema")
    paths = [path for folder in ("components", "verbs") for path in sorted((schemas / folder).iterdir())]
    files = {document["$id"]: document for document in (json.loads(path.read_text("utf-8")) for path in paths)}
    verbs = {url.rpartition("/")[2]: _closed(files[url], url, files) for url in files if "/verbs/" in url}
    del verbs[NOT_IN_ANSWERS]
    _add_what_is_newer(verbs["agent"]["properties"])
    # Both versions accept these aliases, but the SDK has no schema for them.
    for vendor in ("microsoft", "voiceagent"):
        name = f"{vendor}_s2s"
        preset = {"verb": {"const": name}, "vendor": {"const": vendor}}
        verbs[name] = {
            **verbs["llm"],
            "properties": {**verbs["llm"]["properties"], **preset},
            "required": ["llmOptions"],
        }
    return verbs


def _add_what_is_newer(agent: dict[str, Schema]) -> None:
    """Add what jambonz 11.1.16 accepts in an agent, and no published schema has."""
    by_name, by_mode = agent["turnDetection"]["oneOf"]
    by_name["enum"] = [*by_name["enum"], "jambonz"]
    by_mode["properties"]["mode"]["enum"] = [*by_mode["properties"]["mode"]["enum"], "jambonz"]
    agent["noiseIsolation"]["oneOf"][0] = {"type": "string"}
    agent["greeting"] = {"type": ["boolean", "string"]}
    for place in (agent["llm"], agent["llm"]["properties"]["llmOptions"]):
        place["properties"]["vendorParams"] = {"type": "object"}


class _Table:
    """Converter of the table's notation to JSON Schema."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.verbs: dict[str, Schema] = document["verbs"]
        self._types: Schema = document["types"]
        self._components: Schema = document["components"]

    def members(self, members: Mapping[str, Any]) -> Schema:
        return {
            "type": "object",
            "properties": {name.removesuffix("!"): self._schema(written) for name, written in members.items()},
            "required": [name.removesuffix("!") for name in members if name.endswith("!")],
            "additionalProperties": False,
        }

    def _schema(self, written: Any) -> Schema:
        if isinstance(written, dict):
            return written
        if isinstance(written, list):
            return {"enum": written}
        alternatives = [self._named(name.strip()) for name in written.split("|")]
        return {"anyOf": alternatives} if len(alternatives) > 1 else alternatives[0]

    def _named(self, name: str) -> Schema:
        if name.endswith("[]"):
            return {"type": "array", "items": self._named(name.removesuffix("[]"))}
        if name in self._types:
            return self._schema(self._types[name])
        if name in self._components:
            return self.members(self._components[name])
        if name in self.verbs:
            return self.members({"id": "string", **self.verbs[name]})
        return {"type": name}


def _closed(schema: Schema, base: str, files: Mapping[str, Schema]) -> Schema:
    """Resolve the references in a schema of the SDK, and close it to unknown members.

    The models of the SDK are strict in the same way, but do not check conditions between members.
    """
    if "$ref" in schema:
        url, fragment = urldefrag(urljoin(base, schema["$ref"]))
        return _closed(files[url]["$defs"][fragment.rpartition("/")[2]] if fragment else files[url], url, files)
    closed = dict(schema)
    parts = closed.pop("allOf", [])
    bases = [_closed(part, base, files) for part in parts if "$ref" in part]
    conditions = [condition for part in bases for condition in part.get("allOf", ())]
    conditions += [part for part in parts if "$ref" not in part]
    if conditions:
        closed["allOf"] = conditions
    if bases or "properties" in schema:
        closed["properties"] = {name: member for part in bases for name, member in part["properties"].items()}
        for name, member in schema.get("properties", {}).items():
            closed["properties"][name] = _closed(member, base, files)
        closed["required"] = [name for part in (*bases, schema) for name in part.get("required", ())]
        closed.setdefault("additionalProperties", False)
    for keyword in ("items", "additionalProperties"):
        if isinstance(closed.get(keyword), dict):
            closed[keyword] = _closed(closed[keyword], base, files)
    for keyword in ("oneOf", "anyOf"):
        if keyword in closed:
            closed[keyword] = [_closed(branch, base, files) for branch in closed[keyword]]
    return closed
