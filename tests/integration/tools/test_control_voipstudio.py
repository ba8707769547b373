"""Following up a call of VoIPstudio, against a local server that speaks its API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from callhooks_tools.providers.rest.client import PAUSE_BETWEEN_LOOKS
from callhooks_tools.providers.rest.errors import (
    CallIsOver,
    KeyRejected,
    NotConfigured,
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
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def api() -> Iterator[VoipstudioApi]:
    api = VoipstudioApi()
    with api.running():
        yield api


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def control(api: VoipstudioApi, clock: Clock) -> Iterator[VoipstudioControl]:
    retry_policy = RetryPolicy(sleep=clock.sleep, monotonic=lambda: clock.now)
    with VoipstudioControl.from_environment(api.environment, retry_policy=retry_policy) as control:
        yield control


class TestACallThatLasts:
    def test_is_read_with_its_numbers_as_text_and_its_times_as_moments(self, control: VoipstudioControl) -> None:
        call = control.get(CALL_ID)
        assert (call.id, call.state, call.src, call.dst_id) == (CALL_ID, 3, "447854740947", "10002")
        assert call.connected_at == datetime(2021, 4, 28, 8, 46, 2, tzinfo=UTC)
        assert (call.model_extra or {})["monitor_state"] == 1

    def test_may_have_the_types_of_the_webhook(self, control: VoipstudioControl, api: VoipstudioApi) -> None:
        api.calls[CALL_ID] |= {
            "id": CALL_ID,
            "state": "CONNECTED",
            "dst_id": "10002",
            "connected_at": "2021-04-28 08:46:02",
        }
        call = control.get(CALL_ID)
        assert (call.id, call.state, call.dst_id) == (CALL_ID, "CONNECTED", "10002")
        assert call.connected_at == datetime(2021, 4, 28, 8, 46, 2, tzinfo=UTC)

    def test_is_transferred_as_the_page_shows(self, control: VoipstudioControl, api: VoipstudioApi) -> None:
        control.transfer(CALL_ID, "2002")
        (asked,) = api.asked
        assert (asked.line, asked.content) == (f"PATCH /v1.2/voipstudio/calls/{CALL_ID}", b'{"dst": "2002"}')
        assert asked.headers["x-auth-token"] == TOKEN
        assert api.calls[CALL_ID]["dst"] == "2002"

    def test_is_not_transferred_where_voipstudio_refuses(self, control: VoipstudioControl) -> None:
        with pytest.raises(RequestRejected) as refused:
            control.transfer(CALL_ID, "nobody")
        assert str(refused.value) == "VoIPstudio refuses (422): dst: nobody is not valid for ..."

    def test_is_hung_up(self, control: VoipstudioControl, api: VoipstudioApi) -> None:
        control.hang_up(CALL_ID)
        assert (api.lines, api.calls) == ([f"DELETE /v1.2/voipstudio/calls/{CALL_ID}"], {})

    def test_is_among_all_of_them_page_after_page(self, control: VoipstudioControl, api: VoipstudioApi) -> None:
        api.calls = {str(number): a_call(str(number)) for number in range(1, 8)}
        api.page_size = 3
        assert [call.id for call in control.list_calls()] == ["1", "2", "3", "4", "5", "6", "7"]
        assert [asked.query["page"] for asked in api.asked] == ["1", "2", "3"]


def test_a_call_that_is_over_is_told_as_that(control: VoipstudioControl, api: VoipstudioApi) -> None:
    api.calls.clear()
    told = f"VoIPstudio {CallIsOver.what} (404): Entity not found"
    for ask in (control.get, control.hang_up, lambda call_id: control.transfer(call_id, "2002")):
        with pytest.raises(CallIsOver) as over:
            ask(CALL_ID)
        assert str(over.value) == told


class TestTheRecordsOfACall:
    def test_are_found_by_its_id(self, control: VoipstudioControl, api: VoipstudioApi) -> None:
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
        (asked,) = api.asked
        assert json.loads(asked.query["filter"]) == [{"property": "live_id", "operator": "eq", "value": CALL_ID}]

    @pytest.mark.parametrize("operators", [["eq"], ["="], ["eq", "="]], ids=["eq", "=", "both"])
    @pytest.mark.parametrize("resource", ["cdrs", "monitors"])
    def test_are_found_by_the_operator_that_is_understood(
        self, resource: str, operators: list[str], control: VoipstudioControl, api: VoipstudioApi
    ) -> None:
        api.operators = operators
        api.rows = {"cdrs": [a_record(1)], "monitors": [a_recording(1)]}
        look = control.call_detail_records if resource == "cdrs" else control.recordings
        for _ in range(2):
            assert [row.id for row in look(CALL_ID)] == ["1"]
        asked = [json.loads(one.query["filter"])[0]["operator"] for one in api.asked]
        # The one that has found something is the only one from then on.
        assert asked == (["eq", "eq"] if "eq" in operators else ["eq", "=", "="])

    def test_are_none_where_one_operator_is_understood_and_finds_none(
        self, control: VoipstudioControl, api: VoipstudioApi
    ) -> None:
        assert control.call_detail_records(CALL_ID) == []
        assert len(api.asked) == 2

    def test_are_refused_where_no_operator_is_understood(self, control: VoipstudioControl, api: VoipstudioApi) -> None:
        api.operators = []
        with pytest.raises(RequestRejected, match="Unknown operator"):
            control.call_detail_records(CALL_ID)

    def test_are_never_those_of_other_calls(self, control: VoipstudioControl, api: VoipstudioApi) -> None:
        api.ignores_filters = True
        api.rows["cdrs"] = [a_record(1), a_record(2, OTHER_CALL)]
        with pytest.raises(Unexpected, match="it does not filter cdrs by live_id"):
            control.call_detail_records(CALL_ID)

    def test_are_never_those_of_nobody_knows_which_call(self, control: VoipstudioControl, api: VoipstudioApi) -> None:
        api.ignores_filters = True
        api.rows["monitors"] = [{name: value for name, value in a_recording(1).items() if name != "live_id"}]
        with pytest.raises(Unexpected, match="it does not filter monitors by live_id"):
            control.recordings(CALL_ID)

    def test_come_page_after_page(self, control: VoipstudioControl, api: VoipstudioApi) -> None:
        api.rows["monitors"] = [a_recording(number) for number in range(1, 6)]
        api.page_size = 2
        assert [row.id for row in control.recordings(CALL_ID)] == ["1", "2", "3", "4", "5"]

    def test_may_come_late(self, control: VoipstudioControl, api: VoipstudioApi, clock: Clock) -> None:
        api.operators, api.lag, api.rows["cdrs"] = ["eq", "="], 6, [a_record(1)]
        assert control.call_detail_records(CALL_ID) == []
        assert [row.id for row in control.call_detail_records(CALL_ID, within=10)] == ["1"]
        assert clock.now == 2 * PAUSE_BETWEEN_LOOKS

    def test_are_waited_for_no_longer_than_asked(
        self, control: VoipstudioControl, api: VoipstudioApi, clock: Clock
    ) -> None:
        assert control.recordings(CALL_ID, within=10) == []
        assert clock.now == 9

    def test_without_an_end_are_given_up(self, control: VoipstudioControl, api: VoipstudioApi) -> None:
        api.faults = [Reply(200, {"data": [a_record(number)], "total": 10**9}) for number in range(100)]
        with pytest.raises(Unexpected, match="more than 100 pages"):
            control.call_detail_records(CALL_ID)


class TestARecording:
    def test_is_written_to_a_file(self, control: VoipstudioControl, api: VoipstudioApi, tmp_path: Path) -> None:
        api.rows["monitors"] = [a_recording(77)]
        (recording,) = control.recordings(CALL_ID)
        assert (recording.type, recording.duration, recording.size) == ("I", 11, len(AUDIO))
        assert control.download(recording, tmp_path / "a.mp3") == len(AUDIO)
        assert (tmp_path / "a.mp3").read_bytes() == AUDIO
        assert api.lines[-1] == "GET /v1.2/voipstudio/monitors/77.mp3"

    @pytest.mark.parametrize("size", [None, 0])
    def test_may_have_no_size_told(
        self, size: int | None, control: VoipstudioControl, api: VoipstudioApi, tmp_path: Path
    ) -> None:
        api.rows["monitors"] = [a_recording(77, size=size)]
        (recording,) = control.recordings(CALL_ID)
        assert control.download(recording, tmp_path / "a.mp3") == len(AUDIO)

    def test_that_is_cut_off_is_not_kept(self, control: VoipstudioControl, api: VoipstudioApi, tmp_path: Path) -> None:
        api.rows["monitors"], api.audio = [a_recording(77)], AUDIO[:-1]
        (recording,) = control.recordings(CALL_ID)
        with pytest.raises(Unexpected, match=f"{len(AUDIO) - 1} bytes came, and {len(AUDIO)} are told of"):
            control.download(recording, tmp_path / "a.mp3")
        assert list(tmp_path.iterdir()) == []

    def test_that_is_gone_is_not_found(self, control: VoipstudioControl, tmp_path: Path) -> None:
        with pytest.raises(NotFound):
            control.download(VoipstudioRecording(id="78"), tmp_path / "a.mp3")

    def test_is_nowhere_else(self, control: VoipstudioControl, api: VoipstudioApi, tmp_path: Path) -> None:
        with pytest.raises(RequestRejected):
            control.download(VoipstudioRecording(id="../calls/1"), tmp_path / "a.mp3")
        assert api.asked == []


def test_a_wrong_key_is_told_without_it(api: VoipstudioApi) -> None:
    environment = {**api.environment, "VOIPSTUDIO_API_KEY": "a-wrong-key"}
    with VoipstudioControl.from_environment(environment) as control, pytest.raises(KeyRejected) as refused:
        control.get(CALL_ID)
    assert str(refused.value) == "VoIPstudio does not accept the key for this (401): Invalid token ..."


@pytest.mark.parametrize("call_id", ["", ".", "..", "../cdrs", "1/2", "1?x=1", "1#2", "a b", "ü", "1\n", "x" * 201])
def test_what_is_no_id_is_not_asked_for(call_id: str, control: VoipstudioControl, api: VoipstudioApi) -> None:
    for ask in (control.get, control.hang_up, control.recordings, lambda one: control.transfer(one, "2002")):
        with pytest.raises(RequestRejected, match="an id has"):
            ask(call_id)
    assert api.asked == []


def test_without_a_key_it_is_said_where_to_get_one() -> None:
    with pytest.raises(NotConfigured, match=r"^VOIPSTUDIO_API_KEY is not set in the environment: make an API key in"):
        VoipstudioControl.from_environment({})
