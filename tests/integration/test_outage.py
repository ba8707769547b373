"""The deployed function, with its own clients and their time-outs, against services that are really not there."""

from __future__ import annotations

import base64
import gzip
import io
import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from callhooks_tools.deliveries import access_of_env_vars, as_sent_by, read_delivery

from tests.integration.conftest import Handler
from tests.support import EVENTS, PUBLIC_URL, Event, body_of, recorded


@pytest.fixture
def silent_service() -> Iterator[str]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def missing_service() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def cold_container(
    environment: None, monkeypatch: pytest.MonkeyPatch, new_function: Callable[..., Handler]
) -> Callable[..., Handler]:
    """Starts the function with one service at another address, and its secrets as `sam local` gives them."""

    def start(variable: str, url: str, folder: str = "jambonz_new_call") -> Handler:
        monkeypatch.setenv(variable, url)
        if variable == "AWS_ENDPOINT_URL_DYNAMODB":
            functions = json.loads((EVENTS / "local-env.json").read_text())
            for variables in functions.values():
                for name, value in variables.items():
                    monkeypatch.setenv(name, value)
        return new_function(folder)

    return start


@pytest.mark.parametrize(
    ("service", "failure"), [("silent_service", "ReadTimeoutError"), ("missing_service", "EndpointConnectionError")]
)
def test_a_database_that_is_not_there_costs_no_caller_the_answer(
    service: str,
    failure: str,
    request: pytest.FixtureRequest,
    cold_container: Callable[..., Handler],
    log: io.StringIO,
) -> None:
    handler = cold_container("AWS_ENDPOINT_URL_DYNAMODB", request.getfixturevalue(service))
    answer = handler(recorded("new_call"))
    assert answer.statusCode == 200
    assert answer.verbs
    unstored = [json.loads(line) for line in log.getvalue().splitlines() if "CALLHOOKS_UNSTORED_EVENT" in line]
    assert [line["failure"] for line in unstored] == [failure]


@pytest.mark.parametrize("service", ["silent_service", "missing_service"])
def test_a_secret_store_that_is_not_there_leaves_a_new_call_the_fallback(
    service: str, request: pytest.FixtureRequest, cold_container: Callable[..., Handler]
) -> None:
    handler = cold_container("AWS_ENDPOINT_URL_SECRETS_MANAGER", request.getfixturevalue(service))
    answer = handler(recorded("new_call"))
    assert answer.statusCode == 200
    assert [verb["verb"] for verb in json.loads(answer.body)] == ["say", "hangup"]
    assert body_of("new_call")["call_sid"] not in answer.body
    assert handler(recorded("redirect_to_call_hook")).statusCode == 503


EVENT_FUNCTIONS = {
    "wavix_call": "wavix/ringing",
    "bird_voice": "bird/voice_inbound_ringing",
    "voipstudio_event": "voipstudio/call_ringing",
    "jambonz_event": "jambonz/call_status_dial_leg_ringing",
}


def sent_now(name: str) -> Event:
    """A recorded delivery with the credentials of `sam local`."""
    delivery = read_delivery(EVENTS / f"{name}.json")
    access = access_of_env_vars(EVENTS / "local-env.json", delivery.provider)
    return dict(as_sent_by(delivery.provider, delivery, access, datetime.now(UTC), base_url=PUBLIC_URL).event)


@pytest.mark.parametrize("folder", EVENT_FUNCTIONS)
@pytest.mark.parametrize("service", ["silent_service", "missing_service"])
def test_an_event_without_a_database_is_not_acknowledged_and_lies_in_the_log(
    service: str,
    folder: str,
    request: pytest.FixtureRequest,
    cold_container: Callable[..., Handler],
    log: io.StringIO,
) -> None:
    handler = cold_container("AWS_ENDPOINT_URL_DYNAMODB", request.getfixturevalue(service), folder)
    assert handler(sent_now(EVENT_FUNCTIONS[folder])).statusCode == 503
    (line,) = [json.loads(line) for line in log.getvalue().splitlines() if "CALLHOOKS_UNSTORED_EVENT" in line]
    assert b"call.ringing" in gzip.decompress(base64.b64decode(line["delivery"]))


@pytest.mark.parametrize("folder", EVENT_FUNCTIONS)
@pytest.mark.parametrize("service", ["silent_service", "missing_service"])
def test_an_event_without_a_secret_store_is_not_acknowledged(
    service: str, folder: str, request: pytest.FixtureRequest, cold_container: Callable[..., Handler]
) -> None:
    handler = cold_container("AWS_ENDPOINT_URL_SECRETS_MANAGER", request.getfixturevalue(service), folder)
    assert handler(sent_now(EVENT_FUNCTIONS[folder])).statusCode == 503


@pytest.mark.parametrize("service", ["silent_service", "missing_service"])
class TestWhoWaitsForAnAnswerGetsOneWithoutADatabase:
    def test_a_call_that_is_under_way(
        self,
        service: str,
        request: pytest.FixtureRequest,
        cold_container: Callable[..., Handler],
        log: io.StringIO,
    ) -> None:
        handler = cold_container("AWS_ENDPOINT_URL_DYNAMODB", request.getfixturevalue(service), "jambonz_action")
        answer = handler(sent_now("jambonz/action_gather_digits"))
        assert answer.statusCode == 200
        _, dial = json.loads(answer.body)
        assert (dial["verb"], dial["timeout"]) == ("dial", 25), "with the defaults of what cannot be read back"
        assert "CALLHOOKS_UNSTORED_EVENT" in log.getvalue()

    def test_a_client_who_cannot_be_checked(
        self, service: str, request: pytest.FixtureRequest, cold_container: Callable[..., Handler]
    ) -> None:
        handler = cold_container("AWS_ENDPOINT_URL_DYNAMODB", request.getfixturevalue(service), "jambonz_client_auth")
        answer = handler(sent_now("jambonz/client_auth_register"))
        assert (answer.statusCode, json.loads(answer.body)["status"]) == (200, "fail")

    def test_a_model_whose_tool_is_not_run(
        self, service: str, request: pytest.FixtureRequest, cold_container: Callable[..., Handler]
    ) -> None:
        handler = cold_container("AWS_ENDPOINT_URL_DYNAMODB", request.getfixturevalue(service), "jambonz_tool")
        answer = handler(sent_now("jambonz/tool_openai"))
        assert answer.statusCode == 200
        assert "Nothing was done" in json.loads(answer.body)["item"]["output"]
