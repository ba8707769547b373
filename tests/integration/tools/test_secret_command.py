"""`callhooks secret` on the simulated account."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from callhooks_tools.cli import app
from callhooks_tools.commands import secret as secret_command
from callhooks_tools.stack.secrets import LastSecret, SenderSecrets, read_credentials, secret_kinds
from typer.testing import CliRunner, Result

from tests.commands import done, failed
from tests.console import USERNAME as CONSOLE_USERNAME
from tests.integration.conftest import Aws
from tests.stacks import stack_outputs
from tests.support import USERNAME

SECOND, THIRD = "second-secret-of-some-length", "third-secret-of-some-length"


@dataclass(frozen=True)
class StoredSecrets:
    """The storage of one kind: the id in Secrets Manager, the generated member, and the member with added secrets."""

    secret: str
    generated: str | None
    added: str
    name: str

    def value(self) -> dict[str, Any]:
        client = boto3.client("secretsmanager")
        value: dict[str, Any] = json.loads(client.get_secret_value(SecretId=self.secret)["SecretString"])
        return value

    def valid(self) -> list[str]:
        """Return the secrets that the functions accept."""
        value = self.value()
        return [*([value[self.generated]] if self.generated else []), *value.get(self.added, [])]

    def others(self) -> dict[str, Any]:
        return {name: value for name, value in self.value().items() if name not in (self.generated, self.added)}


KINDS = {
    "jambonz": StoredSecrets("webhook-secrets", None, "webhook_secrets", "webhook secret"),
    "jambonz-password": StoredSecrets("credentials", "password", "further_passwords", "password"),
    "wavix": StoredSecrets("wavix-credentials", "token", "further_tokens", "token"),
    "bird": StoredSecrets("bird-credentials", "signing_key", "further_signing_keys", "signing key"),
    "voipstudio": StoredSecrets("voipstudio-credentials", "token", "further_tokens", "token"),
    "console-password": StoredSecrets("console-credentials", "password", "further_passwords", "password"),
}
GENERATED = [kind for kind, stored in KINDS.items() if stored.generated]
OUTPUTS = stack_outputs()
Command = Callable[..., Result]
every_kind = pytest.mark.parametrize("kind", list(secret_kinds()))


@pytest.fixture
def command(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr(secret_command, "stack_in_aws", lambda _name: (boto3.session.Session(), OUTPUTS))
    return lambda *arguments, stdin="": CliRunner().invoke(app, ["secret", *arguments], input=stdin)


@every_kind
class TestSecrets:
    def test_are_listed_newest_first_and_masked(self, kind: str, command: Command) -> None:
        (first,) = KINDS[kind].valid()
        for secret in (SECOND, THIRD):
            done(command("add", kind, stdin=f"{secret}\n"))
        assert done(command("list", kind, "--reveal")).split() == [THIRD, SECOND, first]
        masked = done(command("list", kind)).split()
        assert masked[:2] == [f"...{THIRD[-4:]}", f"...{SECOND[-4:]}"]
        assert all(len(shown) <= len("...") + 4 for shown in masked)

    def test_are_all_valid_and_the_newest_is_shown_for_providers(self, kind: str, command: Command) -> None:
        (first,) = KINDS[kind].valid()
        added = done(command("add", kind, stdin=f"{SECOND}\n"))
        assert KINDS[kind].valid() == [SECOND, first]
        assert f"{KINDS[kind].name} ...{SECOND[-4:]} takes effect within five minutes" in added
        assert SECOND not in added
        credentials = read_credentials(boto3.session.Session(), OUTPUTS)
        assert SECOND in credentials.model_dump_json()
        assert first not in json.dumps(credentials.model_dump(mode="json")[kind.partition("-")[0]])

    def test_are_added_only_once(self, kind: str, command: Command) -> None:
        (first,) = KINDS[kind].valid()
        outputs = [done(command("add", kind, stdin=f"{secret}\n")) for secret in (SECOND, THIRD, SECOND)]
        assert ["is already valid" in output for output in outputs] == [False, False, True]
        assert KINDS[kind].valid() == [THIRD, SECOND, first]

    def test_are_removed_at_any_position(self, kind: str, command: Command) -> None:
        (first,) = KINDS[kind].valid()
        for secret in (SECOND, THIRD):
            done(command("add", kind, stdin=f"{secret}\n"))
        secrets = [THIRD, SECOND, first]
        for position in (1, 0):
            removed = secrets.pop(position)
            assert removed not in done(command("remove", kind, stdin=f"{removed}\n"))
            assert KINDS[kind].valid() == secrets

    def test_that_are_not_configured_cannot_be_removed(self, kind: str, command: Command) -> None:
        before = KINDS[kind].value()
        error = failed(command("remove", kind, stdin=f"{SECOND}\n"))
        assert error.startswith(f"This {KINDS[kind].name} is not configured.")
        assert f"callhooks secret list {kind}" in error
        assert KINDS[kind].value() == before

    def test_change_no_other_member(self, kind: str, command: Command) -> None:
        before = KINDS[kind].others()
        done(command("add", kind, stdin=f"{SECOND}\n"))
        assert KINDS[kind].others() == before
        done(command("remove", kind, stdin=f"{SECOND}\n"))
        assert KINDS[kind].others() == before

    def test_can_all_be_replaced_by_one(self, kind: str, command: Command) -> None:
        done(command("add", kind, stdin=f"{SECOND}\n"))
        before = KINDS[kind].others()
        SenderSecrets.of(kind, boto3.session.Session(), OUTPUTS).replace(THIRD)
        assert (KINDS[kind].valid(), KINDS[kind].others()) == ([THIRD], before)

    def test_must_not_be_empty(self, kind: str, command: Command) -> None:
        before = KINDS[kind].value()
        for verb in ("add", "remove"):
            assert failed(command(verb, kind, stdin=" \n")).startswith(f"No {KINDS[kind].name} given.")
        assert KINDS[kind].value() == before

    def test_that_are_too_short_are_rejected(self, kind: str, command: Command) -> None:
        before = KINDS[kind].value()
        rejected = command("add", kind, stdin="sh0rt\n")
        assert rejected.exit_code == 1
        assert "at least" in rejected.stderr
        assert "sh0rt" not in rejected.output
        assert KINDS[kind].value() == before


@pytest.mark.parametrize("kind", GENERATED)
class TestGeneratedSecrets:
    def test_cannot_be_removed_while_no_other_is_valid(self, kind: str, command: Command) -> None:
        (only,) = KINDS[kind].valid()
        error = failed(command("remove", kind, stdin=f"{only}\n"))
        assert error.startswith(f"Cannot remove the only usable {KINDS[kind].name}. Add another one first")
        assert KINDS[kind].valid() == [only]
        with pytest.raises(LastSecret):
            SenderSecrets.of(kind, boto3.session.Session(), OUTPUTS).remove(only)

    def test_can_be_replaced_by_a_random_one(self, kind: str, command: Command) -> None:
        (first,) = KINDS[kind].valid()
        output = done(command("add", kind, "--generate"))
        newest, old = KINDS[kind].valid()
        assert re.fullmatch("[0-9a-f]{40}", newest)
        assert old == first
        assert newest not in output
        done(command("remove", kind, stdin=f"{first}\n"))
        assert KINDS[kind].valid() == [newest]


def test_the_last_usable_console_password_cannot_be_removed(command: Command) -> None:
    stored = KINDS["console-password"]
    value = {"username": "console", "password": SECOND, "further_passwords": ["letmein"]}
    boto3.client("secretsmanager").put_secret_value(SecretId=stored.secret, SecretString=json.dumps(value))
    rejected = command("remove", "console-password", stdin=f"{SECOND}\n")
    assert (rejected.exit_code, stored.valid()) == (1, [SECOND, "letmein"])
    done(command("add", "console-password", stdin=f"{THIRD}\n"))
    done(command("remove", "console-password", stdin=f"{SECOND}\n"))
    assert stored.valid() == [THIRD, "letmein"]


def test_the_last_webhook_secret_can_be_removed(command: Command) -> None:
    (only,) = KINDS["jambonz"].valid()
    output = done(command("remove", "jambonz", stdin=f"{only}\n"))
    unchecked = "No webhook secret is configured: signatures are not checked.\n"
    assert output.endswith(unchecked)
    assert KINDS["jambonz"].valid() == []
    assert done(command("list", "jambonz")) == unchecked


def test_a_webhook_secret_cannot_be_generated(command: Command) -> None:
    before = KINDS["jambonz"].value()
    rejected = command("add", "jambonz", "--generate")
    assert (rejected.exit_code, "jambonz issues the webhook secret" in rejected.stderr) == (1, True)
    assert KINDS["jambonz"].value() == before


@pytest.mark.parametrize("kind", ["wavix", "voipstudio"])
@pytest.mark.parametrize("token", ["has-a-slash/and-some-length", "has a blank and some length", "nineteen-characters"])
def test_a_token_must_be_valid_in_a_url(kind: str, token: str, command: Command) -> None:
    rejected = command("add", kind, stdin=f"{token}\n")
    assert (rejected.exit_code, "Invalid token: it is part of a URL" in rejected.stderr) == (1, True)
    assert len(KINDS[kind].valid()) == 1


def test_a_short_secret_is_masked_completely(command: Command) -> None:
    done(command("add", "jambonz-password", stdin="elevenchars\n"))
    assert done(command("list", "jambonz-password")).split()[0] == "..."


@pytest.mark.parametrize(
    "password", ["elevenchars", f"{' ' * 9}elevenchars{' ' * 9}", "\u00e9" * 11, "eleven chars\tmore", "x"]
)
def test_a_console_password_needs_twelve_characters(password: str, command: Command) -> None:
    before = KINDS["console-password"].value()
    rejected = command("add", "console-password", stdin=f"{password}\n")
    assert (rejected.exit_code, rejected.stderr.strip()) == (
        1,
        "Invalid password: use at least 12 printable characters.",
    )
    assert KINDS["console-password"].value() == before


@pytest.mark.parametrize("password", ["twelve-chars", "\u00e9" * 12])
def test_a_console_password_of_twelve_characters_is_accepted(password: str, command: Command) -> None:
    done(command("add", "console-password", stdin=f"{password}\n"))
    assert password in KINDS["console-password"].valid()


@pytest.mark.parametrize(("kind", "username"), [("jambonz-password", USERNAME), ("console-password", CONSOLE_USERNAME)])
def test_the_user_name_stays_when_a_password_changes(kind: str, username: str, command: Command) -> None:
    (first,) = KINDS[kind].valid()
    done(command("add", kind, "--generate"))
    done(command("remove", kind, stdin=f"{first}\n"))
    assert KINDS[kind].value()["username"] == username
    credentials = read_credentials(boto3.session.Session(), OUTPUTS)
    assert username in (credentials.of("jambonz")["username"], credentials.console.username)
