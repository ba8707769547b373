"""The API in the processed template: its limits, what it logs, and under which names it is called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.processed_template import processed_template, resources, texts_in

HARMLESS = {"identity.sourceIp", "routeKey", "status", "responseLatency", "requestId", "integrationErrorMessage"}
"""What of a request may be logged: a route is the template's own word for a path."""


def stage() -> Mapping[str, Any]:
    (properties,) = resources("AWS::ApiGatewayV2::Stage").values()
    return properties


def routes() -> set[str]:
    (api,) = resources("AWS::ApiGatewayV2::Api").values()
    return {
        f"{'ANY' if method == 'x-amazon-apigateway-any-method' else method.upper()} {path}"
        for path, methods in api["Body"]["paths"].items()
        for method in methods
    }


def limits(*, of_webhooks: bool) -> Mapping[str, Any]:
    condition, limited, unlimited = stage()["RouteSettings"]["Fn::If"]
    assert condition == "LimitsWebhooks"
    chosen: Mapping[str, Any] = limited if of_webhooks else unlimited
    return chosen


def limited_by(parameter: str) -> Mapping[str, object]:
    return {"ThrottlingRateLimit": {"Ref": parameter}, "ThrottlingBurstLimit": {"Ref": parameter}}


class TestLimits:
    @pytest.mark.parametrize("of_webhooks", [True, False])
    def test_are_for_routes_that_there_are(self, of_webhooks: bool) -> None:
        assert limits(of_webhooks=of_webhooks).keys() <= routes()

    @pytest.mark.parametrize("of_webhooks", [True, False])
    def test_never_are_for_calls(self, of_webhooks: bool) -> None:
        assert "DefaultRouteSettings" not in stage()
        limited = limits(of_webhooks=of_webhooks)
        assert not [route for route in limited if re.search(r" /(webhooks/(call|client-auth|tool)|adulting)", route)]

    def test_always_are_for_the_call_log(self) -> None:
        shown = {route for route in routes() if re.fullmatch(r"ANY /(calls.*|stats|session|openapi.json)?", route)}
        assert set(limits(of_webhooks=False)) == shown
        assert all(limit == limited_by("ConsoleRateLimit") for limit in limits(of_webhooks=False).values())

    def test_are_for_webhooks_of_events_where_they_are_asked_for(self) -> None:
        webhooks = {route for route in routes() if re.search(r"(POST|ANY) /webhooks/(wavix|bird|voipstudio)", route)}
        limited, always = limits(of_webhooks=True), limits(of_webhooks=False)
        assert limited.keys() - always.keys() == webhooks
        assert all(limited[route] == limited_by("WebhookRateLimit") for route in webhooks)
        assert {route: limited[route] for route in always} == always


def test_options_reaches_our_code() -> None:
    (api,) = resources("AWS::ApiGatewayV2::Api").values()
    assert "CorsConfiguration" not in api
    assert "OPTIONS /webhooks/call" in routes()


class TestAccessLogs:
    def test_tell_neither_paths_nor_queries(self) -> None:
        condition, settings, nothing = stage()["AccessLogSettings"]["Fn::If"]
        assert (condition, nothing) == ("KeepsAccessLogs", {"Ref": "AWS::NoValue"})
        assert set(re.findall(r"\$context\.([A-Za-z.]+)", settings["Format"])) == HARMLESS
        assert settings["Format"].count("$") == len(HARMLESS)

    def test_go_to_a_group_that_forgets(self) -> None:
        _, settings, _ = stage()["AccessLogSettings"]["Fn::If"]
        assert settings["DestinationArn"] == {"Fn::GetAtt": ["AccessLogGroup", "Arn"]}
        assert resources("AWS::Logs::LogGroup")["AccessLogGroup"] == {"RetentionInDays": {"Ref": "LogRetentionDays"}}


class TestADomainOfOnesOwn:
    def test_is_mapped_to_the_api_where_there_is_one(self) -> None:
        made = processed_template()["Resources"]
        assert {name: made[name]["Condition"] for name in ("CustomDomain", "CustomDomainMapping")} == {
            "CustomDomain": "HasDomain",
            "CustomDomainMapping": "HasDomain",
        }
        assert made["CustomDomainMapping"]["Properties"] == {
            "ApiId": {"Ref": "Api"},
            "DomainName": {"Ref": "CustomDomain"},
            "Stage": {"Ref": "ApiApiGatewayDefaultStage"},
        }

    def test_is_entered_into_the_zone_where_that_is_named_as_well(self) -> None:
        record = processed_template()["Resources"]["CustomDomainRecord"]
        assert record["Condition"] == "HasHostedZone"
        assert processed_template()["Conditions"]["HasHostedZone"]["Fn::And"][0] == {"Condition": "HasDomain"}
        assert record["Properties"]["AliasTarget"]["DNSName"] == {"Fn::GetAtt": ["CustomDomain", "RegionalDomainName"]}

    def test_is_not_deployed_without_a_certificate(self) -> None:
        rule = processed_template()["Rules"]["ADomainNeedsACertificate"]
        assert rule["RuleCondition"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "DomainName"}, ""]}]}
        (assertion,) = rule["Assertions"]
        assert assertion["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "CertificateArn"}, ""]}]}


URLS = {
    "NewCallUrl": "POST /webhooks/call", "CallStatusUrl": "POST /webhooks/call/events",
    "RegistrationHookUrl": "POST /webhooks/client-auth", "WavixUrl": "POST /webhooks/wavix/{token}",
    "BirdUrl": "POST /webhooks/bird", "VoipstudioUrl": "POST /webhooks/voipstudio/{token}", "ConsoleUrl": "ANY /",
}  # fmt: skip


@pytest.mark.parametrize("output", URLS)
def test_an_address_in_the_outputs_leads_to_its_webhook(output: str) -> None:
    text, names = processed_template()["Outputs"][output]["Value"]["Fn::Sub"]
    path = text.removeprefix("${Base}").partition("#")[0].replace("TOKEN", "{token}")
    assert f"{URLS[output].partition(' ')[0]} {path}" == URLS[output]
    assert URLS[output] in routes()
    assert names["Base"] == processed_template()["Outputs"]["BaseUrl"]["Value"]


def test_the_address_is_the_public_one_else_the_domain_else_the_api_s() -> None:
    condition, public, otherwise = processed_template()["Outputs"]["BaseUrl"]["Value"]["Fn::If"]
    assert (condition, public) == ("HasPublicUrl", {"Ref": "PublicUrl"})
    assert otherwise["Fn::If"][:2] == ["HasDomain", {"Fn::Sub": "https://${DomainName}"}]


def test_jambonz_is_asked_for_the_retries_that_it_does_not_make_by_itself() -> None:
    for output in ("NewCallUrl", "CallStatusUrl"):
        assert processed_template()["Outputs"][output]["Value"]["Fn::Sub"][0].endswith("#rc=2&rp=ct,5xx")


def test_no_output_tells_a_secret() -> None:
    for output in processed_template()["Outputs"].values():
        assert not [text for text in texts_in(output) if "resolve:" in text or "GenerateSecretString" in text]
