"""The doctor expects of a deployment exactly what the template creates."""

from __future__ import annotations

from typing import Any

import pytest
from callhooks_tools.doctor.resources import (
    CALLHOOKS_LAYER,
    COMMON_VARIABLES,
    OPTIONAL_VARIABLES,
    TEMPLATE_QUEUES,
    template_functions,
)

from tests.support import template

TEMPLATE_FUNCTIONS = template_functions()


def of_type(resource_type: str) -> dict[str, dict[str, Any]]:
    """Return the properties of the template's resources of a type, by name."""
    resources = template()["Resources"]
    return {name: one["Properties"] for name, one in resources.items() if one["Type"] == resource_type}


def variables_of(properties: dict[str, Any]) -> set[str]:
    return set(properties.get("Environment", {}).get("Variables", {}))


def layers_of(properties: dict[str, Any]) -> list[str]:
    return [layer["Ref"] for layer in properties.get("Layers", [])]


def test_every_function_is_known() -> None:
    assert set(TEMPLATE_FUNCTIONS) == set(of_type("AWS::Serverless::Function"))


def test_the_common_variables_and_layers_are_the_template_s_globals() -> None:
    common = template()["Globals"]["Function"]
    assert set(COMMON_VARIABLES) == variables_of(common)
    assert layers_of(common) == [CALLHOOKS_LAYER]


@pytest.mark.parametrize("function", TEMPLATE_FUNCTIONS)
def test_a_function_has_the_variables_and_layers_of_the_template(function: str) -> None:
    properties, shape = of_type("AWS::Serverless::Function")[function], TEMPLATE_FUNCTIONS[function]
    assert (set(shape.variables), list(shape.layers)) == (variables_of(properties), layers_of(properties))


def test_every_optional_variable_is_in_the_template() -> None:
    known = {*COMMON_VARIABLES, *(one for shape in TEMPLATE_FUNCTIONS.values() for one in shape.variables)}
    assert set(OPTIONAL_VARIABLES) <= known


def test_every_queue_is_known() -> None:
    assert set(TEMPLATE_QUEUES) == set(of_type("AWS::SQS::Queue"))


@pytest.mark.parametrize("queue", TEMPLATE_QUEUES)
def test_a_queue_is_recreated_as_in_the_template(queue: str) -> None:
    properties, shape = dict(of_type("AWS::SQS::Queue")[queue]), TEMPLATE_QUEUES[queue]
    redrive = properties.pop("RedrivePolicy", None)
    assert shape.attributes == {name: str(value).lower() for name, value in properties.items()}
    assert redrive == (
        {
            "deadLetterTargetArn": {"Fn::GetAtt": f"{shape.dead_letter_queue}.Arn"},
            "maxReceiveCount": shape.max_receives,
        }
        if shape.dead_letter_queue
        else None
    )
