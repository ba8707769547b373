"""Deployment: sam's settings, make targets, the example pipeline, parameters and retained data."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from callhooks_tools.packaging.remove import remove

from tests.commands import environment_of_make
from tests.processed_template import processed_template, resources
from tests.support import ROOT

SETTINGS = tomllib.loads((ROOT / "samconfig.toml").read_text("utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z0-9-]+):.*## ", MAKEFILE, re.MULTILINE))


class TestSamConfig:
    @pytest.mark.parametrize("environment", ["default", "stage", "local", "prod"])
    def test_deploys_a_stack_with_tags(self, environment: str) -> None:
        expected = {
            "capabilities": "CAPABILITY_IAM",
            "tags": f"application=callhooks stage={environment}",
            "fail_on_empty_changeset": False,
        }
        assert expected.items() <= SETTINGS[environment]["deploy"]["parameters"].items()

    @pytest.mark.parametrize("environment", ["default", "stage", "prod"])
    def test_asks_for_confirmation_before_changing_a_stack(self, environment: str) -> None:
        deploy = SETTINGS[environment]["deploy"]["parameters"]
        assert deploy["confirm_changeset"] is True
        assert SETTINGS[environment]["delete"]["parameters"]["stack_name"] == deploy["stack_name"]
        assert SETTINGS[environment]["validate"]["parameters"]["lint"] is True
        stacks = {SETTINGS[name]["deploy"]["parameters"]["stack_name"] for name in ("default", "stage", "prod")}
        assert len(stacks) == 3

    def test_does_not_name_an_account(self) -> None:
        assert "profile" not in str(SETTINGS)
        assert "s3_bucket" not in str(SETTINGS)


def make_remove(folder: Path, *variables: str) -> tuple[list[str], str]:
    """Run `make remove` with programs that record how they are called. Return the calls, and what make reports."""
    log, programs = folder / "log", folder / "bin"
    programs.mkdir()
    log.touch()
    python = programs / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    for name in ("callhooks", "sam"):
        program = programs / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {log}\n')
        program.chmod(0o755)
    (folder / ".complete").touch()
    make = ["make", "--old-file", str(folder / ".complete"), "remove", f"VENV={folder}", *variables]
    code = os.pathsep.join(str(ROOT / path) for path in ("tools", "layers/callhooks"))
    environment = environment_of_make() | {"PYTHONPATH": code}
    done = subprocess.run(make, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return log.read_text("utf-8").splitlines(), done.stderr


@pytest.mark.parametrize("environment", ["default", "prod"])
@pytest.mark.parametrize("options", [[], ["--profile", "ops", "--region", "eu-west-1"]])
@pytest.mark.parametrize("check_status", [0, 1])
def test_a_stack_is_removed_only_after_a_check(environment: str, options: list[str], check_status: int) -> None:
    ran: list[list[str]] = []

    def run(command: Sequence[str], _environment: Mapping[str, str]) -> int:
        ran.append(list(command))
        return check_status

    assert remove(["--config-env", environment, *options], run) == check_status
    stack = SETTINGS[environment]["delete"]["parameters"]["stack_name"]
    check = ["callhooks", "check-removal", "--stack", stack, *options]
    deletion = ["sam", "delete", "--stack-name", stack, *options, "--config-env", environment, *options]
    assert ran == ([check] if check_status else [check, deletion])


def test_make_remove_runs_the_check_and_the_deletion(tmp_path: Path) -> None:
    ran, _ = make_remove(tmp_path, "CONFIG=prod", "SAM_OPTIONS=--profile ops")
    assert [line.split()[:2] for line in ran] == [["callhooks", "check-removal"], ["sam", "delete"]]
    assert all(line.endswith("--profile ops") for line in ran)


# The environment of the local stack has no stack to remove.
@pytest.mark.parametrize("environment", ["unknown", "local"])
def test_an_environment_without_a_stack_to_remove_is_refused_in_one_line(environment: str, tmp_path: Path) -> None:
    ran, report = make_remove(tmp_path, f"CONFIG={environment}")
    assert ran == []
    refusal = report.splitlines()[0]
    assert refusal.startswith(f"callhooks: samconfig.toml has no stack to remove for CONFIG={environment}. Add ")
    assert "Traceback" not in report


PIPELINE = (ROOT / "docs" / "examples" / "github-actions.yml").read_text("utf-8")


def jobs() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(PIPELINE)
    found: dict[str, Any] = document["jobs"]
    return found


def parameters_of(job: str, alarm_address: str) -> str:
    """Return the parameters of a job as GitHub evaluates them, with a value of the variable ALARM_ADDRESS."""
    text: str = jobs()[job]["env"]["PARAMETERS"]
    expression = "${{ vars.ALARM_ADDRESS && format('AlarmAddress={0}', vars.ALARM_ADDRESS) }}"
    assert expression in text
    return text.replace(expression, alarm_address and f"AlarmAddress={alarm_address}")


def commands_of(job: str) -> list[str]:
    return [step["run"] for step in jobs()[job]["steps"] if "run" in step]


class TestThePipeline:
    def test_checks_then_deploys_a_stage_then_production(self) -> None:
        assert {name: job.get("needs") for name, job in jobs().items()} == {
            "check": None,
            "stage": "check",
            "prod": "stage",
        }

    @pytest.mark.parametrize("job", ["stage", "prod"])
    def test_assumes_a_role_deploys_the_environment_and_verifies_its_stack(self, job: str) -> None:
        definition = jobs()[job]
        assert definition["environment"] == definition["env"]["CONFIG"] == job
        assert definition["permissions"] == {"contents": "read", "id-token": "write"}
        steps = [step["name"] for step in definition["steps"] if "name" in step]
        assert steps == ["Assume the role", "Deploy", "Verify"]
        deploy, verify = commands_of(job)
        assert deploy.startswith('make deploy CONFIG="$CONFIG" PARAMETERS="$PARAMETERS" ')
        stack = verify.replace("$CONFIG", job).split()[-3:]
        assert stack == ["doctor", "--stack", f'"{SETTINGS[job]["deploy"]["parameters"]["stack_name"]}"']

    def test_only_jobs_that_deploy_can_assume_a_role(self) -> None:
        assert yaml.safe_load(PIPELINE)["permissions"] == {"contents": "read"}
        assert "permissions" not in jobs()["check"]

    def test_calls_existing_targets(self) -> None:
        (check,) = commands_of("check")
        assert check.split() == ["make", "check", "test-unit", "test-integration"]
        assert {"check", "deploy"} <= TARGETS
        assert all(f"\n{target}:" in MAKEFILE for target in check.split()[1:])

    @pytest.mark.parametrize("job", ["stage", "prod"])
    def test_sets_existing_parameters_including_the_configured_ones(self, job: str) -> None:
        parameters = parameters_of(job, "ops@example.com").split()
        assert {one.partition("=")[0] for one in parameters} <= processed_template()["Parameters"].keys()
        # Overrides on the command line replace those in samconfig.toml, which must exist too.
        configured = SETTINGS[job]["deploy"]["parameters"].get("parameter_overrides", "").split()
        assert set(configured) <= set(parameters)

    @pytest.mark.parametrize(("job", "expected"), [("stage", ""), ("prod", "RetentionDays=365 LogRetentionDays=90")])
    def test_sets_no_empty_alarm_address(self, job: str, expected: str) -> None:
        assert parameters_of(job, "").strip() == expected
        assert parameters_of(job, "ops@example.com").split()[-1] == "AlarmAddress=ops@example.com"

    def test_names_both_conditions_of_a_role(self) -> None:
        assert re.search(r"githubusercontent\.com:aud +sts\.amazonaws\.com\n", PIPELINE)
        assert re.search(r"githubusercontent\.com:sub +repo:<owner>/<repository>:environment:", PIPELINE)

    def test_pins_each_action_by_commit_and_names_its_version(self) -> None:
        used = [line.strip() for line in PIPELINE.splitlines() if re.match(r" *(- )?uses:", line)]
        assert len(used) == 3
        assert [line for line in used if not re.search(r"uses: [\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)] == []

    def test_contains_no_secret_and_expands_no_expression_in_a_command(self) -> None:
        assert "{{ secrets" not in PIPELINE
        assert not re.search(r"AKIA|aws_secret", PIPELINE)
        assert [command for job in jobs() for command in commands_of(job) if "{{" in command] == []


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
        "SystemLogLevel": {"Ref": "SystemLogLevel"},
    }


def test_lambda_logs_no_line_of_its_own_for_each_invocation_by_default() -> None:
    # Such lines would cost more than those of callhooks.
    assert processed_template()["Parameters"]["SystemLogLevel"]["Default"] == "WARN"


def test_functions_have_their_configured_concurrency() -> None:
    parts: dict[str, list[str]] = {f"{part}ReservedConcurrency": [] for part in ("Call", "Event", "Console")}
    for name, resource in processed_template()["Resources"].items():
        limit = resource.get("Properties", {}).get("ReservedConcurrentExecutions")
        if limit is not None:
            condition, parameter, unlimited = limit["Fn::If"]
            assert unlimited == {"Ref": "AWS::NoValue"}
            assert condition.startswith(f"ReservesFor{parameter['Ref'].removesuffix('ReservedConcurrency')}")
            assert processed_template()["Parameters"][parameter["Ref"]]["Default"] == 0
            parts[parameter["Ref"]].append(name)
    assert parts == {
        "CallReservedConcurrency": ["JambonzNewCallFunction", "JambonzActionFunction"],
        "EventReservedConcurrency": [
            "JambonzEventFunction", "WavixCallFunction", "BirdVoiceFunction", "VoipstudioEventFunction",
        ],
        "ConsoleReservedConcurrency": ["CallLogFunction"],
    }  # fmt: skip
