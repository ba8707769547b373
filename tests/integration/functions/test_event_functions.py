"""The deployed functions for events from Wavix, Bird, VoIPstudio and jambonz."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from callhooks.events.event_item import details_of_item
from callhooks_tools.stack.recordings import Delivery, NewCallIds, as_sent_by, credentials_from_env_vars, read_delivery

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
ACCESS = {
    "bird": {"signing_key": SIGNING_KEY},
    "wavix": {"token": TOKEN},
    "voipstudio": {"token": TOKEN},
    "jambonz": {"username": USERNAME, "password": PASSWORD, "webhook_secret": WEBHOOK_SECRET},
}
WITHOUT_TIME = {"voice_inbound_minimal"}
WITHOUT_DIRECTION = {"in_call_event_2024", "completed_2025"}


def sent_now(name: str, **changes: Any) -> Event:
    """Return a recorded delivery, with changes, as its provider would send it now."""
    return as_sent_now(Delivery({**read_delivery(EVENTS / f"{name}.json").event, **changes}))


def in_a_new_call(name: str) -> Event:
    """Return a recorded delivery with fresh ids, as its provider would send it now."""
    path = EVENTS / f"{name}.json"
    event = as_sent_now(NewCallIds().renew(read_delivery(path), path))
    return {**event, "requestContext": {**event["requestContext"], "requestId": uuid.uuid4().hex}}


def as_sent_now(delivery: Delivery) -> Event:
    provider = delivery.provider
    return dict(as_sent_by(provider, delivery, ACCESS[provider], datetime.now(UTC), base_url=PUBLIC_URL).event)


def local_delivery(name: str) -> Event:
    """Return a recorded delivery with the credentials of `sam local`."""
    delivery = read_delivery(EVENTS / f"{name}.json")
    access = credentials_from_env_vars(EVENTS / "local-env.json", delivery.provider)
    return dict(as_sent_by(delivery.provider, delivery, access, datetime.now(UTC), base_url=PUBLIC_URL).event)


@pytest.mark.parametrize("provider", FOLDERS)
def test_every_recorded_delivery_is_accepted_and_stored_once(
    provider: str, aws: Aws, new_container: Callable[..., Handler]
) -> None:
    handler, sent = new_container(FOLDERS[provider]), dict[str, str]()
    for path in sorted((EVENTS / provider).glob("*.json")):
        if provider == "jambonz" and read_delivery(path).request.path not in JAMBONZ_EVENT_PATHS:
            continue
        event = in_a_new_call(f"{provider}/{path.stem}")
        assert [handler(event).statusCode for _ in range(2)] == [200, 200], path
        if not path.stem.startswith("probe_"):
            sent[event["requestContext"]["requestId"]] = path.stem
    secrets = ["GetSecretValue"] * (2 if provider == "jambonz" else 1)
    assert aws.calls == [*secrets, *["PutItem"] * len(sent)], "a duplicate costs nothing"
    items = aws.items()
    assert sorted(item["request_id"]["S"] for item in items) == sorted(sent)
    for item in items:
        name = sent[item["request_id"]["S"]]
        stored = {attribute: value.get("S", "") for attribute, value in item.items()}
        assert stored["provider"] == provider
        if provider == "jambonz":
            assert stored["event_name"], name
            assert stored["answer"] == "[]"
        else:
            assert stored["kind"] != "call.other", name
            assert stored["from"], name
            assert (stored.get("direction") in ("inbound", "outbound")) is (name not in WITHOUT_DIRECTION)
            assert stored["occurred_at"].startswith("2026-11-21T06:3") is (name not in WITHOUT_TIME)


def test_a_reused_id_with_another_body_is_stored_and_counted(
    aws: Aws, new_container: Callable[..., Handler], capsys: pytest.CaptureFixture[str]
) -> None:
    handler = new_container("voipstudio_event")
    initial, hangup = (sent_now(f"voipstudio/call_{name}") for name in ("initial", "hangup"))
    hangup["body"] = json.dumps({**json.loads(hangup["body"]), "id": json.loads(initial["body"])["id"]})
    capsys.readouterr()
    assert [handler(event).replayed for event in (initial, hangup, initial)] == [False, False, True]
    assert aws.calls == ["GetSecretValue", "PutItem", "PutItem", "PutItem"]
    assert sorted(item["kind"]["S"] for item in aws.items()) == ["call.completed", "call.initiated"]
    reused = [line for line in metric_lines(capsys.readouterr().out) if "EventKeyReused" in line]
    assert [line["provider"] for line in reused] == ["voipstudio"]


@pytest.mark.parametrize(
    "name",
    ["wavix/ringing", "bird/voice_inbound_ringing", "voipstudio/call_ringing", "jambonz/call_status_dial_leg_ringing"],
)
def test_an_unparsable_delivery_is_one_item_in_quarantine(
    name: str, aws: Aws, new_container: Callable[..., Handler]
) -> None:
    provider = name.partition("/")[0]
    event = sent_now(name, body="[]")
    first, again = new_container(FOLDERS[provider])(event), new_container(FOLDERS[provider])(event)
    assert (first.statusCode, again.statusCode) == (202, 202)
    assert first.body == again.body
    (item,) = aws.items()
    assert item["pk"]["S"].startswith(f"quarantine#{provider}#")


def test_a_charge_is_stored_as_a_decimal(aws: Aws, new_container: Callable[..., Handler]) -> None:
    new_container("wavix_call")(sent_now("wavix/post_call_answered"))
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
        assert handler(sent_now(f"bird/voice_inbound_{status}")).statusCode == 200
    assert sorted(item["status"]["S"] for item in aws.items()) == ["completed", "starting"]


def test_allowed_addresses_of_wavix_are_a_parameter(
    aws: Aws, new_container: Callable[..., Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    for addresses, status in (("198.51.100.0/24", 401), ("198.51.100.0/24,62.212.73.112", 200)):
        monkeypatch.setenv("WAVIX_ALLOWED_ADDRESSES", addresses)
        assert new_container("wavix_call")(sent_now("wavix/ringing")).statusCode == status
