"""`callhooks wavix`, against a local server that implements Wavix's API, with a stack in the simulated account."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from callhooks_tools.providers.wavix import command as wavix_command
from callhooks_tools.providers.wavix.command import masked_url
from callhooks_tools.stack.secrets import SenderSecrets

from tests.commands import done, failed, notes
from tests.integration.tools.conftest import OUTPUTS, Command, CommandStack
from tests.provider_apis.server import Drop, Reply
from tests.provider_apis.wavix import WavixApi
from tests.senders import TOKEN

BASE = "https://hooks.example.com/webhooks/wavix"
URL = f"{BASE}/{TOKEN}"
NEWER = "a-newer-token-of-some-length"


@pytest.fixture
def api() -> Iterator[WavixApi]:
    with WavixApi().running() as api:
        yield api


@pytest.fixture
def command(stack: CommandStack, api: WavixApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    running = tmp_path / "stack.json"
    running.touch()
    monkeypatch.setattr(wavix_command, "STACK_FILE", running)
    return stack.command("wavix", wavix_command, api)


def add_newer_token() -> None:
    SenderSecrets.of("wavix", boto3.session.Session(), OUTPUTS).add(NEWER)


class TestSubscribe:
    def test_sends_both_kinds_of_events_to_the_stack_once(self, command: Command, api: WavixApi) -> None:
        assert done(command("subscribe")) == f"on-call  subscribed  {BASE}/...\npost-call  subscribed  {BASE}/...\n"
        assert api.webhooks == {"on-call": URL, "post-call": URL}
        posted = [request.body for request in api.requests if request.method == "POST"]
        assert posted == [{"url": URL, "event_type": "on-call"}, {"url": URL, "event_type": "post-call"}]
        api.requests.clear()
        assert done(command("subscribe")) == "on-call  already subscribed\npost-call  already subscribed\n"
        assert api.lines == ["GET /v1/calls/webhooks"]

    def test_asks_before_it_replaces_another_url(self, command: Command, api: WavixApi) -> None:
        api.webhooks["on-call"] = "https://crm.example.com/t0ken"
        result = command("subscribe")
        assert failed(result).startswith("Replace this URL? ")
        assert result.stdout == "on-call events are currently sent to https://crm.example.com/...\n"
        assert api.webhooks == {"on-call": "https://crm.example.com/t0ken"}
        done(command("subscribe", "--yes"))
        assert api.webhooks == {"on-call": URL, "post-call": URL}

    def test_uses_the_newest_token(self, command: Command, api: WavixApi) -> None:
        add_newer_token()
        output = done(command("subscribe"))
        assert api.webhooks == dict.fromkeys(("on-call", "post-call"), f"{BASE}/{NEWER}")
        assert NEWER not in output

    def test_may_use_another_url(self, command: Command, api: WavixApi) -> None:
        done(command("subscribe", "--url", "https://a.example.com/b", "--event", "on-call"))
        assert api.webhooks == {"on-call": "https://a.example.com/b"}

    def test_rejects_the_url_of_the_local_stack(self, command: Command, stack: CommandStack, api: WavixApi) -> None:
        stack.move_to("http://127.0.0.1:8080")
        message = failed(command("subscribe"))
        assert "Wavix cannot send events to http://127.0.0.1:8080." in message
        assert (TOKEN in message, api.requests) == (False, [])

    def test_never_shows_the_token_in_an_error(self, command: Command, api: WavixApi) -> None:
        rejection = {"success": False, "message": "Validation error", "errors": {"url": f"{URL} does not answer"}}
        api.faults = [Reply(200, []), Reply(400, rejection)]
        message = failed(command("subscribe"))
        assert message == "Wavix rejected the request (400): Validation error; url: ... does not answer\n"

    def test_says_how_to_check_an_uncertain_result(self, command: Command, api: WavixApi) -> None:
        api.faults = [Reply(200, []), Drop()]
        assert failed(command("subscribe")).endswith(" made anyway. Check with: callhooks wavix list\n")


class TestList:
    def test_marks_the_urls_of_this_stack(self, command: Command, api: WavixApi) -> None:
        add_newer_token()
        api.webhooks = {"on-call": f"{BASE}/{NEWER}", "post-call": URL, "another": "https://crm.example.com/t0ken?x=1"}
        assert done(command("list")) == (
            f"on-call  {BASE}/...  this stack\n"
            f"post-call  {BASE}/...  this stack, older token\n"
            "another  https://crm.example.com/...  not this stack\n"
        )

    def test_shows_tokens_with_reveal_and_works_without_a_stack(
        self, command: Command, api: WavixApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        assert notes(command("list")) == "No subscriptions.\n"
        api.webhooks = {"on-call": URL}
        assert done(command("list", "--reveal")) == f"on-call  {URL}  this stack\n"
        monkeypatch.setattr(wavix_command, "STACK_FILE", tmp_path / "none.json")
        assert done(command("list")) == f"on-call  {BASE}/...\n"


class TestRemove:
    def test_removes_the_existing_subscriptions(self, command: Command, api: WavixApi) -> None:
        api.webhooks = {"on-call": URL, "post-call": URL}
        output = done(command("remove", "--event", "on-call", "--yes"))
        assert output == f"on-call  {BASE}/...\non-call  removed\n"
        assert api.webhooks == {"post-call": URL}
        assert api.requests[-1].query == {"event_type": "on-call"}
        done(command("remove", "--yes"))
        assert api.webhooks == {}

    def test_asks_for_confirmation_and_reports_that_there_are_none(self, command: Command, api: WavixApi) -> None:
        assert notes(command("remove")) == "No subscriptions for on-call or post-call.\n"
        assert api.lines == ["GET /v1/calls/webhooks"]
        api.webhooks = {"on-call": URL}
        assert failed(command("remove")).startswith("Remove? ")
        assert api.webhooks == {"on-call": URL}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, f"{BASE}/..."),
        ("https://a.example.com", "https://a.example.com/..."),
        ("https://a.example.com/webhooks/wavixt0ken", "https://a.example.com/..."),
        ("https://user:s3cr3t@a.example.com/b", "https://a.example.com/..."),
        ("https://a:s3cr3t@b@a.example.com?c", "https://a.example.com/..."),
        ("nonsense", "(not a URL)/..."),
    ],
)
def test_a_url_is_shown_without_any_possible_token(url: str, shown: str) -> None:
    assert masked_url(url) == shown
