"""`callhooks bird`, against a local server that speaks Bird's API, on the simulated account in place of a stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from callhooks_tools.cli import app
from callhooks_tools.providers.bird import command as bird_command
from callhooks_tools.stack.secrets import SenderSecrets
from callhooks_tools.stack.stack import StackOutputs
from typer.testing import CliRunner, Result

from tests.commands import done, failed
from tests.integration.conftest import Aws
from tests.provider_apis.bird import ACCESS_KEY, CHANNEL, ORGANIZATION, WORKSPACE, BirdApi
from tests.provider_apis.server import HTML, Drop, Reply
from tests.senders import SIGNING_KEY
from tests.stacks import stack_outputs

URL = "https://hooks.example.com/webhooks/bird"
PATH = f"/workspaces/{WORKSPACE}/webhook-subscriptions"
OUTPUTS = stack_outputs(base_url="https://hooks.example.com")
Command = Callable[..., Result]


@pytest.fixture
def api() -> Iterator[BirdApi]:
    api = BirdApi()
    with api.running():
        yield api


@pytest.fixture
def outputs() -> list[StackOutputs]:
    return [OUTPUTS]


@pytest.fixture
def command(aws: Aws, api: BirdApi, outputs: list[StackOutputs], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr(bird_command, "stack_in_aws", lambda _name: (boto3.session.Session(), outputs[0]))
    environment = {"COLUMNS": "200", "BIRD_SIGNING_KEY": "", "BIRD_ORGANIZATION_ID": "", **api.environment}

    def run(*arguments: str, **others: str) -> Result:
        return CliRunner().invoke(app, ["bird", *arguments], env={**environment, **others})

    return run


def bodies(api: BirdApi) -> list[Any]:
    return [asked.body for asked in api.asked if asked.method == "POST"]


class TestSubscribe:
    def test_makes_one_subscription_for_each_event(self, command: Command, api: BirdApi) -> None:
        told = done(command("subscribe"))
        common = {"service": "channels", "url": URL, "signingKey": SIGNING_KEY, "eventFilters": []}
        assert bodies(api) == [{**common, "event": "voice.inbound"}, {**common, "event": "voice.outbound"}]
        assert [line.split()[:2] for line in told.splitlines()] == [
            ["voice.inbound", "subscribed"],
            ["voice.outbound", "subscribed"],
        ]
        assert {asked.path for asked in api.asked} == {PATH}

    def test_has_the_body_of_the_document(self, command: Command, api: BirdApi) -> None:
        options = ("--event", "voice.inbound", "--status", "completed", "--status", "starting", "--channel", CHANNEL)
        told = done(command("subscribe", *options))
        assert bodies(api) == [
            {
                "service": "channels",
                "event": "voice.inbound",
                "url": f"{URL}/{CHANNEL}",
                "signingKey": SIGNING_KEY,
                "eventFilters": [
                    {"key": "channelId", "value": CHANNEL},
                    {"key": "status", "value": "completed"},
                    {"key": "status", "value": "starting"},
                ],
            }
        ]
        assert "Bird's pages disagree on whether several statuses mean one or the other." in told

    def test_leaves_out_statuses_that_no_inbound_call_has(self, command: Command, api: BirdApi) -> None:
        done(command("subscribe", "--status", "cancelled", "--status", "busy"))
        inbound, outbound = bodies(api)
        assert inbound["eventFilters"] == [{"key": "status", "value": "busy"}]
        assert len(outbound["eventFilters"]) == 2

    def test_does_not_subscribe_what_could_never_come(self, command: Command, api: BirdApi) -> None:
        told = done(command("subscribe", "--status", "cancelled"))
        assert "voice.inbound: no inbound call is ever cancelled, so it is not subscribed." in told
        assert [body["event"] for body in bodies(api)] == ["voice.outbound"]

    def test_does_nothing_the_second_time(self, command: Command, api: BirdApi) -> None:
        options = ("--status", "busy", "--status", "failed", "--channel", CHANNEL)
        done(command("subscribe", *options))
        api.page_size = 1
        again = ("--status", "failed", "--status", "busy", "--status", "busy", "--channel", CHANNEL)
        told = done(command("subscribe", *again))
        assert told.count("is there already") == 2
        assert len(api.subscriptions) == 2

    def test_says_that_what_is_there_is_paused(self, command: Command, api: BirdApi) -> None:
        known = api.subscribed("voice.inbound", URL, status="inactive")
        told = done(command("subscribe", "--event", "voice.inbound"))
        assert told == f"voice.inbound  is there already, but is paused: callhooks bird resume {known}  {known}\n"
        assert bodies(api) == []

    @pytest.mark.parametrize(
        "other",
        [
            {"url": "https://other.example.com/webhooks/bird"},
            {"event": "voice.outbound"},
            {"service": "numbers"},
            {"eventFilters": [{"key": "status", "value": "busy"}]},
        ],
        ids=["another URL", "another event", "another service", "another filter"],
    )
    def test_takes_no_other_subscription_for_it(self, other: dict[str, Any], command: Command, api: BirdApi) -> None:
        api.subscribed(**{"event": "voice.inbound", "url": URL, **other})
        done(command("subscribe", "--event", "voice.inbound"))
        assert len(bodies(api)) == 1

    def test_has_the_newest_signing_key(self, command: Command, api: BirdApi) -> None:
        SenderSecrets.of("bird", boto3.session.Session(), OUTPUTS).add("a-newer-signing-key")
        told = done(command("subscribe"))
        assert {body["signingKey"] for body in bodies(api)} == {"a-newer-signing-key"}
        assert "a-newer-signing-key" not in told

    def test_may_send_elsewhere(self, command: Command, api: BirdApi) -> None:
        done(command("subscribe", "--event", "voice.inbound", "--url", "https://a.example.com/b/"))
        elsewhere = ("--event", "voice.outbound", "--url", "https://a.example.com/b")
        done(command("subscribe", *elsewhere, BIRD_SIGNING_KEY="k-1"))
        assert [(body["url"], body["signingKey"]) for body in bodies(api)] == [
            ("https://a.example.com/b/", SIGNING_KEY),
            ("https://a.example.com/b", "k-1"),
        ]

    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1:8080", "https://hooks.example.com:8443/s3cr3t", "https://203.0.113.7/s3cr3t",
            "https://localhost/s3cr3t", "http://hooks.example.com/s3cr3t", "https://hooks.example.com/s3cr3t x",
            "hooks.example.com",
        ],
    )  # fmt: skip
    def test_says_before_it_asks_that_bird_takes_no_such_url(self, url: str, command: Command, api: BirdApi) -> None:
        told = failed(command("subscribe", "--url", url))
        assert told.startswith("Bird takes an https URL with a host name and without a port, and ")
        assert "Name a stack in AWS with --stack, or with --url an address of your own that leads here." in told
        assert "s3cr3t" not in told
        assert api.asked == []

    def test_says_so_of_the_local_run(self, command: Command, outputs: list[StackOutputs], api: BirdApi) -> None:
        outputs[0] = replace(OUTPUTS, base_url="http://127.0.0.1:8080")
        assert "and http://127.0.0.1:8080 is none." in failed(command("subscribe"))
        assert api.asked == []

    def test_shows_no_key_where_bird_refuses(self, command: Command, api: BirdApi) -> None:
        for number in range(5):
            api.subscribed("voice.inbound", f"https://a.example.com/{number}", eventFilters=[])
        told = failed(command("subscribe", "--event", "voice.inbound"))
        assert told == "Bird refuses (422): Too many subscriptions, the last with ... to ...\n"

    def test_says_what_to_do_where_it_is_not_known_what_bird_did(self, command: Command, api: BirdApi) -> None:
        api.faults = [Reply(200, {"results": []}), Drop()]
        told = failed(command("subscribe"))
        assert told.startswith("Bird does not answer: the connection is lost (")
        assert told.endswith("). It may be done all the same: callhooks bird list shows it.\n")
        assert len(bodies(api)) == 1

    def test_takes_one_channel_that_may_stand_in_a_url(self, command: Command, api: BirdApi) -> None:
        assert "an id has" in failed(command("subscribe", "--channel", "../wavix/x"))
        assert api.asked == []

    def test_goes_by_the_organization_where_that_is_set(self, command: Command, api: BirdApi) -> None:
        done(command("subscribe", BIRD_ORGANIZATION_ID=ORGANIZATION))
        assert {asked.path for asked in api.asked} == {f"/organizations/{ORGANIZATION}{PATH}"}


class TestList:
    def test_shows_all_pages_without_keys(self, command: Command, api: BirdApi) -> None:
        filters = [{"key": "status", "value": "busy"}, {"key": "channelId", "value": CHANNEL}]
        first = api.subscribed("voice.inbound", URL, eventFilters=filters)
        second = api.subscribed("sms.outbound", status="inactive")
        api.page_size = 1
        assert done(command("list")) == (
            f"{first}  active  voice.inbound  {URL}  channelId={CHANNEL} status=busy\n"
            f"{second}  inactive  sms.outbound  https://a.example.com/b\n"
        )
        assert [asked.query.get("pageToken") for asked in api.asked] == [None, "1"]

    def test_does_nothing_to_a_terminal(self, command: Command, api: BirdApi) -> None:
        api.subscribed("voice.inbound", "https://a.example.com/\x1b[2J")
        assert "\x1b" not in done(command("list"))

    def test_says_that_there_is_none(self, command: Command) -> None:
        assert done(command("list")) == "There is no subscription.\n"

    @pytest.mark.parametrize("name", ["BIRD_ACCESS_KEY", "BIRD_WORKSPACE_ID"])
    def test_says_what_is_not_set(self, name: str, command: Command) -> None:
        told = failed(command("list", **{name: ""}))
        assert told.startswith(f"{name} is not set in the environment: ")
        assert told.count("\n") == 1

    def test_says_that_the_key_is_wrong(self, command: Command) -> None:
        told = failed(command("list", BIRD_ACCESS_KEY="a-wrong-key"))
        assert told == "Bird does not accept the key for this (401): The access key is not valid.\n"

    def test_says_that_the_answer_is_none(self, command: Command, api: BirdApi) -> None:
        api.faults = [Reply(200, content=HTML.content, content_type="text/html")]
        assert failed(command("list")) == "Bird answers what is not understood (200): The body is not JSON.\n"


class TestPauseAndResume:
    def test_change_the_status_alone(self, command: Command, api: BirdApi) -> None:
        first, second = api.subscribed(), api.subscribed()
        assert done(command("pause", first, second, first)) == f"{first} paused\n{second} paused\n"
        assert [one["status"] for one in api.subscriptions.values()] == ["inactive", "inactive"]
        assert done(command("resume", first)) == f"{first} active\n"
        assert api.subscriptions[first]["status"] == "active"
        assert [asked.body for asked in api.asked] == [{"status": "inactive"}] * 2 + [{"status": "active"}]

    def test_tell_that_there_is_no_such_subscription(self, command: Command) -> None:
        assert failed(command("pause", "nothing")) == "Bird has nothing of that id (404): Subscription not found\n"


class TestRemove:
    def test_shows_what_it_removes(self, command: Command, api: BirdApi) -> None:
        first, second = api.subscribed(), api.subscribed()
        told = done(command("remove", first, "--yes"))
        assert told == f"{first}  active  voice.inbound  https://a.example.com/b\n{first} removed\n"
        assert list(api.subscriptions) == [second]

    def test_asks_first(self, command: Command, api: BirdApi) -> None:
        first = api.subscribed()
        told = failed(command("remove", first))
        assert told == "Remove for good? Nobody can be asked here: --yes does it.\n"
        assert first in api.subscriptions

    def test_removes_nothing_where_one_is_not_there(self, command: Command, api: BirdApi) -> None:
        first = api.subscribed()
        told = failed(command("remove", first, "another", "--yes"))
        assert told == "There is no subscription another. callhooks bird list shows those that there are.\n"
        assert first in api.subscriptions

    def test_is_done_where_the_answer_was_lost(self, command: Command, api: BirdApi) -> None:
        first = api.subscribed()
        api.faults = [Reply(200, {"results": list(api.subscriptions.values())}), Drop(done=True)]
        assert f"{first} removed" in done(command("remove", first, "--yes"))


def test_no_command_shows_the_access_key(command: Command, api: BirdApi) -> None:
    known = api.subscribed()
    for arguments in (["subscribe"], ["list"], ["pause", known], ["resume", known], ["remove", known, "--yes"]):
        assert ACCESS_KEY not in command(*arguments).output
