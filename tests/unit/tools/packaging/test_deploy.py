"""`make deploy` builds for the functions of the stack, and refuses anything else before sam uploads it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from boto3.session import Session
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from callhooks_tools.packaging import deploy as packaging
from callhooks_tools.packaging.deploy import deploy, deployed_parameters
from callhooks_tools.packaging.settings import Refused, SamSettings
from callhooks_tools.stack.layer_target import PLATFORMS, LayerTarget, targets_in

from tests.support import ROOT, template

CONFIG = """
[default.deploy.parameters]
stack_name = "callhooks"

[prod.global.parameters]
region = "eu-west-1"

[prod.deploy.parameters]
stack_name = "callhooks-prod"
profile = "operations"
parameter_overrides = "RetentionDays=365 Architecture=x86_64"

[asks.deploy.parameters]
stack_name = "callhooks"
guided = true

[lists.deploy.parameters]
parameter_overrides = ["Architecture=x86_64", "PythonRuntime=python3.14"]
"""
X86 = {"Architecture": "x86_64"}
EXTENSIONS = {
    "arm64": "_pydantic_core.cpython-{}-aarch64-linux-gnu.so",
    "x86_64": "_pydantic_core.cpython-{}-x86_64-linux-gnu.so",
}
TEMPLATE_TEXT = (ROOT / "template.yaml").read_text("utf-8")


@dataclass
class Clone:
    """A clone with a stack, and a `sam` that writes an extension module as the layer's recipe does."""

    root: Path
    deployed: Mapping[str, str]
    failing: str = ""
    commands: list[Sequence[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.root / "samconfig.toml").write_text(CONFIG)
        (self.root / "template.yaml").write_text(TEMPLATE_TEXT)

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        self.commands.append(command)
        if command[0] == self.failing:
            return 1
        if command[:2] == ["sam", "build"]:
            architecture = {platform: name for name, platform in PLATFORMS.items()}[environment["LAYER_PLATFORM"]]
            module = EXTENSIONS[architecture].format(environment["LAYER_PYTHON"].replace(".", ""))
            layer = self.root / ".aws-sam" / "build" / "CallhooksLayer" / "python" / "pydantic_core"
            layer.mkdir(parents=True)
            (layer / module).touch()
            (self.root / ".aws-sam" / "build" / "template.yaml").write_text(json.dumps(template()))
        return 0

    @property
    def built(self) -> set[LayerTarget]:
        return targets_in(path.name for path in self.root.rglob("*.so"))

    def built_parameters(self) -> dict[str, Any]:
        built = json.loads((self.root / ".aws-sam" / "build" / "template.yaml").read_text("utf-8"))
        parameters: dict[str, Any] = built["Parameters"]
        return parameters

    def deploy(self, *options: str) -> int:
        return deploy(options, self.run, self.root)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    clone = Clone(tmp_path, {})
    for name in ("LAYER_PYTHON", "LAYER_PLATFORM", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(SamSettings, "session", lambda _settings: None)
    monkeypatch.setattr(packaging, "deployed_parameters", lambda _session, _name: clone.deployed)
    return clone


@pytest.mark.parametrize(
    ("options", "deployed", "expected"),
    [
        ([], {}, LayerTarget("3.13", "arm64")),
        # sam keeps the parameters of the stack that are not given.
        ([], X86, LayerTarget("3.13", "x86_64")),
        ([], {**X86, "PythonRuntime": "python3.12"}, LayerTarget("3.12", "x86_64")),
        (["--parameter-overrides", "PythonRuntime=python3.14"], X86, LayerTarget("3.14", "x86_64")),
        (["--parameter-overrides", "AlarmAddress=a@example.com", "Architecture=arm64"], X86,
         LayerTarget("3.13", "arm64")),
        (["--parameter-overrides", "ParameterKey=Architecture,ParameterValue=x86_64"], {},
         LayerTarget("3.13", "x86_64")),
        (["--parameter-overrides", 'Architecture="x86_64" PythonRuntime="python3.12"'], {},
         LayerTarget("3.12", "x86_64")),
        (["--config-env", "prod"], {}, LayerTarget("3.13", "x86_64")),
        # Options replace all overrides of samconfig.toml.
        (["--config-env", "prod", "--parameter-overrides", "RetentionDays=30"], {}, LayerTarget("3.13", "arm64")),
        (["--config-env", "lists"], {}, LayerTarget("3.14", "x86_64")),
        (["--guided"], X86, LayerTarget("3.13", "x86_64")),
    ],
)  # fmt: skip
def test_it_builds_for_the_given_parameters_otherwise_for_those_of_the_stack(
    clone: Clone, options: list[str], deployed: Mapping[str, str], expected: LayerTarget
) -> None:
    clone.deployed = deployed
    assert clone.deploy(*options) == 0
    assert clone.built == {expected}
    assert (clone.commands[0], clone.commands[-1]) == (["sam", "build"], ["sam", "deploy", *options])
    # An answer to --guided, or a deployment with other parameters later, cannot change the target.
    parameters = clone.built_parameters()
    for name, value in (("Architecture", expected.architecture), ("PythonRuntime", f"python{expected.python}")):
        assert (parameters[name]["Default"], parameters[name]["AllowedValues"]) == (value, [value])
    assert parameters["MemorySize"] == template()["Parameters"]["MemorySize"]


@pytest.mark.parametrize(
    ("variable", "value", "wrong"),
    [
        ("LAYER_PLATFORM", "x86_64-manylinux2014", "Python 3.13 on x86_64"),
        ("LAYER_PYTHON", "3.12", "Python 3.12 on arm64"),
    ],
)
def test_a_layer_of_another_target_is_refused_before_anything_is_uploaded(
    clone: Clone, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, wrong: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(Refused, match=f"built for {wrong}, but the functions run Python 3.13 on arm64"):
        clone.deploy()
    assert clone.commands == [["sam", "build"]]


def test_a_layer_of_the_right_target_may_be_requested_explicitly(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYER_PLATFORM", "x86_64-manylinux2014")
    assert clone.deploy("--parameter-overrides", "Architecture=x86_64") == 0


def test_a_stack_with_an_unsupported_python_is_refused_before_the_build(clone: Clone) -> None:
    clone.deployed = {"PythonRuntime": "python3.11"}
    with pytest.raises(Refused, match=r"PythonRuntime is python3\.11.*PARAMETERS='PythonRuntime=python3\.13"):
        clone.deploy()
    assert clone.commands == []


@pytest.mark.parametrize(
    ("options", "deployed", "pruned"),
    [
        ([], X86, [["callhooks", "prune", "--stack", "callhooks"]]),
        (["--config-env", "prod"], X86,
         [["callhooks", "prune", "--stack", "callhooks-prod", "--profile", "operations", "--region", "eu-west-1"]]),
        # The first deployment of a stack leaves no old versions.
        ([], {}, []),
        # The answers may name another stack.
        (["--guided"], X86, []),
        (["-g"], X86, []),
        (["--config-env", "asks"], X86, []),
    ],
)  # fmt: skip
def test_old_versions_are_deleted_before_an_update_of_the_stack_that_was_read(
    clone: Clone, options: list[str], deployed: Mapping[str, str], pruned: list[list[str]]
) -> None:
    clone.deployed = deployed
    assert clone.deploy(*options) == 0
    assert clone.commands == [["sam", "build"], *pruned, ["sam", "deploy", *options]]


def test_a_stack_is_updated_even_if_old_versions_cannot_be_deleted(clone: Clone) -> None:
    clone.deployed = X86
    clone.failing = "callhooks"
    assert clone.deploy() == 0
    assert clone.commands[-1] == ["sam", "deploy"]


def test_a_failed_build_is_not_deployed(clone: Clone) -> None:
    clone.failing = "sam"
    assert clone.deploy() == 1
    assert clone.commands == [["sam", "build"]]


def stack_in(status: str) -> dict[str, Any]:
    parameters = [{"ParameterKey": "Architecture", "ParameterValue": "x86_64"}]
    stack = {"StackName": "callhooks", "StackStatus": status, "CreationTime": 0, "Parameters": parameters}
    return {"Stacks": [stack]}


class FakeSession(Session):
    """Session with one stubbed client."""

    def __init__(self) -> None:
        super().__init__("key", "secret", region_name="us-east-1")
        self.stubbed = super().client("cloudformation")

    def client(self, *_: Any, **__: Any) -> Any:
        return self.stubbed


@pytest.mark.parametrize(("status", "expected"), [("UPDATE_COMPLETE", X86), ("REVIEW_IN_PROGRESS", {})])
def test_the_parameters_of_a_stack_count_once_it_exists(status: str, expected: Mapping[str, str]) -> None:
    session = FakeSession()
    with Stubber(session.stubbed) as stub:
        stub.add_response("describe_stacks", stack_in(status), {"StackName": "callhooks"})
        assert deployed_parameters(session, "callhooks") == expected


def test_a_missing_stack_has_no_parameters_and_an_unreadable_one_is_an_error() -> None:
    session = FakeSession()
    with Stubber(session.stubbed) as stub:
        stub.add_client_error("describe_stacks", "ValidationError", "Stack with id callhooks does not exist")
        assert deployed_parameters(session, "callhooks") == {}
        stub.add_client_error("describe_stacks", "AccessDenied", "not authorized")
        with pytest.raises(ClientError, match="not authorized"):
            deployed_parameters(session, "callhooks")


SSO_PROFILE = """
[profile sso]
sso_start_url = https://example.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = Deployer
region = eu-west-1
"""


@pytest.mark.parametrize(
    ("options", "variables", "explanation"),
    [
        ([], {}, "No AWS region is set. Add --region,"),
        (["--profile", "sso"], {}, "Run: aws sso login --profile sso"),
        ([], {"AWS_PROFILE": "sso"}, "Run: aws sso login --profile sso"),
        (["--profile", "missing"], {}, "The config profile (missing) could not be found. To list your profiles, run:"),
    ],
)
def test_an_error_of_the_sign_in_is_explained_with_the_options_for_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], variables: dict[str, str], explanation: str
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true", **variables}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(SSO_PROFILE)
    clone = Clone(tmp_path, {})
    with pytest.raises(Refused) as refused:
        clone.deploy(*options)
    problem, hint = str(refused.value).splitlines()
    assert problem.startswith("Cannot read the stack callhooks. ")
    assert explanation in problem
    assert hint.startswith("Options for make: SAM_OPTIONS='--profile NAME --region REGION'")
    assert clone.commands == []
