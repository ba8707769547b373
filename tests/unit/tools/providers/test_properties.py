"""Whatever a provider answers, its client returns a model or raises an error of its own."""

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

KEY = "k3y-that-nobody-may-see"
ENVIRONMENT = {
    "VOIPSTUDIO_API_KEY": KEY,
    "WAVIX_API_KEY": KEY,
    "BIRD_ACCESS_KEY": KEY,
    "BIRD_WORKSPACE_ID": bird.WORKSPACE,
}
POLICY = RetryPolicy(sleep=lambda _seconds: None, monotonic=iter(range(10**9)).__next__)
Answer = Callable[[httpx.Request], httpx.Response]


def _bird_subscriptions(answer: Answer) -> BirdSubscriptions:
    rest = bird_rest(ENVIRONMENT, retry_policy=POLICY, transport=httpx.MockTransport(answer))
    return BirdSubscriptions(rest, bird.WORKSPACE, None)


def _wavix_subscriptions(answer: Answer) -> WavixSubscriptions:
    return WavixSubscriptions(wavix_rest(ENVIRONMENT, retry_policy=POLICY, transport=httpx.MockTransport(answer)))


def _control(kind: Any, answer: Answer) -> Any:
    return kind.from_environment(ENVIRONMENT, retry_policy=POLICY, transport=httpx.MockTransport(answer))


VOIPSTUDIO, WAVIX, BIRD = (partial(_control, kind) for kind in (VoipstudioControl, WavixControl, BirdControl))
ASKS: dict[str, tuple[Callable[[Answer], Any], Callable[[Any], Any]]] = {
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


def ask(name: str, status: int, body: bytes) -> None:
    make, act = ASKS[name]

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=body)

    client = make(answer)
    told = ""
    try:
        with in_bounded_time():
            found = act(client)
            documents = found if isinstance(found, list) else [found]
            print_documents([one for one in documents if isinstance(one, Document)])
    except ControlFailed as error:
        told = str(error)
    finally:
        client.close()
    assert told.isprintable()
    assert KEY not in told


@pytest.mark.parametrize("name", ASKS)
@given(data=st.data())
@examples(40)
def test_an_answer_is_a_model_or_an_error_of_the_clients_own(name: str, data: st.DataObject) -> None:
    ask(name, data.draw(st.sampled_from(STATUSES)), data.draw(bodies(RECORDED)))


@pytest.mark.parametrize("kind", EXTREMES)
def test_no_answer_is_too_large_or_too_deep(kind: str) -> None:
    for name in ("voipstudio cdrs", "wavix calls", "bird subscribe"):
        for status in (200, 400):
            ask(name, status, EXTREMES[kind])


@pytest.mark.parametrize("body", RECORDED)
@pytest.mark.parametrize("name", ASKS)
def test_an_answer_to_something_else_is_no_model(name: str, body: bytes) -> None:
    ask(name, 200, body)
