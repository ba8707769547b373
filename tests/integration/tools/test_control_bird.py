"""Bird's client, against a local server that implements its API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import pytest
from callhooks_tools.providers.bird.api import ENDED, BirdControl
from callhooks_tools.providers.rest.errors import CallIsOver, KeyRejected, RequestRejected, Unexpected

from tests.provider_apis.bird import ACCESS_KEY, CALL_ID, CHANNEL, WORKSPACE, BirdApi, a_call
from tests.provider_apis.server import Reply

BASE = f"/workspaces/{WORKSPACE}/channels"
ANOTHER = "6b1b9c3a-5b0a-4f53-9a63-0f8f0c3e7e02"


@pytest.fixture
def api() -> Iterator[BirdApi]:
    with BirdApi().running() as api:
        yield api


@pytest.fixture
def control(api: BirdApi) -> Iterator[BirdControl]:
    with BirdControl.from_environment(api.environment) as control:
        yield control


def test_a_call_is_read_from_its_channel(control: BirdControl, api: BirdApi) -> None:
    call = control.get(CHANNEL, CALL_ID)
    assert (call.id, call.channel_id, call.status, call.duration) == (CALL_ID, CHANNEL, "ongoing", 12)
    assert call.answered_at == datetime(2026, 11, 21, 6, 30, 5, tzinfo=UTC)
    assert api.lines == [f"GET {BASE}/{CHANNEL}/calls/{CALL_ID}"]
    assert api.requests[0].headers["authorization"] == f"AccessKey {ACCESS_KEY}"


def test_a_call_is_found_by_its_id_without_a_channel(control: BirdControl, api: BirdApi) -> None:
    api.calls = {ANOTHER: a_call(ANOTHER), CALL_ID: a_call()}
    assert control.find(CALL_ID).channel_id == CHANNEL
    assert (api.lines, api.requests[0].query["id"]) == ([f"GET {BASE}/calls"], CALL_ID)


def test_a_row_of_another_call_is_never_returned(control: BirdControl, api: BirdApi) -> None:
    api.faults = [Reply(200, {"results": [a_call(ANOTHER)]})]
    with pytest.raises(CallIsOver, match="it is not in this workspace's log of calls"):
        control.find(CALL_ID)


def test_all_pages_of_calls_are_listed(control: BirdControl, api: BirdApi) -> None:
    ids = [str(number) for number in range(7)]
    api.calls = {call_id: a_call(call_id, "ongoing" if int(call_id) % 2 else "completed") for call_id in ids}
    api.page_size = 2
    assert [call.id for call in control.list_calls()] == ids
    assert [request.query.get("pageToken") for request in api.requests] == [None, "2", "4", "6"]
    assert [call.id for call in control.list_calls(status="ongoing")] == ["1", "3", "5"]


def test_an_endless_list_of_pages_is_abandoned(control: BirdControl, api: BirdApi) -> None:
    api.faults = [Reply(200, {"results": [], "nextPageToken": "next"})] * 100
    with pytest.raises(Unexpected, match="more than 100 pages of calls"):
        control.list_calls()


def test_a_call_is_bridged(control: BirdControl, api: BirdApi) -> None:
    control.transfer(CHANNEL, CALL_ID, "+14155550199")
    control.transfer(CHANNEL, CALL_ID, "sip:a@b.example.com", from_="+14155550123", ring_seconds=20, record=True)
    assert api.commands == [
        ("bridge", {"to": "+14155550199"}),
        ("bridge", {"to": "sip:a@b.example.com", "from": "+14155550123", "ringTimeout": 20, "record": True}),
    ]


def test_a_rejected_command_reports_that_the_call_is_over(control: BirdControl, api: BirdApi) -> None:
    for status in ENDED:
        api.calls[CALL_ID]["status"] = status
        for act in (control.answer, partial(control.transfer, destination="+14155550199")):
            for answer in (None, Reply(422, {"code": "InvalidPayload", "message": "No"})):
                api.faults = [answer]
                with pytest.raises(CallIsOver) as over:
                    act(CHANNEL, CALL_ID)
                assert over.value.status == (422 if answer else 400)
                assert api.lines[-1] == f"GET {BASE}/{CHANNEL}/calls/{CALL_ID}"


def test_a_rejected_bridge_gives_the_reason(control: BirdControl) -> None:
    with pytest.raises(RequestRejected) as rejected:
        control.transfer(CHANNEL, CALL_ID, "not-a-number")
    assert str(rejected.value) == "Bird rejected the request (400): Invalid; to: is not a number"


@pytest.mark.parametrize("fault", [503, 500, Reply(200, {"call": "none"})])
def test_a_rejected_bridge_stays_rejected_if_the_call_cannot_be_read(
    fault: Reply | int, control: BirdControl, api: BirdApi
) -> None:
    api.faults = [None, *[fault] * 4]
    with pytest.raises(RequestRejected, match="to: is not a number"):
        control.transfer(CHANNEL, CALL_ID, "not-a-number")


def test_a_call_of_another_channel_counts_as_over(control: BirdControl) -> None:
    for act in (control.get, control.answer):
        with pytest.raises(CallIsOver, match="Call not found"):
            act(ANOTHER, CALL_ID)


@pytest.mark.parametrize(("name", "status"), [("BIRD_ACCESS_KEY", 401), ("BIRD_WORKSPACE_ID", 403)])
def test_a_key_without_permission_is_reported(name: str, status: int, api: BirdApi) -> None:
    environment = {**api.environment, name: ANOTHER}
    with BirdControl.from_environment(environment) as control, pytest.raises(KeyRejected) as rejected:
        control.get(CHANNEL, CALL_ID)
    assert rejected.value.status == status
