"""Requests parsed from HTTP API events (payload format 2.0), and responses in API Gateway's format."""

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
"""An HTTP API event, payload format 2.0: from API Gateway, or from anyone who may invoke the function."""


class HttpPayload(TypedDict):
    """A Lambda proxy response, payload format 2.0."""

    statusCode: int
    headers: dict[str, str]
    body: str
    cookies: NotRequired[list[str]]


class Sender(NamedTuple):
    """The result of authenticating a request.

    `sent_at` is the sender's clock, aware UTC, if the signature covers it. `mark` distinguishes deliveries with the
    same body; a retry repeats it. `call_id` is the call in the request's URL, if callhooks signed that URL. `url_key`
    signs the calls in the URLs that callhooks sends to the provider. `lacks_signature` marks a request that was
    accepted without the signature that the provider's other requests must have. `stored_headers` names the provider's
    headers, in lower case, that are quarantined with a delivery; none of them holds credentials.
    """

    sent_at: datetime | None = None
    mark: str = ""
    call_id: str | None = None
    url_key: str = ""
    lacks_signature: bool = False
    stored_headers: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return a string that does not contain the key."""
        return f"Sender(sent_at={self.sent_at!r}, mark={self.mark!r}, lacks_signature={self.lacks_signature!r})"


class Request(NamedTuple):
    """One HTTP request: header names in lower case, the body as the bytes that were signed.

    `path` and `raw_query` are as sent. `route` is the path in the template, which never holds a token.
    `source_address` is the client's address as API Gateway saw it. `cookies` are `name=value`; API Gateway removes
    them from the headers. `arrived_at` is API Gateway's clock in milliseconds since 1970; 0 if it is unknown. `sender`
    is the result of authentication.
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
        """Read an HTTP API event. A member of an unexpected type counts as missing.

        Raises:
            BadRequest: the body is not text, or is marked as base64 but is not.
        """
        event = _mapping(event)
        context = _mapping(event.get("requestContext"))
        http = _mapping(context.get("http"))
        headers = {name.lower(): value for name, value in _strings(event.get("headers")).items()}
        return cls(
            method=(_string(http.get("method")) or "POST").upper(),
            path=_string(event.get("rawPath")) or _string(http.get("path")) or "/",
            raw_query=_string(event.get("rawQueryString")),
            headers=headers,
            body=_body_bytes(event),
            request_id=_string(context.get("requestId")),
            host=_string(context.get("domainName")) or headers.get("host", ""),
            route=_string(context.get("routeKey")) or _string(event.get("routeKey")),
            path_parameters=_strings(event.get("pathParameters")),
            source_address=_string(http.get("sourceIp")),
            cookies=_cookies(event.get("cookies")),
            arrived_at=_int_or_zero(context.get("timeEpoch")),
        )

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        """Return the decoded names and values of the query, in the order sent."""
        return tuple(parse_qsl(self.raw_query, keep_blank_values=True))

    def header(self, name: str) -> str | None:
        """Return the value of a header; the case of its name does not matter."""
        return self.headers.get(name.lower())

    @property
    def body_hash(self) -> str:
        """Return the SHA-256 of the raw body in hex, which distinguishes deliveries that have no id."""
        return hashlib.sha256(self.body).hexdigest()

    def base_url(self, public_url: str = "") -> str:
        """Return `public_url`, or the address at which the sender called the API, without a slash at the end."""
        return (public_url or f"https://{self.host}{self._path_before_route}").rstrip("/")

    def url(self, public_url: str = "") -> str:
        """Return the URL that the sender called.

        `public_url` is the API's public address. Without it, the request's own host is used, which API Gateway sets.
        An API mapping may have added the path of the public address to the request's path.
        """
        base = self.base_url(public_url)
        mapped = urlsplit(base).path
        path = self.path.removeprefix(mapped) if self.path.startswith(f"{mapped}/") else self.path
        return f"{base}{path}{'?' if self.raw_query else ''}{self.raw_query}"

    @property
    def _path_before_route(self) -> str:
        """Return the start of the path that is not in the template: a stage or an API mapping."""
        fixed = self.route.partition(" ")[2].partition("{")[0]
        before, found, _ = self.path.partition(fixed) if fixed else ("", "", "")
        return before if found else ""


class Response(NamedTuple):
    """An HTTP response. Some senders read a body only if the content type contains `application/json`.

    A cookie is the value of a `Set-Cookie` header.
    """

    status: int
    body: str
    content_type: str = JSON_CONTENT_TYPE
    headers: Mapping[str, str] = MappingProxyType({})
    cookies: tuple[str, ...] = ()

    def as_payload(self) -> HttpPayload:
        """Return the response in API Gateway's format."""
        payload: HttpPayload = {
            "statusCode": self.status,
            "headers": {"content-type": self.content_type, **self.headers},
            "body": self.body,
        }
        if self.cookies:
            payload["cookies"] = list(self.cookies)
        return payload


def problem_response(problem: HttpProblem) -> Response:
    """Return the response for a problem, as `application/problem+json` (RFC 9457)."""
    body = {"status": problem.status, "title": problem.title, "detail": problem.detail}
    return Response(problem.status, json.dumps(body), "application/problem+json", problem.headers)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _strings(value: object) -> dict[str, str]:
    return {name: text for name, text in _mapping(value).items() if isinstance(text, str)}


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _int_or_zero(value: object) -> int:
    return value if isinstance(value, int) else 0


def _cookies(value: object) -> tuple[str, ...]:
    texts = [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
    return tuple(cookie.strip() for text in texts for cookie in text.split(";"))


def _body_bytes(event: HttpApiEvent) -> bytes:
    body = event.get("body") or ""
    if not isinstance(body, str):
        raise BadRequest("The body is not a string.")
    if event.get("isBase64Encoded"):
        try:
            return base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadRequest("The body is marked as base64 and is not.") from error
    # A lone surrogate becomes an invalid byte sequence, which the parser rejects.
    return body.encode("utf-8", "surrogatepass")
