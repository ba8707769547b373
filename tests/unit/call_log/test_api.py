"""API in the processed template: access logs, domain, and the URLs in the outputs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.processed_template import processed_template, resources, texts_in
from tests.support import ROOT

HARMLESS = {"identity.sourceIp", "routeKey", "status", "responseLatency", "requestId", "integrationErrorMessage"}
"""Values of a request that may be logged: `routeKey` is the path template, without tokens or ids."""

OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")


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


def test_the_stage_sets_no_limits_because_api_gateway_would_keep_them() -> None:
    assert not {"RouteSettings", "DefaultRouteSettings"} & stage().keys()


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


def test_access_logs_are_json_without_paths_and_queries() -> None:
    condition, settings, disabled = stage()["AccessLogSettings"]["Fn::If"]
    assert (condition, disabled) == ("KeepsAccessLogs", {"Ref": "AWS::NoValue"})
    line = json.loads(settings["Format"])
    assert sorted(line.values()) == sorted(f"$context.{name}" for name in HARMLESS)
    assert settings["DestinationArn"] == {"Fn::GetAtt": ["AccessLogGroup", "Arn"]}


def test_access_logs_expire_and_share_an_entry_in_the_resource_policy() -> None:
    group = resources("AWS::Logs::LogGroup")["AccessLogGroup"]
    assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert group["LogGroupName"] == {"Fn::Sub": "/aws/vendedlogs/${AWS::StackName}/access"}


def test_the_query_in_the_documentation_reads_fields_of_the_access_log() -> None:
    fields = json.loads(stage()["AccessLogSettings"]["Fn::If"][1]["Format"]).keys()
    (query,) = re.findall(r"^ {4}fields (.*) \| filter status >= 500$", OPERATIONS, re.MULTILINE)
    assert set(query.split(", ")) - {"@timestamp"} <= fields


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
        assert processed_template()["Outputs"][output]["Value"]["Fn::Sub"][0].endswith("#rc=2&rp=all")


def test_no_output_contains_a_secret() -> None:
    for output in processed_template()["Outputs"].values():
        assert not [text for text in texts_in(output) if "resolve:" in text or "GenerateSecretString" in text]
