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

from tests.commands import done, failed, notes
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
OUTPUTS = stack_outputs()
Command = Callable[..., Result]
every_kind = pytest.mark.parametrize("kind", list(secret_kinds()))


@pytest.fixture
def command(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr(secret_command, "stack_in_aws", lambda _name: (boto3.session.Session(), OUTPUTS))
    return lambda *arguments, stdin="": CliRunner().invoke(app, ["secret", *arguments], input=stdin)


@every_kind
class TestSecrets:
    def test_are_added_once_all_valid_and_listed_newest_first(self, kind: str, command: Command) -> None:
        stored = KINDS[kind]
        (first,), others = stored.valid(), stored.others()
        added = done(command("add", kind, stdin=f"{SECOND}\n"))
        assert f"{stored.name} ...{SECOND[-4:]} takes effect within five minutes" in added
        assert SECOND not in added
        # Providers get the newest.
        credentials = read_credentials(boto3.session.Session(), OUTPUTS)
        assert SECOND in credentials.model_dump_json()
        assert first not in json.dumps(credentials.model_dump(mode="json")[kind.partition("-")[0]])

        outputs = [done(command("add", kind, stdin=f"{secret}\n")) for secret in (THIRD, SECOND)]
        assert ["is already valid" in output for output in outputs] == [False, True]
        assert (stored.valid(), stored.others()) == ([THIRD, SECOND, first], others)
        assert done(command("list", kind, "--reveal")).split() == [THIRD, SECOND, first]
        masked = done(command("list", kind)).split()
        assert masked[:2] == [f"...{THIRD[-4:]}", f"...{SECOND[-4:]}"]
        assert all(len(shown) <= len("...") + 4 for shown in masked)

    def test_are_removed_at_any_position_or_replaced_by_one(self, kind: str, command: Command) -> None:
        stored = KINDS[kind]
        others = stored.others()
        for secret in (SECOND, THIRD):
            done(command("add", kind, stdin=f"{secret}\n"))
        secrets = stored.valid()
        for position in (1, 0):
            removed = secrets.pop(position)
            assert removed not in done(command("remove", kind, stdin=f"{removed}\n"))
            assert (stored.valid(), stored.others()) == (secrets, others)
        error = failed(command("remove", kind, stdin=f"{SECOND}\n"))
        assert error.startswith(f"This {stored.name} is not configured.")
        assert f"callhooks secret list {kind}" in error
        SenderSecrets.of(kind, boto3.session.Session(), OUTPUTS).replace(THIRD)
        assert (stored.valid(), stored.others()) == ([THIRD], others)

    def test_that_are_empty_or_too_short_are_rejected(self, kind: str, command: Command) -> None:
        before = KINDS[kind].value()
        for verb in ("add", "remove"):
            assert failed(command(verb, kind, stdin=" \n")).startswith(f"No {KINDS[kind].name} given.")
        rejected = command("add", kind, stdin="sh0rt\n")
        assert rejected.exit_code == 1
        assert "at least" in rejected.stderr
        assert "sh0rt" not in rejected.output
        assert KINDS[kind].value() == before


ALIKE, UNLIKE = "one-start-of-some-length-a", "one-start-of-some-length-b"


@pytest.mark.parametrize(
    ("start", "code", "left"),
    [
        (f"{ALIKE[:-1]}a", 0, [UNLIKE, THIRD]),
        (THIRD[:4], 0, [ALIKE, UNLIKE]),
        (THIRD[:12], 0, [ALIKE, UNLIKE]),
        (THIRD[:3], 2, None),
        (ALIKE[:8], 1, None),
        (f"{THIRD}-and-more", 1, None),
        (THIRD[4:], 1, None),
    ],
)
@pytest.mark.parametrize("from_stdin", [True, False])
def test_a_secret_is_removed_by_its_unambiguous_first_characters(
    start: str, code: int, left: list[str] | None, from_stdin: bool, command: Command
) -> None:
    stored = KINDS["jambonz"]
    client = boto3.client("secretsmanager")
    before = [ALIKE, UNLIKE, THIRD]
    client.put_secret_value(SecretId=stored.secret, SecretString=json.dumps({stored.added: before}))
    removed = command("remove", "jambonz", stdin=f"{start}\n") if from_stdin else command("remove", "jambonz", start)
    assert (removed.exit_code, stored.valid()) == (code, left or before), removed.output
    assert not any(secret in removed.output for secret in before)


def test_a_secret_that_begins_like_another_is_removed_if_it_is_given_in_full(command: Command) -> None:
    stored = KINDS["jambonz"]
    value = {stored.added: [SECOND, f"{SECOND}-longer"]}
    boto3.client("secretsmanager").put_secret_value(SecretId=stored.secret, SecretString=json.dumps(value))
    done(command("remove", "jambonz", SECOND))
    assert stored.valid() == [f"{SECOND}-longer"]


@pytest.mark.parametrize("kind", [kind for kind, stored in KINDS.items() if stored.generated])
def test_the_only_secret_can_be_replaced_by_a_random_one_but_not_removed(kind: str, command: Command) -> None:
    (first,) = KINDS[kind].valid()
    error = failed(command("remove", kind, stdin=f"{first}\n"))
    assert error.startswith(f"Cannot remove the only usable {KINDS[kind].name}. Add another one first")
    with pytest.raises(LastSecret):
        SenderSecrets.of(kind, boto3.session.Session(), OUTPUTS).remove(first)
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
    output = notes(command("remove", "jambonz", stdin=f"{only}\n"))
    unchecked = "No webhook secret is configured: signatures are not checked.\n"
    assert output.endswith(unchecked)
    assert KINDS["jambonz"].valid() == []
    assert notes(command("list", "jambonz")) == unchecked


def test_a_webhook_secret_cannot_be_generated(command: Command) -> None:
    before = KINDS["jambonz"].value()
    rejected = command("add", "jambonz", "--generate")
    assert (rejected.exit_code, "jambonz issues the webhook secret" in rejected.stderr) == (2, True)
    assert KINDS["jambonz"].value() == before


@pytest.mark.parametrize("kind", ["wavix", "voipstudio"])
def test_a_token_must_be_valid_in_a_url(kind: str, command: Command) -> None:
    for token in ("has-a-slash/and-some-length", "has a blank and some length", "nineteen-characters"):
        assert "Invalid token: it is part of a URL" in failed(command("add", kind, stdin=f"{token}\n"))
    assert len(KINDS[kind].valid()) == 1


def test_a_short_secret_is_masked_completely(command: Command) -> None:
    done(command("add", "jambonz-password", stdin="elevenchars\n"))
    assert done(command("list", "jambonz-password")).split()[0] == "..."


def test_a_console_password_needs_twelve_characters(command: Command) -> None:
    before = KINDS["console-password"].value()
    for password in ("elevenchars", f"{' ' * 9}elevenchars{' ' * 9}", "\u00e9" * 11, "eleven chars\tmore", "x"):
        error = failed(command("add", "console-password", stdin=f"{password}\n"))
        assert error.strip() == "Invalid password: use at least 12 printable characters."
    assert KINDS["console-password"].value() == before
    for password in ("twelve-chars", "\u00e9" * 12):
        done(command("add", "console-password", stdin=f"{password}\n"))
        assert password in KINDS["console-password"].valid()


def test_the_user_name_stays_when_a_password_changes(command: Command) -> None:
    for kind in ("jambonz-password", "console-password"):
        (first,) = KINDS[kind].valid()
        done(command("add", kind, "--generate"))
        done(command("remove", kind, stdin=f"{first}\n"))
    credentials = read_credentials(boto3.session.Session(), OUTPUTS)
    names = credentials.of("jambonz")["username"], credentials.console.username
    assert names == (USERNAME, CONSOLE_USERNAME)
