"""The doctor and `callhooks urls` report call hooks in jambonz whose address is not the stack's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from callhooks.calls.repository import CallStore
from callhooks.events.event_item import event_of_item
from callhooks_tools.commands import urls as urls_command
from callhooks_tools.providers.registry import account_findings
from callhooks_tools.stack.findings import Finding, FindingLevel

from tests.calls import fold
from tests.commands import done
from tests.integration.conftest import TABLE, Aws
from tests.integration.tools.conftest import OUTPUTS, CommandStack
from tests.provider_apis.jambonz import JambonzApi
from tests.support import body_of, signed_event

APPLICATION_SID = "e29c5f8b-0b1f-4a9c-9d7e-000000000001"
HERE = "https://hooks.example.com/webhooks/call#rc=2&rp=all"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[JambonzApi]:
    with JambonzApi().running() as api:
        for name, value in api.environment.items():
            monkeypatch.setenv(name, value)
        yield api


def with_applications(api: JambonzApi, *call_hooks: str | None) -> None:
    for number, url in enumerate(call_hooks):
        hook = None if url is None else {"url": url, "method": "POST"}
        sid = f"app-{number}"
        api.applications[sid] = {"application_sid": sid, "name": f"number {number}", "call_hook": hook}


def findings(**changes: Any) -> list[Finding]:
    outputs = replace(OUTPUTS, events_table=TABLE, **changes)
    return list(account_findings(boto3.session.Session(), outputs, datetime.now(UTC)))


@pytest.mark.parametrize(
    ("call_hooks", "reported"),
    [
        ([HERE], []),
        (["https://hooks.example.com/webhooks/call/"], []),
        (["https://Hooks.Example.com/webhooks/call"], []),
        (["https://user:pass@hooks.example.com/webhooks/call?x=1"], []),
        ([None, "", "wss://other.example.com/webhooks/call", "https://other.example.com/calls"], []),
        (["https://other.example.com/webhooks/call#rc=2"], ["https://other.example.com/webhooks/call"]),
        (["https://abc.execute-api.eu-west-1.amazonaws.com/prod/webhooks/call/"],
         ["https://abc.execute-api.eu-west-1.amazonaws.com/prod/webhooks/call/"]),
        (["https://hooks.example.com:443/webhooks/call"], ["https://hooks.example.com:443/webhooks/call"]),
        (["http://hooks.example.com/webhooks/call"], ["http://hooks.example.com/webhooks/call"]),
        # Once an application has this address, those on unknown hosts belong to other stacks.
        ([HERE, "https://other.example.com/webhooks/call"], []),
        ([HERE, "https://hooks.example.com:443/webhooks/call"], ["https://hooks.example.com:443/webhooks/call"]),
        ([HERE, "https://own.example.com/webhooks/call"], ["https://own.example.com/webhooks/call"]),
    ],
)  # fmt: skip
def test_a_call_hook_with_another_host_or_port_is_a_warning(
    aws: Aws, api: JambonzApi, call_hooks: list[str | None], reported: list[str]
) -> None:
    with_applications(api, *call_hooks)
    found = findings(parameters={"DomainName": "own.example.com"})
    assert [(finding.level, finding.check) for finding in found] == [
        (FindingLevel.WARNING, "jambonz call hook") for _ in reported
    ]
    for finding, address in zip(found, reported, strict=True):
        assert f"calls {address}, and the address of this stack is https://hooks.example.com." in finding.message
        assert "user:pass" not in finding.message


def test_an_application_that_calls_this_stack_from_an_unknown_host_is_a_warning(
    aws: Aws, api: JambonzApi, new_container: Any
) -> None:
    with_applications(api, HERE, "https://proxy.example.com/webhooks/call")
    assert findings() == []
    call = {**body_of("new_call"), "application_sid": "app-1"}
    assert new_container("jambonz_new_call")(signed_event(call, now=datetime.now(UTC))).statusCode == 200
    (item,) = aws.items()
    CallStore(aws.dynamodb, TABLE).write_if_newer(item["pk"]["S"], fold([event_of_item(item)]), expires_at=None)
    (finding,) = findings()
    assert "https://proxy.example.com/webhooks/call" in finding.message


def test_without_all_variables_of_the_api_nothing_is_requested(
    aws: Aws, api: JambonzApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_applications(api, "https://other.example.com/webhooks/call")
    monkeypatch.delenv("JAMBONZ_ACCOUNT_SID")
    assert findings() == []
    assert api.requests == []


def test_an_api_that_fails_is_a_warning(aws: Aws, api: JambonzApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAMBONZ_API_KEY", "wrong")
    (finding,) = findings()
    assert finding.level is FindingLevel.WARNING
    assert finding.message.startswith("Not checked: ")
    assert "wrong" not in finding.message


def test_a_local_stack_is_not_compared_with_an_account_elsewhere(
    aws: Aws, api: JambonzApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_applications(api, "http://other.example.com/webhooks/call")
    assert len(findings(base_url="http://127.0.0.1:8080")) == 1, "jambonz runs on this machine too"
    monkeypatch.setenv("JAMBONZ_API_URL", "https://api.example.com")
    assert findings(base_url="http://127.0.0.1:8080") == []


def test_urls_shows_the_warning_after_the_settings(stack: CommandStack, api: JambonzApi) -> None:
    with_applications(api, "https://hooks.example.com:443/webhooks/call")
    stack.outputs = replace(stack.outputs, events_table=TABLE)
    shown = stack.command("urls", urls_command, api)()
    assert HERE in done(shown)
    warning = shown.stderr.partition("WARNING  ")[2]
    assert "The application number 0 calls https://hooks.example.com:443/webhooks/call" in warning
    assert "the same host and no port" in warning
