"""`callhooks prune`: old versions go, the newest ones and those in use stay."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from callhooks_tools.cli import app
from callhooks_tools.commands import upkeep as module
from callhooks_tools.stack.stack import StackResource, StackUnknown
from callhooks_tools.stack.template import ALIAS
from typer.testing import CliRunner, Result

from tests.integration.conftest import Aws
from tests.integration.tools.test_doctor import archive
from tests.stacks import stack_outputs

PUBLISHED = {"NewCall": 5, "Drainer": 4}


@pytest.fixture
def client(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two functions with five versions each, and another function outside of the stack."""
    client = boto3.client("lambda")
    role = boto3.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    for name in (*PUBLISHED, "Other"):
        client.create_function(
            FunctionName=name, Role=role, Runtime="python3.13", Handler="app.handler", Code={"ZipFile": archive()}
        )
        for number in range(5):
            client.update_function_configuration(FunctionName=name, MemorySize=512 + number)
            client.publish_version(FunctionName=name)
    arn = "arn:aws:lambda:us-east-1:123456789012:function"
    resources = [
        StackResource("AWS::Lambda::Version", f"{name}FunctionVersion0a1b2c3d4e", f"{arn}:{name}:{version}")
        for name, version in PUBLISHED.items()
    ]
    monkeypatch.setattr(module, "stack_in_aws", lambda _: (boto3.session.Session(), stack_outputs()))
    monkeypatch.setattr(module, "stack_resources", lambda *_: resources)
    monkeypatch.setattr(module, "stack_status", lambda *_: "UPDATE_ROLLBACK_COMPLETE")
    return client


def prune(*options: str) -> Result:
    return CliRunner().invoke(app, ["prune", *options])


def versions(client: Any, name: str) -> list[str]:
    found = client.list_versions_by_function(FunctionName=name)["Versions"]
    return [one["Version"] for one in found if one["Version"] != "$LATEST"]


def test_the_newest_versions_and_those_in_use_stay(client: Any) -> None:
    client.create_alias(FunctionName="NewCall", Name=ALIAS, FunctionVersion="5")
    shares = {"AdditionalVersionWeights": {"2": 0.1}}
    client.create_alias(FunctionName="Drainer", Name=ALIAS, FunctionVersion="1", RoutingConfig=shares)
    assert prune("--keep", "2").output == "Deleted 4 old versions of 2 functions.\n"
    assert versions(client, "NewCall") == ["4", "5"]
    # Version 5 is left from an update that was rolled back.
    assert versions(client, "Drainer") == ["1", "2", "3", "4"]
    assert versions(client, "Other") == ["1", "2", "3", "4", "5"]
    assert prune("--keep", "2").output == "Deleted 0 old versions of 2 functions.\n"


def test_at_least_two_versions_stay(client: Any) -> None:
    assert prune("--keep", "1").exit_code == 2
    assert len(versions(client, "NewCall")) == 5


def test_a_failure_is_reported_with_what_was_deleted(client: Any) -> None:
    client.delete_function(FunctionName="Drainer")
    ended = prune()
    assert ended.exit_code == 1
    assert "Deleted 2 old versions, then stopped: " in ended.output
    ended = prune("--json")
    assert (ended.exit_code, ended.stdout) == (1, "")


def test_nothing_is_deleted_during_an_update(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "stack_status", lambda *_: "UPDATE_IN_PROGRESS")
    ended = prune()
    assert (ended.exit_code, len(versions(client, "NewCall"))) == (1, 5)
    assert "The stack is UPDATE_IN_PROGRESS." in ended.output


def test_a_stack_that_can_no_longer_be_read_ends_the_command_in_one_line(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> str:
        raise StackUnknown("Cannot read the stack callhooks: Rate exceeded")

    monkeypatch.setattr(module, "stack_status", unknown)
    ended = prune()
    assert (ended.exit_code, ended.output) == (1, "Cannot read the stack callhooks: Rate exceeded\n")
    assert isinstance(ended.exception, SystemExit)
    assert len(versions(client, "NewCall")) == 5
