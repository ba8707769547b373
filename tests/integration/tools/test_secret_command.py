"""`callhooks secret`, on the simulated account in place of a stack."""

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
class Kept:
    """Where the secrets of a kind lie: the secret, the member that the stack has made, and that of all others."""

    secret: str
    generated: str | None
    added: str
    name: str

    def value(self) -> dict[str, Any]:
        client = boto3.client("secretsmanager")
        value: dict[str, Any] = json.loads(client.get_secret_value(SecretId=self.secret)["SecretString"])
        return value

    def valid(self) -> list[str]:
        """What the functions let in, by the members that they read."""
        value = self.value()
        return [*([value[self.generated]] if self.generated else []), *value.get(self.added, [])]

    def others(self) -> dict[str, Any]:
        return {name: value for name, value in self.value().items() if name not in (self.generated, self.added)}


KINDS = {
    "jambonz": Kept("webhook-secrets", None, "webhook_secrets", "webhook secret"),
    "jambonz-password": Kept("credentials", "password", "further_passwords", "password"),
    "wavix": Kept("wavix-credentials", "token", "further_tokens", "token"),
    "bird": Kept("bird-credentials", "signing_key", "further_signing_keys", "signing key"),
    "voipstudio": Kept("voipstudio-credentials", "token", "further_tokens", "token"),
    "console-password": Kept("console-credentials", "password", "further_passwords", "password"),
}
GENERATED = [kind for kind, kept in KINDS.items() if kept.generated]
OUTPUTS = stack_outputs()
Command = Callable[..., Result]
every_kind = pytest.mark.parametrize("kind", list(secret_kinds()))


