"""The guard passes on only requests that are signed with a known key and do not come from a web page."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from callhooks_tools.local.engine_guard import Guard, GuardRejection, Message, Receive, Send

KEY = "LOCAL0123456789ABCDEF"
FUNCTION_KEY = "ASIA0123456789ABCDEF"
HOST = ("host", "127.0.0.1:4566")
SCOPE = "20261130/us-east-1/dynamodb/aws4_request"


def authorization(text: str, scheme: str = "AWS4-HMAC-SHA256") -> tuple[str, str]:
    return "authorization", f"{scheme} {text}"


def signed(key: str = KEY) -> tuple[str, str]:
    return authorization(f"Credential={key}/{SCOPE}, SignedHeaders=host, Signature=0")


def presigned(key: str = KEY, name: str = "X-Amz-Credential") -> str:
    return f"X-Amz-Algorithm=AWS4-HMAC-SHA256&{name}={key}%2F{SCOPE.replace('/', '%2F')}&X-Amz-Signature=0"


@dataclass
class Engine:
    """ASGI application that accepts every request and sends CORS headers, as the engine does."""

    reached: list[str] = field(default_factory=list)

    async def __call__(self, scope: Message, _receive: Receive, send: Send) -> None:
        self.reached.append(scope["type"])
        if scope["type"] == "http":
            headers = [(b"Access-Control-Allow-Origin", b"*"), (b"access-control-max-age", b"1"), (b"x-other", b"1")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"secrets"})


@dataclass(frozen=True)
class Answer:
    """The messages that were sent to the client, and the scopes that reached the engine."""

    sent: list[Message]
    reached: list[str]

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> str:
        return str(self.sent[1]["body"].decode())


def request(
    *headers: tuple[str, str], query: str = "", kind: str = "http", method: str = "POST", path: str = "/"
) -> Answer:
    engine, sent = Engine(), list[Message]()

    async def receive() -> Message:
        return {"type": f"{kind}.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": kind,
        "method": method,
        "path": path,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        "query_string": query.encode(),
    }
    asyncio.run(Guard(engine, KEY, {FUNCTION_KEY}.__contains__)(scope, receive, send))
    return Answer(sent, engine.reached)


PASSED: dict[str, tuple[list[tuple[str, str]], str]] = {
    "the key of this stack": ([HOST, signed()], ""),
    "the key of a function": ([HOST, signed(FUNCTION_KEY)], ""),
    "a presigned URL": ([HOST], presigned()),
    "localhost": ([("host", "localhost:4566"), signed()], ""),
    "localhost, in capitals": ([("Host", "LOCALHOST:4566"), signed()], ""),
    "IPv6": ([("host", "[::1]:4566"), signed()], ""),
    "the port of a proxy on this machine": ([("host", "127.0.0.1:9"), signed()], ""),
    "a container of Docker's bridge": ([("host", "172.17.0.1:32768"), signed()], ""),
    "a container of another private network": ([("host", "192.168.65.254:4566"), signed()], ""),
    "a container of Docker Desktop": ([("host", "host.docker.internal:4566"), signed()], ""),
}


@pytest.mark.parametrize(("headers", "query"), PASSED.values(), ids=list(PASSED))
def test_requests_with_a_known_key_reach_the_engine(headers: list[tuple[str, str]], query: str) -> None:
    answer = request(*headers, query=query)
    assert (answer.reached, answer.sent[0]["status"], answer.body) == (["http"], 200, "secrets")
    assert answer.headers == {b"x-other": b"1"}, "without CORS headers"


UNKNOWN_KEY, CREDENTIAL = GuardRejection.KEY, GuardRejection.CREDENTIAL
REJECTED: dict[str, tuple[list[tuple[str, str]], str, GuardRejection]] = {
    "the well-known key": ([HOST, signed("test")], "", UNKNOWN_KEY),
    "the well-known key, presigned": ([HOST], presigned("test"), UNKNOWN_KEY),
    "an account": ([HOST, signed("123456789012")], "", UNKNOWN_KEY),
    "an account, presigned": ([HOST], presigned("000000000000"), UNKNOWN_KEY),
    "an unknown key": ([HOST, signed("AKIAIOSFODNN7EXAMPLE")], "", UNKNOWN_KEY),
    "a prefix of the key": ([HOST, signed(KEY[:-1])], "", UNKNOWN_KEY),
    "the key with a suffix": ([HOST, signed(f"{KEY}0")], "", UNKNOWN_KEY),
    "the key in lower case": ([HOST, signed(KEY.lower())], "", UNKNOWN_KEY),
    "no signature": ([HOST], "", CREDENTIAL),
    "no key": ([HOST, signed("")], "", CREDENTIAL),
    "an empty header": ([HOST, ("authorization", "")], "", CREDENTIAL),
    "a key without a separator": ([HOST, authorization(f"Credential={KEY}")], "", CREDENTIAL),
    "a very long key": ([HOST, signed("A" * 100_000)], "", CREDENTIAL),
    "a key that is not ASCII": ([HOST, signed("\xe9" * 20)], "", CREDENTIAL),
    "another scheme": ([HOST, ("authorization", f"Bearer {KEY}")], "", CREDENTIAL),
    "the key as a password": ([HOST, ("authorization", f"Basic Credential={KEY}/")], "", CREDENTIAL),
    "signature version 2": ([HOST, ("authorization", f"AWS {KEY}:0")], "", CREDENTIAL),
    "signature version 2 in the query": ([HOST], f"AWSAccessKeyId={KEY}&Signature=0", CREDENTIAL),
    "signature version 4a":
        ([HOST, authorization(f"Credential={KEY}/{SCOPE}", "AWS4-ECDSA-P256-SHA256")], "", CREDENTIAL),
    "the key after another key":
        ([HOST, authorization(f"Credential=test/{SCOPE}, Credential={KEY}/{SCOPE}")], "", UNKNOWN_KEY),
    "the key in another position": ([HOST, authorization(f"Signature=0, Credential={KEY}/{SCOPE}")], "", CREDENTIAL),
    "two headers": ([HOST, signed(), signed("test")], "", CREDENTIAL),
    "two headers in reverse order": ([HOST, signed("test"), signed()], "", CREDENTIAL),
    "a header and a query": ([HOST, signed()], presigned("test"), CREDENTIAL),
    "the query in lower case": ([HOST, signed()], presigned("test", "x-amz-credential"), CREDENTIAL),
    "a header and an old query": ([HOST, signed()], "AWSAccessKeyId=test", CREDENTIAL),
    "an empty query parameter and a header": ([HOST, signed()], "X-Amz-Credential=", CREDENTIAL),
    "two in the query": ([HOST], f"{presigned('test')}&{presigned()}", CREDENTIAL),
    "a web page": ([HOST, signed(), ("origin", "https://example.com")], "", GuardRejection.ORIGIN),
    "a web page on this machine": ([HOST, signed(), ("Origin", "http://127.0.0.1:4566")], "", GuardRejection.ORIGIN),
    "a page with a null origin": ([HOST, signed(), ("origin", "null")], "", GuardRejection.ORIGIN),
    "an empty origin": ([HOST, signed(), ("origin", "")], "", GuardRejection.ORIGIN),
    "another host name": ([("host", "example.com:4566"), signed()], "", GuardRejection.HOST),
    "a subdomain of localhost": ([("host", "abc.execute-api.localhost:4566"), signed()], "", GuardRejection.HOST),
    "a name that begins with the address": ([("host", "127.0.0.1.example.com"), signed()], "", GuardRejection.HOST),
    "a name that ends with the address": ([("host", "example.com@127.0.0.1"), signed()], "", GuardRejection.HOST),
    "the unspecified address": ([("host", "0.0.0.0:4566"), signed()], "", GuardRejection.HOST),
    "a line break": ([("host", "127.0.0.1\n"), signed()], "", GuardRejection.HOST),
    "a public address": ([("host", "172.32.0.1:4566"), signed()], "", GuardRejection.HOST),
    "a name that begins with an address": ([("host", "10.0.0.1.example.com"), signed()], "", GuardRejection.HOST),
    "a container with the key of a function": ([("host", "172.17.0.1:32768"), signed(FUNCTION_KEY)], "", UNKNOWN_KEY),
    "a container with an unknown key": ([("host", "host.docker.internal:4566"), signed("test")], "", UNKNOWN_KEY),
    "a container without a key": ([("host", "172.17.0.1:32768")], "", CREDENTIAL),
    "a web page in a container":
        ([("host", "172.17.0.1:32768"), signed(), ("origin", "null")], "", GuardRejection.ORIGIN),
    "no host": ([signed()], "", GuardRejection.HOST),
    "an empty host": ([("host", ""), signed()], "", GuardRejection.HOST),
    "two hosts": ([HOST, ("host", "example.com"), signed()], "", GuardRejection.HOST),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(("headers", "query", "rejection"), REJECTED.values(), ids=list(REJECTED))
def test_all_other_requests_are_rejected(
    headers: list[tuple[str, str]], query: str, rejection: GuardRejection, kind: str
) -> None:
    answer = request(*headers, query=query, kind=kind)
    assert answer.reached == []
    if kind == "websocket":
        assert answer.sent == [{"type": "websocket.close", "code": 1008}]
        return
    assert answer.sent[0]["status"] == 403
    assert json.loads(answer.body) == {"__type": "AccessDeniedException", "message": rejection.message}
    assert ".local/stack.json" in answer.body
    assert KEY not in answer.body


@pytest.mark.parametrize(
    "line",
    ["OPTIONS /", "GET /_ministack/health", "GET /_localstack/health", "POST /_ministack/reset", "GET /bucket/object",
     "GET /_ministack/lambda-code/000000000000/us-east-1/callhooks", "POST /_aws/execute-api/api/stage",
     "GET /latest/meta-data/iam/security-credentials/role"],
)  # fmt: skip
def test_every_path_needs_a_key(line: str) -> None:
    method, _, path = line.partition(" ")
    assert request(HOST, method=method, path=path).sent[0]["status"] == 403


def test_clients_that_read_xml_get_the_reason_as_xml() -> None:
    form = ("content-type", "application/x-www-form-urlencoded; charset=utf-8")
    error = ET.fromstring(request(HOST, form, signed("test")).body).find("Error")  # noqa: S314 - our own
    assert error is not None
    assert (error.findtext("Code"), error.findtext("Message")) == ("AccessDenied", GuardRejection.KEY.message)


def test_lifespan_messages_reach_the_engine() -> None:
    assert request(kind="lifespan").reached == ["lifespan"]
