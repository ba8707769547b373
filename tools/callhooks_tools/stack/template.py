"""The template of this clone, `template.yaml`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from callhooks_tools.stack.stack import ROOT

ALIAS = "live"
"""The alias through which the API and the event sources invoke each function (`AutoPublishAlias`)."""


def read_template(path: Path) -> dict[str, Any]:
    """Return a CloudFormation template with intrinsic functions in their long form."""
    document: dict[str, Any] = yaml.load(path.read_text("utf-8"), Loader=_TemplateLoader)  # noqa: S506
    return document


def properties_of(logical_id: str) -> dict[str, Any]:
    """Return the properties of a resource of the template; empty if there is no such resource."""
    properties: dict[str, Any] = _template()["Resources"].get(logical_id, {}).get("Properties", {})
    return properties


def variables_of(function: str) -> dict[str, Any]:
    """Return the environment variables of a function in the template, including the global ones."""
    common, own = _template()["Globals"]["Function"], properties_of(function)
    return {**common["Environment"]["Variables"], **own.get("Environment", {}).get("Variables", {})}


def layers_of(function: str) -> list[str]:
    """Return the names of a function's layers that are in the template, including the global ones."""
    common, own = _template()["Globals"]["Function"], properties_of(function)
    layers = (*common["Layers"], *own.get("Layers", []))
    return [layer["Ref"] for layer in layers if isinstance(layer, dict) and "Ref" in layer]


@cache
def _template() -> dict[str, Any]:
    return read_template(ROOT / "template.yaml")


class _TemplateLoader(yaml.SafeLoader):
    """YAML loader for CloudFormation's short forms: !Ref, !Sub, !GetAtt."""


def _intrinsic(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, object]:
    value: object
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    else:
        raise TypeError(f"cannot read {suffix}")
    return {suffix if suffix == "Ref" else f"Fn::{suffix}": value}


_TemplateLoader.add_multi_constructor("!", _intrinsic)
