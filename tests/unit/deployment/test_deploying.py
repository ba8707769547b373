"""Deployment: sam's settings, make targets, the example pipeline, parameters and retained data."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml

from tests.processed_template import processed_template, resources
from tests.support import ROOT

SETTINGS = tomllib.loads((ROOT / "samconfig.toml").read_text("utf-8"))
TARGETS = set(re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


class TestSamConfig:
    @pytest.mark.parametrize("environment", ["default", "local", "prod"])
    def test_deploys_a_stack_with_tags(self, environment: str) -> None:
        expected = {
            "capabilities": "CAPABILITY_IAM",
            "tags": f"application=callhooks stage={environment}",
            "fail_on_empty_changeset": False,
        }
        assert expected.items() <= SETTINGS[environment]["deploy"]["parameters"].items()

    @pytest.mark.parametrize("environment", ["default", "prod"])
    def test_asks_for_confirmation_before_changing_a_stack(self, environment: str) -> None:
        deploy = SETTINGS[environment]["deploy"]["parameters"]
        assert deploy["confirm_changeset"] is True
        assert SETTINGS[environment]["delete"]["parameters"]["stack_name"] == deploy["stack_name"]
        assert SETTINGS[environment]["validate"]["parameters"]["lint"] is True
        stacks = [SETTINGS[name]["deploy"]["parameters"]["stack_name"] for name in ("default", "prod")]
        assert stacks[0] != stacks[1]

    def test_does_not_name_an_account(self) -> None:
        assert "profile" not in str(SETTINGS)
        assert "s3_bucket" not in str(SETTINGS)


def pipeline() -> list[dict[str, Any]]:
    document = yaml.safe_load((ROOT / "docs" / "examples" / "github-actions.yml").read_text("utf-8"))
    (job,) = document["jobs"].values()
    steps: list[dict[str, Any]] = job["steps"]
    return steps


class TestThePipeline:
    def test_checks_then_deploys_then_verifies(self) -> None:
        assert [step["name"] for step in pipeline() if "name" in step] == ["Check", "Deploy", "Verify"]

    def test_calls_existing_targets(self) -> None:
        commands = [step["run"].split() for step in pipeline() if step.get("run", "").startswith("make")]
        called = {word for command in commands for word in command[1:] if re.fullmatch(r"[a-z0-9-]+", word)}
        assert called == {"check", "test-unit", "test-integration", "deploy"}
        assert called <= TARGETS | {"test-unit", "test-integration"}

    def test_sets_existing_parameters_including_the_configured_ones(self) -> None:
        (deploy,) = [step["run"] for step in pipeline() if step.get("name") == "Deploy"]
        (parameters,) = re.findall(r"PARAMETERS='([^']*)'", deploy)
        names = {name for name, _ in re.findall(r"(\w+)=(\S+)", parameters.replace("${{ ", "").replace(" }}", ""))}
        assert names <= processed_template()["Parameters"].keys()
        # Overrides on the command line replace those in samconfig.toml, which must exist too.
        configured = SETTINGS["prod"]["deploy"]["parameters"]["parameter_overrides"].split()
        assert set(configured) <= set(parameters.split())

    def test_verifies_the_deployed_stack_and_contains_no_secret(self) -> None:
        (command,) = [step["run"] for step in pipeline() if step.get("name") == "Verify"]
        assert command.split()[-3:] == ["doctor", "--stack", SETTINGS["prod"]["deploy"]["parameters"]["stack_name"]]
        text = (ROOT / "docs" / "examples" / "github-actions.yml").read_text("utf-8")
        assert "{{ secrets" not in text
        assert not re.search(r"AKIA|aws_secret", text)


class TestEveryParameter:
    def test_is_in_a_parameter_group(self) -> None:
        groups = processed_template()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
        grouped = [name for group in groups for name in group["Parameters"]]
        assert sorted(grouped) == sorted(processed_template()["Parameters"])

    @pytest.mark.parametrize("name", processed_template()["Parameters"])
    def test_has_a_valid_default_and_bounds(self, name: str) -> None:
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
    def test_is_documented_with_its_default(self, name: str) -> None:
        default = processed_template()["Parameters"][name]["Default"]
        line = f"| `{name}` | {'empty' if default == '' else f'`{default}`'} |"
        assert line in (ROOT / "docs" / "operations.md").read_text("utf-8")


class TestRetainedData:
    @pytest.mark.parametrize(
        "name",
        [
            name
            for name, resource in processed_template()["Resources"].items()
            if resource["Type"] == "AWS::SecretsManager::Secret"
        ]
        + ["EventsTable", "ClientsTable", "SpillQueue", "SpillDeadLetterQueue"],
    )
    def test_is_retained_when_the_stack_is_deleted_or_updated(self, name: str) -> None:
        resource = processed_template()["Resources"][name]
        # CloudFormation cannot delete a protected table when it rolls back the first deployment.
        policy = "Retain" if resource["Type"] == "AWS::DynamoDB::Table" else "RetainExceptOnCreate"
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == (policy, "Retain")
        # A fixed name would conflict with the next stack.
        assert not {"TableName", "QueueName", "Name"} & resource["Properties"].keys()

    @pytest.mark.parametrize("name", ["EventsTable", "ClientsTable"])
    def test_is_protected_against_deletion_and_can_be_restored(self, name: str) -> None:
        table = processed_template()["Resources"][name]["Properties"]
        assert table["DeletionProtectionEnabled"] is True
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}

    def test_is_encrypted(self) -> None:
        for name, resource in processed_template()["Resources"].items():
            properties = resource.get("Properties", {})
            if resource["Type"] == "AWS::SQS::Queue":
                assert properties["SqsManagedSseEnabled"] is True, name
            # DynamoDB, Secrets Manager and CloudWatch encrypt data by default, without a customer key.
            assert not {"SSESpecification", "KmsKeyId"} & properties.keys()


@pytest.mark.parametrize("name", resources("AWS::Lambda::Function"))
def test_a_function_logs_to_the_group_that_its_role_may_write(name: str) -> None:
    settings = resources("AWS::Lambda::Function")[name]["LoggingConfig"]
    assert settings == {
        "LogGroup": {"Ref": f"{name.removesuffix('Function')}LogGroup"},
        "LogFormat": "JSON",
        # Lambda's own log lines for each invocation would cost more than those of callhooks.
        "SystemLogLevel": "WARN",
    }


def test_functions_have_their_configured_concurrency() -> None:
    parts: dict[str, list[str]] = {"CallReservedConcurrency": [], "EventReservedConcurrency": []}
    for name, resource in processed_template()["Resources"].items():
        limit = resource.get("Properties", {}).get("ReservedConcurrentExecutions")
        if limit is not None:
            condition, parameter, unlimited = limit["Fn::If"]
            assert unlimited == {"Ref": "AWS::NoValue"}
            assert condition == {"C": "ReservesForCalls", "E": "ReservesForEvents"}[parameter["Ref"][0]]
            parts[parameter["Ref"]].append(name)
    assert parts == {
        "CallReservedConcurrency": ["JambonzNewCallFunction", "JambonzActionFunction"],
        "EventReservedConcurrency": [
            "JambonzEventFunction", "WavixCallFunction", "BirdVoiceFunction", "VoipstudioEventFunction",
        ],
    }  # fmt: skip
