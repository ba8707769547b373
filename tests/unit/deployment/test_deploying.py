"""How it is deployed: sam's settings, the targets of make, and the example of a pipeline."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml
from callhooks_tools.cli import app
from typer.main import get_command

from tests.processed_template import processed_template, resources
from tests.support import ROOT

SETTINGS = tomllib.loads((ROOT / "samconfig.toml").read_text("utf-8"))
ENVIRONMENTS = ("default", "local", "prod")
TARGETS = set(re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


class TestSamsSettings:
    @pytest.mark.parametrize("environment", ENVIRONMENTS)
    def test_deploy_a_stack_with_tags(self, environment: str) -> None:
        deploy = SETTINGS[environment]["deploy"]["parameters"]
        assert deploy["capabilities"] == "CAPABILITY_IAM"
        assert deploy["tags"] == f"application=callhooks stage={environment}"
        assert deploy["fail_on_empty_changeset"] is False

    @pytest.mark.parametrize("environment", ["default", "prod"])
    def test_ask_before_anything_is_changed_in_an_account(self, environment: str) -> None:
        deploy = SETTINGS[environment]["deploy"]["parameters"]
        assert deploy["confirm_changeset"] is True
        assert SETTINGS[environment]["delete"]["parameters"]["stack_name"] == deploy["stack_name"]
        assert SETTINGS[environment]["validate"]["parameters"]["lint"] is True

    def test_keep_what_is_real_apart_from_what_is_tried_out(self) -> None:
        stacks = {name: SETTINGS[name]["deploy"]["parameters"]["stack_name"] for name in ENVIRONMENTS}
        assert stacks["prod"] != stacks["default"]

    def test_set_parameters_that_there_are(self) -> None:
        overrides = SETTINGS["prod"]["deploy"]["parameters"]["parameter_overrides"]
        assert {pair.partition("=")[0] for pair in overrides.split()} <= processed_template()["Parameters"].keys()

    def test_name_nobody_s_account(self) -> None:
        assert "profile" not in str(SETTINGS)
        assert "s3_bucket" not in str(SETTINGS)


def pipeline() -> list[dict[str, Any]]:
    document = yaml.safe_load((ROOT / "docs" / "examples" / "github-actions.yml").read_text("utf-8"))
    (job,) = document["jobs"].values()
    steps: list[dict[str, Any]] = job["steps"]
    return steps


class TestThePipeline:
    def test_checks_then_deploys_then_tries(self) -> None:
        assert [step["name"] for step in pipeline() if "name" in step] == ["Check", "Deploy", "Try it"]

    def test_calls_targets_that_there_are(self) -> None:
        commands = [step["run"].split() for step in pipeline() if step.get("run", "").startswith("make")]
        called = {word for command in commands for word in command[1:] if re.fullmatch(r"[a-z0-9-]+", word)}
        assert called == {"check", "test-unit", "test-integration", "deploy"}
        assert called <= TARGETS | {"test-unit", "test-integration"}

    def test_sets_parameters_that_there_are(self) -> None:
        (deploy,) = [step["run"] for step in pipeline() if step.get("name") == "Deploy"]
        (parameters,) = re.findall(r"PARAMETERS='([^']*)'", deploy)
        names = {name for name, _ in re.findall(r"(\w+)=(\S+)", parameters.replace("${{ ", "").replace(" }}", ""))}
        assert names <= processed_template()["Parameters"].keys()
        # What is given on the command line replaces what stands in the settings.
        kept = SETTINGS["prod"]["deploy"]["parameters"]["parameter_overrides"].split()
        assert set(kept) <= set(parameters.split())

    def test_tries_the_stack_that_it_has_deployed(self) -> None:
        (tried,) = [step["run"] for step in pipeline() if step.get("name") == "Try it"]
        assert tried.split()[-2:] == ["--stack", SETTINGS["prod"]["deploy"]["parameters"]["stack_name"]]
        assert "doctor" in get_command(app).commands  # type: ignore[attr-defined]  # a group

    def test_holds_no_secret(self) -> None:
        text = (ROOT / "docs" / "examples" / "github-actions.yml").read_text("utf-8")
        assert "{{ secrets" not in text
        assert not re.search(r"AKIA|aws_secret", text)


class TestEveryParameter:
    def test_stands_in_a_group_of_the_console(self) -> None:
        groups = processed_template()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
        grouped = [name for group in groups for name in group["Parameters"]]
        assert sorted(grouped) == sorted(processed_template()["Parameters"])

    @pytest.mark.parametrize("name", processed_template()["Parameters"])
    def test_has_a_default_that_works_and_is_bounded(self, name: str) -> None:
        parameter = processed_template()["Parameters"][name]
        default = parameter["Default"]
        if parameter["Type"] == "Number":
            assert "MinValue" in parameter or "AllowedValues" in parameter
            assert parameter.get("MinValue", default) <= default <= parameter.get("MaxValue", default)
        elif "AllowedValues" in parameter:
            assert default in parameter["AllowedValues"]
        else:
            assert re.fullmatch(parameter["AllowedPattern"], default)
            assert parameter["ConstraintDescription"]

    @pytest.mark.parametrize("name", processed_template()["Parameters"])
    def test_is_described_on_the_page(self, name: str) -> None:
        parameter = processed_template()["Parameters"][name]
        default = parameter["Default"]
        line = f"| `{name}` | {'empty' if default == '' else f'`{default}`'} |"
        assert line in (ROOT / "docs" / "operations.md").read_text("utf-8")


class TestWhatHoldsData:
    @pytest.mark.parametrize(
        "name",
        [
            name
            for name, resource in processed_template()["Resources"].items()
            if resource["Type"] == "AWS::SecretsManager::Secret"
        ]
        + ["EventsTable", "ClientsTable", "SpillQueue", "SpillDeadLetterQueue"],
    )
    def test_stays_when_the_stack_is_removed_or_it_is_replaced(self, name: str) -> None:
        resource = processed_template()["Resources"][name]
        # A table that is protected could not be deleted when its first creation is taken back.
        kept = "Retain" if resource["Type"] == "AWS::DynamoDB::Table" else "RetainExceptOnCreate"
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == (kept, "Retain")
        # With a name of its own it would be in the way of the next stack.
        assert not {"TableName", "QueueName", "Name"} & resource["Properties"].keys()

    @pytest.mark.parametrize("name", ["EventsTable", "ClientsTable"])
    def test_is_not_deleted_by_a_slip_and_can_be_had_back(self, name: str) -> None:
        table = processed_template()["Resources"][name]["Properties"]
        assert table["DeletionProtectionEnabled"] is True
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}

    def test_is_encrypted(self) -> None:
        for name, resource in processed_template()["Resources"].items():
            properties = resource.get("Properties", {})
            if resource["Type"] == "AWS::SQS::Queue":
                assert properties["SqsManagedSseEnabled"] is True, name
            # DynamoDB, Secrets Manager and CloudWatch encrypt whatever they keep, unless they are told of another key.
            assert not {"SSESpecification", "KmsKeyId"} & properties.keys()


@pytest.mark.parametrize("name", resources("AWS::Lambda::Function"))
def test_a_function_writes_into_the_log_that_its_role_may_write(name: str) -> None:
    settings = resources("AWS::Lambda::Function")[name]["LoggingConfig"]
    assert settings == {
        "LogGroup": {"Ref": f"{name.removesuffix('Function')}LogGroup"},
        "LogFormat": "JSON",
        # Lambda's own lines for each invocation would cost more than ours.
        "SystemLogLevel": "WARN",
    }


def test_a_domain_of_one_s_own_points_at_the_api_and_not_at_itself() -> None:
    target = processed_template()["Outputs"]["CustomDomainTarget"]
    assert target["Value"] == {"Fn::GetAtt": ["CustomDomain", "RegionalDomainName"]}
    assert target["Condition"] == "HasDomain"


def test_functions_have_as_much_room_as_they_are_given() -> None:
    parts: dict[str, list[str]] = {"CallReservedConcurrency": [], "EventReservedConcurrency": []}
    for name, resource in processed_template()["Resources"].items():
        limit = resource.get("Properties", {}).get("ReservedConcurrentExecutions")
        if limit is not None:
            condition, parameter, nothing = limit["Fn::If"]
            assert nothing == {"Ref": "AWS::NoValue"}
            assert condition == {"C": "ReservesForCalls", "E": "ReservesForEvents"}[parameter["Ref"][0]]
            parts[parameter["Ref"]].append(name)
    assert parts == {
        "CallReservedConcurrency": ["JambonzNewCallFunction", "JambonzActionFunction"],
        "EventReservedConcurrency": [
            "JambonzEventFunction", "WavixCallFunction", "BirdVoiceFunction", "VoipstudioEventFunction",
        ],
    }  # fmt: skip
