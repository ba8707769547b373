"""For any response, a provider's client returns a model or raises one of its documented errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest
from callhooks.providers.payload import Document
from callhooks_tools.providers.bird.api import BirdControl, bird_rest
from callhooks_tools.providers.bird.subscriptions import BirdSubscriptions, BirdTopic
from callhooks_tools.providers.rest.errors import ControlFailed
from callhooks_tools.providers.rest.provider_apis import print_documents
from callhooks_tools.providers.rest.retries import RetryPolicy
from callhooks_tools.providers.voipstudio.api import VoipstudioControl
from callhooks_tools.providers.wavix.api import WavixControl, wavix_rest
from callhooks_tools.providers.wavix.subscriptions import WavixSubscriptions
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import EXTREMES, bodies, in_bounded_time
from tests.properties import examples
from tests.provider_apis import bird, voipstudio, wavix

KEY = "k3y-that-must-never-show"
ENVIRONMENT = {
    "VOIPSTUDIO_API_KEY": KEY,
    "WAVIX_API_KEY": KEY,
    "BIRD_ACCESS_KEY": KEY,
    "BIRD_WORKSPACE_ID": bird.WORKSPACE,
}
POLICY = RetryPolicy(sleep=lambda _seconds: None, monotonic=iter(range(10**9)).__next__)
Responder = Callable[[httpx.Request], httpx.Response]


def _bird_subscriptions(respond: Responder) -> BirdSubscriptions:
    rest = bird_rest(ENVIRONMENT, retry_policy=POLICY, transport=httpx.MockTransport(respond))
    return BirdSubscriptions(rest, bird.WORKSPACE, None)


def _wavix_subscriptions(respond: Responder) -> WavixSubscriptions:
    return WavixSubscriptions(wavix_rest(ENVIRONMENT, retry_policy=POLICY, transport=httpx.MockTransport(respond)))


def _control(kind: Any, respond: Responder) -> Any:
    return kind.from_environment(ENVIRONMENT, retry_policy=POLICY, transport=httpx.MockTransport(respond))


VOIPSTUDIO, WAVIX, BIRD = (partial(_control, kind) for kind in (VoipstudioControl, WavixControl, BirdControl))
CALLS: dict[str, tuple[Callable[[Responder], Any], Callable[[Any], Any]]] = {
    "voipstudio get": (VOIPSTUDIO, lambda client: client.get("1")),
    "voipstudio calls": (VOIPSTUDIO, lambda client: client.list_calls()),
    "voipstudio transfer": (VOIPSTUDIO, lambda client: client.transfer("1", "2002")),
    "voipstudio hangup": (VOIPSTUDIO, lambda client: client.hang_up("1")),
    "voipstudio cdrs": (VOIPSTUDIO, lambda client: client.call_detail_records("139543232", within=5)),
    "voipstudio recordings": (VOIPSTUDIO, lambda client: client.recordings("139543232", within=5)),
    "wavix get": (WAVIX, lambda client: client.get("1")),
    "wavix calls": (WAVIX, lambda client: client.list_calls()),
    "wavix hangup": (WAVIX, lambda client: client.hang_up("1")),
    "wavix cdr": (WAVIX, lambda client: client.call_detail_records("1", within=5)),
    "bird get": (BIRD, lambda client: client.get("1", "2")),
    "bird find": (BIRD, lambda client: client.find(bird.CALL_ID)),
    "bird calls": (BIRD, lambda client: client.list_calls()),
    "bird transfer": (BIRD, lambda client: client.transfer("1", "2", "+14155550123")),
    "bird subscriptions": (_bird_subscriptions, lambda client: client.all()),
    "bird subscribe": (
        _bird_subscriptions,
        lambda client: client.subscribe(BirdTopic.INBOUND, "https://a.example.com", "k", statuses=[], channel_id=None),
    ),
    "wavix subscriptions": (_wavix_subscriptions, lambda client: client.all()),
}
RECORDED = [
    json.dumps(body).encode()
    for body in (
        {"data": voipstudio.a_call(), "links": {}},
        {"data": [voipstudio.a_record(1)], "total": 1},
        {"data": [voipstudio.a_recording(1)], "total": 1},
        {"call": wavix.a_call(), "success": True},
        {"calls": [wavix.a_call()], "success": True},
        wavix.a_record(),
        [{"event_type": "on-call", "url": "https://a.example.com/b"}],
        bird.a_call(),
        {"results": [bird.a_call()], "nextPageToken": "2"},
        {"results": [{"id": "1", "event": "voice.inbound", "eventFilters": [{"key": "status", "value": "busy"}]}]},
        {"success": False, "message": "Validation error", "errors": {"to": "required"}},
        {"errors": [{"message": "Not found"}]},
    )
]
STATUSES = [200, 200, 200, 201, 202, 204, 301, 400, 401, 404, 422, 429, 500, 503]


def call(name: str, status: int, body: bytes) -> None:
    make, act = CALLS[name]

    def respond(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=body)

    client = make(respond)
    message = ""
    try:
        with in_bounded_time():
            found = act(client)
            documents = found if isinstance(found, list) else [found]
            print_documents([document for document in documents if isinstance(document, Document)])
    except ControlFailed as error:
        message = str(error)
    finally:
        client.close()
    assert message.isprintable()
    assert KEY not in message


@pytest.mark.parametrize("name", CALLS)
@given(data=st.data())
@examples(40)
def test_any_response_becomes_a_model_or_a_documented_error(name: str, data: st.DataObject) -> None:
    call(name, data.draw(st.sampled_from(STATUSES)), data.draw(bodies(RECORDED)))


@pytest.mark.parametrize("kind", EXTREMES)
def test_huge_or_deeply_nested_responses_are_handled(kind: str) -> None:
    for name in ("voipstudio cdrs", "wavix calls", "bird subscribe"):
        for status in (200, 400):
            call(name, status, EXTREMES[kind])


@pytest.mark.parametrize("body", RECORDED)
@pytest.mark.parametrize("name", CALLS)
def test_a_response_to_another_request_is_handled(name: str, body: bytes) -> None:
    call(name, 200, body)
