"""`callhooks bird`, against a local server that implements Bird's API, with a stack in the simulated account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from callhooks_tools.providers.bird import command as bird_command
from callhooks_tools.stack.secrets import SenderSecrets

from tests.commands import done, failed
from tests.integration.tools.conftest import OUTPUTS, Command, CommandStack
from tests.provider_apis.bird import ACCESS_KEY, CHANNEL, ORGANIZATION, WORKSPACE, BirdApi
from tests.provider_apis.server import Drop, Reply
from tests.senders import SIGNING_KEY

URL = "https://hooks.example.com/webhooks/bird"
PATH = f"/workspaces/{WORKSPACE}/webhook-subscriptions"


@pytest.fixture
def api() -> Iterator[BirdApi]:
    with BirdApi().running() as api:
        yield api


@pytest.fixture
def command(stack: CommandStack, api: BirdApi) -> Command:
    return stack.command("bird", bird_command, api, BIRD_SIGNING_KEY="", BIRD_ORGANIZATION_ID="")


def bodies(api: BirdApi) -> list[Any]:
    return [request.body for request in api.requests if request.method == "POST"]


class TestSubscribe:
    def test_creates_one_subscription_for_each_event(self, command: Command, api: BirdApi) -> None:
        output = done(command("subscribe"))
        common = {"service": "channels", "url": URL, "signingKey": SIGNING_KEY, "eventFilters": []}
        assert bodies(api) == [{**common, "event": "voice.inbound"}, {**common, "event": "voice.outbound"}]
        assert [line.split()[:2] for line in output.splitlines()] == [
            ["voice.inbound", "subscribed"],
            ["voice.outbound", "subscribed"],
        ]
        assert {request.path for request in api.requests} == {PATH}

    def test_sends_the_documented_body(self, command: Command, api: BirdApi) -> None:
        options = ("--event", "voice.inbound", "--status", "completed", "--status", "starting", "--channel", CHANNEL)
        output = done(command("subscribe", *options))
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
        assert "Bird's documentation is unclear about subscriptions with more than one status." in output

    def test_omits_statuses_and_events_that_never_match(self, command: Command, api: BirdApi) -> None:
        done(command("subscribe", "--status", "cancelled", "--status", "busy"))
        inbound, outbound = bodies(api)
        assert inbound["eventFilters"] == [{"key": "status", "value": "busy"}]
        assert len(outbound["eventFilters"]) == 2
        output = done(command("subscribe", "--status", "cancelled"))
        assert "voice.inbound  skipped: inbound calls never have the status cancelled" in output
        assert [body["event"] for body in bodies(api)[2:]] == ["voice.outbound"]

    def test_changes_nothing_the_second_time(self, command: Command, api: BirdApi) -> None:
        options = ("--status", "busy", "--status", "failed", "--channel", CHANNEL)
        done(command("subscribe", *options))
        api.page_size = 1
        reordered = ("--status", "failed", "--status", "busy", "--status", "busy", "--channel", CHANNEL)
        output = done(command("subscribe", *reordered))
        assert output.count("already subscribed") == 2
        assert len(api.subscriptions) == 2

    def test_points_out_that_the_existing_subscription_is_paused(self, command: Command, api: BirdApi) -> None:
        existing = api.subscribed("voice.inbound", URL, status="inactive")
        assert done(command("subscribe", "--event", "voice.inbound")) == (
            f"voice.inbound  already subscribed  {existing}\n"
            f"This subscription is paused. Resume it with: callhooks bird resume {existing}\n"
        )
        assert bodies(api) == []

    def test_ignores_subscriptions_that_differ(self, command: Command, api: BirdApi) -> None:
        others: list[dict[str, Any]] = [
            {"url": "https://other.example.com/webhooks/bird"},
            {"event": "voice.outbound"},
            {"service": "numbers"},
            {"eventFilters": [{"key": "status", "value": "busy"}]},
        ]
        for other in others:
            api.subscribed(**{"event": "voice.inbound", "url": URL, **other})
        done(command("subscribe", "--event", "voice.inbound"))
        assert len(bodies(api)) == 1

    def test_uses_the_newest_signing_key(self, command: Command, api: BirdApi) -> None:
        SenderSecrets.of("bird", boto3.session.Session(), OUTPUTS).add("a-newer-signing-key")
        output = done(command("subscribe"))
        assert {body["signingKey"] for body in bodies(api)} == {"a-newer-signing-key"}
        assert "a-newer-signing-key" not in output

    def test_may_use_another_url(self, command: Command, api: BirdApi) -> None:
        done(command("subscribe", "--event", "voice.inbound", "--url", "https://a.example.com/b/"))
        elsewhere = ("--event", "voice.outbound", "--url", "https://a.example.com/b")
        done(command("subscribe", *elsewhere, BIRD_SIGNING_KEY="k-1"))
        assert [(body["url"], body["signingKey"]) for body in bodies(api)] == [
            ("https://a.example.com/b/", SIGNING_KEY),
            ("https://a.example.com/b", "k-1"),
        ]

    def test_rejects_a_url_that_bird_would_not_accept(
        self, stack: CommandStack, command: Command, api: BirdApi
    ) -> None:
        for url in (
            "http://127.0.0.1:8080", "https://hooks.example.com:8443/s3cr3t", "https://203.0.113.7/s3cr3t",
            "https://localhost/s3cr3t", "http://hooks.example.com/s3cr3t", "https://hooks.example.com/s3cr3t x",
            "hooks.example.com",
        ):  # fmt: skip
            message = failed(command("subscribe", "--url", url))
            assert message.startswith("Bird cannot send events to ")
            assert "It needs an https URL with a host name and no port." in message
            assert "s3cr3t" not in message
        stack.move_to("http://127.0.0.1:8080")
        assert "Bird cannot send events to http://127.0.0.1:8080." in failed(command("subscribe"))
        assert api.requests == []

    def test_never_shows_the_key_in_an_error(self, command: Command, api: BirdApi) -> None:
        for number in range(5):
            api.subscribed("voice.inbound", f"https://a.example.com/{number}", eventFilters=[])
        message = failed(command("subscribe", "--event", "voice.inbound"))
        assert message == "Bird rejected the request (422): Too many subscriptions, the last with ... to ...\n"

    def test_says_how_to_check_an_uncertain_result(self, command: Command, api: BirdApi) -> None:
        api.faults = [Reply(200, {"results": []}), Drop()]
        message = failed(command("subscribe"))
        assert message.startswith("Bird is unavailable: the connection was lost (")
        assert message.endswith("). The change may have been made anyway. Check with: callhooks bird list\n")
        assert len(bodies(api)) == 1

    def test_rejects_a_channel_that_is_not_an_id(self, command: Command, api: BirdApi) -> None:
        assert "invalid id" in failed(command("subscribe", "--channel", "../wavix/x"))
        assert api.requests == []

    def test_uses_the_organization_if_it_is_set(self, command: Command, api: BirdApi) -> None:
        done(command("subscribe", BIRD_ORGANIZATION_ID=ORGANIZATION))
        assert {request.path for request in api.requests} == {f"/organizations/{ORGANIZATION}{PATH}"}


class TestList:
    def test_shows_all_pages_without_keys(self, command: Command, api: BirdApi) -> None:
        filters = [{"key": "status", "value": "busy"}, {"key": "channelId", "value": CHANNEL}]
        first = api.subscribed("voice.inbound", URL, eventFilters=filters)
        second = api.subscribed("sms.outbound", "https://a.example.com/\x1b[2J", status="inactive")
        api.page_size = 1
        assert done(command("list")) == (
            f"{first}  active  voice.inbound  {URL}  channelId={CHANNEL} status=busy\n"
            f"{second}  inactive  sms.outbound  https://a.example.com/\\x1b[2J\n"
        )
        assert [request.query.get("pageToken") for request in api.requests] == [None, "1"]

    def test_reports_that_there_are_none(self, command: Command) -> None:
        assert done(command("list")) == "No subscriptions.\n"


class TestPauseAndResume:
    def test_change_only_the_status(self, command: Command, api: BirdApi) -> None:
        first, second = api.subscribed(), api.subscribed()
        assert done(command("pause", first, second, first)) == f"{first} paused\n{second} paused\n"
        assert [subscription["status"] for subscription in api.subscriptions.values()] == ["inactive", "inactive"]
        assert done(command("resume", first)) == f"{first} resumed\n"
        assert api.subscriptions[first]["status"] == "active"
        assert [request.body for request in api.requests] == [{"status": "inactive"}] * 2 + [{"status": "active"}]

    def test_report_an_unknown_subscription(self, command: Command) -> None:
        assert failed(command("pause", "unknown")) == "Bird found nothing with this id (404): Subscription not found\n"


class TestRemove:
    def test_shows_each_subscription_that_it_removes(self, command: Command, api: BirdApi) -> None:
        first, second = api.subscribed(), api.subscribed()
        output = done(command("remove", first, "--yes"))
        assert output == f"{first}  active  voice.inbound  https://a.example.com/b\n{first} removed\n"
        assert list(api.subscriptions) == [second]

    def test_asks_for_confirmation(self, command: Command, api: BirdApi) -> None:
        first = api.subscribed()
        assert failed(command("remove", first)).startswith("Remove permanently? ")
        assert first in api.subscriptions

    def test_removes_nothing_if_one_does_not_exist(self, command: Command, api: BirdApi) -> None:
        first = api.subscribed()
        message = failed(command("remove", first, "another", "--yes"))
        assert message == "No subscription with the id another. List the ids with: callhooks bird list\n"
        assert first in api.subscriptions

    def test_succeeds_if_only_the_response_was_lost(self, command: Command, api: BirdApi) -> None:
        first = api.subscribed()
        api.faults = [Reply(200, {"results": list(api.subscriptions.values())}), Drop(done=True)]
        assert f"{first} removed" in done(command("remove", first, "--yes"))


def test_no_command_shows_the_access_key(command: Command, api: BirdApi) -> None:
    existing = api.subscribed()
    for arguments in ("subscribe", "list", f"pause {existing}", f"resume {existing}", f"remove {existing} --yes"):
        assert ACCESS_KEY not in command(*arguments.split()).output
