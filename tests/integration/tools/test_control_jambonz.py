"""jambonz's client, against a local server that implements its API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from callhooks_tools.providers.jambonz.api import HookTarget, JambonzControl, RecordAction
from callhooks_tools.providers.rest.errors import CallIsOver, RequestRejected, Unexpected, Unreachable

from tests.provider_apis.jambonz import ACCOUNT, API_KEY, CALL_SID, JambonzApi, a_call
from tests.provider_apis.server import Reply

HOOK = "https://hooks.example.com/transfer"
CALL = f"/v1/Accounts/{ACCOUNT}/Calls/{CALL_SID}"


@pytest.fixture
def api() -> Iterator[JambonzApi]:
    with JambonzApi().running() as api:
        yield api


@pytest.fixture
def control(api: JambonzApi) -> Iterator[JambonzControl]:
    with JambonzControl.from_environment(api.environment) as control:
        yield control


def test_a_call_is_read(control: JambonzControl, api: JambonzApi) -> None:
    call = control.get(CALL_SID)
    assert (call.call_sid, call.call_status, call.sip_status, call.from_) == (
        CALL_SID,
        "in-progress",
        200,
        "+12125550187",
    )
    (request,) = api.requests
    assert (request.line, request.headers["authorization"]) == (f"GET {CALL}", f"Bearer {API_KEY}")
    api.calls["another"] = a_call("another")
    assert [one.call_sid for one in control.list_calls()] == [CALL_SID, "another"]


UPDATES: list[tuple[Callable[[JambonzControl], None], dict[str, Any]]] = [
    (lambda control: control.transfer(CALL_SID, HookTarget(HOOK)), {"call_hook": HOOK}),
    (
        lambda control: control.transfer(CALL_SID, HookTarget(HOOK, "jambonz", "s3cr3t")),
        {"call_hook": {"url": HOOK, "method": "POST", "username": "jambonz", "password": "s3cr3t"}},
    ),
    (lambda control: control.hang_up(CALL_SID), {"call_status": "completed"}),
    (lambda control: control.mute(CALL_SID, muted=True), {"mute_status": "mute"}),
    (lambda control: control.mute(CALL_SID, muted=False), {"mute_status": "unmute"}),
    (
        lambda control: control.whisper(CALL_SID, {"verb": "say", "text": "One minute left"}),
        {"whisper": {"verb": "say", "text": "One minute left"}},
    ),
    (lambda control: control.tag(CALL_SID, {"orderId": 42}), {"tag": {"orderId": 42}}),
    (
        lambda control: control.record(
            CALL_SID, RecordAction.START, siprec_url="sip:rec@a.example.com", recording_id="r-1"
        ),
        {"record": {"action": "startCallRecording", "siprecServerURL": "sip:rec@a.example.com", "recordingID": "r-1"}},
    ),
    (lambda control: control.record(CALL_SID, RecordAction.STOP), {"record": {"action": "stopCallRecording"}}),
    (lambda control: control.record(CALL_SID, RecordAction.PAUSE), {"record": {"action": "pauseCallRecording"}}),
    (lambda control: control.record(CALL_SID, RecordAction.RESUME), {"record": {"action": "resumeCallRecording"}}),
]


@pytest.mark.parametrize(("act", "update"), UPDATES, ids=[str(list(update)) for _, update in UPDATES])
def test_an_update_has_the_form_that_the_api_expects_and_needs_an_active_call(
    act: Callable[[JambonzControl], None], update: dict[str, Any], control: JambonzControl, api: JambonzApi
) -> None:
    act(control)
    assert (api.updates, api.lines) == ([update], [f"PUT {CALL}"])
    api.calls.clear()
    with pytest.raises(CallIsOver, match=r"jambonz has no active call with this id: .* \(404\)$"):
        act(control)


def test_an_error_includes_jambonzs_own_message(control: JambonzControl) -> None:
    with pytest.raises(RequestRejected) as rejected:
        control.record(CALL_SID, RecordAction.START)
    message = "record requires siprecServerURL property when starting recording"
    assert str(rejected.value) == f"jambonz rejected the request (400): {message}"


def test_a_response_that_is_not_a_call_is_an_error(control: JambonzControl, api: JambonzApi) -> None:
    nonsense = Reply(200, content=b"{}", content_type="application/json; charset=nonsense")
    for reply in (
        Reply(200, []),
        Reply(200, {"call_sid": None}),
        Reply(200, content=b"9" * 10_000),
        nonsense,
        Reply(204),
    ):
        api.faults = [reply]
        with pytest.raises(Unexpected):
            control.get(CALL_SID)


def test_an_update_that_may_have_happened_is_not_repeated(control: JambonzControl, api: JambonzApi) -> None:
    api.faults = [503]
    with pytest.raises(Unreachable) as failed:
        control.hang_up(CALL_SID)
    assert (failed.value.maybe_done, api.lines) == (True, [f"PUT {CALL}"])


def test_a_request_with_an_invalid_id_is_not_sent(control: JambonzControl, api: JambonzApi) -> None:
    for act in (control.get, control.hang_up, lambda sid: control.mute(sid, muted=True)):
        with pytest.raises(RequestRejected, match="jambonz request not sent: invalid id"):
            act("../../Applications/1")
    assert api.requests == []
