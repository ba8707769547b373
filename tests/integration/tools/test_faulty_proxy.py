"""The proxy of the fault tests breaks only the requests that a test chooses."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from signal import SIGKILL

import httpx
import pytest

from tests.faulty_proxy import Fault, FaultyProxy


class Engine(ThreadingHTTPServer):
    """Engine that echoes and records requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.received: list[tuple[str, str, bytes]] = []


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Engine)
        self.server.received.append((self.path, self.headers["Host"], body))
        self.send_response(200)
        self.send_header("X-Amz-Crc32", "4711")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Log nothing; the tests read `received`."""


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    threading.Thread(target=engine.serve_forever, args=[0.01], daemon=True).start()
    yield engine
    engine.shutdown()
    engine.server_close()


@pytest.fixture
def proxy(engine: Engine) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(f"http://127.0.0.1:{engine.server_port}")
    proxy.start()
    yield proxy
    proxy.stop()


@pytest.fixture
def client(proxy: FaultyProxy) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=proxy.url, timeout=5, trust_env=False) as client:
        yield client


def send_request(
    client: httpx.Client, operation: str = "DynamoDB_20120810.PutItem", body: bytes = b"{}"
) -> httpx.Response:
    return client.post("/", content=body, headers={"X-Amz-Target": operation})


def test_a_request_and_its_answer_go_through_unchanged(client: httpx.Client, engine: Engine) -> None:
    answer = client.post("/path%2Fof?a=%20b", content=b"\x00\xff", headers={"Host": "signed.example.com"})
    assert (answer.status_code, answer.content, answer.headers["x-amz-crc32"]) == (200, b"\x00\xff", "4711")
    assert engine.received == [("/path%2Fof?a=%20b", "signed.example.com", b"\x00\xff")]


@pytest.mark.parametrize(
    ("fault", "target", "error"),
    [
        (Fault.ERROR, "AWSEvents.PutEvents", "AWSEvents#InternalServerError"),
        (Fault.THROTTLE, "DynamoDB_20120810.PutItem", "DynamoDB#ProvisionedThroughputExceededException"),
        (Fault.THROTTLE, "AmazonSQS.SendMessage", "AmazonSQS#RequestThrottled"),
        (Fault.DENY, "secretsmanager.GetSecretValue", "secretsmanager#AccessDeniedException"),
        (Fault.REFUSE_FOR_GOOD, "DynamoDB_20120810.PutItem", "DynamoDB#ValidationException"),
    ],
)
def test_an_error_has_the_format_of_the_service(
    client: httpx.Client, proxy: FaultyProxy, fault: Fault, target: str, error: str
) -> None:
    with proxy.broken(fault, error.partition("#")[0]) as breakage:
        answer = send_request(client, target)
    assert json.loads(answer.content)["__type"] == error
    assert answer.status_code == (500 if fault is Fault.ERROR else 400)
    assert breakage.hits == 1


@pytest.mark.parametrize(("fault", "received"), [(Fault.UNREACHABLE, 0), (Fault.LOSE_REPLY, 1)])
def test_a_connection_is_closed_before_or_after_the_request_is_forwarded(
    client: httpx.Client, proxy: FaultyProxy, engine: Engine, fault: Fault, received: int
) -> None:
    with proxy.broken(fault, "DynamoDB"), pytest.raises(httpx.RemoteProtocolError):
        send_request(client)
    assert len(engine.received) == received
    assert send_request(client).status_code == 200


def test_a_hanging_request_ends_with_the_fault(client: httpx.Client, proxy: FaultyProxy, engine: Engine) -> None:
    with ThreadPoolExecutor() as pool:
        with proxy.broken(Fault.HANG, "DynamoDB") as breakage:
            hanging = pool.submit(send_request, client)
            # Another service still works.
            while not breakage.hits:
                assert send_request(client, "AmazonSQS.SendMessage").status_code == 200
            assert not hanging.done()
        assert isinstance(hanging.exception(5), httpx.RemoteProtocolError)
    assert all(body == b"{}" for _, _, body in engine.received)
    assert send_request(client).status_code == 200


def test_faults_can_target_a_service_an_operation_or_some_requests(client: httpx.Client, proxy: FaultyProxy) -> None:
    assert send_request(client, "AmazonSQS.SendMessage").status_code == 200
    assert proxy.seen == {"AmazonSQS.SendMessage": 1}
    with proxy.broken(Fault.DENY, "DynamoDB.GetItem"):
        assert send_request(client).status_code == 200
        assert send_request(client, "DynamoDB_20120810.GetItem").status_code == 400
    with proxy.broken(Fault.DENY, "DynamoDB"):
        with proxy.broken(Fault.ERROR, "DynamoDB"):
            assert send_request(client).status_code == 500, "the latest fault takes precedence"
        assert send_request(client).status_code == 400
    with proxy.broken(Fault.DENY, "DynamoDB", every=2):
        assert [send_request(client).status_code for _ in range(4)] == [200, 400, 200, 400]
    with proxy.broken(Fault.DENY, "DynamoDB", having="event#1"):
        assert [send_request(client, body=body).status_code for body in (b"event#1", b"event#2")] == [400, 200]


def test_only_the_worker_that_sent_the_request_is_killed(proxy: FaultyProxy, engine: Engine) -> None:
    # In this test, this process is the engine, and these are two of its workers.
    program = """
import sys, urllib.request
ask = lambda: urllib.request.urlopen(urllib.request.Request(sys.argv[1], b"{}", {"X-Amz-Target": sys.argv[2]}))
sys.stdin.readline()
print(ask().status)
"""
    killed, spared = (
        subprocess.Popen(
            [sys.executable, "-c", program, proxy.url, target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={},
        )
        for target in ("DynamoDB_20120810.PutItem", "AmazonSQS.SendMessage")
    )
    with proxy.broken(Fault.KILL, "DynamoDB.PutItem") as breakage:
        assert not killed.communicate("\n", timeout=30)[0]
    assert killed.returncode == -SIGKILL
    # The proxy records the kill afterwards.
    deadline = time.monotonic() + 10
    while not breakage.killed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert breakage.killed == [killed.pid]
    assert spared.communicate("\n", timeout=30)[0] == "200\n"
    assert len(engine.received) == 2
