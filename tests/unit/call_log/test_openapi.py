"""OpenAPI description of the call log, and the responses that must conform to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from callhooks.call_log.routes import openapi_text
from callhooks_tools.cli import app
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from tests.call_table import FakeTable, a_call, item_of
from tests.calls import SEQUENCES, delivered_items
from tests.console import Console
from tests.support import ROOT, Answer

DOCUMENT: dict[str, Any] = json.loads(openapi_text())


def conforms(answer: Answer, path: str, method: str = "get") -> None:
    """Assert that a response conforms to the description of its status."""
    content = DOCUMENT["paths"][path][method]["responses"][str(answer.statusCode)].get("content", {})
    if not content:
        assert answer.body == ""
        return
    schema = content[answer.headers["content-type"]]["schema"]
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(json.loads(answer.body))


def test_the_committed_description_is_up_to_date() -> None:
    committed = (ROOT / "docs" / "openapi.json").read_text("utf-8")
    assert committed == openapi_text(), "run make docs"


def test_the_openapi_command_prints_the_description() -> None:
    assert CliRunner().invoke(app, ["openapi"]).output == openapi_text()


def test_the_description_is_valid_and_its_references_resolve() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert set(DOCUMENT["components"]["securitySchemes"]) == {"basic", "session"}
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    used = {text.removeprefix("#/components/schemas/") for text in references(DOCUMENT)}
    assert used == set(DOCUMENT["components"]["schemas"])


def references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [text for value in node.values() for text in references(value)]
    return [text for value in node for text in references(value)] if isinstance(node, list) else []


def test_every_operation_has_a_summary_a_description_and_a_unique_id() -> None:
    operations = [operation for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert all(operation["summary"] and operation["description"] for operation in operations)
    assert len({operation["operationId"] for operation in operations}) == len(operations)


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_the_response_for_a_call_conforms_to_the_description(sequence: str) -> None:
    table = FakeTable()
    table.put(*delivered_items(sequence))
    table.put(item_of(a_call("leg", conversation_id="call-sid")))
    provider, _, key = next(iter(table.items))[0].partition("#")
    conforms(Console(table).get(f"/calls/{provider}/{key}"), "/calls/{provider}/{call_id}")


def test_lists_and_counts_conform_to_the_description() -> None:
    table = FakeTable()
    for number, outcome in enumerate(["answered", None, "busy"]):
        table.put(item_of(a_call(str(number), outcome=outcome, talk_seconds=number + 0.5)))
    console = Console(table)
    conforms(console.get("/calls", limit=2), "/calls")
    conforms(console.get("/stats"), "/stats")


def test_error_responses_conform_to_the_description() -> None:
    console = Console()
    conforms(console.get("/calls", limit=0), "/calls")
    conforms(console.get("/calls/wavix/none"), "/calls/{provider}/{call_id}")
    conforms(console.sign_in(), "/session", "post")
    conforms(console.sign_in("wrong"), "/session", "post")
    conforms(console.post("{}"), "/session", "post")
    conforms(console.post("{}", "text/plain"), "/session", "post")
    conforms(console.post("x" * 5000), "/session", "post")
    conforms(console.with_cookies("/session", method="DELETE"), "/session", "delete")
    console.table.fault = RuntimeError()
    conforms(console.with_cookies("/stats"), "/stats")
