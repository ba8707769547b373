"""Read calls over HTTP from the deployed application, with its real permissions."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from callhooks_tools.stack.recordings import Delivery, NewCallIds, read_delivery

from tests.e2e.conftest import eventually
from tests.running_stack import RunningStack
from tests.support import EVENTS

WAVIX_CALL = ("call_setup", "ringing", "answered", "completed", "post_call_answered")


@pytest.fixture(scope="module")
def console(running: RunningStack) -> Iterator[httpx.Client]:
    """Return an HTTP client with the credentials of the call log."""
    access = running.stack.credentials.console
    with httpx.Client(
        base_url=running.stack.base_url, auth=(access.username, access.password), timeout=30, trust_env=False
    ) as client:
        yield client


@pytest.fixture
def browser(running: RunningStack) -> Iterator[httpx.Client]:
    """Return an HTTP client that behaves like a browser and has no cookie yet."""
    with httpx.Client(
        base_url=running.stack.base_url, headers={"sec-fetch-mode": "cors"}, timeout=30, trust_env=False
    ) as client:
        yield client


def place_wavix_call(running: RunningStack, number: str = "+14155550187") -> str:
    """Send all deliveries of a Wavix call from a number, and return its id."""
    call_id = str(uuid.uuid4())
    for name in WAVIX_CALL:
        recorded = read_delivery(EVENTS / "wavix" / f"{name}.json")
        document = json.loads(recorded.request.body)
        document |= {"uuid": call_id, "id": call_id, "from": number, "to": "14155550123"}
        sent = running.signed(Delivery({**recorded.event, "body": json.dumps(document), "isBase64Encoded": False}))
        assert running.post(sent).status_code == 200
    return call_id


def day_of(call: dict[str, Any]) -> str:
    return str(call["started_at"])[:10]


def list_calls(console: httpx.Client, **query: str | int) -> list[dict[str, Any]]:
    """Return the calls on all pages of a query."""
    calls: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        response = console.get("/calls", params={**query, **cursor})
        assert response.status_code == 200, response.text
        page = response.json()
        calls += page["calls"]
        if page["cursor"] is None:
            return calls
        cursor = {"cursor": page["cursor"]}


def test_a_call_is_read_with_its_timeline_bodies_and_answers(running: RunningStack, console: httpx.Client) -> None:
    call_id = place_wavix_call(running)
    response = console.get(f"/calls/wavix/{call_id}")
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    document = response.json()
    assert (document["call"]["outcome"], document["call"]["call_id"]) == ("answered", call_id)
    assert [event["kind"] for event in document["timeline"]] == [
        "call.initiated", "call.ringing", "call.answered", "call.completed", "call.billed",
    ]  # fmt: skip
    assert all(json.loads(event["body"])["uuid"] == call_id for event in document["timeline"])
    assert document["timeline"][0]["answer"] == {"status": "stored"}


def test_a_call_is_listed_by_day_and_by_number_and_is_counted(running: RunningStack, console: httpx.Client) -> None:
    number = f"+1415555{uuid.uuid4().int % 10_000:04}"
    call_id = place_wavix_call(running, number)
    call = console.get(f"/calls/wavix/{call_id}").json()["call"]
    day = day_of(call)

    def is_complete(calls: list[dict[str, Any]]) -> bool:
        return any(one["call_id"] == call_id and one["outcome"] == "answered" for one in calls)

    eventually(lambda: list_calls(console, day=day, limit=200), is_complete)
    for query in ({"number": call["from"]}, {"number": call["from"], "day": day}, {"number": call["to"], "day": day}):
        (listed,) = [one for one in list_calls(console, **query) if one["call_id"] == call_id]
        assert listed.items() <= call.items()
    assert is_complete(list_calls(console, day=day, provider="wavix", outcome="answered"))
    assert not is_complete(list_calls(console, day=day, provider="bird"))
    assert [one["path"] for one in list_calls(console, q=call_id)] == [call["path"]]
    exported = console.get("/calls", params={"since": day, "tz": "Asia/Tokyo"}, headers={"accept": "text/csv"})
    assert exported.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert f"{call['from']},{call['to']}" in exported.text
    counts = console.get("/stats", params={"day": day}).json()["counts"]
    assert sum(count["calls"] for count in counts) == len(list_calls(console, day=day, limit=200))


def test_a_dialled_leg_and_its_parent_link_to_each_other(running: RunningStack, console: httpx.Client) -> None:
    ids = NewCallIds()
    paths = [EVENTS / "jambonz" / f"{name}.json" for name in ("new_call", "call_status_dial_leg_ringing")]
    parent, leg = (running.signed(ids.renew(read_delivery(path), path)) for path in paths)
    document = json.loads(leg.request.body)
    document["parent_call_sid"] = json.loads(parent.request.body)["call_sid"]
    leg = running.signed(Delivery({**leg.event, "body": json.dumps(document), "isBase64Encoded": False}))
    assert [running.post(delivery).status_code for delivery in (parent, leg)] == [200, 200]
    of_parent, of_leg = (f"/calls/jambonz/{sid}" for sid in (document["parent_call_sid"], document["call_sid"]))
    for path, other in ((of_parent, of_leg), (of_leg, of_parent)):
        eventually(
            lambda path=path: [one["path"] for one in console.get(path).json()["legs"]],  # type: ignore[misc]
            lambda legs, other=other: other in legs,  # type: ignore[misc]
        )


def test_a_browser_signs_in_reads_calls_and_signs_out(running: RunningStack, browser: httpx.Client) -> None:
    access = running.stack.credentials.console
    wrong = browser.post("/session", json={"username": access.username, "password": "wrong"})
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
    assert browser.get("/calls").status_code == 401
    opened = browser.post("/session", json=access.model_dump())
    assert opened.status_code == 204
    # The local stack has no TLS.
    assert opened.headers["set-cookie"].endswith("; HttpOnly; SameSite=Strict")
    assert browser.get("/calls").status_code == 200
    assert browser.get("/stats").status_code == 200
    assert browser.delete("/session").status_code == 204
    assert browser.get("/calls").status_code == 401


@pytest.mark.parametrize("path", ["/calls", "/stats", "/calls/wavix/any"])
def test_the_call_log_requires_credentials(path: str, running: RunningStack, browser: httpx.Client) -> None:
    refused = httpx.get(f"{running.stack.base_url}{path}", trust_env=False)
    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"
    # API Gateway renames the header.
    assert refused.headers["x-amzn-remapped-www-authenticate"] == 'Basic realm="callhooks"'
    assert "x-amzn-remapped-www-authenticate" not in browser.get(path).headers


@pytest.mark.parametrize("path", ["/calls/wavix/none", "/calls/none/none", "/calls/wavix/a%2Fb", "/calls/wavix/a/b"])
def test_an_unknown_call_is_not_found(path: str, console: httpx.Client) -> None:
    response = console.get(path)
    assert (response.status_code, response.json()["detail"]) == (404, "No such call.")


@pytest.mark.parametrize("path", ["/", "/calls", "/stats", "/openapi.json"])
def test_head_is_answered_and_other_methods_are_not_allowed(path: str, console: httpx.Client) -> None:
    head, get = console.head(path), console.get(path)
    assert (head.status_code, head.content, get.status_code) == (200, b"", 200)
    for method in ("OPTIONS", "POST", "DELETE"):
        refused = console.request(method, path)
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
        assert "access-control-allow-origin" not in refused.headers


def test_a_call_with_an_unusual_id_is_found_by_its_listed_path(running: RunningStack, console: httpx.Client) -> None:
    call_id = f"{uuid.uuid4()}/+14155550100@sip.example.com"
    path = Path("bird") / "voice_inbound_ringing.json"
    recorded = read_delivery(EVENTS / path)
    document = json.loads(recorded.request.body)
    document["payload"]["id"] = call_id
    sent = running.signed(Delivery({**recorded.event, "body": json.dumps(document), "isBase64Encoded": False}))
    assert running.post(sent).status_code == 200
    by_id = console.get(f"/calls/bird/{call_id.replace('/', '%2F')}").json()["call"]
    assert by_id["call_id"] == call_id
    assert console.get(by_id["path"]).json()["call"] == by_id


def test_the_console_page_is_public_and_the_commands_show_its_url(running: RunningStack) -> None:
    page = httpx.get(f"{running.stack.base_url}/", trust_env=False)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    access = running.stack.credentials.console
    for output in (running.output, running.command("urls", "--credentials").stdout):
        assert f"{running.stack.base_url}/\n" in output
        assert access.password in output
    assert access.password.isalnum()
