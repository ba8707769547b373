"""Wavix, Bird, VoIPstudio and jambonz send events to the deployed application."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from callhooks.providers.jambonz.provider import CLIENT_AUTH_PATH
from callhooks.runtime.http import HttpApiEvent
from callhooks_tools.stack.recordings import Delivery, NewCallIds, read_delivery

from tests.integration.tools.test_json_output import documented_members
from tests.running_stack import RunningStack
from tests.senders import Stored
from tests.support import EVENTS, JAMBONZ_EVENT_PATHS

PROVIDERS = ("wavix", "bird", "voipstudio")
EVENT_OF = {
    "wavix": "ringing",
    "bird": "voice_inbound_ringing",
    "voipstudio": "call_ringing",
    "jambonz": "call_status_dial_leg_ringing",
}


def recorded(provider: str, name: str) -> Delivery:
    return read_delivery(EVENTS / provider / f"{name}.json")


def new_event(running: RunningStack, provider: str) -> Delivery:
    """Return an event of a new call, signed as its provider would sign it now."""
    delivery = recorded(provider, EVENT_OF[provider])
    return running.signed(NewCallIds().renew(delivery, Path("event.json")))


def with_body(delivery: Delivery, body: str) -> Delivery:
    event: HttpApiEvent = {**delivery.event, "body": body, "isBase64Encoded": False}
    return Delivery(event)


@contextmanager
def new_items(running: RunningStack) -> Iterator[list[Stored]]:
    """Yield a list that is filled with the items stored within the block."""
    before = {(item["pk"]["S"], item["sk"]["S"]) for item in running.items()}
    items: list[Stored] = []
    yield items
    items += [Stored(item) for item in running.items() if (item["pk"]["S"], item["sk"]["S"]) not in before]


@pytest.mark.parametrize("provider", [*PROVIDERS, "jambonz"])
def test_every_recorded_delivery_is_accepted_and_stored_once(running: RunningStack, provider: str) -> None:
    new_ids = NewCallIds()
    recordings = {path: read_delivery(path) for path in sorted((EVENTS / provider).glob("*.json"))}
    if provider == "jambonz":
        recordings = {
            path: new_ids.renew(delivery, path)
            for path, delivery in recordings.items()
            if delivery.request.path in JAMBONZ_EVENT_PATHS
        }
    deliveries = [running.signed(delivery) for delivery in recordings.values()]
    with new_items(running) as items:
        first = [running.post(delivery) for delivery in deliveries]
        duplicates = [running.post(delivery) for delivery in deliveries]
    assert {response.status_code for response in (*first, *duplicates)} == {200}
    assert [response.text for response in first] == [response.text for response in duplicates]
    probes = [path for path in recordings if path.stem.startswith("probe_")]
    assert len(items) == len(deliveries) - len(probes)
    assert {item["provider"] for item in items} == {provider}


def test_a_jambonz_event_without_a_call_id_uses_the_call_in_its_url(running: RunningStack) -> None:
    path = EVENTS / "jambonz" / "llm_event_openai.json"
    delivery = running.signed(NewCallIds().renew(read_delivery(path), path))
    call = dict(delivery.request.query)["call"]
    with new_items(running) as items:
        assert running.post(delivery).status_code == 200
    (item,) = items
    assert (item["pk"], item["call_id"]) == (f"jambonz#{call}", call)
    assert (item["kind"], item["event_name"], item.details) == (
        "call.other",
        "response.done",
        {"hook": "llm.eventHook"},
    )


@pytest.mark.parametrize("path", [*JAMBONZ_EVENT_PATHS, "/webhooks/call", "/webhooks/tool/openai", CLIENT_AUTH_PATH])
def test_unauthenticated_requests_for_jambonz_are_rejected(running: RunningStack, path: str) -> None:
    access = running.stack.credentials.of("jambonz")
    url, document = f"{running.stack.base_url}{path}", {"call_sid": "forged"}
    with new_items(running) as items:
        answers = [
            httpx.post(url, json=document),
            httpx.post(url, auth=("jambonz", "wrong"), json=document),
            httpx.post(url, auth=(access["username"], access["password"]), json=document),
        ]
    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert items == []


def test_ten_simultaneous_deliveries_are_stored_once(running: RunningStack) -> None:
    delivery = new_event(running, "bird")
    with new_items(running) as items, ThreadPoolExecutor(10) as pool:
        responses = list(pool.map(running.post, [delivery] * 10))
    assert {response.status_code for response in responses} == {200}
    assert len(items) == 1


@pytest.mark.parametrize("provider", [*PROVIDERS, "jambonz"])
def test_an_unreadable_event_is_quarantined_once(running: RunningStack, provider: str) -> None:
    # Sign once, as for a retry: a signature of the next second would make a different delivery.
    delivery = running.signed(with_body(recorded(provider, EVENT_OF[provider]), "not JSON "))
    with new_items(running) as items:
        responses = [running.post(delivery) for _ in range(2)]
    assert [response.status_code for response in responses] == [202, 202]
    assert responses[0].json()["status"] == "quarantined"
    (item,) = items
    assert item["pk"].startswith(f"quarantine#{provider}#")
    assert item["route"].startswith("POST /webhooks/")
    assert "token" not in json.dumps(item.item, default=repr).replace("{token}", "")


def test_a_changed_bird_delivery_is_rejected(running: RunningStack) -> None:
    delivery = new_event(running, "bird")
    body = delivery.request.body.decode()
    changes: list[dict[str, Any]] = [
        {"body": f"{body} "},
        {"rawPath": "/webhooks/bird/another-channel"},
        {"rawQueryString": "a=1"},
    ]
    with new_items(running) as items:
        assert [running.post(Delivery({**delivery.event, **change})).status_code for change in changes] == [401] * 3
    assert items == []
    assert running.post(delivery).status_code == 200


def test_a_wrong_and_a_missing_token_get_the_same_answer(running: RunningStack) -> None:
    for provider in ("wavix", "voipstudio"):
        url = f"{running.stack.base_url}/webhooks/{provider}"
        answers = [httpx.post(url, json={}), httpx.post(f"{url}/wrong", json={})]
        assert {answer.status_code for answer in answers} == {401}
        assert answers[0].text == answers[1].text
        assert dict(answers[0].headers) | {"date": ""} == dict(answers[1].headers) | {"date": ""}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_the_probe_of_the_voipstudio_dashboard_is_answered(running: RunningStack, method: str) -> None:
    url = f"{running.stack.base_url}/webhooks/voipstudio"
    with new_items(running) as items:
        assert httpx.request(method, f"{url}/{running.stack.credentials.of('voipstudio')['token']}").status_code == 200
        assert httpx.request(method, f"{url}/wrong").status_code == 401
        assert httpx.request(method, url).status_code == 401
    assert items == []


def test_the_command_sends_the_deliveries_of_every_provider(running: RunningStack) -> None:
    names = [f"{provider}/{EVENT_OF[provider]}" for provider in PROVIDERS]
    names += ["jambonz/new_call", "jambonz/tool_google"]
    sent = running.command("send", *(f"events/{name}.json" for name in names), "--new-call")
    assert sent.returncode == 0, sent.stderr
    assert json_documents(sent.stdout).count({"status": "stored"}) == 3
    for line in (
        "POST /webhooks/wavix/{token}  ringing.json  200",
        "POST /webhooks/call  new_call.json  200",
        "POST /webhooks/tool/{vendor}  tool_google.json  200",
    ):
        assert line in sent.stderr
    assert running.stack.credentials.of("wavix")["token"] not in sent.stdout + sent.stderr


def json_documents(text: str) -> list[Any]:
    """Return the JSON documents in a text, as jq reads them."""
    found, rest = [], text.lstrip()
    while rest:
        document, end = json.JSONDecoder().raw_decode(rest)
        found.append(document)
        rest = rest[end:].lstrip()
    return found


@pytest.mark.parametrize(("file", "status"), [("wavix/ringing", 202), ("jambonz/client_auth_register", 200)])
def test_the_command_fails_for_a_delivery_that_goes_to_quarantine(
    file: str, status: int, running: RunningStack, tmp_path: Path
) -> None:
    recording = tmp_path / "delivery.json"
    recording.write_text(json.dumps(with_body(recorded(*file.split("/")), f"no JSON for {file}").event))
    for _ in range(2):
        sent = running.command("send", str(recording), "--json")
        (answer,) = json.loads(sent.stdout)
        assert (sent.returncode, answer["status"], answer["is_quarantined"]) == (1, status, True), sent.stderr
        assert set(answer) == documented_members("send")
        assert "Quarantined. To see why, run: " in sent.stderr


@pytest.mark.parametrize("provider", ["wavix", "bird"])
def test_the_command_rotates_a_generated_secret(running: RunningStack, provider: str) -> None:
    (generated,) = running.stack.credentials.of(provider).values()
    refused = running.command("secret", "remove", provider, stdin=f"{generated}\n")
    assert refused.returncode == 1
    assert "Add another one first" in refused.stderr

    added = "another-one-that-is-long-enough"
    assert running.command("secret", "add", provider, stdin=f"{added}\n").returncode == 0
    assert running.command("secret", "list", provider).stdout.split() == ["...ough", f"...{generated[-4:]}"]
    assert running.command("secret", "add", "--generate", provider).returncode == 0
    newest, *others = running.command("secret", "list", provider, "--reveal").stdout.split()
    assert (len(newest), others) == (40, [added, generated])
    assert newest in running.command("urls", "--credentials").stdout
    assert running.post(new_event(running, provider)).status_code == 200
    for secret in (newest, added):
        assert running.command("secret", "remove", provider, stdin=f"{secret}\n").returncode == 0


def test_the_command_sends_nothing_if_one_of_its_files_is_unusable(running: RunningStack) -> None:
    with new_items(running) as items:
        refused = running.command("send", "events/wavix/busy.json", "README.md", "--new-call")
    assert refused.returncode == 1
    assert refused.stderr.strip() == "README.md: not a JSON object"
    assert refused.stdout == ""
    assert items == []


def test_the_command_sends_a_body_as_its_provider_would(running: RunningStack, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text('{"payload": {"id": "a body alone", "status": "busy"}}\n')
    with new_items(running) as items:
        sent = running.command("send", str(body), "--as", "bird")
    assert sent.returncode == 0, sent.stderr
    assert [item["call_id"] for item in items] == ["a body alone"]


def test_a_compressed_body_is_stored_as_sent(running: RunningStack) -> None:
    # API Gateway does not decompress the body, and signatures cover the bytes as sent.
    delivery = new_event(running, "wavix")
    packed = gzip.compress(delivery.request.body)
    url = f"{running.stack.base_url}{delivery.request.path}"
    with new_items(running) as items:
        response = httpx.post(url, content=packed, headers={"content-encoding": "gzip"})
    assert response.status_code == 202
    assert items[0].item["body"]["B"] == packed
