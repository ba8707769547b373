"""The doctor knows every resource of the template that it should check."""

from __future__ import annotations

from callhooks_tools.doctor.resources import (
    ABANDONED_MESSAGES,
    DELETED_TABLES,
    EVENT_SOURCES,
    OPTIONAL_VARIABLES,
)
from callhooks_tools.stack.template import variables_of

from tests.support import template


def of_type(resource_type: str) -> set[str]:
    """Return the names of the template's resources of a type."""
    return {name for name, one in template()["Resources"].items() if one["Type"] == resource_type}


def test_every_queue_is_checked() -> None:
    assert {"SpillQueue", "ProjectionRetryQueue", *ABANDONED_MESSAGES} == of_type("AWS::SQS::Queue")


def test_every_table_is_checked() -> None:
    assert set(DELETED_TABLES) == of_type("AWS::DynamoDB::Table")


def test_every_event_source_is_checked() -> None:
    functions = of_type("AWS::Serverless::Function")
    sources = {
        f"{function}{name}"
        for function in functions
        for name, one in template()["Resources"][function]["Properties"].get("Events", {}).items()
        if one["Type"] in ("DynamoDB", "SQS")
    }
    assert set(EVENT_SOURCES) == sources


def test_an_optional_variable_is_in_the_template() -> None:
    known = {variable for function in of_type("AWS::Serverless::Function") for variable in variables_of(function)}
    assert set(OPTIONAL_VARIABLES) <= known
