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
from callhooks.runtime.http import HttpApiEvent
from callhooks_tools.stack.recordings import Delivery, NewCallIds, read_delivery

from tests.running_stack import RunningStack
from tests.senders import Stored
from tests.support import EVENTS, JAMBONZ_EVENT_PATHS

PROVIDERS = ("wavix", "bird", "voipstudio")
EVENT_OF = {"wavix": "ringing", "bird": "voice_inbound_ringing", "voipstudio": "call_ringing"}


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


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_recorded_delivery_is_accepted_and_stored_once(running: RunningStack, provider: str) -> None:
    paths = sorted((EVENTS / provider).glob("*.json"))
    deliveries = [running.signed(read_delivery(path)) for path in paths]
    with new_items(running) as items:
        first = [running.post(delivery) for delivery in deliveries]
        duplicates = [running.post(delivery) for delivery in deliveries]
    assert {response.status_code for response in (*first, *duplicates)} == {200}
    assert [response.text for response in first] == [response.text for response in duplicates]
    expected = [
        delivery for delivery, path in zip(deliveries, paths, strict=True) if not path.stem.startswith("probe_")
    ]
    assert len(items) == len(expected)
    assert {item["provider"] for item in items} == {provider}


def test_every_recorded_jambonz_event_is_accepted_and_stored_once(running: RunningStack) -> None:
    new_ids = NewCallIds()
    recordings = [(path, read_delivery(path)) for path in sorted((EVENTS / "jambonz").glob("*.json"))]
    deliveries = [
        running.signed(new_ids.renew(delivery, path))
        for path, delivery in recordings
        if delivery.request.path in JAMBONZ_EVENT_PATHS
    ]
    with new_items(running) as items:
        first = [running.post(delivery) for delivery in deliveries]
        duplicates = [running.post(delivery) for delivery in deliveries]
    assert {(response.status_code, response.text) for response in (*first, *duplicates)} == {(200, "[]")}
    assert {"idempotent-replayed" in response.headers for response in first} == {False}
    assert {"idempotent-replayed" in response.headers for response in duplicates} == {True}
    assert len(items) == len(deliveries)
    assert {item["provider"] for item in items} == {"jambonz"}


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


@pytest.mark.parametrize("path", ["/webhooks/call/events", "/adulting", "/streaming-event", "/tokens-result"])
def test_unauthenticated_jambonz_events_are_rejected(running: RunningStack, path: str) -> None:
    access = running.stack.credentials.of("jambonz")
    url = f"{running.stack.base_url}{path}"
    with new_items(running) as items:
        answers = [
            httpx.post(url, json={"call_status": "completed"}),
            httpx.post(url, auth=(access["username"], access["password"]), json={"call_status": "completed"}),
        ]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert items == []


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_event_is_stored_with_its_attributes(running: RunningStack, provider: str) -> None:
    delivery = new_event(running, provider)
    with new_items(running) as items:
        assert running.post(delivery).json() == {"status": "stored"}
    (item,) = items
    expected = {
        "wavix": ("call.ringing", "ringing", "+12125550187", "14155550123", "2026-11-21T06:30:00.731Z"),
        "bird": ("call.ringing", "ringing", "+31612345678", "+31201234567", "2026-11-21T06:30:01.500Z"),
        "voipstudio": ("call.ringing", "RINGING", "447700900123", "442079460123", "2026-11-21T06:30:01.000Z"),
    }
    assert tuple(item[name] for name in ("kind", "status", "from", "to", "occurred_at")) == expected[provider]
    assert item["direction"] == "inbound"
    assert item["pk"] == f"{provider}#{item['call_id']}"


def test_ten_simultaneous_deliveries_are_stored_once(running: RunningStack) -> None:
    delivery = new_event(running, "bird")
    with new_items(running) as items, ThreadPoolExecutor(10) as pool:
        responses = list(pool.map(running.post, [delivery] * 10))
    assert {response.status_code for response in responses} == {200}
    assert len(items) == 1


