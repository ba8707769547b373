"""`callhooks wavix`, against a local server that speaks Wavix's API, on the simulated account in place of a stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from callhooks_tools.cli import app
from callhooks_tools.providers.wavix import command as wavix_command
from callhooks_tools.providers.wavix.command import masked
from callhooks_tools.stack.secrets import SenderSecrets
from callhooks_tools.stack.stack import StackOutputs
from typer.testing import CliRunner, Result

from tests.commands import done, failed
from tests.integration.conftest import Aws
from tests.provider_apis.server import Drop, Reply
from tests.provider_apis.wavix import WavixApi
from tests.senders import TOKEN
from tests.stacks import stack_outputs

BASE = "https://hooks.example.com/webhooks/wavix"
URL = f"{BASE}/{TOKEN}"
NEWER = "a-newer-token-of-some-length"
OUTPUTS = stack_outputs(base_url="https://hooks.example.com")
Command = Callable[..., Result]


@pytest.fixture
def api() -> Iterator[WavixApi]:
    api = WavixApi()
    with api.running():
        yield api


@pytest.fixture
def outputs() -> list[StackOutputs]:
    return [OUTPUTS]


@pytest.fixture
def command(
    aws: Aws, api: WavixApi, outputs: list[StackOutputs], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    monkeypatch.setattr(wavix_command, "stack_in_aws", lambda _name: (boto3.session.Session(), outputs[0]))
    running = tmp_path / "stack.json"
    running.touch()
    monkeypatch.setattr(wavix_command, "STACK_FILE", running)
    environment = {"COLUMNS": "200", **api.environment}

    def run(*arguments: str, **others: str) -> Result:
        return CliRunner().invoke(app, ["wavix", *arguments], env={**environment, **others})

    return run


def newer_token() -> None:
    SenderSecrets.of("wavix", boto3.session.Session(), OUTPUTS).add(NEWER)


class TestSubscribe:
    def test_has_both_kinds_of_events_sent_to_the_stack(self, command: Command, api: WavixApi) -> None:
        assert done(command("subscribe")) == f"on-call  subscribed  {BASE}/...\npost-call  subscribed  {BASE}/...\n"
        assert api.webhooks == {"on-call": URL, "post-call": URL}
        posted = [asked.body for asked in api.asked if asked.method == "POST"]
        assert posted == [{"url": URL, "event_type": "on-call"}, {"url": URL, "event_type": "post-call"}]

    def test_may_be_about_one_kind(self, command: Command, api: WavixApi) -> None:
        done(command("subscribe", "--event", "post-call"))
        assert api.webhooks == {"post-call": URL}

    def test_does_nothing_the_second_time(self, command: Command, api: WavixApi) -> None:
        done(command("subscribe"))
        api.asked.clear()
        assert done(command("subscribe")) == "on-call  is there already\npost-call  is there already\n"
        assert api.lines == ["GET /v1/calls/webhooks"]

    def test_asks_before_another_url_is_replaced(self, command: Command, api: WavixApi) -> None:
        api.webhooks["on-call"] = "https://crm.example.com/t0ken"
        result = command("subscribe")
        told = "Have it go to the new URL instead? Nobody can be asked here: --yes does it.\n"
        assert failed(result) == told
        assert result.stdout == "on-call goes to https://crm.example.com/... now.\n"
        assert api.webhooks == {"on-call": "https://crm.example.com/t0ken"}
        done(command("subscribe", "--yes"))
        assert api.webhooks == {"on-call": URL, "post-call": URL}

    def test_has_the_newest_token(self, command: Command, api: WavixApi) -> None:
        newer_token()
        told = done(command("subscribe"))
        assert api.webhooks == dict.fromkeys(("on-call", "post-call"), f"{BASE}/{NEWER}")
        assert NEWER not in told

    def test_may_send_elsewhere(self, command: Command, api: WavixApi) -> None:
        done(command("subscribe", "--url", "https://a.example.com/b", "--event", "on-call"))
        assert api.webhooks == {"on-call": "https://a.example.com/b"}

    def test_says_of_the_local_run_that_wavix_cannot_reach_it(
        self, command: Command, outputs: list[StackOutputs], api: WavixApi
    ) -> None:
        outputs[0] = replace(OUTPUTS, base_url="http://127.0.0.1:8080")
        told = failed(command("subscribe"))
        assert "and http://127.0.0.1:8080 is none." in told
        assert (TOKEN in told, api.asked) == (False, [])

    def test_shows_no_token_where_wavix_refuses(self, command: Command, api: WavixApi) -> None:
        refusal = {"success": False, "message": "Validation error", "errors": {"url": f"{URL} does not answer"}}
        api.faults = [Reply(200, []), Reply(400, refusal)]
        assert failed(command("subscribe")) == "Wavix refuses (400): Validation error; url: ... does not answer\n"

    def test_says_what_to_do_where_it_is_not_known_what_wavix_did(self, command: Command, api: WavixApi) -> None:
        api.faults = [Reply(200, []), Drop()]
        assert failed(command("subscribe")).endswith(" It may be done all the same: callhooks wavix list shows it.\n")


class TestList:
    def test_says_whose_each_url_is(self, command: Command, api: WavixApi) -> None:
        newer_token()
        api.webhooks = {"on-call": f"{BASE}/{NEWER}", "post-call": URL, "another": "https://crm.example.com/t0ken?x=1"}
        assert done(command("list")) == (
            f"on-call  {BASE}/...  of this stack\n"
            f"post-call  {BASE}/...  of this stack, with an older token\n"
            "another  https://crm.example.com/...  not of this stack\n"
        )

    def test_shows_tokens_when_asked_for(self, command: Command, api: WavixApi) -> None:
        api.webhooks = {"on-call": URL}
        assert done(command("list", "--reveal")) == f"on-call  {URL}  of this stack\n"

    def test_needs_no_stack(
        self, command: Command, api: WavixApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(wavix_command, "STACK_FILE", tmp_path / "none.json")
        api.webhooks = {"on-call": URL}
        assert done(command("list")) == f"on-call  {BASE}/...\n"

    def test_says_that_there_is_nothing(self, command: Command) -> None:
        assert done(command("list")) == "Nothing is subscribed.\n"

    def test_says_what_is_not_set(self, command: Command) -> None:
        assert failed(command("list", WAVIX_API_KEY="")).startswith("WAVIX_API_KEY is not set in the environment: ")

    def test_says_that_the_key_is_wrong(self, command: Command) -> None:
        told = failed(command("list", WAVIX_API_KEY="a-wrong-key"))
        assert told == "Wavix does not accept the key for this (401): Unauthorized\n"


class TestRemove:
    def test_removes_what_there_is(self, command: Command, api: WavixApi) -> None:
        api.webhooks = {"on-call": URL, "post-call": URL}
        told = done(command("remove", "--event", "on-call", "--yes"))
        assert told == f"on-call  {BASE}/...\non-call  removed\n"
        assert api.webhooks == {"post-call": URL}
        assert api.asked[-1].query == {"event_type": "on-call"}
        done(command("remove", "--yes"))
        assert api.webhooks == {}

    def test_asks_first(self, command: Command, api: WavixApi) -> None:
        api.webhooks = {"on-call": URL}
        assert failed(command("remove")) == "Remove? Nobody can be asked here: --yes does it.\n"
        assert api.webhooks == {"on-call": URL}

    def test_says_that_there_is_nothing(self, command: Command, api: WavixApi) -> None:
        assert done(command("remove")) == "Nothing is subscribed for on-call or post-call.\n"
        assert api.lines == ["GET /v1/calls/webhooks"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, f"{BASE}/..."),
        ("https://a.example.com", "https://a.example.com/..."),
        ("https://a.example.com/webhooks/wavixt0ken", "https://a.example.com/..."),
        ("https://user:s3cr3t@a.example.com/b", "https://a.example.com/..."),
        ("https://a:s3cr3t@b@a.example.com?c", "https://a.example.com/..."),
        ("nonsense", "what was given/..."),
    ],
)
def test_a_url_is_shown_without_what_may_be_a_token(url: str, shown: str) -> None:
    assert masked(url) == shown
