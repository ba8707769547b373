"""`callhooks sam-local` checks everything before it builds, and gives the containers the local stack."""

from __future__ import annotations

import json
import sys
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from callhooks_tools.cli import app
from callhooks_tools.local import sam_local
from callhooks_tools.local.containers import Bridge, Docker, Processor, SamLocalFailed, images_for
from callhooks_tools.local.sam_local import (
    ENGINE_VARIABLES,
    engine_for_containers,
    for_containers,
    private_file,
    variables_for_containers,
    variables_of_file,
    with_new_request_id,
)
from callhooks_tools.stack.stack import ConsoleAccess, EngineAccess, LocalStack
from typer.testing import CliRunner

from tests.commands import failed, misused
from tests.console import PASSWORD, USERNAME
from tests.stacks import stack_credentials
from tests.support import EVENTS, template

ARM = Processor.of_this_machine("aarch64")
X86 = Processor.of_this_machine("AMD64")
ENGINE = EngineAccess("http://127.0.0.1:4566", "LOCALKEY", "secret")
IMAGE = "public.ecr.aws/lambda/python:3.13"
UBUNTU, DESKTOP = "Ubuntu 24.04 LTS", "Docker Desktop"


@pytest.mark.parametrize(
    ("options", "images"),
    [
        ([], {f"{IMAGE}-arm64"}),
        (["--invoke-image", "own:1", "--debug"], {"own:1"}),
        (["-ii", "own:1"], {"own:1"}),
        (["--invoke-image=own:1"], {"own:1"}),
        (["--invoke-image", "WavixCallFunction=own:1"], {"own:1", f"{IMAGE}-arm64"}),
        (["--invoke-image=WavixCallFunction=own:1", "--invoke-image", "all:1"], {"own:1", "all:1"}),
        (["--invoke-image", "JambonzActionFunction=own:1"], {f"{IMAGE}-arm64"}),
    ],
)
def test_the_images_are_the_ones_that_sam_uses(options: list[str], images: set[str]) -> None:
    assert images_for(["WavixCallFunction", "BirdVoiceFunction"], options, ARM, "3.13") == images


def test_a_processor_without_lambda_is_rejected() -> None:
    with pytest.raises(SamLocalFailed, match=r"processor \(riscv64\)"):
        Processor.of_this_machine("riscv64")


def test_the_template_declares_the_variables_of_the_engine_and_the_processor() -> None:
    before = json.dumps(template())
    derived = for_containers(template(), X86)
    assert derived["Parameters"]["Architecture"]["Default"] == "x86_64"
    assert {"EVENTS_TABLE", *ENGINE_VARIABLES} <= set(derived["Globals"]["Function"]["Environment"]["Variables"])
    assert derived["Resources"] == template()["Resources"]
    assert json.dumps(template()) == before


def test_functions_get_the_local_stack_and_test_credentials() -> None:
    deployed = {
        "A": {"SPILL_QUEUE": "http://127.0.0.1:4566/0/spill", "SECRET": "arn", "PUBLIC_URL": "http://x"},
        "B": {},
    }
    own = {"A": {"SECRET": "literal"}, "Parameters": {"SECRET": "of all", "LEVEL": "DEBUG"}}
    variables = variables_for_containers(deployed, own, ENGINE, "http://172.17.0.1:9", "http://127.0.0.1:3000")
    assert set(variables) == {"A", "B"}
    assert variables["A"]["SPILL_QUEUE"] == "http://172.17.0.1:9/0/spill"
    assert (variables["A"]["SECRET"], variables["B"]["SECRET"]) == ("literal", "of all")
    assert {one["LEVEL"] for one in variables.values()} == {"DEBUG"}
    with pytest.raises(SamLocalFailed, match="variables for unknown functions: C"):
        variables_for_containers(deployed, {"C": {}}, ENGINE, "", "")
    for one in variables.values():
        assert set(ENGINE_VARIABLES) <= set(one)
        assert (one["PUBLIC_URL"], one["AWS_ENDPOINT_URL"]) == ("http://127.0.0.1:3000", "http://172.17.0.1:9")
        assert (one["AWS_ACCESS_KEY_ID"], one["AWS_SECRET_ACCESS_KEY"]) == ("LOCALKEY", "secret")
        assert one["AWS_SESSION_TOKEN"] == ""


def test_each_invocation_of_an_event_has_a_new_request_id() -> None:
    text = (EVENTS / "wavix" / "ringing.json").read_text()
    original, first, second = map(json.loads, (text, with_new_request_id(text), with_new_request_id(text)))
    ids = [one["requestContext"].pop("requestId") for one in (original, first, second)]
    assert len(set(ids)) == 3
    assert original == first == second
    for other in ('{"Records": []}', "[]", '{"requestContext": {}}', '{"requestContext": null}'):
        assert with_new_request_id(other) == other
    with pytest.raises(SamLocalFailed, match="The event is not JSON"):
        with_new_request_id("{")


def test_the_file_of_variables_is_private_and_removed(tmp_path: Path) -> None:
    with private_file(tmp_path, "env-vars", "{}") as file:
        assert (file.stat().st_mode & 0o777, file.read_text()) == (0o600, "{}")
    assert list(tmp_path.iterdir()) == []


def test_docker_desktop_needs_no_relay() -> None:
    with engine_for_containers(ENGINE, None) as address:
        assert address == "http://host.docker.internal:4566"


