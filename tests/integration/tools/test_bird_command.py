"""`callhooks bird`, against a local server that implements Bird's API, with a stack in the simulated account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import boto3
import pytest
from callhooks_tools.providers.bird import command as bird_command
from callhooks_tools.providers.bird.subscriptions import StackUrl
from callhooks_tools.stack.secrets import SenderSecrets
from typer.testing import Result

from tests.commands import done, failed, misused, notes
from tests.integration.tools.conftest import OUTPUTS, Command, CommandStack
from tests.provider_apis.bird import ACCESS_KEY, CHANNEL, ORGANIZATION, WORKSPACE, BirdApi
from tests.provider_apis.server import Drop, Reply
from tests.senders import SIGNING_KEY

BASE = "https://hooks.example.com"
URL = f"{BASE}/webhooks/bird"
PATH = f"/workspaces/{WORKSPACE}/webhook-subscriptions"


@pytest.fixture
def api() -> Iterator[BirdApi]:
    with BirdApi().running() as api:
        yield api


@pytest.fixture
def command(stack: CommandStack, api: BirdApi, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr(bird_command, "STACK_FILE", Path(__file__))
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
        output = notes(command("subscribe", *options, "--stack", "callhooks"))
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
        assert "(callhooks bird update --all-statuses --stack callhooks)" in output

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
        subscribed = command("subscribe", "--event", "voice.inbound")
        assert done(subscribed) == f"voice.inbound  already subscribed  {existing}\n"
        resume = f"callhooks bird resume {existing}"
        assert notes(subscribed) == f"This subscription is paused. Resume it with: {resume}\n"
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


FILTERS = [{"key": "channelId", "value": CHANNEL}, {"key": "status", "value": "busy"}]
OTHER_CHANNEL = "0c1d2e3f-9789-4c2f-a4d5-b352175354f6"
OTHER_FILTER = {"key": "channelId", "value": OTHER_CHANNEL}


def status_filters(*statuses: str) -> list[dict[str, str]]:
    return [{"key": "status", "value": status} for status in statuses]


def path_of(filters: Any) -> str:
    """Return the end of the URL that goes with these filters."""
    return "".join(f"/{one['value']}" for one in filters or () if one["key"] == "channelId")


def changes(api: BirdApi) -> list[Any]:
    return [(request.method, request.body) for request in api.requests if request.method in ("POST", "PATCH")]


class TestUpdate:
    @pytest.mark.parametrize(
        ("before", "options", "after"),
        [
            ([], "--status completed --status busy", status_filters("completed", "busy")),
            (status_filters("busy"), "--status failed", status_filters("failed")),
            (status_filters("busy", "failed"), "--all-statuses", []),
            ([], f"--channel {CHANNEL}", FILTERS[:1]),
            (FILTERS, f"--channel {OTHER_CHANNEL}", [OTHER_FILTER, FILTERS[1]]),
            (FILTERS, "--status failed", [FILTERS[0], *status_filters("failed")]),
            (FILTERS, "--all-channels", FILTERS[1:]),
            (FILTERS, "--all-channels --all-statuses", []),
            (FILTERS, f"--channel {OTHER_CHANNEL} --status failed", [OTHER_FILTER, *status_filters("failed")]),
            (None, "--status ringing", status_filters("ringing")),
        ],
    )
    def test_sets_only_the_filters_that_are_named(
        self, before: Any, options: str, after: Any, command: Command, api: BirdApi
    ) -> None:
        url, new_url = (URL + path_of(filters) for filters in (before, after))
        existing = api.subscribed("voice.inbound", url, eventFilters=before)
        output = done(command("update", existing, *options.split(), "--yes"))
        assert (api.subscriptions[existing]["eventFilters"], api.subscriptions[existing]["url"]) == (after, new_url)
        # One request: no event is lost, and none comes twice.
        wanted = {"eventFilters": after, **({} if url == new_url else {"url": new_url})}
        assert changes(api) == [("PATCH", wanted)]
        assert f"{existing} updated\n" in output

    def test_shows_what_changes_and_asks_first(self, command: Command, api: BirdApi) -> None:
        existing = api.subscribed("voice.inbound", f"{URL}/{CHANNEL}", eventFilters=FILTERS)
        result = command("update", existing, "--all-channels", "--all-statuses")
        assert failed(result) == "Change these filters? Not a terminal. Re-run with --yes.\n"
        assert result.stdout == (
            f"{existing}  active  voice.inbound  {URL}/{CHANNEL}  channelId={CHANNEL} status=busy  this stack\n"
            f"  becomes  {URL}  no filters\n"
        )
        assert changes(api) == []

    def test_updates_the_stack_by_default(self, command: Command, api: BirdApi) -> None:
        inbound, outbound = api.subscribed("voice.inbound", URL), api.subscribed("voice.outbound", f"{URL}/{CHANNEL}")
        others = [api.subscribed(), api.subscribed("sms.outbound", URL), api.subscribed(url=URL, service="numbers")]
        done(command("update", "--status", "busy", "--status", "cancelled", "--yes"))
        filters = {identifier: one["eventFilters"] for identifier, one in api.subscriptions.items()}
        assert filters == {
            inbound: status_filters("busy"),
            outbound: status_filters("busy", "cancelled"),
            **dict.fromkeys(others),
        }
        done(command("update", "--event", "voice.inbound", "--all-statuses", "--yes"))
        assert api.subscriptions[inbound]["eventFilters"] == []
        assert api.subscriptions[outbound]["eventFilters"] == status_filters("busy", "cancelled")

    def test_skips_inbound_calls_if_no_status_matches(self, command: Command, api: BirdApi) -> None:
        inbound, outbound = api.subscribed("voice.inbound", URL), api.subscribed("voice.outbound", URL)
        output = notes(command("update", "--status", "accepted", "--yes"))
        assert output.startswith("voice.inbound  skipped: inbound calls never have the status accepted\n")
        assert api.subscriptions[inbound]["eventFilters"] is None
        assert api.subscriptions[outbound]["eventFilters"] == status_filters("accepted")

    def test_changes_nothing_the_second_time(self, command: Command, api: BirdApi) -> None:
        existing = api.subscribed("voice.inbound", URL, eventFilters=status_filters("busy", "failed"))
        output = notes(command("update", existing, "--status", "failed", "--status", "busy", "--status", "busy"))
        assert output.startswith(f"{existing} already has these filters\n")
        assert changes(api) == []

    def test_keeps_a_paused_subscription_paused(self, command: Command, api: BirdApi) -> None:
        existing = api.subscribed("voice.inbound", URL, status="inactive")
        output = notes(command("update", existing, "--status", "busy", "--yes"))
        assert output.endswith(f"This subscription is paused. Resume it with: callhooks bird resume {existing}\n")
        assert api.subscriptions[existing]["status"] == "inactive"

    def test_needs_no_stack_for_an_id(
        self, command: Command, api: BirdApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(bird_command, "STACK_FILE", tmp_path / "none.json")
        monkeypatch.delattr(bird_command, "stack_in_aws")
        existing = api.subscribed()
        done(command("update", existing, "--status", "busy", "--yes"))
        assert api.subscriptions[existing]["eventFilters"] == status_filters("busy")
        done(command("update", existing, "--channel", CHANNEL, "--yes"))
        assert api.subscriptions[existing]["url"] == f"https://a.example.com/b/{CHANNEL}"
        done(command("update", existing, "--all-channels", "--yes"))
        assert api.subscriptions[existing]["url"] == "https://a.example.com/b"


@pytest.mark.parametrize("updates", ["refuses", "ignores"])
class TestUpdateIfBirdDoesNotChangeFilters:
    @pytest.mark.parametrize("status", ["active", "inactive"])
    def test_creates_the_new_subscription_first(
        self, status: str, updates: Any, command: Command, api: BirdApi
    ) -> None:
        api.filter_updates = updates
        old = api.subscribed("voice.inbound", URL, status=status)
        output = done(command("update", old, "--status", "busy", "--channel", CHANNEL, "--yes"))
        ((new, subscription),) = api.subscriptions.items()
        wanted = {
            "url": f"{URL}/{CHANNEL}",
            "eventFilters": [*FILTERS[:1], *status_filters("busy")],
            "signingKey": SIGNING_KEY,
            "event": "voice.inbound",
            "status": status,
        }
        assert wanted.items() <= subscription.items()
        assert f"{new} created in place of {old}\n{old} removed\n" in output
        methods = [request.method for request in api.requests]
        assert methods == ["GET", "PATCH", "POST", *["PATCH"] * (status == "inactive"), "DELETE"]

    def test_says_that_both_send_events_if_the_old_one_stays(
        self, updates: Any, command: Command, api: BirdApi
    ) -> None:
        api.filter_updates = updates
        old = api.subscribed("voice.inbound", URL)
        api.faults = [None, None, None, 403]
        message = failed(command("update", old, "--status", "busy", "--yes"))
        assert message.startswith("Bird rejected the API key for this request (403). Both subscriptions now send")
        assert message.endswith(f"run: callhooks bird remove {old}\n")
        assert len(api.subscriptions) == 2

    def test_removes_nothing_if_there_is_no_new_one(self, updates: Any, command: Command, api: BirdApi) -> None:
        api.filter_updates = updates
        old = api.subscribed("voice.inbound", URL)
        api.faults = [None, None, Reply(422, {"message": "Too many subscriptions"})]
        message = failed(command("update", old, "--status", "busy", "--yes"))
        assert message == "Bird rejected the request (422): Too many subscriptions\n"
        assert list(api.subscriptions) == [old]

    def test_never_replaces_a_subscription_of_another_stack(self, updates: Any, command: Command, api: BirdApi) -> None:
        api.filter_updates = updates
        old = api.subscribed()
        assert failed(command("update", old, "--status", "busy", "--yes")).startswith("Bird ")
        assert list(api.subscriptions) == [old]


WRONG_OPTIONS = [
    ("{inbound} --event voice.inbound --status busy", "Leave it out if you pass ids."),
    ("{inbound} --status busy --all-statuses", "Pass only one of them."),
    ("{inbound} --channel 1 --all-channels", "Pass only one of them."),
    ("{inbound}", "Nothing to change."),
]
REFUSED_UPDATES = [
    ("unknown --status busy", "No subscription with the id unknown. List the ids with: callhooks bird list"),
    ("{inbound} unknown --status busy", "No subscription with the id unknown."),
    ("{sms} --status busy", "{sms} is a subscription to sms.outbound. Only those to voice.inbound and voice.outbound"),
    ("{inbound} --status accepted --status busy", "inbound calls never have the status accepted."),
    ("--event voice.outbound --status busy", "This stack has several subscriptions to voice.outbound. Pass the ids"),
    ("--status busy", "to update: {outbound} {second}"),
    ("--event voice.inbound --status cancelled", "inbound calls never have the status cancelled."),
    ("{inbound} --channel ../1", "invalid id"),
    ("{inbound} --channel=", "invalid id"),
    ("{second} --all-channels", "{second} would then send the same events to the same URL as {outbound}."),
    ("{outbound} {second} --channel 7", "would then send the same events to the same URL as "),
]


@pytest.mark.parametrize(
    ("ended", "arguments", "message"),
    [*((misused, *case) for case in WRONG_OPTIONS), *((failed, *case) for case in REFUSED_UPDATES)],
)
def test_an_update_that_is_not_clear_changes_nothing(
    ended: Callable[[Result], str], arguments: str, message: str, command: Command, api: BirdApi
) -> None:
    ids = {
        "inbound": api.subscribed("voice.inbound", URL),
        "outbound": api.subscribed("voice.outbound", URL),
        "second": api.subscribed("voice.outbound", f"{URL}/{CHANNEL}", eventFilters=FILTERS[:1]),
        "sms": api.subscribed("sms.outbound", URL),
    }
    before = deepcopy(api.subscriptions)
    assert message.format(**ids) in ended(command("update", *arguments.format(**ids).split(), "--yes"))
    assert (api.subscriptions, changes(api)) == (before, [])


def test_an_update_of_a_stack_without_subscriptions_says_how_to_subscribe(command: Command, api: BirdApi) -> None:
    api.subscribed()
    assert failed(command("update", "--status", "busy", "--stack", "s")) == (
        "This stack has no subscription to voice.inbound or voice.outbound. To create one, run: "
        "callhooks bird subscribe --stack s\n"
    )


def test_an_update_knows_only_the_documented_statuses(command: Command, api: BirdApi) -> None:
    result = command("update", "1", "--status", "answered")
    assert (result.exit_code, "'answered' is not one of 'accepted', 'starting'" in result.output) == (2, True)


def test_an_update_that_may_have_happened_says_how_to_check(command: Command, api: BirdApi) -> None:
    existing = api.subscribed("voice.inbound", URL)
    api.faults = [None, Drop()]
    message = failed(command("update", existing, "--status", "busy", "--yes"))
    assert message.endswith("The change may have been made anyway. Check with: callhooks bird list\n")


@pytest.mark.parametrize(
    ("base_url", "url", "is_own"),
    [
        (BASE, URL, True),
        (BASE, f"{URL}/", True),
        (BASE, f"{URL}/{CHANNEL}", True),
        (BASE, f"{URL}/{CHANNEL}/", True),
        (BASE, "HTTPS://Hooks.Example.COM/webhooks/bird", True),
        (BASE, "https://hooks.example.com:443/webhooks//bird", True),
        (BASE, f"{URL}?source=bird#top", True),
        (BASE, "https://hooks.example.com/webhooks/%62ird", True),
        (f"{BASE}/proxy", f"{BASE}/proxy/webhooks/bird/{CHANNEL}", True),
        ("https://Hooks.Example.com", URL, True),
        (f"{BASE}/proxy", URL, False),
        (BASE, f"{URL}/{CHANNEL}/more", False),
        (BASE, f"{URL}s", False),
        (BASE, "https://hooks.example.com/webhooks", False),
        (BASE, "https://hooks.example.com/Webhooks/Bird", False),
        (BASE, "https://hooks.example.com:8443/webhooks/bird", False),
        (BASE, "http://hooks.example.com/webhooks/bird", False),
        (BASE, "https://hooks.example.com.evil.example/webhooks/bird", False),
        (BASE, "https://evil.example/https://hooks.example.com/webhooks/bird", False),
        (BASE, "https://[::1/webhooks/bird", False),
        (BASE, "https://hooks.example.com:x/webhooks/bird", False),
        (BASE, "", False),
    ],
)
def test_a_subscription_of_this_stack_is_found_in_every_spelling(base_url: str, url: str, is_own: bool) -> None:
    assert StackUrl(f"{base_url}/webhooks/bird").covers(url) is is_own


class TestList:
    def test_marks_the_subscriptions_of_this_stack(self, command: Command, stack: CommandStack, api: BirdApi) -> None:
        stack.move_to("https://calls.example.net/proxy")
        own = api.subscribed("voice.inbound", f"https://CALLS.example.net/proxy/webhooks/bird/{CHANNEL}")
        other = api.subscribed("voice.outbound", URL)
        assert done(command("list", "--stack", "calls")) == (
            f"{own}  active  voice.inbound  https://CALLS.example.net/proxy/webhooks/bird/{CHANNEL}  this stack\n"
            f"{other}  active  voice.outbound  {URL}  not this stack\n"
        )

    def test_shows_all_pages_without_keys(
        self, command: Command, api: BirdApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(bird_command, "STACK_FILE", tmp_path / "none.json")
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
        assert notes(command("list")) == "No subscriptions.\n"


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
    for arguments in (
        "subscribe",
        "list",
        f"update {existing} --status busy --yes",
        f"pause {existing}",
        f"resume {existing}",
        f"remove {existing} --yes",
    ):
        assert ACCESS_KEY not in command(*arguments.split()).output
