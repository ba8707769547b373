"""The deployed functions for events from Wavix, Bird, VoIPstudio and jambonz, and the AWS calls they make."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer
from callhooks.events.event_item import details_of_item
from callhooks_tools.stack.recordings import Delivery, as_sent_by, read_delivery

from tests.integration.conftest import Aws, Handler
from tests.senders import CHANNEL, SIGNING_KEY, TOKEN
from tests.support import (
    EVENTS,
    JAMBONZ_EVENT_PATHS,
    PASSWORD,
    PUBLIC_URL,
    USERNAME,
    WEBHOOK_SECRET,
    Event,
    metric_lines,
)

FOLDERS = {
    "wavix": "wavix_call",
    "bird": "bird_voice",
    "voipstudio": "voipstudio_event",
    "jambonz": "jambonz_event",
}
RECORDED = [path for provider in ("wavix", "bird", "voipstudio") for path in sorted((EVENTS / provider).glob("*.json"))]
RECORDED_OF_JAMBONZ = [
    path
    for path in sorted((EVENTS / "jambonz").glob("*.json"))
    if read_delivery(path).request.path in JAMBONZ_EVENT_PATHS
]
ONE_OF = {
    "wavix": "ringing",
    "bird": "voice_inbound_ringing",
    "voipstudio": "call_ringing",
    "jambonz": "call_status_dial_leg_ringing",
}
SECRETS = {"jambonz": 2}
ACCESS = {
    "bird": {"signing_key": SIGNING_KEY},
    "wavix": {"token": TOKEN},
    "voipstudio": {"token": TOKEN},
    "jambonz": {"username": USERNAME, "password": PASSWORD, "webhook_secret": WEBHOOK_SECRET},
}

WITHOUT_TIME = {"voice_inbound_minimal"}
WITHOUT_DIRECTION = {"in_call_event_2024", "completed_2025"}

every_provider = pytest.mark.parametrize("provider", FOLDERS)


def fresh(path: Path) -> Event:
    """Return a recorded delivery as its provider would send it now."""
    return sent_now(read_delivery(path))


def sent_now(delivery: Delivery) -> Event:
    provider = delivery.provider
    return dict(as_sent_by(provider, delivery, ACCESS[provider], datetime.now(UTC), base_url=PUBLIC_URL).event)


def one_of(provider: str) -> Event:
    return fresh(EVENTS / provider / f"{ONE_OF[provider]}.json")


def plain(item: dict[str, Any]) -> dict[str, Any]:
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_recorded_delivery_is_accepted_and_stored_once(
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


@pytest.mark.parametrize("path", RECORDED_OF_JAMBONZ, ids=lambda path: str(path.stem))
def test_every_recorded_jambonz_event_is_stored_once_with_one_write(
    path: Path, aws: Aws, new_container: Callable[..., Handler]
) -> None:
    handler, event = new_container("jambonz_event"), fresh(path)
    assert [handler(event).body, handler(event).body] == ["[]", "[]"]
    assert aws.calls == ["GetSecretValue", "GetSecretValue", "PutItem"]
    (item,) = [plain(item) for item in aws.items()]
    assert item["provider"] == "jambonz"
    assert item["event_name"]
    assert item["answer"] == "[]"


@every_provider
def test_a_duplicate_in_another_container_gets_the_first_answer(
    provider: str, aws: Aws, new_container: Callable[..., Handler]
) -> None:
    event = one_of(provider)
    first = new_container(FOLDERS[provider])(event)
    event["requestContext"] = {**event["requestContext"], "requestId": "another"}
    again = new_container(FOLDERS[provider])(event)
    assert (again.statusCode, again.body, again.replayed) == (200, first.body, True)
    assert len(aws.items()) == 1


def test_a_reused_id_with_another_body_is_stored_and_counted(
    aws: Aws, new_container: Callable[..., Handler], capsys: pytest.CaptureFixture[str]
) -> None:
    handler = new_container("voipstudio_event")
    initial, hangup = (fresh(EVENTS / "voipstudio" / f"call_{name}.json") for name in ("initial", "hangup"))
    hangup["body"] = json.dumps({**json.loads(hangup["body"]), "id": json.loads(initial["body"])["id"]})
    capsys.readouterr()
    aws.calls.clear()
    assert [handler(event).replayed for event in (initial, hangup, initial)] == [False, False, True]
    assert aws.calls == ["GetSecretValue", "PutItem", "PutItem", "PutItem"]
    assert sorted(item["kind"]["S"] for item in aws.items()) == ["call.completed", "call.initiated"]
    reused = [line for line in metric_lines(capsys.readouterr().out) if "EventKeyReused" in line]
    assert [line["provider"] for line in reused] == ["voipstudio"]


@every_provider
def test_a_cold_start_reads_its_secrets_and_writes_one_event(
    provider: str, aws: Aws, new_container: Callable[..., Handler]
) -> None:
    handler, event = new_container(FOLDERS[provider]), one_of(provider)
    assert handler(event).statusCode == 200
    assert aws.calls == ["GetSecretValue"] * SECRETS.get(provider, 1) + ["PutItem"]
    aws.calls.clear()
    assert handler(event).replayed
    assert aws.calls == []


@every_provider
def test_a_rejected_request_makes_no_aws_call(provider: str, aws: Aws, new_container: Callable[..., Handler]) -> None:
    handler = new_container(FOLDERS[provider])
    handler(one_of(provider))
    aws.calls.clear()
    assert handler({**one_of(provider), "headers": {}, "pathParameters": {}}).statusCode == 401
    assert aws.calls == []


@every_provider
def test_an_unparsable_delivery_is_one_item_in_quarantine(
    provider: str, aws: Aws, new_container: Callable[..., Handler]
) -> None:
    recorded = read_delivery(EVENTS / provider / f"{ONE_OF[provider]}.json")
    event = sent_now(Delivery({**recorded.event, "body": "[]"}))
    first, again = new_container(FOLDERS[provider])(event), new_container(FOLDERS[provider])(event)
    assert (first.statusCode, again.statusCode) == (202, 202)
    assert first.body == again.body
    (item,) = aws.items()
    assert item["pk"]["S"].startswith(f"quarantine#{provider}#")


def test_a_charge_is_stored_as_a_decimal(aws: Aws, new_container: Callable[..., Handler]) -> None:
    new_container("wavix_call")(fresh(EVENTS / "wavix" / "post_call_answered.json"))
    (item,) = aws.items()
    details = details_of_item(item)
    assert (details["charge"], details["duration_seconds"]) == (Decimal("0.0095"), 42)


def test_bird_filters_are_parameters(
    aws: Aws, new_container: Callable[..., Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIRD_STATUSES", "completed, starting")
    monkeypatch.setenv("BIRD_CHANNEL_ID", CHANNEL)
    handler = new_container("bird_voice")
    for status in ("starting", "ringing", "ongoing", "completed"):
        assert handler(fresh(EVENTS / "bird" / f"voice_inbound_{status}.json")).statusCode == 200
    assert sorted(item["status"]["S"] for item in aws.items()) == ["completed", "starting"]


def test_allowed_addresses_of_wavix_are_a_parameter(
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
