"""The HTTP front of the local stack behaves like API Gateway."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from callhooks_tools.local.http_front import ApiRoute, Front, invoke, routes_of
from pydantic import JsonValue


def operation(function: str) -> JsonValue:
    """Return an operation in the form of SAM: `Name.Arn` for a function, `NameAliaslive` for its alias."""
    uri = (
        f"arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}:lambda:path/2015-03-31/functions/${{{function}}}"
        "/invocations"
    )
    return {"x-amazon-apigateway-integration": {"type": "aws_proxy", "uri": {"Fn::Sub": uri}}}


TEMPLATE: dict[str, JsonValue] = {
    "Resources": {
        "Table": {"Type": "AWS::DynamoDB::Table"},
        "Api": {
            "Type": "AWS::ApiGatewayV2::Api",
            "Properties": {
                "Body": {
                    "paths": {
                        "/{rest+}": {"get": operation("Rest.Arn")},
                        "/": {"get": operation("Home.Arn")},
                        "/webhooks/wavix/{token}": {"post": operation("Wavix.Arn")},
                        "/webhooks/call": {"post": operation("CallAliaslive"), "options": operation("CallAliaslive")},
                        "/webhooks/call/{rest+}": {"post": operation("CallAliaslive")},
                        "/webhooks/call/flows/{flow}/{step}": {"post": operation("Flow.Arn")},
                        "/webhooks/call/events/{rest+}": {"post": operation("Event.Arn")},
                        "/webhooks/voipstudio/{token}": {"x-amazon-apigateway-any-method": operation("Voip.Arn")},
                    }
                }
            },
        },
    }
}
NAMES = {name: f"stack-{name}" for name in ("Rest", "Home", "Wavix", "Call", "Voip", "Flow", "Event")} | {
    "CallAliaslive": "arn:aws:lambda:us-east-1:000000000000:function:stack-Call:live"
}


@pytest.mark.parametrize(
    ("method", "path", "function", "parameters"),
    [
        ("POST", "/webhooks/call", NAMES["CallAliaslive"], {}),
        ("OPTIONS", "/webhooks/call", NAMES["CallAliaslive"], {}),
        ("POST", "/webhooks/call/", NAMES["CallAliaslive"], {"rest": ""}),
        ("POST", "/webhooks/call/flows/sales/1", "stack-Flow", {"flow": "sales", "step": "1"}),
        ("POST", "/webhooks/call/events/", "stack-Event", {"rest": ""}),
        ("GET", "/webhooks/call", "stack-Rest", {"rest": "webhooks/call"}),
        ("POST", "/webhooks/wavix/abc", "stack-Wavix", {"token": "abc"}),
        ("POST", "/webhooks/wavix/abc/def", None, None),
        ("HEAD", "/webhooks/voipstudio/abc", "stack-Voip", {"token": "abc"}),
        ("GET", "/", "stack-Home", {}),
        ("GET", "/a/b", "stack-Rest", {"rest": "a/b"}),
        ("DELETE", "/", None, None),
    ],
)
def test_a_request_goes_to_the_function_of_its_most_specific_route(
    method: str, path: str, function: str | None, parameters: dict[str, str] | None
) -> None:
    matches = ((route.function_name, route.match(method, path)) for route in routes_of(TEMPLATE, NAMES))
    assert next(((name, found) for name, found in matches if found is not None), (None, None)) == (function, parameters)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_front_that_cannot_serve_raises_instead_of_blocking() -> None:
    missing: Any = None
    with pytest.raises(RuntimeError, match="did not start"):
        Front([], missing, missing, print).start()


def test_a_function_that_cannot_be_invoked_responds_with_503() -> None:
    class Overloaded:
        def invoke(self, **_: object) -> None:
            raise ReadTimeoutError(endpoint_url="http://127.0.0.1")

    overloaded: Any = Overloaded()
    assert invoke(overloaded, "function", {}).status == 503


def test_a_dot_in_a_path_matches_only_a_dot() -> None:
    assert ApiRoute("GET", "/a.b", "f").match("GET", "/axb") is None
