"""jambonz asks the deployed application to authenticate SIP clients."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

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


def test_a_client_registers_once_per_digest_and_only_with_its_password(running: RunningStack, username: str) -> None:
    register = attempt(username=username)
    assert answer(running, register) == {"status": "ok", "expires": 1800}
    assert answer(running, register) == {"status": "fail"}
    assert answer(running, attempt(username=username, cnonce="another", expires=60)) == {"status": "ok", "expires": 60}
    assert answer(running, attempt(username=username, nc="00000002", method="INVITE")) == {"status": "ok"}
    assert answer(running, attempt(username=username, nc="00000003", password="wrong")) == {"status": "fail"}
    assert events_of(running, username) == [
        ("client.registered", None),
        ("client.refused", "replayed"),
        ("client.registered", None),
        ("client.registered", None),
        ("client.refused", "wrong password"),
    ]


def test_a_removed_client_is_rejected_immediately(running: RunningStack, username: str) -> None:
    assert answer(running, attempt(username=username))["status"] == "ok"
    assert f"{username}@{REALM}  expires 1800 s" in running.command("clients", "list").stdout.splitlines()
    assert running.command("clients", "remove", username, "--realm", REALM).returncode == 0
    assert answer(running, attempt(username=username, nc="00000002")) == {"status": "fail"}
    assert f"{username}@{REALM}" not in running.command("clients", "list").stdout
    assert running.command("clients", "remove", username, "--realm", REALM).returncode == 1
