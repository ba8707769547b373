"""Commands find the stack, its account and its region, and explain what is missing on the way to AWS."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import botocore.credentials
import pytest
import typer
from boto3.session import Session
from botocore import exceptions as botocore_errors
from botocore.exceptions import BotoCoreError, ClientError
from callhooks_tools.cli import app
from callhooks_tools.stack import selection, stack
from callhooks_tools.stack.aws_errors import explain_aws_error
from callhooks_tools.stack.deployment import Deployment
from callhooks_tools.stack.selection import SelectedStack
from callhooks_tools.stack.stack import StackOutputs, StackUnknown
from typer.testing import CliRunner, Result

from tests.commands import failed, misused
from tests.stacks import stack_outputs
from tests.support import ROOT

OPTIONS = ("--stack", "--profile", "--region")
START_URL = "https://example.awsapps.com/start"
LOGIN_SESSION = "arn:aws:iam::123456789012:user/jane"
SSO = f"sso_account_id = 123456789012\nsso_role_name = admin\nsso_region = eu-west-1\nsso_start_url = {START_URL}\n"
CONFIG = f"""
[profile keys]
region = eu-west-1
aws_access_key_id = AKIAPROFILE
aws_secret_access_key = secret
[profile without-region]
aws_access_key_id = AKIAPROFILE
aws_secret_access_key = secret
[profile without-credentials]
region = eu-west-1
[profile half]
region = eu-west-1
aws_access_key_id = AKIAPROFILE
[profile process]
region = eu-west-1
credential_process = false
[profile old-sso]
region = eu-west-1
{SSO}
[profile "new sso"]
region = eu-west-1
sso_session = company
sso_account_id = 123456789012
sso_role_name = admin
[profile broken-sso]
region = eu-west-1
sso_session = unknown
sso_account_id = 123456789012
sso_role_name = admin
[profile login]
region = eu-west-1
login_session = {LOGIN_SESSION}
[sso-session company]
sso_region = eu-west-1
sso_start_url = {START_URL}
"""
EXPIRED = {"accessToken": "token", "expiresAt": "2026-01-01T00:00:00Z"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An AWS configuration without the user's own, and the folder of its session tokens."""
    config = tmp_path / "config"
    config.write_text(CONFIG, "utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    tokens = tmp_path / "cache"
    tokens.mkdir()
    monkeypatch.setenv("AWS_LOGIN_CACHE_DIRECTORY", str(tokens))
    for provider in ("botocore.credentials.SSOProvider", "botocore.tokens.SSOTokenProvider"):
        monkeypatch.setattr(f"{provider}._SSO_TOKEN_CACHE_DIR", str(tokens))
    return tokens


def urls(*options: str, **environment: str) -> Result:
    return CliRunner().invoke(app, ["urls", *options], env={"COLUMNS": "200", **environment})


class TestEveryCommandOfAStack:
    def test_has_all_options_that_select_it(self) -> None:
        commands = {
            name: {option for parameter in command.params for option in parameter.opts}
            for name, command in all_commands(typer.main.get_command(app), "callhooks")
        }
        assert {
            name: own for name, own in commands.items() if not own.isdisjoint(OPTIONS) and not own >= {*OPTIONS}
        } == {}
        assert sum(own >= {*OPTIONS} for own in commands.values()) > 20

    def test_gets_its_stack_from_these_options(self) -> None:
        # Commands can only read a stack that they got as a `SelectedStack`.
        sources = (ROOT / "tools" / "callhooks_tools").rglob("*.py")
        assert [path.name for path in sources if "SelectedStack(" in path.read_text("utf-8")] == ["selection.py"]


def all_commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        yield from all_commands(inner, f"{name} {word}")


NOT_SIGNED_IN = "You are not signed in to AWS, or your session has expired. Run: aws"
CANNOT_READ = "Cannot read the stack callhooks: "


@pytest.mark.parametrize(
    ("profile", "tokens", "error"),
    [
        (
            "nobody",
            {},
            "The config profile (nobody) could not be found. To list your profiles, run: aws configure list-p",
        ),
        (
            "without-region",
            {},
            "No AWS region is set. Add --region, or run: aws configure set region REGION --profile wi",
        ),
        (
            "without-credentials",
            {},
            "No AWS credentials found. Add --profile, set AWS_PROFILE, or run: aws configure sso",
        ),
        ("half", {}, "Partial credentials found in config-file, missing: aws_secret_access_key"),
        ("process", {}, "Error when retrieving credentials from custom-process"),
        ("old-sso", {}, f"{NOT_SIGNED_IN} sso login --profile old-sso"),
        ("old-sso", EXPIRED, f"{NOT_SIGNED_IN} sso login --profile old-sso"),
        ("new sso", {}, f"{NOT_SIGNED_IN} sso login --profile 'new sso'"),
        ("new sso", EXPIRED, f"{NOT_SIGNED_IN} sso login --profile 'new sso'"),
        ("broken-sso", {}, 'The specified sso-session does not exist: "unknown"'),
        ("login", {}, f"{NOT_SIGNED_IN} login --profile login"),
    ],
)
def test_a_profile_without_access_ends_a_command_with_the_next_step(
    profile: str, tokens: Mapping[str, str], error: str, cache: Path
) -> None:
    for name in (START_URL, "company"):
        if tokens:
            file = cache / f"{hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()}.json"
            file.write_text(json.dumps(tokens), "utf-8")
    given, default = (
        urls("--stack", "callhooks", "--profile", profile),
        urls("--stack", "callhooks", AWS_PROFILE=profile),
    )
    for result in (given, default):
        message = failed(result)
        assert message.removeprefix(CANNOT_READ).startswith(error)
        assert message.count("\n") == 1


def test_a_region_that_cannot_exist_is_explained() -> None:
    message = failed(urls("--stack", "callhooks", "--profile", "keys", "--region", "eu_central"))
    assert message.endswith("Pass a region such as eu-central-1 with --region.\n")


def test_a_profile_of_aws_login_works_with_awscrt(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    keys = {"accessKeyId": "ASIALOGIN", "secretAccessKey": "secret", "sessionToken": "token", "accountId": "1"}
    token = {
        "accessToken": {**keys, "expiresAt": "2999-01-01T00:00:00Z"},
        "refreshToken": "refresh",
        "dpopKey": "key",
        "clientId": "client",
    }
    file = cache / f"{hashlib.sha256(LOGIN_SESSION.encode()).hexdigest()}.json"
    file.write_text(json.dumps(token), "utf-8")
    session = session_with(SelectedStack("callhooks", "login"))
    assert cast("Any", session.get_credentials()).access_key == "ASIALOGIN"
    monkeypatch.setattr(botocore.credentials, "EC", None)
    message = failed(urls("--stack", "callhooks", "--profile", "login"))
    assert 'Run: pip install "botocore[crt]"' in message


def client_error(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "DescribeStacks")


@pytest.mark.parametrize(
    ("error", "explanation"),
    [
        (botocore_errors.LoginRefreshRequired(), f"{NOT_SIGNED_IN} login --profile ops"),
        (botocore_errors.LoginInsufficientPermissions(), "signin:CreateOAuth2Token"),
        (botocore_errors.UnauthorizedSSOTokenError(), f"{NOT_SIGNED_IN} sso login --profile ops"),
        (botocore_errors.EndpointConnectionError(endpoint_url="https://cloudformation.eu-centrl-1.amazonaws.com/"),
         'centrl-1.amazonaws.com/" Check your network, and the region (--region).'),
        (botocore_errors.ReadTimeoutError(endpoint_url="https://example.com"), "Check your network"),
        (botocore_errors.EndpointConnectionError(endpoint_url="http://127.0.0.1:4566/"), "start it with: make run"),
        (client_error("ExpiredToken"), "Your AWS credentials have expired."),
        (client_error("InvalidClientTokenId", "invalid token"), "AWS rejected your credentials. Check --profile"),
        (client_error("AccessDenied", "not authorized to\nperform"), "not authorized to perform"),
    ],
)  # fmt: skip
def test_an_error_of_aws_is_explained_in_one_line(error: BotoCoreError | ClientError, explanation: str) -> None:
    text = explain_aws_error(error, "ops")
    assert explanation in text
    assert text.isprintable()


def test_an_error_that_a_command_does_not_handle_ends_it_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = stack_outputs(base_url="https://hooks.example.com")

    def denied(*_: object) -> None:
        raise client_error("AccessDeniedException", "not authorized to perform secretsmanager:GetSecretValue")

    monkeypatch.setattr(StackOutputs, "read", lambda *_: outputs)
    monkeypatch.setattr("callhooks_tools.commands.urls.read_credentials", denied)
    message = failed(urls("--credentials", "--stack", "callhooks", "--profile", "keys"))
    assert "secretsmanager:GetSecretValue" in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("command", ["send", "event --running"])
def test_an_error_of_the_local_engine_ends_a_command_with_one_line(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise client_error("InternalError", "the engine is broken")

    monkeypatch.setattr("callhooks_tools.commands.send.running_stack", broken)
    result = CliRunner().invoke(app, [*command.split(), str(ROOT / "events" / "wavix" / "busy.json")])
    message = failed(result)
    assert (message.count("\n"), "the engine is broken" in message, result.stdout) == (1, True, "")


def test_a_stack_that_does_not_exist_is_named_with_its_region(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise client_error("ValidationError", "Stack with id callhooks does not exist")

    session = session_with(SelectedStack("callhooks", "keys"))
    monkeypatch.setattr(session, "client", missing)
    with pytest.raises(StackUnknown, match="There is no stack callhooks in eu-west-1"):
        StackOutputs.read(session, "callhooks")


@pytest.mark.parametrize(
    ("options", "variable", "used", "repeated"),
    [
        ("--stack prod", None, "prod", " --stack prod"),
        ("", "prod", "prod", " --stack prod"),
        ("--stack test", "prod", "test", " --stack test"),
        ("--stack ''", "prod", None, " --stack ''"),
        ("", "", None, ""),
        ("", None, None, ""),
    ],
)
def test_the_option_takes_precedence_over_the_variable_also_in_suggested_commands(
    options: str, variable: str | None, used: str | None, repeated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    def stack_in_aws(selected: SelectedStack) -> tuple[Session, StackOutputs]:
        seen.append(selected.name)
        return Session(), stack_outputs(base_url="https://hooks.example.com")

    monkeypatch.setattr("callhooks_tools.commands.urls.stack_in_aws", stack_in_aws)
    result = urls(*shlex.split(options), **({} if variable is None else {"CALLHOOKS_STACK": variable}))
    assert result.exit_code == 0
    assert seen == [used]
    assert result.stderr.endswith(f"callhooks urls --credentials{repeated}\n")


@pytest.mark.parametrize("option", ["--profile", "--region"])
def test_an_account_without_a_stack_is_rejected(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "STACK_FILE", tmp_path / "stack.json")
    assert "Add its name with --stack, or leave them out" in misused(urls(option, "eu-west-1"))
    # A profile of the environment does not keep anyone from using the local stack.
    assert "No local stack is running" in failed(urls(AWS_PROFILE="keys", AWS_REGION="eu-west-1"))


def session_with(selected: SelectedStack) -> Session:
    session, name, endpoint_url = selection.session_of(selected)
    assert (name, endpoint_url) == (selected.name, None)
    return session


@pytest.mark.parametrize(
    ("selected", "environment", "key", "region"),
    [
        (SelectedStack("x", "keys"), {}, "AKIAPROFILE", "eu-west-1"),
        (SelectedStack("x", "keys", "us-west-2"), {"AWS_REGION": "us-east-2"}, "AKIAPROFILE", "us-west-2"),
        (
            SelectedStack("x", "keys"),
            {"AWS_REGION": "us-east-2", "AWS_DEFAULT_REGION": "x"},
            "AKIAPROFILE",
            "us-east-2",
        ),
        (SelectedStack("x", "keys"), {"AWS_DEFAULT_REGION": "us-east-1"}, "AKIAPROFILE", "us-east-1"),
        # As in the AWS CLI, only a given profile takes precedence over keys in the environment.
        (SelectedStack("x", "keys"), {"AWS_ACCESS_KEY_ID": "AKIAENV"}, "AKIAPROFILE", "eu-west-1"),
        (SelectedStack("x"), {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_PROFILE": "keys"}, "AKIAENV", "eu-west-1"),
    ],
)
def test_options_take_precedence_over_the_environment_as_in_the_aws_cli(
    selected: SelectedStack, environment: Mapping[str, str], key: str, region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    session = session_with(selected)
    assert cast("Any", session.get_credentials()).access_key == key
    assert session.region_name == region


def test_suggested_commands_repeat_the_options_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    selected = SelectedStack("callhooks", "my ops", "eu-west-1")
    assert selected.options == " --stack callhooks --profile 'my ops' --region eu-west-1"
    assert SelectedStack("callhooks").options == " --stack callhooks"
    outputs = stack_outputs(base_url="https://hooks.example.com")
    deployment = Deployment(Session(), "callhooks", None, outputs, [], selected.account_options)
    account = "--profile 'my ops' --region eu-west-1"
    local = replace(deployment, endpoint_url="http://127.0.0.1:4566")
    assert local.callhooks("rebuild") == "callhooks rebuild"
    monkeypatch.setenv("CALLHOOKS_STACK", "prod")
    assert local.callhooks("rebuild") == "callhooks rebuild --stack ''"
    assert deployment.callhooks("rebuild") == f"callhooks rebuild --stack callhooks {account}"
    assert deployment.aws("sqs list-queues") == f"aws sqs list-queues {account}"
    assert deployment.log_of("WavixCallFunction").endswith(
        f"sam logs --stack-name callhooks --name WavixCallFunction {account}"
    )
    monkeypatch.setattr("callhooks_tools.stack.deployment.stack_status", lambda *_: "UPDATE_FAILED")
    shown = CliRunner().invoke(app, ["doctor", "--stack", "callhooks", "--profile", "keys"]).stdout
    assert "aws cloudformation describe-stack-events --stack-name callhooks --profile keys" in shown
