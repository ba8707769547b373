"""`callhooks jambonz`, against a local server that implements jambonz's API, with a stack in the simulated account."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from callhooks_tools.providers.jambonz.commands import jambonz as jambonz_command
from callhooks_tools.stack.secrets import SenderSecrets

from tests.commands import done, failed
from tests.integration.tools.conftest import OUTPUTS, Command, CommandStack
from tests.provider_apis.jambonz import ACCOUNT, WEBHOOK_SECRET, JambonzApi
from tests.provider_apis.server import Reply
from tests.support import PASSWORD, USERNAME

CALL_URL = "https://hooks.example.com/webhooks/call#rc=2&rp=all"
STATUS_URL = "https://hooks.example.com/webhooks/call/events#rc=2&rp=all"
SID = "3bac2dca-0a1b-4b9e-8e1f-5d2c4b6a7e80"
HOOKS = {
    "call_hook": {"url": CALL_URL, "method": "POST", "username": USERNAME, "password": PASSWORD},
    "call_status_hook": {"url": STATUS_URL, "method": "POST", "username": USERNAME, "password": PASSWORD},
}


@pytest.fixture
def api() -> Iterator[JambonzApi]:
    with JambonzApi().running() as api:
        yield api


@pytest.fixture
def command(stack: CommandStack, api: JambonzApi) -> Command:
    return stack.command("jambonz", jambonz_command, api)


class TestApplication:
    def test_is_created_with_both_hooks(self, command: Command, api: JambonzApi) -> None:
        output = done(command("application", "--yes"))
        ((sid, created),) = api.applications.items()
        assert output == (
            f"Created application callhooks ({sid}). Now assign your phone numbers to it in jambonz's portal.\n"
        )
        assert created == {"application_sid": sid, "name": "callhooks", "account_sid": ACCOUNT, **HOOKS}

    def test_that_exists_keeps_its_other_settings(self, command: Command, api: JambonzApi) -> None:
        api.applications[SID] = {
            "application_sid": SID,
            "name": "reception",
            "account_sid": ACCOUNT,
            "call_hook": {"webhook_sid": "hook-1", "url": "https://old.example.com", "method": "GET"},
            "call_status_hook": None,
            "messaging_hook": {"webhook_sid": "hook-3", "url": "https://sms.example.com", "method": "POST"},
            "speech_synthesis_vendor": "google",
        }
        output = done(command("application", "reception", "--yes"))
        assert output.endswith(
            "Updated application reception. Its calls are now answered at https://hooks.example.com/webhooks/call\n"
        )
        changed = api.applications[SID]
        assert changed["call_hook"] == {"webhook_sid": "hook-1", **HOOKS["call_hook"]}
        assert changed["call_status_hook"] == {"webhook_sid": "a-new-one", **HOOKS["call_status_hook"]}
        assert changed["messaging_hook"]["url"] == "https://sms.example.com"
        assert (changed["speech_synthesis_vendor"], changed["name"]) == ("google", "reception")
        assert set(api.requests[-1].body) == {"name", "call_hook", "call_status_hook"}

    def test_that_already_has_both_hooks_can_be_updated_again(self, command: Command, api: JambonzApi) -> None:
        old = {"url": "https://old.example.com", "method": "POST"}
        hooks = {name: {"webhook_sid": f"sid-of-{name}", **old} for name in HOOKS}
        api.applications[SID] = {"application_sid": SID, "name": "callhooks", "account_sid": ACCOUNT, **hooks}
        done(command("application", "--yes"))
        changed = api.applications[SID]
        assert {name: changed[name] for name in HOOKS} == {name: {**hooks[name], **HOOKS[name]} for name in HOOKS}

    def test_is_created_only_after_confirmation(self, command: Command, api: JambonzApi) -> None:
        message = failed(command("application"))
        assert message.startswith(
            "Create the application callhooks with the call hook https://hooks.example.com/webhooks/call? "
        )
        assert api.applications == {}

    def test_that_exists_is_changed_only_after_confirmation(self, command: Command, api: JambonzApi) -> None:
        secret = {"url": "https://me:s3cret@old.example.com:8443/calls?key=s3cret#rc=2", "username": "me"}
        hooks: list[tuple[dict[str, str] | None, str]] = [
            (secret, "https://old.example.com:8443/calls"),
            (None, "none"),
            ({"webhook_sid": "hook-1"}, "none"),
        ]
        for call_hook, old in hooks:
            api.applications[SID] = {"application_sid": SID, "name": "callhooks", "call_hook": call_hook}
            message = failed(command("application"))
            assert f"\nChange its call hook from {old} to https://hooks.example.com/webhooks/call? " in message
            assert "s3cret" not in message
        assert api.lines == [f"GET /v1/Accounts/{ACCOUNT}/Applications"] * 3

    def test_never_gets_a_url_that_jambonz_cannot_call(
        self, stack: CommandStack, command: Command, api: JambonzApi
    ) -> None:
        for base in ("http://127.0.0.1:8080", "https://localhost", "http://hooks.example.com"):
            stack.move_to(base)
            message = failed(command("application", "--yes", JAMBONZ_API_URL="https://jambonz.example.com"))
            assert message == (
                f"jambonz cannot call {base}. It needs an https URL that it can reach. Use a stack in AWS "
                "(--stack NAME), or start the local stack behind a tunnel: "
                "callhooks run --parameter PublicUrl=https://...\n"
            )
        assert api.requests == []

    def test_of_a_jambonz_on_this_machine_may_use_the_local_stack(
        self, command: Command, stack: CommandStack, api: JambonzApi
    ) -> None:
        stack.move_to("http://127.0.0.1:8080")
        done(command("application", "--yes"))
        (application,) = api.applications.values()
        assert application["call_hook"]["url"] == "http://127.0.0.1:8080/webhooks/call#rc=2&rp=all"

    def test_is_not_created_if_jambonz_rejects_it(self, command: Command, api: JambonzApi) -> None:
        api.faults = [Reply(200, []), Reply(422, {"msg": f"{PASSWORD} is no good for {CALL_URL}"})]
        assert failed(command("application", "--yes")) == "jambonz rejected the request (422): ... is no good for ...\n"


class TestWebhookSecret:
    def test_is_added_to_the_stack(self, command: Command) -> None:
        output = done(command("webhook-secret"))
        assert output == "Added the account's webhook secret to the stack. It takes effect within five minutes.\n"
        assert SenderSecrets.of("jambonz", boto3.session.Session(), OUTPUTS).read()[0] == WEBHOOK_SECRET
        assert done(command("webhook-secret")) == "The stack already has the account's webhook secret.\n"

    def test_that_is_missing_or_invalid_is_not_added(self, command: Command, api: JambonzApi) -> None:
        before = SenderSecrets.of("jambonz", boto3.session.Session(), OUTPUTS).read()
        bodies: list[object] = [{}, {"webhook_secret": None}, {"webhook_secret": " "}, [], "wh_secret_x"]
        for body in bodies:
            api.faults = [Reply(200, body)]
            assert failed(command("webhook-secret")).startswith("jambonz sent an unexpected response: ")
        assert SenderSecrets.of("jambonz", boto3.session.Session(), OUTPUTS).read() == before

    def test_needs_a_key_with_permission(self, command: Command) -> None:
        message = failed(command("webhook-secret", JAMBONZ_ACCOUNT_SID=SID))
        assert message == (
            "jambonz rejected the API key for this request (403): insufficient permissions. "
            "Check the key and its permissions: docs/control.md#keys\n"
        )
