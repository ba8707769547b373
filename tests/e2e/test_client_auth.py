"""jambonz asks the deployed application to authenticate SIP clients."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from callhooks.providers.jambonz.provider import CLIENT_AUTH_PATH
from callhooks_tools.stack.recordings import Delivery

from tests.running_stack import RunningStack
from tests.sip_clients import REALM, attempt
from tests.support import detail_attributes, signed_event


@pytest.fixture
def username(running: RunningStack) -> Iterator[str]:
    """Add a client with the command, and remove it after the test."""
    username = f"jane-{uuid.uuid4()}"
    added = running.command("clients", "add", username, "--realm", REALM, "--expires", "1800", stdin="s3cr3t\n")
    assert (added.returncode, added.stderr) == (0, "")
    yield username
    running.command("clients", "remove", username, "--realm", REALM)


def answer(running: RunningStack, document: dict[str, Any]) -> dict[str, Any]:
    delivery = running.signed(Delivery(signed_event(document, path=CLIENT_AUTH_PATH)))
    response = running.post(delivery)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert "idempotent-replayed" not in response.headers
    reply: dict[str, Any] = response.json()
    return reply


def events_of(running: RunningStack, username: str) -> list[tuple[str, str | None]]:
    items = [item for item in running.items() if item.get("from") == {"S": f"{username}@{REALM}"}]
    items.sort(key=lambda item: item["received_at"]["S"])
    return [(item["kind"]["S"], detail_attributes(item).get("reason", {}).get("S")) for item in items]


def test_a_client_registers_once_per_nonce_count_and_only_with_its_password(
    running: RunningStack, username: str
) -> None:
    register = attempt(username=username)
    assert answer(running, register) == {"status": "ok", "expires": 1800}
    assert answer(running, register) == {"status": "fail"}
    assert answer(running, attempt(username=username, nc="00000002", method="INVITE")) == {"status": "ok"}
    assert answer(running, attempt(username=username, nc="00000003", password="wrong")) == {"status": "fail"}
    assert events_of(running, username) == [
        ("client.registered", None),
        ("client.refused", "replayed"),
        ("client.registered", None),
        ("client.refused", "wrong password"),
    ]


def test_a_client_is_rejected_over_get_because_get_is_not_signed(running: RunningStack, username: str) -> None:
    access = running.stack.credentials.of("jambonz")
    members = {name: value for name, value in attempt(username=username).items() if name != "headers"}
    response = httpx.get(
        f"{running.stack.base_url}{CLIENT_AUTH_PATH}", params=members, auth=(access["username"], access["password"])
    )
    assert (response.status_code, response.json()["status"]) == (200, "fail")


def test_unauthenticated_requests_are_rejected(running: RunningStack, username: str) -> None:
    url = f"{running.stack.base_url}{CLIENT_AUTH_PATH}"
    for response in (httpx.post(url, json=attempt(username=username)), httpx.get(url)):
        assert response.status_code == 401
    assert events_of(running, username) == []


def test_the_command_lists_clients_and_does_not_replace_one(running: RunningStack, username: str) -> None:
    assert f"{username}@{REALM}  expires 1800 s" in running.command("clients", "list").stdout.splitlines()
    duplicate = running.command("clients", "add", username, "--realm", REALM, stdin="another\n")
    assert duplicate.returncode == 1
    assert "already exists" in duplicate.stderr
    assert answer(running, attempt(username=username))["status"] == "ok"


def test_a_removed_client_is_rejected_immediately(running: RunningStack, username: str) -> None:
    assert answer(running, attempt(username=username))["status"] == "ok"
    assert running.command("clients", "remove", username, "--realm", REALM).returncode == 0
    assert answer(running, attempt(username=username, nc="00000002")) == {"status": "fail"}
    assert f"{username}@{REALM}" not in running.command("clients", "list").stdout
    assert running.command("clients", "remove", username, "--realm", REALM).returncode == 1


def test_the_command_sends_a_recorded_client(running: RunningStack) -> None:
    sent = running.command("send", "events/jambonz/client_auth_register.json", "--new-call")
    assert sent.returncode == 0, sent.stderr
    assert '"status": "fail"' in sent.stdout  # jane was not added
