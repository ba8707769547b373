"""HTTP API events (payload format 2.0) as requests, and responses as API Gateway takes them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple, NotRequired, TypeAlias, TypedDict
from urllib.parse import parse_qsl, urlsplit

from callhooks.runtime.errors import BadRequest, HttpProblem

JSON_CONTENT_TYPE = "application/json"


HttpApiEvent: TypeAlias = Mapping[str, object]
"""An HTTP API event, payload format 2.0. API Gateway makes it, but anybody who may invoke the function can, too."""


class HttpPayload(TypedDict):
    """A Lambda proxy response, payload format 2.0."""

    statusCode: int
    headers: dict[str, str]
    body: str
    cookies: NotRequired[list[str]]


class Sender(NamedTuple):
    """What a provider's `verify` has established about the sender of a request.

    `sent_at` is the sender's clock, aware UTC, where the signature vouches for it. `mark` distinguishes deliveries
    with the same body; a retry repeats it. `call_id` is the call that the request's URL names, where we have
    signed it. `url_key` signs the calls in the URLs that we hand out. `lacks_signature` marks a request that was let
    in without the signature that its provider's other requests must have. `stored_headers` are the provider's own
    headers, in lower case, that go into quarantine with a delivery: no credential is among them.
    """

    sent_at: datetime | None = None
    mark: str = ""
    call_id: str | None = None
    url_key: str = ""
    lacks_signature: bool = False
    stored_headers: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return a text without the key."""
        return f"Sender(sent_at={self.sent_at!r}, mark={self.mark!r}, lacks_signature={self.lacks_signature!r})"


class Request(NamedTuple):
    """One HTTP request: header names in lower case, the body as the bytes that were signed.

    `path` and `raw_query` are as they were sent. `route` is the template's own word for the path: unlike the path it
    holds no token. `source_address` is who connected, as API Gateway saw it. `cookies` are `name=value`: API Gateway
    takes them out of the headers. `arrived_at` is API Gateway's clock, in milliseconds since 1970; 0 is not told.
    `sender` is what verification has established.
    """

    method: str
    path: str
    raw_query: str = ""
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""
    request_id: str = ""
    host: str = ""
    route: str = ""
    path_parameters: Mapping[str, str] = MappingProxyType({})
    source_address: str = ""
    cookies: tuple[str, ...] = ()
    arrived_at: int = 0
    sender: Sender = Sender()

    @classmethod
    def from_event(cls, event: HttpApiEvent) -> Request:
        """Read an HTTP API event; a member of another type than API Gateway's counts as missing.

        Raises:
            BadRequest: the body is no text, or is marked as base64 and is not.
        """
        event = _mapping(event)
        context = _mapping(event.get("requestContext"))
        http = _mapping(context.get("http"))
        headers = {name.lower(): value for name, value in _texts(event.get("headers")).items()}
        return cls(
            method=(_text(http.get("method")) or "POST").upper(),
            path=_text(event.get("rawPath")) or _text(http.get("path")) or "/",
            raw_query=_text(event.get("rawQueryString")),
            headers=headers,
            body=_body_bytes(event),
            request_id=_text(context.get("requestId")),
            host=_text(context.get("domainName")) or headers.get("host", ""),
            route=_text(context.get("routeKey")) or _text(event.get("routeKey")),
            path_parameters=_texts(event.get("pathParameters")),
            source_address=_text(http.get("sourceIp")),
            cookies=_cookies(event.get("cookies")),
            arrived_at=_whole_number(context.get("timeEpoch")),
        )

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        """The query's names and values, decoded, in the order in which they were sent."""
        return tuple(parse_qsl(self.raw_query, keep_blank_values=True))

    def header(self, name: str) -> str | None:
        """The value of a header, whatever the case of its name."""
        return self.headers.get(name.lower())

    @property
    def body_hash(self) -> str:
        """The SHA-256 of the raw body, in hex: what tells two deliveries apart that have no id of their own."""
        return hashlib.sha256(self.body).hexdigest()

    def base_url(self, public_url: str = "") -> str:
        """Where the API is known: `public_url`, or the request's own host, without a slash at the end."""
        return (public_url or f"https://{self.host}").rstrip("/")

    def url(self, public_url: str = "") -> str:
        """The URL that the sender called.

        `public_url` is the address under which the API is known; without it the request's own host is taken, which
        API Gateway knows for sure. An API mapping may have put the path of the public address into the request's.
        """
        base = self.base_url(public_url)
        mapped = urlsplit(public_url).path.rstrip("/")
        path = self.path.removeprefix(mapped) if self.path.startswith(f"{mapped}/") else self.path
        return f"{base}{path}{'?' if self.raw_query else ''}{self.raw_query}"


class Response(NamedTuple):
    """An answer. Some senders read a body only where the content type has `application/json` in it.

    A cookie is the value of a `Set-Cookie` header.
    """

    status: int
    body: str
    content_type: str = JSON_CONTENT_TYPE
    headers: Mapping[str, str] = MappingProxyType({})
    cookies: tuple[str, ...] = ()

    def as_payload(self) -> HttpPayload:
        """The answer as API Gateway takes it."""
        payload: HttpPayload = {
            "statusCode": self.status,
            "headers": {"content-type": self.content_type, **self.headers},
            "body": self.body,
        }
        if self.cookies:
            payload["cookies"] = list(self.cookies)
        return payload


def problem_response(problem: HttpProblem) -> Response:
    """Return a problem as `application/problem+json` (RFC 9457)."""
    body = {"status": problem.status, "title": problem.title, "detail": problem.detail}
    return Response(problem.status, json.dumps(body), "application/problem+json", problem.headers)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> dict[str, str]:
    return {name: text for name, text in _mapping(value).items() if isinstance(text, str)}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole_number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _cookies(value: object) -> tuple[str, ...]:
    texts = [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
    return tuple(cookie.strip() for text in texts for cookie in text.split(";"))


def _body_bytes(event: HttpApiEvent) -> bytes:
    body = event.get("body") or ""
    if not isinstance(body, str):
        raise BadRequest("The body is not a text.")
    if event.get("isBase64Encoded"):
        try:
            return base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadRequest("The body is marked as base64 and is not.") from error
    # A lone surrogate stays an invalid byte sequence, for the parser to refuse.
    return body.encode("utf-8", "surrogatepass")
