"""`callhooks jambonz`, against a local server that speaks jambonz's API, on the simulated account as a stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import boto3
import pytest
from callhooks_tools.cli import app
from callhooks_tools.providers.jambonz.commands import jambonz as jambonz_command
from callhooks_tools.stack.secrets import SenderSecrets
from callhooks_tools.stack.stack import StackOutputs
from typer.testing import CliRunner, Result

from tests.commands import done, failed
from tests.integration.conftest import Aws
from tests.provider_apis.jambonz import ACCOUNT, WEBHOOK_SECRET, JambonzApi
from tests.provider_apis.server import Reply
from tests.stacks import stack_outputs
from tests.support import PASSWORD, USERNAME

CALL_URL = "https://hooks.example.com/webhooks/call#rc=2&rp=ct,5xx"
STATUS_URL = "https://hooks.example.com/webhooks/call/events#rc=2&rp=ct,5xx"
HOOKS = {
    "call_hook": {"url": CALL_URL, "method": "POST", "username": USERNAME, "password": PASSWORD},
    "call_status_hook": {"url": STATUS_URL, "method": "POST", "username": USERNAME, "password": PASSWORD},
}
OUTPUTS = stack_outputs(base_url="https://hooks.example.com")
Command = Callable[..., Result]


@pytest.fixture
def api() -> Iterator[JambonzApi]:
    api = JambonzApi()
    with api.running():
        yield api


@pytest.fixture
def outputs() -> list[StackOutputs]:
    return [OUTPUTS]


@pytest.fixture
def command(aws: Aws, api: JambonzApi, outputs: list[StackOutputs], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr(jambonz_command, "stack_in_aws", lambda _name: (boto3.session.Session(), outputs[0]))
    environment = {"COLUMNS": "200", **api.environment}

    def run(*arguments: str, **others: str) -> Result:
        return CliRunner().invoke(app, ["jambonz", *arguments], env={**environment, **others})

    return run


class TestTheApplication:
    def test_is_made_with_both_hooks(self, command: Command, api: JambonzApi) -> None:
        told = done(command("application", "--yes"))
        assert told == "The application callhooks is made: app-1. Have your numbers lead to it.\n"
        made = {"application_sid": "app-1", "name": "callhooks", "account_sid": ACCOUNT, **HOOKS}
        assert api.applications == {"app-1": made}

    def test_that_is_there_is_changed_where_it_must_be(self, command: Command, api: JambonzApi) -> None:
        api.applications["app-7"] = {
            "application_sid": "app-7",
            "name": "reception",
            "account_sid": ACCOUNT,
            "call_hook": {"webhook_sid": "hook-1", "url": "https://old.example.com", "method": "GET"},
            "call_status_hook": None,
            "messaging_hook": {"webhook_sid": "hook-3", "url": "https://sms.example.com", "method": "POST"},
            "speech_synthesis_vendor": "google",
        }
        told = done(command("application", "reception", "--yes"))
        assert told.endswith("The calls of reception are answered at https://hooks.example.com/webhooks/call.\n")
        changed = api.applications["app-7"]
        assert changed["call_hook"] == {"webhook_sid": "hook-1", **HOOKS["call_hook"]}
        assert changed["call_status_hook"] == {"webhook_sid": "a-new-one", **HOOKS["call_status_hook"]}
        assert changed["messaging_hook"]["url"] == "https://sms.example.com"
        assert (changed["speech_synthesis_vendor"], changed["name"]) == ("google", "reception")

    def test_is_not_made_unasked(self, command: Command, api: JambonzApi) -> None:
        told = failed(command("application"))
        assert told == (
            "Make an application callhooks whose calls are answered at https://hooks.example.com/webhooks/call? "
            "Nobody can be asked here: --yes does it.\n"
        )
        assert api.applications == {}

    @pytest.mark.parametrize(
        ("call_hook", "words"),
        [
            (
                {"url": "https://me:s3cret@old.example.com:8443/calls?key=s3cret#rc=2", "username": "me"},
                "and no more at https://old.example.com:8443/calls?",
            ),
            (None, "and by nobody as now?"),
            ({"webhook_sid": "hook-1"}, "and by nobody as now?"),
        ],
    )
    def test_that_is_there_is_not_changed_unasked_and_both_addresses_are_named(
        self, call_hook: dict[str, str] | None, words: str, command: Command, api: JambonzApi
    ) -> None:
        api.applications["app-7"] = {"application_sid": "app-7", "name": "callhooks", "call_hook": call_hook}
        told = failed(command("application"))
        assert told.startswith(f"Have its calls answered at https://hooks.example.com/webhooks/call, {words} Nobody")
        assert "s3cret" not in told
        assert api.lines == [f"GET /v1/Accounts/{ACCOUNT}/Applications"]

    @pytest.mark.parametrize("base", ["http://127.0.0.1:8080", "https://localhost", "http://hooks.example.com"])
    def test_is_not_led_where_jambonz_cannot_or_should_not_call(
        self, base: str, command: Command, outputs: list[StackOutputs], api: JambonzApi
    ) -> None:
        outputs[0] = replace(OUTPUTS, base_url=base)
        told = failed(command("application", "--yes", JAMBONZ_API_URL="https://jambonz.example.com"))
        assert told == (
            f"jambonz is to call an https URL that leads here from outside, and {base} is none. Name a stack in AWS "
            "with --stack, or start the local run behind a tunnel: callhooks run --parameter PublicUrl=https://...\n"
        )
        assert api.asked == []

    def test_of_a_jambonz_on_this_machine_may_be_led_to_the_local_run(
        self, command: Command, outputs: list[StackOutputs], api: JambonzApi
    ) -> None:
        outputs[0] = replace(OUTPUTS, base_url="http://127.0.0.1:8080")
        done(command("application", "--yes"))
        assert api.applications["app-1"]["call_hook"]["url"] == "http://127.0.0.1:8080/webhooks/call#rc=2&rp=ct,5xx"

    def test_is_not_made_where_jambonz_refuses(self, command: Command, api: JambonzApi) -> None:
        api.faults = [Reply(200, []), Reply(422, {"msg": f"{PASSWORD} is no good for {CALL_URL}"})]
        assert failed(command("application", "--yes")) == "jambonz refuses (422): ... is no good for ...\n"

    def test_needs_to_know_the_api(self, command: Command) -> None:
        told = failed(command("application", JAMBONZ_API_URL=""))
        assert told.startswith("JAMBONZ_API_URL is not set in the environment: ")


class TestTheWebhookSecret:
    def test_becomes_one_of_the_stacks(self, command: Command) -> None:
        told = done(command("webhook-secret"))
        assert told == "The webhook secret of the account is valid within five minutes.\n"
        assert SenderSecrets.of("jambonz", boto3.session.Session(), OUTPUTS).read()[0] == WEBHOOK_SECRET
        assert done(command("webhook-secret")) == "The webhook secret of the account is valid already.\n"

    @pytest.mark.parametrize("body", [{}, {"webhook_secret": None}, {"webhook_secret": " "}, [], "wh_secret_x"])
    def test_that_is_none_is_not_taken(self, body: object, command: Command, api: JambonzApi) -> None:
        before = SenderSecrets.of("jambonz", boto3.session.Session(), OUTPUTS).read()
        api.faults = [Reply(200, body)]
        assert failed(command("webhook-secret")).startswith("jambonz answers what is not understood: ")
        assert SenderSecrets.of("jambonz", boto3.session.Session(), OUTPUTS).read() == before

    def test_may_not_be_read_by_everybody(self, command: Command) -> None:
        told = failed(command("webhook-secret", JAMBONZ_ACCOUNT_SID="another"))
        assert told == "jambonz does not accept the key for this (403): insufficient permissions\n"
