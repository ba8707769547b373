"""jambonz's client, against a local server that implements its API."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from callhooks_tools.providers.jambonz.api import HookTarget, JambonzControl, RecordAction
from callhooks_tools.providers.rest.errors import (
    CallIsOver,
    ControlFailed,
    KeyRejected,
    NotConfigured,
    RateLimited,
    RequestRejected,
    Unexpected,
    Unreachable,
)
from callhooks_tools.providers.rest.retries import RetryPolicy

from tests.provider_apis.jambonz import ACCOUNT, API_KEY, CALL_SID, JambonzApi, a_call
from tests.provider_apis.server import HTML, PAUSES, Cut, Drip, Drop, Fault, Hang, Reply

HOOK = "https://hooks.example.com/transfer"
CALL = f"/v1/Accounts/{ACCOUNT}/Calls/{CALL_SID}"


@pytest.fixture
def api() -> Iterator[JambonzApi]:
    api = JambonzApi()
    with api.running():
        yield api


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def control(api: JambonzApi, pauses: list[float]) -> Iterator[JambonzControl]:
    retry_policy = RetryPolicy(sleep=pauses.append, jitter=lambda: 1.0, read_seconds=0.2, total_seconds=0.5)
    with JambonzControl.from_environment(api.environment, retry_policy=retry_policy) as control:
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


def test_all_calls_are_listed(control: JambonzControl, api: JambonzApi) -> None:
    api.calls["another"] = a_call("another")
    assert [call.call_sid for call in control.list_calls()] == [CALL_SID, "another"]


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
each_update = pytest.mark.parametrize(("act", "update"), UPDATES, ids=[str(list(update)) for _, update in UPDATES])


@each_update
def test_an_update_has_the_form_that_the_api_expects(
    act: Callable[[JambonzControl], None], update: dict[str, Any], control: JambonzControl, api: JambonzApi
) -> None:
    act(control)
    assert (api.updates, api.lines) == ([update], [f"PUT {CALL}"])


@each_update
def test_a_finished_call_is_reported_as_over(
    act: Callable[[JambonzControl], None], update: dict[str, Any], control: JambonzControl, api: JambonzApi
) -> None:
    api.calls.clear()
    with pytest.raises(CallIsOver, match=r"jambonz has no active call with this id: .* \(404\)$"):
        act(control)


def test_an_error_includes_jambonzs_own_message(control: JambonzControl) -> None:
    with pytest.raises(RequestRejected) as rejected:
        control.record(CALL_SID, RecordAction.START)
    message = "record requires siprecServerURL property when starting recording"
    assert str(rejected.value) == f"jambonz rejected the request (400): {message}"


TEMPORARY: list[Fault | Reply | int] = [408, 502, 503, 504, HTML, Hang(), Drop(), Cut(), Drip()]
NAMES = ["408", "502", "503", "504", "HTML", "hangs", "drops", "is cut off", "drips"]


@pytest.mark.parametrize("fault", TEMPORARY, ids=NAMES)
def test_temporary_failures_are_retried_for_reads_but_not_for_updates(
    fault: Fault | Reply | int, control: JambonzControl, api: JambonzApi, pauses: list[float]
) -> None:
    api.faults = [fault, fault]
    assert control.get(CALL_SID).call_sid == CALL_SID
    assert pauses == list(PAUSES[:2])
    api.faults = [fault]
    with pytest.raises(Unreachable) as failed:
        control.hang_up(CALL_SID)
    assert failed.value.maybe_done
    assert api.lines.count(f"PUT {CALL}") == 1


def test_a_rate_limit_is_waited_for(control: JambonzControl, api: JambonzApi, pauses: list[float]) -> None:
    api.faults = [Reply(429, headers={"Retry-After": "3"}), 429]
    control.hang_up(CALL_SID)
    assert (pauses, api.calls) == ([3.0, PAUSES[1]], {})
    api.faults = [Reply(429, headers={"Retry-After": "3600"})]
    with pytest.raises(RateLimited):
        control.list_calls()


def test_a_refused_connection_is_retried(pauses: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
    environment = {**JambonzApi().environment, "JAMBONZ_API_URL": address}
    with (
        JambonzControl.from_environment(environment, retry_policy=RetryPolicy(sleep=pauses.append)) as control,
        pytest.raises(Unreachable, match="no connection") as failed,
    ):
        control.hang_up(CALL_SID)
    assert (len(pauses), failed.value.maybe_done) == (3, False)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(401, content=b"Unauthorized", content_type="text/plain"), KeyRejected),
        (Reply(403, {"msg": "insufficient permissions"}), KeyRejected),
        (Reply(422, {"msg": "no"}), RequestRejected),
        (Reply(480, {"msg": "no available feature servers at this time"}), RequestRejected),
        (Reply(500, {"msg": "Database error"}), Unexpected),
        (Reply(302, headers={"Location": "https://elsewhere.example.com/"}), Unexpected),
        (Reply(200, content=b"<html></html>", content_type="text/html"), Unexpected),
        (Reply(200, content=b"<html></html>"), Unexpected),
        (Reply(200, content=b"\xff"), Unexpected),
        (Reply(200, content=b"{}", content_type="application/json; charset=nonsense"), Unexpected),
        (Reply(200, content=b"[" * 20_000), Unexpected),
        (Reply(200, content=b"9" * 10_000), Unexpected),
        (Reply(200, []), Unexpected),
        (Reply(200, {"call_sid": None}), Unexpected),
        (Reply(204), Unexpected),
    ],
)
def test_each_bad_response_raises_its_own_error(
    reply: Reply, kind: type[ControlFailed], control: JambonzControl, api: JambonzApi, pauses: list[float]
) -> None:
    api.faults = [reply]
    with pytest.raises(ControlFailed) as failed:
        control.get(CALL_SID)
    assert (type(failed.value), pauses, API_KEY in str(failed.value)) == (kind, [], False)


@pytest.mark.parametrize(
    "reply", [Reply(302), Reply(304), Reply(307, headers={"Location": "/elsewhere"})], ids=["302", "304", "307"]
)
def test_a_redirected_update_is_not_followed(reply: Reply, control: JambonzControl, api: JambonzApi) -> None:
    api.faults = [reply]
    with pytest.raises(Unexpected):
        control.hang_up(CALL_SID)
    assert api.lines == [f"PUT {CALL}"]


@pytest.mark.parametrize("name", ["JAMBONZ_API_KEY", "JAMBONZ_ACCOUNT_SID", "JAMBONZ_API_URL"])
def test_a_missing_variable_is_named(name: str, api: JambonzApi) -> None:
    environment = {key: value for key, value in api.environment.items() if key != name}
    with pytest.raises(NotConfigured, match=rf"^{name} is not set in the environment\. "):
        JambonzControl.from_environment(environment)


def test_a_request_with_an_invalid_id_is_not_sent(control: JambonzControl, api: JambonzApi) -> None:
    for act in (control.get, control.hang_up, lambda sid: control.mute(sid, muted=True)):
        with pytest.raises(RequestRejected, match="jambonz request not sent: invalid id"):
            act("../../Applications/1")
    assert api.requests == []
