"""VoIPstudio's client, against a local server that implements its API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from callhooks_tools.providers.rest.client import POLL_INTERVAL_SECONDS
from callhooks_tools.providers.rest.errors import (
    CallIsOver,
    KeyRejected,
    NotFound,
    RequestRejected,
    Unexpected,
)
from callhooks_tools.providers.rest.retries import RetryPolicy
from callhooks_tools.providers.voipstudio.api import VoipstudioControl, VoipstudioRecording

from tests.provider_apis.server import Reply
from tests.provider_apis.voipstudio import AUDIO, CALL_ID, TOKEN, VoipstudioApi, a_call, a_record, a_recording

OTHER_CALL = "139543233"


class Clock:
    """Clock that only moves when someone sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def api() -> Iterator[VoipstudioApi]:
    with VoipstudioApi().running() as api:
        yield api


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def control(api: VoipstudioApi, clock: Clock) -> Iterator[VoipstudioControl]:
    retry_policy = RetryPolicy(sleep=clock.sleep, monotonic=lambda: clock.now)
    with VoipstudioControl.from_environment(api.environment, retry_policy=retry_policy) as control:
        yield control


class TestCallInProgress:
    def test_is_read_with_text_ids_and_parsed_times(self, control: VoipstudioControl) -> None:
        call = control.get(CALL_ID)
        assert (call.id, call.state, call.src, call.dst_id) == (CALL_ID, 3, "447854740947", "10002")
        assert call.connected_at == datetime(2021, 4, 28, 8, 46, 2, tzinfo=UTC)
        assert (call.model_extra or {})["monitor_state"] == 1

    def test_may_use_the_types_of_the_webhook(self, control: VoipstudioControl, api: VoipstudioApi) -> None:
        api.calls[CALL_ID] |= {
            "id": CALL_ID,
            "state": "CONNECTED",
            "dst_id": "10002",
            "connected_at": "2021-04-28 08:46:02",
        }
        call = control.get(CALL_ID)
        assert (call.id, call.state, call.dst_id) == (CALL_ID, "CONNECTED", "10002")
        assert call.connected_at == datetime(2021, 4, 28, 8, 46, 2, tzinfo=UTC)

    def test_is_transferred_as_documented(self, control: VoipstudioControl, api: VoipstudioApi) -> None:
        control.transfer(CALL_ID, "2002")
        (request,) = api.requests
        assert (request.line, request.content) == (f"PATCH /v1.1/voipstudio/calls/{CALL_ID}", b'{"dst": "2002"}')
        assert request.headers["x-auth-token"] == TOKEN
        assert api.calls[CALL_ID]["dst"] == "2002"

    def test_is_listed_from_all_pages(self, control: VoipstudioControl, api: VoipstudioApi) -> None:
        api.calls = {str(number): a_call(str(number)) for number in range(1, 8)}
        api.page_size = 3
        assert [call.id for call in control.list_calls()] == ["1", "2", "3", "4", "5", "6", "7"]
        assert [request.query["page"] for request in api.requests] == ["1", "2", "3"]


def test_a_finished_call_is_reported_as_over(control: VoipstudioControl, api: VoipstudioApi) -> None:
    api.calls.clear()
    message = f"VoIPstudio {CallIsOver.summary} (404): Entity not found"
    for act in (control.get, control.hang_up, lambda call_id: control.transfer(call_id, "2002")):
        with pytest.raises(CallIsOver) as over:
            act(CALL_ID)
        assert str(over.value) == message


