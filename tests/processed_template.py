"""The template as CloudFormation gets it, after SAM's transform."""

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
    """Loader without managed policies, so that no function can use one."""

    def load(self) -> Mapping[str, str]:
        return {}


@cache
def processed_template(**parameters: str) -> Mapping[str, Any]:
    """Return the processed template, with intrinsic functions in their long form.

    SAM itself reads the values of some parameters; all others stay references.
    """
    return process(template(), parameters)


def process(document: Mapping[str, Any], parameters: Mapping[str, str] | None = None) -> Mapping[str, Any]:
    """Return a template as SAM processes it, with all code in the same place, except code that is in S3 already."""
    # SAM's own reader would change how YAML is read everywhere else.
    document = _long_form(document)
    for resource in document["Resources"].values():
        name = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}.get(
            resource["Type"]
        )
        if name and not resource["Properties"][name].startswith("s3:"):
            resource["Properties"][name] = ARTIFACT
    with mock.patch.dict(os.environ, {"AWS_DEFAULT_REGION": "us-east-1"}):
        processed: Mapping[str, Any] = transform(document, dict(parameters or {}), _NoManagedPolicies())
    return processed


def _long_form(part: Any) -> Any:
    """Return a part of the template in JSON's form: `!GetAtt` gets a list, and `Condition` loses its `Fn::`."""
    if isinstance(part, list):
        return [_long_form(member) for member in part]
    if not isinstance(part, dict):
        return part
    if part.keys() == {"Fn::GetAtt"}:
        return {"Fn::GetAtt": part["Fn::GetAtt"].split(".", 1)}
    if part.keys() == {"Fn::Condition"}:
        return {"Condition": part["Fn::Condition"]}
    return {name: _long_form(member) for name, member in part.items()}


def resources(kind: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the properties of all resources of a type, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in processed_template()["Resources"].items()
        if resource["Type"] == kind
    }


def texts_in(value: object) -> Iterator[str]:
    """Yield every string in a part of the template, including the names of members."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, member in value.items():
            yield str(name)
            yield from texts_in(member)
    elif isinstance(value, list):
        for member in value:
            yield from texts_in(member)
