"""jambonz's client, against a local server that implements its API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from callhooks_tools.providers.jambonz.api import HookTarget, JambonzControl, RecordAction
from callhooks_tools.providers.rest.errors import CallIsOver, RequestRejected, Unexpected, Unreachable

from tests.provider_apis.jambonz import ACCOUNT, API_KEY, CALL_SID, JambonzApi, Session, a_call
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


def test_a_list_says_which_calls_have_ended(control: JambonzControl, api: JambonzApi) -> None:
    in_progress = ("trying", "ringing", "early-media", "in-progress", "queued")
    ended = ("completed", "failed", "busy", "no-answer")
    api.calls = {status: a_call(f"{status}-1", status) for status in (*in_progress, *ended)}
    assert {call.call_status: call.ended for call in control.list_calls()} == {
        **dict.fromkeys(in_progress, False),
        **dict.fromkeys(ended, True),
    }
    del api.calls["failed"]["call_status"]
    assert [call.ended for call in control.list_calls()].count(True) == len(ended) - 1


def test_a_call_whose_data_has_expired_is_not_listed(control: JambonzControl, api: JambonzApi) -> None:
    api.expired = 2
    assert [call.call_sid for call in control.list_calls()] == [CALL_SID]


UPDATES: list[tuple[Callable[[JambonzControl], None], dict[str, Any]]] = [
    (lambda control: control.transfer(CALL_SID, HookTarget(HOOK)), {"call_hook": HOOK}),
    (
        lambda control: control.transfer(CALL_SID, HookTarget(HOOK, "jambonz", "s3cr3t")),
        {"call_hook": {"url": HOOK, "method": "POST", "username": "jambonz", "password": "s3cr3t"}},
    ),
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
    *(
        (
            partial(JambonzControl.record, call_sid=CALL_SID, action=action, siprec_url="sip:rec@a.example.com"),
            {"record": {"action": action.value, "siprecServerURL": "sip:rec@a.example.com"}},
        )
        for action in RecordAction
    ),
    *(
        (
            partial(JambonzControl.record, call_sid=CALL_SID, action=action, cloud=True),
            {"record": {"action": action.value, "type": "cloud"}},
        )
        for action in RecordAction
    ),
]


@pytest.mark.parametrize(("act", "update"), UPDATES, ids=[str(list(update)) for _, update in UPDATES])
def test_an_update_has_the_form_that_the_api_expects_and_needs_an_active_call(
    act: Callable[[JambonzControl], None], update: dict[str, Any], control: JambonzControl, api: JambonzApi
) -> None:
    act(control)
    assert (api.updates, api.lines) == ([update], [f"PUT {CALL}"])
    api.sessions.clear()
    with pytest.raises(CallIsOver, match=r"jambonz has no active call with this id: .* \(422\): call session is gone"):
        act(control)
    api.calls.clear()
    with pytest.raises(CallIsOver, match=r"jambonz has no active call with this id: .* \(404\)$"):
        act(control)


HANG_UPS = [
    ("in-progress", True, ["completed"]),
    ("queued", True, ["completed"]),
    *((status, False, ["no-answer"]) for status in ("trying", "ringing", "early-media")),
    # Answered since the last status, and a transferred call that reports the ringing of its new leg.
    *((status, True, ["no-answer", "completed"]) for status in ("trying", "ringing", "early-media")),
    ("in-progress", False, ["completed", "no-answer"]),
]


@pytest.mark.parametrize(("status", "is_answered", "sent"), HANG_UPS)
def test_a_call_ends_whether_it_is_answered_or_not(
    status: str, is_answered: bool, sent: list[str], control: JambonzControl, api: JambonzApi
) -> None:
    api.placed(status, is_answered=is_answered)
    control.hang_up(CALL_SID)
    assert api.lines == [f"GET {CALL}", *[f"PUT {CALL}"] * len(sent)]
    assert [request.body for request in api.requests[1:]] == [{"call_status": status} for status in sent]
    assert (api.updates, api.sessions) == ([{"call_status": sent[-1]}], {})


class TestHangUpOfACallThatIsOver:
    @pytest.mark.parametrize("status", ["completed", "failed", "busy", "no-answer"])
    def test_is_not_sent_if_the_status_says_so(self, status: str, control: JambonzControl, api: JambonzApi) -> None:
        api.calls[CALL_SID]["call_status"] = status
        with pytest.raises(CallIsOver, match=f": its status is {status}$"):
            control.hang_up(CALL_SID)
        assert api.lines == [f"GET {CALL}"]

    def test_is_reported_if_the_status_is_late(self, control: JambonzControl, api: JambonzApi) -> None:
        api.sessions.clear()
        with pytest.raises(CallIsOver, match=r"\(422\): call session is gone for call_sid"):
            control.hang_up(CALL_SID)

    def test_is_reported_if_it_ends_in_between(self, control: JambonzControl, api: JambonzApi) -> None:
        api.sessions[CALL_SID] = Session(is_answered=None)
        api.faults = [Reply(200, a_call()), None, None, Reply(200, a_call(status="completed"))]
        with pytest.raises(CallIsOver):
            control.hang_up(CALL_SID)

    def test_is_not_confused_with_a_call_in_setup(self, control: JambonzControl, api: JambonzApi) -> None:
        api.placed("trying", is_answered=None)
        with pytest.raises(RequestRejected, match=r"\(422\): current call state is incompatible"):
            control.hang_up(CALL_SID)
        assert api.updates == []


def test_an_error_includes_jambonzs_own_message(control: JambonzControl) -> None:
    with pytest.raises(RequestRejected) as rejected:
        control.record(CALL_SID, RecordAction.PAUSE)
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
    api.faults = [None, 503]
    with pytest.raises(Unreachable) as failed:
        control.hang_up(CALL_SID)
    assert (failed.value.maybe_done, api.lines) == (True, [f"GET {CALL}", f"PUT {CALL}"])


def test_a_request_with_an_invalid_id_is_not_sent(control: JambonzControl, api: JambonzApi) -> None:
    for act in (control.get, control.hang_up, lambda sid: control.mute(sid, muted=True)):
        with pytest.raises(RequestRejected, match="jambonz request not sent: invalid id"):
            act("../../Applications/1")
    assert api.requests == []
