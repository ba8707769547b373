"""Wavix's client, against a local server that implements its API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from callhooks_tools.providers.rest.errors import CallIsOver, RequestRejected, Unexpected
from callhooks_tools.providers.rest.retries import RetryPolicy
from callhooks_tools.providers.wavix.api import WavixControl

from tests.provider_apis.server import Reply
from tests.provider_apis.wavix import API_KEY, CALL_ID, WavixApi, a_record


@pytest.fixture
def api() -> Iterator[WavixApi]:
    with WavixApi().running() as api:
        yield api


@pytest.fixture
def control(api: WavixApi) -> Iterator[WavixControl]:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with WavixControl.from_environment(api.environment, retry_policy=RetryPolicy(sleep, lambda: now[0])) as control:
        yield control


def test_a_call_is_read(control: WavixControl, api: WavixApi) -> None:
    call = control.get(CALL_ID)
    assert (call.id, call.event_type, call.from_, call.machine_detected) == (CALL_ID, "answered", "+18045961058", False)
    assert (call.call_answered, call.call_completed) == (datetime(2026, 6, 30, 10, 0, 5, tzinfo=UTC), None)
    assert api.requests[0].headers["authorization"] == f"Bearer {API_KEY}"
    assert control.list_calls() == [call]


def test_a_call_may_use_the_older_name_of_its_id(control: WavixControl, api: WavixApi) -> None:
    del api.calls[CALL_ID]["id"]
    assert control.get(CALL_ID).id == CALL_ID


def test_a_call_is_tagged(control: WavixControl, api: WavixApi) -> None:
    control.tag(CALL_ID, "order 42")
    assert api.calls[CALL_ID]["tag"] == "order 42"


def test_requests_follow_the_api_description(control: WavixControl, api: WavixApi) -> None:
    control.answer(CALL_ID, record=True)
    control.play(CALL_ID, "https://a.example.com/b.mp3")
    control.stop_audio(CALL_ID)
    assert api.done == [
        ("POST answer", {"call_recording": True, "call_transcription": False}),
        ("POST play", {"audio_file": "https://a.example.com/b.mp3"}),
        ("DELETE audio", None),
    ]


def test_a_validation_error_names_the_field(control: WavixControl) -> None:
    with pytest.raises(RequestRejected) as rejected:
        control.play(CALL_ID, "http://a.example.com/b.mp3")
    assert str(rejected.value) == "Wavix rejected the request (400): Validation error; audio_file: must be an https URL"


def test_a_finished_call_is_reported_as_over(control: WavixControl, api: WavixApi) -> None:
    api.calls.clear()
    acts: list[Callable[[], object]] = [
        lambda: control.get(CALL_ID),
        lambda: control.hang_up(CALL_ID),
        lambda: control.answer(CALL_ID),
        lambda: control.tag(CALL_ID, "a"),
        lambda: control.play(CALL_ID, "https://a.example.com/b.mp3"),
    ]
    for act in acts:
        with pytest.raises(CallIsOver, match="Wavix has no active call with this id"):
            act()


def test_a_call_detail_record_has_charge_and_recording(control: WavixControl, api: WavixApi) -> None:
    assert control.call_detail_records(CALL_ID) == []
    api.records[CALL_ID] = a_record()
    (record,) = control.call_detail_records(CALL_ID)
    assert (record.call_id, record.charge, record.answered_by) == (CALL_ID, Decimal("0.0130"), "human")
    assert record.recording_url == f"https://api.wavix.com/v1/recordings/{CALL_ID}"


def test_a_call_detail_record_may_appear_late(control: WavixControl, api: WavixApi) -> None:
    api.records[CALL_ID] = a_record()
    api.faults = [Reply(404, {"success": False, "message": "Not found"})] * 2
    assert len(control.call_detail_records(CALL_ID, within=10)) == 1
    assert len(api.requests) == 3


def test_an_invalid_list_of_calls_is_an_error(control: WavixControl, api: WavixApi) -> None:
    bodies: list[object] = [{}, {"calls": {}}, {"calls": [1]}, {"calls": [{}]}, [], "calls", None]
    for body in bodies:
        api.faults = [Reply(200, body)]
        with pytest.raises(Unexpected):
            control.list_calls()