class TestCallDetailRecords:
    def test_are_found_by_call_id(self, control: VoipstudioControl, api: VoipstudioApi) -> None:
        api.rows["cdrs"] = [a_record(1), a_record(2, OTHER_CALL), a_record(3)]
        first, second = control.call_detail_records(CALL_ID)
        assert (first.id, second.id, first.live_id, first.billsec, first.charge) == (
            "1",
            "3",
            CALL_ID,
            11,
            Decimal("0.0125"),
        )
        assert first.calldate == datetime(2021, 4, 28, 8, 45, 55, tzinfo=UTC)
        (request,) = api.requests
        assert json.loads(request.query["filter"]) == [{"property": "live_id", "operator": "eq", "value": CALL_ID}]

    @pytest.mark.parametrize("operators", [["eq"], ["="], ["eq", "="]], ids=["eq", "=", "both"])
    @pytest.mark.parametrize("resource", ["cdrs", "monitors"])
    def test_are_found_by_the_operator_that_the_api_supports(
        self, resource: str, operators: list[str], control: VoipstudioControl, api: VoipstudioApi
    ) -> None:
        api.operators = operators
        api.rows = {"cdrs": [a_record(1)], "monitors": [a_recording(1)]}
        find = control.call_detail_records if resource == "cdrs" else control.recordings
        for _ in range(2):
            assert [row.id for row in find(CALL_ID)] == ["1"]
        used = [json.loads(request.query["filter"])[0]["operator"] for request in api.requests]
        # The operator that found rows is the only one used afterwards.
        assert used == (["eq", "eq"] if "eq" in operators else ["eq", "=", "="])

    def test_are_empty_if_no_operator_finds_any(self, control: VoipstudioControl, api: VoipstudioApi) -> None:
        assert control.call_detail_records(CALL_ID) == []
        assert len(api.requests) == 2

    def test_raise_an_error_if_no_operator_is_supported(self, control: VoipstudioControl, api: VoipstudioApi) -> None:
        api.operators = []
        with pytest.raises(RequestRejected, match="Unknown operator"):
            control.call_detail_records(CALL_ID)

    def test_never_include_rows_of_another_or_no_call(self, control: VoipstudioControl, api: VoipstudioApi) -> None:
        api.ignores_filters = True
        api.rows["cdrs"] = [a_record(1), a_record(2, OTHER_CALL)]
        api.rows["monitors"] = [{name: value for name, value in a_recording(1).items() if name != "live_id"}]
        with pytest.raises(Unexpected, match="cdrs are not filtered by live_id"):
            control.call_detail_records(CALL_ID)
        with pytest.raises(Unexpected, match="monitors are not filtered by live_id"):
            control.recordings(CALL_ID)

    def test_include_all_pages(self, control: VoipstudioControl, api: VoipstudioApi) -> None:
        api.rows["monitors"] = [a_recording(number) for number in range(1, 6)]
        api.page_size = 2
        assert [row.id for row in control.recordings(CALL_ID)] == ["1", "2", "3", "4", "5"]

    def test_may_appear_late(self, control: VoipstudioControl, api: VoipstudioApi, clock: Clock) -> None:
        api.operators, api.lag, api.rows["cdrs"] = ["eq", "="], 6, [a_record(1)]
        assert control.call_detail_records(CALL_ID) == []
        assert [row.id for row in control.call_detail_records(CALL_ID, within=10)] == ["1"]
        assert clock.now == 2 * POLL_INTERVAL_SECONDS

    def test_are_awaited_only_as_long_as_requested(
        self, control: VoipstudioControl, api: VoipstudioApi, clock: Clock
    ) -> None:
        assert control.recordings(CALL_ID, within=10) == []
        assert clock.now == 9

    def test_endless_pages_are_abandoned(self, control: VoipstudioControl, api: VoipstudioApi) -> None:
        api.faults = [Reply(200, {"data": [a_record(number)], "total": 10**9}) for number in range(100)]
        with pytest.raises(Unexpected, match="more than 100 pages"):
            control.call_detail_records(CALL_ID)


class TestRecording:
    @pytest.mark.parametrize("size", [len(AUDIO), None, 0])
    def test_is_written_to_a_file(
        self, size: int | None, control: VoipstudioControl, api: VoipstudioApi, tmp_path: Path
    ) -> None:
        api.rows["monitors"] = [a_recording(77, size=size)]
        (recording,) = control.recordings(CALL_ID)
        assert (recording.type, recording.duration, recording.size) == ("I", 11, size)
        assert control.download(recording, tmp_path / "a.mp3") == len(AUDIO)
        assert (tmp_path / "a.mp3").read_bytes() == AUDIO
        assert api.lines[-1] == "GET /v1.1/voipstudio/monitors/77.mp3"

    def test_that_is_cut_off_is_not_saved(self, control: VoipstudioControl, api: VoipstudioApi, tmp_path: Path) -> None:
        api.rows["monitors"], api.audio = [a_recording(77)], AUDIO[:-1]
        (recording,) = control.recordings(CALL_ID)
        with pytest.raises(Unexpected, match=f"received {len(AUDIO) - 1} of {len(AUDIO)} bytes"):
            control.download(recording, tmp_path / "a.mp3")
        assert list(tmp_path.iterdir()) == []

    def test_that_no_longer_exists_is_not_found(self, control: VoipstudioControl, tmp_path: Path) -> None:
        with pytest.raises(NotFound):
            control.download(VoipstudioRecording(id="78"), tmp_path / "a.mp3")

    def test_is_never_read_from_another_path(
        self, control: VoipstudioControl, api: VoipstudioApi, tmp_path: Path
    ) -> None:
        with pytest.raises(RequestRejected):
            control.download(VoipstudioRecording(id="../calls/1"), tmp_path / "a.mp3")
        assert api.requests == []


def test_a_wrong_key_is_reported_but_not_shown(api: VoipstudioApi) -> None:
    environment = {**api.environment, "VOIPSTUDIO_API_KEY": "a-wrong-key"}
    with VoipstudioControl.from_environment(environment) as control, pytest.raises(KeyRejected) as rejected:
        control.get(CALL_ID)
    assert str(rejected.value) == "VoIPstudio rejected the API key for this request (401): Invalid token ..."


def test_a_request_with_an_invalid_id_is_not_sent(control: VoipstudioControl, api: VoipstudioApi) -> None:
    for call_id in ("", ".", "..", "../cdrs", "1/2", "1?x=1", "1#2", "a b", "ü", "1\n", "x" * 201):
        for act in (control.get, control.hang_up, control.recordings, lambda name: control.transfer(name, "2002")):
            with pytest.raises(RequestRejected, match="VoIPstudio request not sent: invalid id"):
                act(call_id)
    assert api.requests == []
