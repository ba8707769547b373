"""The guard of the local engine passes on only what is signed with a key of this run, and comes from no web page."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from callhooks_tools.local.engine_guard import Guard, GuardRefusal, Message, Receive, Send

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
    """An ASGI application that takes everything, as the engine does, and lets every web page read its answers."""

    reached: list[str] = field(default_factory=list)

    async def __call__(self, scope: Message, _receive: Receive, send: Send) -> None:
        self.reached.append(scope["type"])
        if scope["type"] == "http":
            headers = [(b"Access-Control-Allow-Origin", b"*"), (b"access-control-max-age", b"1"), (b"x-kept", b"1")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"secrets"})


@dataclass(frozen=True)
class Answer:
    """What was sent to a client, and whether the engine had a part in it."""

    sent: list[Message]
    reached: list[str]

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> str:
        return str(self.sent[1]["body"].decode())


def ask(
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
    asyncio.run(Guard(engine, {KEY, FUNCTION_KEY}.__contains__)(scope, receive, send))
    return Answer(sent, engine.reached)


PASSED: dict[str, tuple[list[tuple[str, str]], str]] = {
    "this run's key": ([HOST, signed()], ""),
    "a key of a function": ([HOST, signed(FUNCTION_KEY)], ""),
    "a presigned URL": ([HOST], presigned()),
    "localhost": ([("host", "localhost:4566"), signed()], ""),
    "localhost, in capitals": ([("Host", "LOCALHOST:4566"), signed()], ""),
    "IPv6": ([("host", "[::1]:4566"), signed()], ""),
    "the port of a proxy on this machine": ([("host", "127.0.0.1:9"), signed()], ""),
}


@pytest.mark.parametrize(("headers", "query"), PASSED.values(), ids=list(PASSED))
def test_requests_with_a_key_of_this_run_reach_the_engine(headers: list[tuple[str, str]], query: str) -> None:
    answer = ask(*headers, query=query)
    assert answer.reached == ["http"]
    assert answer.sent[0]["status"] == 200
    assert answer.body == "secrets"


def test_no_web_page_may_read_an_answer() -> None:
    assert ask(HOST, signed()).headers == {b"x-kept": b"1"}


UNKNOWN_KEY, CREDENTIAL = GuardRefusal.KEY, GuardRefusal.CREDENTIAL
REFUSED: dict[str, tuple[list[tuple[str, str]], str, GuardRefusal]] = {
    "the well-known key": ([HOST, signed("test")], "", UNKNOWN_KEY),
    "the well-known key, presigned": ([HOST], presigned("test"), UNKNOWN_KEY),
    "an account": ([HOST, signed("123456789012")], "", UNKNOWN_KEY),
    "an account, presigned": ([HOST], presigned("000000000000"), UNKNOWN_KEY),
    "a key of nobody": ([HOST, signed("AKIAIOSFODNN7EXAMPLE")], "", UNKNOWN_KEY),
    "a part of the key": ([HOST, signed(KEY[:-1])], "", UNKNOWN_KEY),
    "more than the key": ([HOST, signed(f"{KEY}0")], "", UNKNOWN_KEY),
    "the key in other letters": ([HOST, signed(KEY.lower())], "", UNKNOWN_KEY),
    "no signature": ([HOST], "", CREDENTIAL),
    "no key": ([HOST, signed("")], "", CREDENTIAL),
    "an empty header": ([HOST, ("authorization", "")], "", CREDENTIAL),
    "a key without an end": ([HOST, authorization(f"Credential={KEY}")], "", CREDENTIAL),
    "a very long key": ([HOST, signed("A" * 100_000)], "", CREDENTIAL),
    "a key that is not ASCII": ([HOST, signed("\xe9" * 20)], "", CREDENTIAL),
    "another scheme": ([HOST, ("authorization", f"Bearer {KEY}")], "", CREDENTIAL),
    "the key as a password": ([HOST, ("authorization", f"Basic Credential={KEY}/")], "", CREDENTIAL),
    "signature version 2": ([HOST, ("authorization", f"AWS {KEY}:0")], "", CREDENTIAL),
    "signature version 2 in the query": ([HOST], f"AWSAccessKeyId={KEY}&Signature=0", CREDENTIAL),
    "signature version 4a": (
        [HOST, authorization(f"Credential={KEY}/{SCOPE}", "AWS4-ECDSA-P256-SHA256")],
        "",
        CREDENTIAL,
    ),
    "the key behind another": (
        [HOST, authorization(f"Credential=test/{SCOPE}, Credential={KEY}/{SCOPE}")],
        "",
        UNKNOWN_KEY,
    ),
    "the key at another place": ([HOST, authorization(f"Signature=0, Credential={KEY}/{SCOPE}")], "", CREDENTIAL),
    "two headers": ([HOST, signed(), signed("test")], "", CREDENTIAL),
    "two headers, the other way round": ([HOST, signed("test"), signed()], "", CREDENTIAL),
    "a header and a query": ([HOST, signed()], presigned("test"), CREDENTIAL),
    "the query in small letters": ([HOST, signed()], presigned("test", "x-amz-credential"), CREDENTIAL),
    "a header and an old query": ([HOST, signed()], "AWSAccessKeyId=test", CREDENTIAL),
    "an empty query beside the header": ([HOST, signed()], "X-Amz-Credential=", CREDENTIAL),
    "two in the query": ([HOST], f"{presigned('test')}&{presigned()}", CREDENTIAL),
    "a web page": ([HOST, signed(), ("origin", "https://example.com")], "", GuardRefusal.ORIGIN),
    "a web page on this machine": ([HOST, signed(), ("Origin", "http://127.0.0.1:4566")], "", GuardRefusal.ORIGIN),
    "a page that hides itself": ([HOST, signed(), ("origin", "null")], "", GuardRefusal.ORIGIN),
    "an empty origin": ([HOST, signed(), ("origin", "")], "", GuardRefusal.ORIGIN),
    "a name that leads here": ([("host", "example.com:4566"), signed()], "", GuardRefusal.HOST),
    "a name below localhost": ([("host", "abc.execute-api.localhost:4566"), signed()], "", GuardRefusal.HOST),
    "a name that begins so": ([("host", "127.0.0.1.example.com"), signed()], "", GuardRefusal.HOST),
    "a name that ends so": ([("host", "example.com@127.0.0.1"), signed()], "", GuardRefusal.HOST),
    "an address that leads here": ([("host", "0.0.0.0:4566"), signed()], "", GuardRefusal.HOST),
    "a line break": ([("host", "127.0.0.1\n"), signed()], "", GuardRefusal.HOST),
    "no host": ([signed()], "", GuardRefusal.HOST),
    "an empty host": ([("host", ""), signed()], "", GuardRefusal.HOST),
    "two hosts": ([HOST, ("host", "example.com"), signed()], "", GuardRefusal.HOST),
}


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(("headers", "query", "refusal"), REFUSED.values(), ids=list(REFUSED))
def test_all_others_are_refused(headers: list[tuple[str, str]], query: str, refusal: GuardRefusal, kind: str) -> None:
    answer = ask(*headers, query=query, kind=kind)
    assert answer.reached == []
    if kind == "websocket":
        assert answer.sent == [{"type": "websocket.close", "code": 1008}]
        return
    assert answer.sent[0]["status"] == 403
    assert json.loads(answer.body) == {"__type": "AccessDeniedException", "message": refusal.message}
    assert ".local/stack.json" in answer.body
    assert KEY not in answer.body


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("OPTIONS", "/"),
        ("GET", "/_ministack/health"),
        ("GET", "/_localstack/health"),
        ("POST", "/_ministack/reset"),
        ("GET", "/_ministack/lambda-code/000000000000/us-east-1/callhooks"),
        ("GET", "/bucket/object"),
        ("POST", "/_aws/execute-api/api/stage"),
        ("GET", "/latest/meta-data/iam/security-credentials/role"),
    ],
)
def test_no_path_is_open(method: str, path: str) -> None:
    assert ask(HOST, method=method, path=path).sent[0]["status"] == 403


def test_clients_that_read_xml_learn_the_reason_as_well() -> None:
    form = ("content-type", "application/x-www-form-urlencoded; charset=utf-8")
    error = ET.fromstring(ask(HOST, form, signed("test")).body).find("Error")  # noqa: S314 - our own
    assert error is not None
    assert (error.findtext("Code"), error.findtext("Message")) == ("AccessDenied", GuardRefusal.KEY.message)


def test_the_engine_is_started_and_ended() -> None:
    assert ask(kind="lifespan").reached == ["lifespan"]
