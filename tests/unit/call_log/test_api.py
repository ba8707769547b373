"""API in the processed template: rate limits, access logs, domain, and the URLs in the outputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.processed_template import processed_template, resources, texts_in

HARMLESS = {"identity.sourceIp", "routeKey", "status", "responseLatency", "requestId", "integrationErrorMessage"}
"""Values of a request that may be logged: `routeKey` is the path template, without tokens or ids."""


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


@pytest.mark.parametrize("of_webhooks", [True, False])
def test_limits_apply_to_existing_routes_except_webhooks_that_answer_calls(of_webhooks: bool) -> None:
    assert "DefaultRouteSettings" not in stage()
    limited = limits(of_webhooks=of_webhooks)
    assert limited.keys() <= routes()
    assert not [route for route in limited if re.search(r" /(webhooks/(call|client-auth|tool)|adulting)", route)]


def test_limits_always_apply_to_the_call_log_and_to_webhooks_of_events_if_configured() -> None:
    shown = {route for route in routes() if re.fullmatch(r"ANY /(calls.*|stats|session|openapi.json)?", route)}
    webhooks = {route for route in routes() if re.search(r"(POST|ANY) /webhooks/(wavix|bird|voipstudio)", route)}
    always = dict.fromkeys(shown, limited_by("ConsoleRateLimit"))
    assert limits(of_webhooks=False) == always
    assert limits(of_webhooks=True) == {**always, **dict.fromkeys(webhooks, limited_by("WebhookRateLimit"))}


def test_options_requests_reach_the_function() -> None:
    (api,) = resources("AWS::ApiGatewayV2::Api").values()
    assert "CorsConfiguration" not in api
    assert "OPTIONS /webhooks/call" in routes()


def test_a_custom_domain_has_a_mapping_a_certificate_a_dns_record_and_a_target() -> None:
    processed = processed_template()
    made, target = processed["Resources"], {"Fn::GetAtt": ["CustomDomain", "RegionalDomainName"]}
    conditions = {
        "CustomDomain": "HasDomain",
        "CustomDomainMapping": "HasDomain",
        "CustomDomainRecord": "HasHostedZone",
    }
    assert {name: made[name]["Condition"] for name in conditions} == conditions
    assert processed["Conditions"]["HasHostedZone"]["Fn::And"][0] == {"Condition": "HasDomain"}
    stage_of_api = {"ApiId": {"Ref": "Api"}, "Stage": {"Ref": "ApiApiGatewayDefaultStage"}}
    assert made["CustomDomainMapping"]["Properties"] == {**stage_of_api, "DomainName": {"Ref": "CustomDomain"}}
    assert made["CustomDomainRecord"]["Properties"]["AliasTarget"]["DNSName"] == target
    output, rule = processed["Outputs"]["CustomDomainTarget"], processed["Rules"]["ADomainNeedsACertificate"]
    assert (output["Condition"], output["Value"]) == ("HasDomain", target)
    is_set = {name: {"Fn::Not": [{"Fn::Equals": [{"Ref": name}, ""]}]} for name in ("DomainName", "CertificateArn")}
    assert rule["RuleCondition"] == is_set["DomainName"]
    assert [one["Assert"] for one in rule["Assertions"]] == [is_set["CertificateArn"]]


def test_access_logs_contain_neither_paths_nor_queries_and_have_retention() -> None:
    condition, settings, disabled = stage()["AccessLogSettings"]["Fn::If"]
    assert (condition, disabled) == ("KeepsAccessLogs", {"Ref": "AWS::NoValue"})
    assert set(re.findall(r"\$context\.([A-Za-z.]+)", settings["Format"])) == HARMLESS
    assert settings["Format"].count("$") == len(HARMLESS)
    assert settings["DestinationArn"] == {"Fn::GetAtt": ["AccessLogGroup", "Arn"]}
    assert resources("AWS::Logs::LogGroup")["AccessLogGroup"] == {"RetentionInDays": {"Ref": "LogRetentionDays"}}


URLS = {
    "NewCallUrl": "POST /webhooks/call", "CallStatusUrl": "POST /webhooks/call/events",
    "RegistrationHookUrl": "POST /webhooks/client-auth", "WavixUrl": "POST /webhooks/wavix/{token}",
    "BirdUrl": "POST /webhooks/bird", "VoipstudioUrl": "POST /webhooks/voipstudio/{token}", "ConsoleUrl": "ANY /",
}  # fmt: skip


@pytest.mark.parametrize("output", URLS)
def test_a_url_in_the_outputs_leads_to_its_webhook(output: str) -> None:
    text, names = processed_template()["Outputs"][output]["Value"]["Fn::Sub"]
    path = text.removeprefix("${Base}").partition("#")[0].replace("TOKEN", "{token}")
    assert f"{URLS[output].partition(' ')[0]} {path}" == URLS[output]
    assert URLS[output] in routes()
    assert names["Base"] == processed_template()["Outputs"]["BaseUrl"]["Value"]


def test_the_base_url_is_the_public_url_then_the_domain_then_the_api() -> None:
    condition, public, otherwise = processed_template()["Outputs"]["BaseUrl"]["Value"]["Fn::If"]
    assert (condition, public) == ("HasPublicUrl", {"Ref": "PublicUrl"})
    assert otherwise["Fn::If"][:2] == ["HasDomain", {"Fn::Sub": "https://${DomainName}"}]


def test_jambonz_urls_request_retries_after_timeouts_and_errors() -> None:
    for output in ("NewCallUrl", "CallStatusUrl"):
        assert processed_template()["Outputs"][output]["Value"]["Fn::Sub"][0].endswith("#rc=2&rp=ct,5xx")


def test_no_output_contains_a_secret() -> None:
    for output in processed_template()["Outputs"].values():
        assert not [text for text in texts_in(output) if "resolve:" in text or "GenerateSecretString" in text]