@pytest.fixture
def command(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr(secret_command, "stack_in_aws", lambda _name: (boto3.session.Session(), OUTPUTS))
    return lambda *arguments, stdin="": CliRunner().invoke(app, ["secret", *arguments], input=stdin)


@every_kind
class TestSecrets:
    def test_are_listed_the_newest_first_and_by_their_ends(self, kind: str, command: Command) -> None:
        (first,) = KINDS[kind].valid()
        for secret in (SECOND, THIRD):
            done(command("add", kind, stdin=f"{secret}\n"))
        assert done(command("list", kind, "--reveal")).split() == [THIRD, SECOND, first]
        masked = done(command("list", kind)).split()
        assert masked[:2] == [f"...{THIRD[-4:]}", f"...{SECOND[-4:]}"]
        assert all(len(shown) <= len("...") + 4 for shown in masked)

    def test_are_all_valid_and_the_newest_is_what_senders_are_given(self, kind: str, command: Command) -> None:
        (first,) = KINDS[kind].valid()
        added = done(command("add", kind, stdin=f"{SECOND}\n"))
        assert KINDS[kind].valid() == [SECOND, first]
        assert f"{KINDS[kind].name} ...{SECOND[-4:]} is valid within five minutes" in added
        assert SECOND not in added
        credentials = read_credentials(boto3.session.Session(), OUTPUTS)
        assert SECOND in credentials.model_dump_json()
        assert first not in json.dumps(credentials.model_dump(mode="json")[kind.partition("-")[0]])

    def test_are_added_once_and_stay_in_their_place(self, kind: str, command: Command) -> None:
        (first,) = KINDS[kind].valid()
        told = [done(command("add", kind, stdin=f"{secret}\n")) for secret in (SECOND, THIRD, SECOND)]
        assert ["is valid already" in one for one in told] == [False, False, True]
        assert KINDS[kind].valid() == [THIRD, SECOND, first]

    def test_are_removed_wherever_they_stand(self, kind: str, command: Command) -> None:
        (first,) = KINDS[kind].valid()
        for secret in (SECOND, THIRD):
            done(command("add", kind, stdin=f"{secret}\n"))
        secrets = [THIRD, SECOND, first]
        for place in (1, 0):
            removed = secrets.pop(place)
            assert removed not in done(command("remove", kind, stdin=f"{removed}\n"))
            assert KINDS[kind].valid() == secrets

    def test_that_are_unknown_are_not_removed(self, kind: str, command: Command) -> None:
        before = KINDS[kind].value()
        assert failed(command("remove", kind, stdin=f"{SECOND}\n")) == f"That {KINDS[kind].name} is not configured.\n"
        assert KINDS[kind].value() == before

    def test_leave_all_else_in_the_secret_as_it_is(self, kind: str, command: Command) -> None:
        before = KINDS[kind].others()
        done(command("add", kind, stdin=f"{SECOND}\n"))
        assert KINDS[kind].others() == before
        done(command("remove", kind, stdin=f"{SECOND}\n"))
        assert KINDS[kind].others() == before

    def test_can_be_replaced_by_one(self, kind: str, command: Command) -> None:
        done(command("add", kind, stdin=f"{SECOND}\n"))
        before = KINDS[kind].others()
        SenderSecrets.of(kind, boto3.session.Session(), OUTPUTS).replace(THIRD)
        assert (KINDS[kind].valid(), KINDS[kind].others()) == ([THIRD], before)

    def test_have_to_be_given(self, kind: str, command: Command) -> None:
        before = KINDS[kind].value()
        for verb in ("add", "remove"):
            assert failed(command(verb, kind, stdin=" \n")) == f"No {KINDS[kind].name} was given.\n"
        assert KINDS[kind].value() == before

    def test_that_are_short_are_refused(self, kind: str, command: Command) -> None:
        before = KINDS[kind].value()
        refused = command("add", kind, stdin="sh0rt\n")
        assert refused.exit_code == 1
        assert "has at least" in refused.stderr
        assert "sh0rt" not in refused.output
        assert KINDS[kind].value() == before


@pytest.mark.parametrize("kind", GENERATED)
class TestWhatTheStackHasMade:
    def test_is_not_removed_where_it_is_the_only_one(self, kind: str, command: Command) -> None:
        (only,) = KINDS[kind].valid()
        told = failed(command("remove", kind, stdin=f"{only}\n"))
        assert told == f"That is the only {KINDS[kind].name}: add another one first, or nothing would be let in.\n"
        assert KINDS[kind].valid() == [only]
        with pytest.raises(LastSecret):
            SenderSecrets.of(kind, boto3.session.Session(), OUTPUTS).remove(only)

    def test_gives_way_to_a_random_one(self, kind: str, command: Command) -> None:
        (first,) = KINDS[kind].valid()
        made = done(command("add", kind, "--generate"))
        newest, old = KINDS[kind].valid()
        assert re.fullmatch("[0-9a-f]{40}", newest)
        assert old == first
        assert newest not in made
        done(command("remove", kind, stdin=f"{first}\n"))
        assert KINDS[kind].valid() == [newest]


def test_a_console_password_is_not_removed_where_the_others_are_too_short_to_be_used(command: Command) -> None:
    kept = KINDS["console-password"]
    value = {"username": "console", "password": SECOND, "further_passwords": ["letmein"]}
    boto3.client("secretsmanager").put_secret_value(SecretId=kept.secret, SecretString=json.dumps(value))
    refused = command("remove", "console-password", stdin=f"{SECOND}\n")
    assert (refused.exit_code, kept.valid()) == (1, [SECOND, "letmein"])
    done(command("add", "console-password", stdin=f"{THIRD}\n"))
    done(command("remove", "console-password", stdin=f"{SECOND}\n"))
    assert kept.valid() == [THIRD, "letmein"]


def test_the_last_webhook_secret_may_be_removed_and_that_is_told(command: Command) -> None:
    (only,) = KINDS["jambonz"].valid()
    told = done(command("remove", "jambonz", stdin=f"{only}\n"))
    assert told.endswith("No webhook secret is left: signatures are not checked any more.\n")
    assert KINDS["jambonz"].valid() == []
    unchecked = "No webhook secret is configured: signatures are not checked.\n"
    assert done(command("list", "jambonz")) == unchecked


def test_a_webhook_secret_is_made_by_jambonz_alone(command: Command) -> None:
    before = KINDS["jambonz"].value()
    refused = command("add", "jambonz", "--generate")
    assert (refused.exit_code, "is made by jambonz" in refused.stderr) == (1, True)
    assert KINDS["jambonz"].value() == before


@pytest.mark.parametrize("kind", ["wavix", "voipstudio"])
@pytest.mark.parametrize("token", ["has-a-slash/and-some-length", "has a blank and some length", "nineteen-characters"])
def test_a_token_has_to_fit_into_a_url(kind: str, token: str, command: Command) -> None:
    refused = command("add", kind, stdin=f"{token}\n")
    assert (refused.exit_code, "A token stands in a URL" in refused.stderr) == (1, True)
    assert len(KINDS[kind].valid()) == 1


def test_a_short_secret_shows_nothing_of_itself(command: Command) -> None:
    done(command("add", "jambonz-password", stdin="elevenchars\n"))
    assert done(command("list", "jambonz-password")).split()[0] == "..."


@pytest.mark.parametrize(
    "password", ["elevenchars", f"{' ' * 9}elevenchars{' ' * 9}", "\u00e9" * 11, "eleven chars\tmore", "x"]
)
def test_a_console_password_has_twelve_characters(password: str, command: Command) -> None:
    before = KINDS["console-password"].value()
    refused = command("add", "console-password", stdin=f"{password}\n")
    assert (refused.exit_code, refused.stderr.strip()) == (1, "A password has at least 12 printable characters.")
    assert KINDS["console-password"].value() == before


@pytest.mark.parametrize("password", ["twelve-chars", "\u00e9" * 12])
def test_a_console_password_of_twelve_characters_is_taken(password: str, command: Command) -> None:
    done(command("add", "console-password", stdin=f"{password}\n"))
    assert password in KINDS["console-password"].valid()


@pytest.mark.parametrize(("kind", "username"), [("jambonz-password", USERNAME), ("console-password", CONSOLE_USERNAME)])
def test_the_user_name_beside_a_password_survives(kind: str, username: str, command: Command) -> None:
    (first,) = KINDS[kind].valid()
    done(command("add", kind, "--generate"))
    done(command("remove", kind, stdin=f"{first}\n"))
    assert KINDS[kind].value()["username"] == username
    credentials = read_credentials(boto3.session.Session(), OUTPUTS)
    assert username in (credentials.of("jambonz")["username"], credentials.console.username)