def test_an_unusable_file_of_variables_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SamLocalFailed, match="No such file"):
        variables_of_file(tmp_path / "none.json")
    (tmp_path / "list.json").write_text('{"A": ["x"]}')
    with pytest.raises(SamLocalFailed, match="not a file for sam local --env-vars"):
        variables_of_file(tmp_path / "list.json")


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a program in place of docker, which prints what the files in the folder say."""
    program = tmp_path / "docker"
    program.write_text(f'#!/bin/sh\n[ -f "{tmp_path}/$1" ] || {{ echo "no $1" >&2; exit 1; }}\ncat "{tmp_path}/$1"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="Elsewhere, Docker always runs in a virtual machine.")
@pytest.mark.parametrize(
    ("system", "configuration", "bridge"),
    [
        (UBUNTU, '[{"Subnet":"172.17.0.0/16"}]', Bridge(IPv4Address("172.17.0.1"), IPv4Network("172.17.0.0/16"))),
        (UBUNTU, '[{"Subnet":"fd00::/80"},{"Subnet":"10.9.0.0/24","Gateway":"10.9.0.254"}]',
         Bridge(IPv4Address("10.9.0.254"), IPv4Network("10.9.0.0/24"))),
        (DESKTOP, '[{"Subnet":"172.17.0.0/16"}]', None),
    ],
)  # fmt: skip
def test_the_bridge_is_the_network_of_docker_on_linux(
    docker: Path, system: str, configuration: str, bridge: Bridge | None
) -> None:
    (docker / "info").write_text(system)
    (docker / "network").write_text(configuration)
    assert Docker().bridge() == bridge


def test_missing_docker_and_images_are_reported(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SamLocalFailed, match="Docker does not respond: no info"):
        Docker().bridge()
    (docker / "info").write_text(UBUNTU)
    for configuration in ("null", "[]", '[{"Subnet":"fd00::/80"}]'):
        (docker / "network").write_text(configuration)
        if sys.platform == "linux":
            with pytest.raises(SamLocalFailed, match="has no IPv4 addresses"):
                Docker().bridge()
    with pytest.raises(SamLocalFailed, match=r"own:1 is not on this machine\. Leave out --skip-pull-image"):
        Docker().provide(["own:1"], X86, may_pull=False)
    with pytest.raises(SamLocalFailed, match=r"Cannot pull the image own:1\."):
        Docker().provide(["own:1"], X86, may_pull=True)
    (docker / "pull").write_text("pulled")
    Docker().provide(["own:1"], X86, may_pull=True)
    (docker / "image").write_text("[]")
    Docker().provide(["own:1"], X86, may_pull=False)
    monkeypatch.setenv("PATH", str(docker / "empty"))
    with pytest.raises(SamLocalFailed, match="Docker is not installed"):
        Docker().bridge()


STACK = LocalStack(
    base_url="http://127.0.0.1:8080",
    aws_endpoint_url=ENGINE.endpoint_url,
    aws_access_key_id=ENGINE.access_key_id,
    aws_secret_access_key=ENGINE.secret_access_key,
    region="us-east-1",
    stack_name="callhooks",
    events_table="events",
    credentials=stack_credentials(
        jambonz={}, wavix="", bird="", voipstudio="", console=ConsoleAccess(username=USERNAME, password=PASSWORD)
    ),
)


@pytest.fixture
def no_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a command builds before it has checked everything."""
    monkeypatch.setattr(sam_local, "build", lambda *_: pytest.fail("built"))


@pytest.mark.usefixtures("no_build", "docker")
@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("invoke WavixCallFunction -e events/wavix/none.json", "No such event: events/wavix/none.json. Use one of: "),
        ("invoke WavixCallFunction -e none.json", "No such event: none.json. Recorded ones are events/*/*.json."),
        ("invoke WavixCallFunction -e docs/pictures/console-list.png", "docs/pictures/console-list.png is not UTF-8."),
        ("invoke WavixCallFunction --env-vars none.json", "none.json: No such file or directory"),
        ("invoke WavixCallFunction", "Docker does not respond: no info"),
        ("start-api --port 3001 --skip-pull-image", "Docker does not respond: no info"),
    ],
)
def test_every_mistake_is_reported_in_one_line(words: str, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam_local, "read_stack", lambda: STACK)
    monkeypatch.setattr(sam_local, "variables_of_stack", lambda _stack: {})
    reported = failed(CliRunner().invoke(app, ["sam-local", *words.split()]))
    assert error in reported
    assert len(reported.splitlines()) == 1


@pytest.mark.usefixtures("no_build")
def test_an_unknown_function_is_a_usage_error() -> None:
    reported = misused(CliRunner().invoke(app, ["sam-local", "invoke", "NoSuchFunction"]))
    assert reported.startswith("Unknown function NoSuchFunction. Use one of: JambonzNewCallFunction, ")


@pytest.mark.usefixtures("no_build")
def test_a_local_stack_that_does_not_run_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(LocalStack.read.__func__, "__defaults__", (tmp_path / "stack.json",))  # type: ignore[attr-defined]
    assert "Start one with: make run" in failed(CliRunner().invoke(app, ["sam-local", "start-api"]))
    monkeypatch.setattr(sam_local, "SAM", tmp_path / "sam")
    assert "The SAM CLI is not installed" in failed(CliRunner().invoke(app, ["sam-local", "start-api"]))