@pytest.mark.parametrize("body", ["not JSON", "[]", '"completed"'])
def test_an_unreadable_jambonz_event_is_quarantined_once(running: RunningStack, body: str) -> None:
    # Sign once, as for a retry: a signature of the next second would make a different delivery.
    unreadable = running.signed(with_body(recorded("jambonz", "call_status_dial_leg_ringing"), f"{body} "))
    with new_items(running) as items:
        responses = [running.post(unreadable) for _ in range(2)]
    assert [response.status_code for response in responses] == [202, 202]
    (item,) = items
    assert item["pk"].startswith("quarantine#jambonz#")
    assert item["route"] == "POST /webhooks/call/events"


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("body", ["not JSON", "[]", "{}", '{"unrelated": true}'])
def test_an_unreadable_event_is_quarantined_once(running: RunningStack, provider: str, body: str) -> None:
    delivery = running.signed(with_body(recorded(provider, EVENT_OF[provider]), f"{body} "))
    with new_items(running) as items:
        responses = [running.post(delivery) for _ in range(2)]
    assert [response.status_code for response in responses] == [202, 202]
    assert responses[0].json()["status"] == "quarantined"
    (item,) = items
    assert item["pk"].startswith(f"quarantine#{provider}#")
    assert item["route"].startswith("POST /webhooks/")
    assert "token" not in json.dumps(item.item, default=repr).replace("{token}", "")


def tampered(delivery: Delivery, **changes: Any) -> Delivery:
    headers = {**delivery.request.headers, **changes.pop("headers", {})}
    event: HttpApiEvent = {**delivery.event, "headers": headers, **changes}
    return Delivery(event)


def test_a_bird_delivery_with_any_changed_byte_is_rejected(running: RunningStack) -> None:
    delivery = new_event(running, "bird")
    headers, body = delivery.request.headers, delivery.request.body.decode()
    signature, timestamp = headers["messagebird-signature"], headers["messagebird-request-timestamp"]
    flipped = "A" if signature[0] != "A" else "B"
    # The last letter before the padding has two bits that base64 ignores.
    loose = signature[:-2] + chr(ord(signature[-2]) + 1) + "="
    with new_items(running) as items:
        changed = [
            tampered(delivery, headers={"messagebird-signature": flipped + signature[1:]}),
            tampered(delivery, headers={"messagebird-signature": loose}),
            tampered(delivery, headers={"messagebird-signature": signature[:-1]}),
            tampered(delivery, headers={"messagebird-request-timestamp": str(int(timestamp) - 1)}),
            tampered(delivery, body=body + " "),
            tampered(delivery, body=body.replace("ringing", "Ringing")),
            tampered(delivery, rawPath="/webhooks/bird/another-channel"),
            tampered(delivery, rawQueryString="a=1"),
        ]
        assert [running.post(one).status_code for one in changed] == [401] * len(changed)
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
    files = [f"events/{provider}/{name}.json" for provider, name in EVENT_OF.items()]
    sent = running.command("send", *files, "--new-call")
    assert sent.returncode == 0, sent.stderr
    assert sent.stdout.count('"status": "stored"') == 3
    assert "POST /webhooks/wavix/{token}  ringing.json  200" in sent.stdout
    assert running.stack.credentials.of("wavix")["token"] not in sent.stdout


def test_urls_shows_the_settings_of_every_provider(running: RunningStack) -> None:
    output = running.command("urls", "--credentials").stdout
    base, credentials = running.stack.base_url, running.stack.credentials
    assert f"{base}/webhooks/wavix/{credentials.of('wavix')['token']}" in output
    assert f"{base}/webhooks/voipstudio/{credentials.of('voipstudio')['token']}" in output
    assert f"{base}/webhooks/bird" in output
    assert credentials.of("bird")["signing_key"] in output


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


def test_the_command_does_not_generate_a_secret_for_jambonz(running: RunningStack) -> None:
    refused = running.command("secret", "add", "jambonz", "--generate")
    assert refused.returncode == 1
    assert "jambonz issues the webhook secret" in refused.stderr
    short = running.command("secret", "add", "bird", stdin="short\n")
    assert short.stderr.strip() == "Invalid signing key: use at least 8 printable characters."


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


def test_the_command_rejects_a_token_that_does_not_fit_into_a_url(running: RunningStack) -> None:
    for token in ("short", "with/a/slash/that/is/long/enough"):
        refused = running.command("secret", "add", "wavix", stdin=f"{token}\n")
        assert refused.returncode == 1
        assert "Invalid token: it is part of a URL" in refused.stderr
