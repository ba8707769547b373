"""Given a delivery of Wavix, Bird or VoIPstudio, what the deployed function does and which AWS calls it makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer
from callhooks_tools.deliveries import as_sent_by, read_delivery
from callhooks_tools.stack import Access, BirdAccess, TokenAccess

from tests.integration.conftest import Aws, Handler
from tests.senders import CHANNEL, SIGNING_KEY, TOKEN
from tests.support import EVENTS, PUBLIC_URL, Event

FOLDERS = {"wavix": "wavix_call", "bird": "bird_voice", "voipstudio": "voipstudio_event"}
RECORDED = [path for provider in FOLDERS for path in sorted((EVENTS / provider).glob("*.json"))]
ONE_OF = {"wavix": "ringing", "bird": "voice_inbound_ringing", "voipstudio": "call_ringing"}

WITHOUT_TIME = {"voice_inbound_minimal"}
WITHOUT_DIRECTION = {"in_call_event_2024", "completed_2025"}

every_provider = pytest.mark.parametrize("provider", FOLDERS)


def fresh(path: Path) -> Event:
    """A recorded delivery as its provider sends it now."""
    delivery = read_delivery(path)
    access: Access = BirdAccess(signing_key=SIGNING_KEY) if path.parent.name == "bird" else TokenAccess(token=TOKEN)
    sent = as_sent_by(delivery.provider, delivery, access, datetime.now(UTC), base_url=PUBLIC_URL)
    return dict(sent.event)


def one_of(provider: str) -> Event:
    return fresh(EVENTS / provider / f"{ONE_OF[provider]}.json")


def plain(item: dict[str, Any]) -> dict[str, Any]:
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_recorded_delivery_is_taken_and_kept_once(
    path: Path, aws: Aws, new_container: Callable[..., Handler]
) -> None:
    handler, event = new_container(FOLDERS[path.parent.name]), fresh(path)
    assert handler(event).statusCode == 200
    assert handler(event).statusCode == 200
    items = [plain(item) for item in aws.items()]
    if path.stem.startswith("probe_"):
        assert items == []
        return
    (item,) = items
    assert item["provider"] == path.parent.name
    assert item["kind"] != "call.other"
    assert item["from"]
    assert (item.get("direction") in ("inbound", "outbound")) is (path.stem not in WITHOUT_DIRECTION)
    assert item["occurred_at"].startswith("2026-11-21T06:3") is (path.stem not in WITHOUT_TIME)


@every_provider
def test_a_repeat_in_another_container_gets_the_first_answer(
    provider: str, aws: Aws, new_container: Callable[..., Handler]
) -> None:
    event = one_of(provider)
    first = new_container(FOLDERS[provider])(event)
    event["requestContext"] = {**event["requestContext"], "requestId": "another"}
    again = new_container(FOLDERS[provider])(event)
    assert (again.statusCode, again.body, again.replayed) == (200, first.body, True)
    assert len(aws.items()) == 1


@every_provider
def test_a_cold_start_reads_one_secret_and_writes_one_event(
    provider: str, aws: Aws, new_container: Callable[..., Handler]
) -> None:
    handler = new_container(FOLDERS[provider])
    assert handler(one_of(provider)).statusCode == 200
    assert aws.calls == ["GetSecretValue", "PutItem"]
    aws.calls.clear()
    assert handler(one_of(provider)).replayed
    assert aws.calls == []


@every_provider
def test_a_refusal_is_no_call(provider: str, aws: Aws, new_container: Callable[..., Handler]) -> None:
    handler = new_container(FOLDERS[provider])
    handler(one_of(provider))
    aws.calls.clear()
    assert handler({**one_of(provider), "headers": {}, "pathParameters": {}}).statusCode == 401
    assert aws.calls == []


@every_provider
def test_what_is_not_understood_is_one_item_in_quarantine(
    provider: str, aws: Aws, new_container: Callable[..., Handler]
) -> None:
    recorded = json.loads((EVENTS / provider / f"{ONE_OF[provider]}.json").read_text())
    path = EVENTS / provider / f"{ONE_OF[provider]}.json"
    delivery = read_delivery(path)
    access: Access = BirdAccess(signing_key=SIGNING_KEY) if provider == "bird" else TokenAccess(token=TOKEN)
    odd = type(delivery)({**recorded, "body": "{}"})
    event = dict(as_sent_by(delivery.provider, odd, access, datetime.now(UTC), base_url=PUBLIC_URL).event)
    first, again = new_container(FOLDERS[provider])(event), new_container(FOLDERS[provider])(event)
    assert (first.statusCode, again.statusCode) == (202, 202)
    assert first.body == again.body
    (item,) = aws.items()
    assert item["pk"]["S"].startswith(f"quarantine#{provider}#")


def test_a_charge_is_a_decimal(aws: Aws, new_container: Callable[..., Handler]) -> None:
    new_container("wavix_call")(fresh(EVENTS / "wavix" / "post_call_answered.json"))
    (item,) = aws.items()
    details = plain(item)["details"]
    assert (details["charge"], details["duration_seconds"]) == (Decimal("0.0095"), 42)


def test_the_filters_of_bird_are_parameters(
    aws: Aws, new_container: Callable[..., Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIRD_STATUSES", "completed, starting")
    monkeypatch.setenv("BIRD_CHANNEL_ID", CHANNEL)
    handler = new_container("bird_voice")
    for status in ("starting", "ringing", "ongoing", "completed"):
        assert handler(fresh(EVENTS / "bird" / f"voice_inbound_{status}.json")).statusCode == 200
    assert sorted(item["status"]["S"] for item in aws.items()) == ["completed", "starting"]


def test_the_allowed_addresses_of_wavix_are_a_parameter(
    aws: Aws, new_container: Callable[..., Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVIX_ALLOWED_ADDRESSES", "198.51.100.0/24")
    assert new_container("wavix_call")(one_of("wavix")).statusCode == 401
    monkeypatch.setenv("WAVIX_ALLOWED_ADDRESSES", "198.51.100.0/24,62.212.73.112")
    assert new_container("wavix_call")(one_of("wavix")).statusCode == 200


def test_sam_local_needs_no_secret_store(
    aws: Aws, new_container: Callable[..., Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = json.loads((EVENTS / "local-env.json").read_text())
    for name, value in variables["WavixCallFunction"].items():
        monkeypatch.setenv(name, value)
    assert new_container("wavix_call")(json.loads((EVENTS / "wavix" / "ringing.json").read_text())).statusCode == 200
    assert aws.calls == ["PutItem"]
