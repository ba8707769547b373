"""What the doctor expects of a deployment is what the template makes."""

from __future__ import annotations

from typing import Any

import pytest
from callhooks_tools.doctor.resources import (
    CALLHOOKS_LAYER,
    IN_EVERY_FUNCTION,
    QUEUES_OF_THE_TEMPLATE,
    STARTS_WITHOUT,
    functions_of_the_template,
)

from tests.support import template

FUNCTIONS_OF_THE_TEMPLATE = functions_of_the_template()


def of_type(resource_type: str) -> dict[str, dict[str, Any]]:
    """The properties of the template's resources of a type."""
    resources = template()["Resources"]
    return {name: one["Properties"] for name, one in resources.items() if one["Type"] == resource_type}


def variables_of(properties: dict[str, Any]) -> set[str]:
    return set(properties.get("Environment", {}).get("Variables", {}))


def layers_of(properties: dict[str, Any]) -> list[str]:
    return [layer["Ref"] for layer in properties.get("Layers", [])]


def test_every_function_is_known() -> None:
    assert set(FUNCTIONS_OF_THE_TEMPLATE) == set(of_type("AWS::Serverless::Function"))


def test_all_functions_have_in_common_what_the_template_says() -> None:
    every = template()["Globals"]["Function"]
    assert set(IN_EVERY_FUNCTION) == variables_of(every)
    assert layers_of(every) == [CALLHOOKS_LAYER]


@pytest.mark.parametrize("function", FUNCTIONS_OF_THE_TEMPLATE)
def test_a_function_has_the_variables_and_the_layers_of_the_template(function: str) -> None:
    properties, shape = of_type("AWS::Serverless::Function")[function], FUNCTIONS_OF_THE_TEMPLATE[function]
    assert (set(shape.variables), list(shape.layers)) == (variables_of(properties), layers_of(properties))


def test_what_a_function_starts_without_is_in_the_template() -> None:
    known = {*IN_EVERY_FUNCTION, *(one for shape in FUNCTIONS_OF_THE_TEMPLATE.values() for one in shape.variables)}
    assert set(STARTS_WITHOUT) <= known


def test_every_queue_is_known() -> None:
    assert set(QUEUES_OF_THE_TEMPLATE) == set(of_type("AWS::SQS::Queue"))


@pytest.mark.parametrize("queue", QUEUES_OF_THE_TEMPLATE)
def test_a_queue_is_made_again_as_the_template_makes_it(queue: str) -> None:
    properties, shape = dict(of_type("AWS::SQS::Queue")[queue]), QUEUES_OF_THE_TEMPLATE[queue]
    redrive = properties.pop("RedrivePolicy", None)
    assert shape.attributes == {name: str(value).lower() for name, value in properties.items()}
    assert redrive == (
        {
            "deadLetterTargetArn": {"Fn::GetAtt": f"{shape.dead_letter_queue}.Arn"},
            "maxReceiveCount": shape.most_receipts,
        }
        if shape.dead_letter_queue
        else None
    )
