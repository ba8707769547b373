"""The template as CloudFormation gets it: what SAM's transform has made of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from unittest import mock

from samtranslator.translator.transform import transform

from tests.support import template

ARTIFACT = "s3://bucket/artifact"


class _NoManagedPolicies:
    """Knows no managed policy, so that a function cannot have one."""

    def load(self) -> Mapping[str, str]:
        return {}


@cache
def processed_template() -> Mapping[str, Any]:
    """The processed template, with intrinsic functions in their long form."""
    # sam's own reader would change how YAML is read everywhere else.
    document = _long(template())
    for resource in document["Resources"].values():
        place = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}
        if resource["Type"] in place:
            resource["Properties"][place[resource["Type"]]] = ARTIFACT
    with mock.patch.dict(os.environ, {"AWS_DEFAULT_REGION": "us-east-1"}):
        processed: Mapping[str, Any] = transform(document, {}, _NoManagedPolicies())
    return processed


def _long(part: Any) -> Any:
    """A part of the template as JSON writes it: a list for what `!GetAtt` names, no `Fn::` before `Condition`."""
    if isinstance(part, list):
        return [_long(member) for member in part]
    if not isinstance(part, dict):
        return part
    if part.keys() == {"Fn::GetAtt"}:
        return {"Fn::GetAtt": part["Fn::GetAtt"].split(".", 1)}
    if part.keys() == {"Fn::Condition"}:
        return {"Condition": part["Fn::Condition"]}
    return {name: _long(member) for name, member in part.items()}


def resources(kind: str) -> Mapping[str, Mapping[str, Any]]:
    """The properties of all resources of a type, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in processed_template()["Resources"].items()
        if resource["Type"] == kind
    }


def texts_in(value: object) -> Iterator[str]:
    """Every text in a part of the template, names of members too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, member in value.items():
            yield str(name)
            yield from texts_in(member)
    elif isinstance(value, list):
        for member in value:
            yield from texts_in(member)
