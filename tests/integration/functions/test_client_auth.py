"""The deployed function that authenticates SIP clients, its AWS calls, and `callhooks clients`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from callhooks.providers.jambonz.sip_clients import ClientStore, UsedDigest
from callhooks_tools.cli import app
from callhooks_tools.providers.jambonz.commands import clients as clients_command
from callhooks_tools.providers.jambonz.commands.clients import ClientTable
from typer.testing import CliRunner, Result

from tests.integration.conftest import CLIENTS_TABLE, Aws, Handler, fresh
from tests.sip_clients import ADDRESS, PATH, attempt, client
from tests.stacks import stack_outputs
from tests.support import NOW, Event, detail_attributes, signed_event

FOLDER = "jambonz_client_auth"
RECORDED = ["client_auth_register", "client_auth_invite", "client_auth_register_get", "client_auth_register_no_qop"]


def posted(document: object, request_id: str = "request-1") -> Event:
    return signed_event(document, now=datetime.now(UTC), path=PATH, request_id=request_id)


@pytest.fixture
def table(aws: Aws) -> ClientTable:
    """The clients table, with the client jane."""
    table = ClientTable(aws.dynamodb, CLIENTS_TABLE)
    assert table.put(client(expires=1800, application_sid="72c5c38f"), replace=False)
    return table


@pytest.fixture
def handler(table: ClientTable, new_container: Callable[[str], Handler]) -> Handler:
    return new_container(FOLDER)


def status(handler: Handler, event: Event) -> str:
    answer = handler(event)
    assert answer.statusCode == 200
    return str(json.loads(answer.body)["status"])


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_client_is_authenticated_except_by_get(handler: Handler, name: str) -> None:
    answer = json.loads(handler(fresh(name)).body)
    assert answer["status"] == ("fail" if name.endswith("_get") else "ok")
    if name == "client_auth_register":
        assert answer == {"status": "ok", "expires": 1800, "application_sid": "72c5c38f"}


@pytest.mark.parametrize("document", [attempt(password="wrong"), attempt(username="john")], ids=["password", "name"])
def test_a_wrong_password_and_an_unknown_name_make_the_same_aws_calls(
    aws: Aws, handler: Handler, document: dict[str, Any]
) -> None:
    handler(fresh("client_auth_register_no_qop"))
    aws.calls.clear()
    assert handler(posted(document)).body == '{"status":"fail"}'
    assert aws.calls == ["GetItem", "UpdateItem", "PutItem"]


def test_a_replay_is_rejected_in_any_container_but_a_retry_is_not(
    aws: Aws, handler: Handler, new_container: Callable[[str], Handler]
) -> None:
    assert status(handler, posted(attempt(), "request-1")) == "ok"
    assert status(handler, posted(attempt(), "request-2")) == "fail"
    assert status(new_container(FOLDER), posted(attempt(), "request-3")) == "fail"
    assert status(new_container(FOLDER), posted(attempt(), "request-1")) == "ok", "the same request again"
    assert status(handler, posted(attempt(nc="00000002"), "request-4")) == "ok"
    assert [item["kind"]["S"] for item in aws.items()].count("client.refused") == 2


def test_failures_are_counted_and_a_digest_is_claimed_once(aws: Aws, table: ClientTable) -> None:
    store = ClientStore(aws.dynamodb, CLIENTS_TABLE)
    assert [store.count_failure(ADDRESS, NOW) for _ in range(3)] == [1, 2, 3]
    assert store.count_failure("192.0.2.45", NOW) == 1
    used = UsedDigest("jane", "sip.example\ud800.com", "0" * 32)
    assert [store.claim_digest(used, request_id=one, now=NOW) for one in "112"] == [True, True, False]


def test_without_its_table_clients_are_rejected_and_events_are_stored(aws: Aws, handler: Handler) -> None:
    aws.dynamodb.delete_table(TableName=CLIENTS_TABLE)
    assert handler(fresh("client_auth_register")).body == '{"status":"fail"}'
    (item,) = aws.items()
    assert detail_attributes(item)["reason"] == {"S": "not checked"}


class TestTheTableOfClients:
    def test_replaces_a_client_only_on_request(self, table: ClientTable) -> None:
        assert not table.put(client(password="another"), replace=False)
        assert table.all() == [client(expires=1800, application_sid="72c5c38f")]
        assert table.put(client(password="another"), replace=True)
        assert table.all() == [client(password="another")]

    def test_lists_only_clients_ordered_by_realm(self, table: ClientTable, handler: Handler) -> None:
        handler(posted(attempt()))
        handler(posted(attempt(password="wrong"), "request-2"))
        for username, realm in (("bob", "sip.example.com"), ("zoë+1", "a realm"), ("jane", "b.example.com")):
            table.put(client(username, realm), replace=False)
        assert [f"{one.username}@{one.realm}" for one in table.all()] == [
            "zoë+1@a realm",
            "jane@b.example.com",
            "bob@sip.example.com",
            "jane@sip.example.com",
        ]

    def test_removes_a_client_immediately(self, table: ClientTable, handler: Handler) -> None:
        assert status(handler, posted(attempt())) == "ok"
        assert table.remove("jane", "sip.example.com")
        assert status(handler, posted(attempt(nc="00000002"), "request-2")) == "fail"
        assert not table.remove("jane", "sip.example.com")


class TestTheCommand:
    """`callhooks clients`, with the simulated account instead of a stack."""

    @pytest.fixture
    def clients(self, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
        outputs = stack_outputs(clients_table=CLIENTS_TABLE)
        monkeypatch.setattr(clients_command, "stack_in_aws", lambda _name: (boto3.session.Session(), outputs))
        return lambda *arguments, stdin="": CliRunner().invoke(app, ["clients", *arguments], input=stdin)

    def test_adds_a_client_without_showing_secrets(
        self, clients: Callable[..., Result], new_container: Callable[[str], Handler]
    ) -> None:
        added = clients("add", "jane", "--realm", "sip.example.com", "--expires", "60", stdin="s3cr3t\n")
        assert (added.exit_code, added.output) == (0, "jane@sip.example.com can now register and place calls.\n")
        clients("add", "zoë", "--realm", "a realm", "--application", "72c5c38f", stdin=" a blank \r\n")
        assert clients("list").output == ("zoë@a realm  application 72c5c38f\njane@sip.example.com  expires 60 s\n")
        handler = new_container(FOLDER)
        assert json.loads(handler(posted(attempt())).body) == {"status": "ok", "expires": 60}
        assert status(handler, posted(attempt(username="zoë", realm="a realm", password=" a blank "), "2")) == "ok"

    def test_does_not_replace_a_client_silently(self, clients: Callable[..., Result], table: ClientTable) -> None:
        refused = clients("add", "jane", "--realm", "sip.example.com", stdin="another\n")
        assert (refused.exit_code, refused.output) == (
            1,
            "jane@sip.example.com already exists. To replace its password and options, add --replace\n",
        )
        assert table.all() == [client(expires=1800, application_sid="72c5c38f")]
        assert clients("add", "jane", "--realm", "sip.example.com", "--replace", stdin="another\n").exit_code == 0
        assert table.all() == [client(password="another")]

    def test_removes_a_client(self, clients: Callable[..., Result], table: ClientTable) -> None:
        assert clients("remove", "jane", "--realm", "sip.example.com").exit_code == 0
        assert clients("list").output == "No SIP clients. Add one with: callhooks clients add USERNAME --realm REALM\n"
        again = clients("remove", "jane", "--realm", "sip.example.com")
        assert (again.exit_code, again.output) == (
            1,
            "No SIP client jane@sip.example.com. List the clients with: callhooks clients list\n",
        )

    @pytest.mark.parametrize(
        ("username", "realm", "password", "code", "message"),
        [
            ("a:b", "sip.example.com", "s3cr3t", 2, "Invalid SIP user name. It must not be empty or contain a colon."),
            (" ", "sip.example.com", "s3cr3t", 2, "Invalid SIP user name. It must not be empty or contain a colon."),
            ("jane", "", "s3cr3t", 2, "--realm must not be empty."),
            ("jane", "sip.example.com", "", 1, "The password is empty."),
        ],
    )
    def test_reports_invalid_clients(  # noqa: PLR0917 - one for each member of a case
        self, clients: Callable[..., Result], username: str, realm: str, password: str, code: int, message: str
    ) -> None:
        refused = clients("add", username, "--realm", realm, stdin=f"{password}\n")
        assert refused.exit_code == code
        assert message in refused.output

    def test_reports_a_missing_table(self, aws: Aws, clients: Callable[..., Result]) -> None:
        aws.dynamodb.delete_table(TableName=CLIENTS_TABLE)
        failed = clients("list")
        assert failed.exit_code == 1
        assert failed.output.startswith("Cannot access the table of SIP clients: ")
