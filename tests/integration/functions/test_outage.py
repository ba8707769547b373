"""The deployed functions with their real clients and time-outs, while AWS services are unavailable."""

from __future__ import annotations

import io
import json
import os
import socket
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar

import pytest
from botocore.exceptions import BotoCoreError
from callhooks.events.event_item import unpack_item
from callhooks.runtime.aws_clients import dynamodb_client

from tests.integration.conftest import Aws, Handler, new_function, use_local_env
from tests.integration.functions.test_event_functions import local_delivery
from tests.support import SPILL_QUEUE_URL, Clock, body_of, recorded, unstored


@pytest.fixture
def silent_service() -> Iterator[str]:
    """A service that accepts connections but never responds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def missing_service() -> str:
    """An address at which no service listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(params=["silent_service", "missing_service"])
def service(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    return url


class _FakeSqs(BaseHTTPRequestHandler):
    """A fake of SQS's SendMessage."""

    messages: ClassVar[list[str]]
    closed: ClassVar[list[str]]

    def do_POST(self) -> None:
        if self.closed:
            self.closed.pop()
            self.close_connection = True
            return
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert self.headers["x-amz-target"] == "AmazonSQS.SendMessage"
        assert request["QueueUrl"] == SPILL_QUEUE_URL
        self.messages.append(request["MessageBody"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"MessageId": "message-1"}')

    def log_request(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def spilled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The messages of a working spill queue that closes the connection of the first request."""

    class Queue(_FakeSqs):
        messages: ClassVar[list[str]] = []
        closed: ClassVar[list[str]] = ["once"]

    with ThreadingHTTPServer(("127.0.0.1", 0), Queue) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", f"http://127.0.0.1:{server.server_port}")
        yield Queue.messages
        server.shutdown()


Start = Callable[..., Handler]


@pytest.fixture
def cold_container(environment: None, missing_service: str, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts the function with one service at another address, and with secrets as under `sam local`.

    The spill queue is unavailable too, unless the test uses `spilled`.
    """

    def start(variable: str, url: str, folder: str = "jambonz_new_call") -> Handler:
        monkeypatch.setenv(variable, url)
        if "AWS_ENDPOINT_URL_SQS" not in os.environ:
            monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", missing_service)
        if variable == "AWS_ENDPOINT_URL_DYNAMODB":
            use_local_env(monkeypatch)
        return new_function(folder)

    return start


@pytest.mark.parametrize(
    ("service", "failure"),
    [("silent_service", "ReadTimeoutError"), ("missing_service", "EndpointConnectionError")],
    indirect=["service"],
)
def test_a_call_is_answered_in_time_without_dynamodb(
    service: str, failure: str, cold_container: Start, log: io.StringIO
) -> None:
    answer = cold_container("AWS_ENDPOINT_URL_DYNAMODB", service)(recorded("new_call"))
    assert answer.statusCode == 200
    assert answer.verbs
    assert [item["answer"] for item in unstored(log.getvalue())] == [{"S": answer.body}]
    assert f'"failure":"{failure}"' in log.getvalue()


def test_a_new_call_gets_the_fallback_without_secrets_manager(service: str, cold_container: Start) -> None:
    handler = cold_container("AWS_ENDPOINT_URL_SECRETS_MANAGER", service)
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
each_event_function = pytest.mark.parametrize("folder", EVENT_FUNCTIONS)


@each_event_function
def test_without_dynamodb_and_queue_an_event_is_logged_and_not_acknowledged(
    folder: str, missing_service: str, cold_container: Start, log: io.StringIO
) -> None:
    handler = cold_container("AWS_ENDPOINT_URL_DYNAMODB", missing_service, folder)
    assert handler(local_delivery(EVENT_FUNCTIONS[folder])).statusCode == 503
    assert [item["kind"] for item in unstored(log.getvalue())] == [{"S": "call.ringing"}]


@each_event_function
def test_without_dynamodb_an_event_is_spilled_and_acknowledged(
    folder: str, service: str, cold_container: Start, spilled: list[str]
) -> None:
    handler = cold_container("AWS_ENDPOINT_URL_DYNAMODB", service, folder)
    assert handler(local_delivery(EVENT_FUNCTIONS[folder])).statusCode == 200
    (message,) = spilled
    assert unpack_item(message)["kind"] == {"S": "call.ringing"}


@each_event_function
def test_without_secrets_manager_an_event_is_not_acknowledged(folder: str, service: str, cold_container: Start) -> None:
    handler = cold_container("AWS_ENDPOINT_URL_SECRETS_MANAGER", service, folder)
    assert handler(local_delivery(EVENT_FUNCTIONS[folder])).statusCode == 503


def test_without_dynamodb_a_new_call_gets_its_verbs_and_is_spilled(
    service: str, cold_container: Start, spilled: list[str]
) -> None:
    answer = cold_container("AWS_ENDPOINT_URL_DYNAMODB", service)(recorded("new_call"))
    assert answer.statusCode == 200
    assert answer.verbs
    (message,) = spilled
    assert unpack_item(message)["answer"] == {"S": answer.body}


def test_after_a_timeout_a_table_is_not_called_for_ten_seconds(
    service: str, environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", service)
    clock, sent = Clock(), []
    client = dynamodb_client(clock.monotonic)
    client.meta.events.register("before-send.dynamodb", lambda **_: sent.append(clock.now))

    def requests_sent() -> int:
        sent.clear()
        with pytest.raises(BotoCoreError):
            client.get_item(TableName="events", Key={})
        return len(sent)

    assert requests_sent() == 2
    assert requests_sent() == 0
    clock.advance(9.9)
    assert requests_sent() == 0
    clock.advance(0.2)
    assert requests_sent() == 2


def test_a_timeout_of_one_table_does_not_affect_another(
    missing_service: str, environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", missing_service)
    client, sent = dynamodb_client(), []
    client.meta.events.register("before-send.dynamodb", lambda **_: sent.append(1))
    for table in ("events", "clients"):
        with pytest.raises(BotoCoreError):
            client.get_item(TableName=table, Key={})
    assert len(sent) == 4


def test_an_error_response_does_not_open_the_circuit(aws: Aws) -> None:
    client = dynamodb_client()
    for _ in range(3):
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.get_item(TableName="no-such-table", Key={"pk": {"S": "a"}, "sk": {"S": "b"}})


class TestWithoutDynamodbAnAnswerGoesTo:
    def test_a_call_in_progress(self, service: str, cold_container: Start, log: io.StringIO) -> None:
        handler = cold_container("AWS_ENDPOINT_URL_DYNAMODB", service, "jambonz_action")
        answer = handler(local_delivery("jambonz/action_gather_digits"))
        assert answer.statusCode == 200
        _, dial = json.loads(answer.body)
        assert (dial["verb"], dial["timeout"]) == ("dial", 25), "variables that cannot be read have their defaults"
        assert "CALLHOOKS_UNSTORED_EVENT" in log.getvalue()

    def test_a_sip_client_that_cannot_be_checked(self, service: str, cold_container: Start) -> None:
        handler = cold_container("AWS_ENDPOINT_URL_DYNAMODB", service, "jambonz_client_auth")
        answer = handler(local_delivery("jambonz/client_auth_register"))
        assert (answer.statusCode, json.loads(answer.body)["status"]) == (200, "fail")

    def test_a_language_model_whose_tool_is_not_run(self, service: str, cold_container: Start) -> None:
        handler = cold_container("AWS_ENDPOINT_URL_DYNAMODB", service, "jambonz_tool")
        answer = handler(local_delivery("jambonz/tool_openai"))
        assert answer.statusCode == 200
        assert "Nothing was done" in json.loads(answer.body)["item"]["output"]
