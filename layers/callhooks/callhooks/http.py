"""HTTP API events (payload format 2.0) as requests, and responses as API Gateway takes them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias, TypedDict
from urllib.parse import parse_qsl

JSON_CONTENT_TYPE = "application/json"


HttpApiEvent: TypeAlias = Mapping[str, object]
"""An HTTP API event, payload format 2.0. API Gateway makes it, but anybody who may invoke the function can, too."""


class HttpPayload(TypedDict):
    """A Lambda proxy response, payload format 2.0."""

    statusCode: int
    headers: dict[str, str]
    body: str


class HttpProblem(Exception):
    """A request that ends with an error answer.

    `detail` goes to the sender and never repeats anything of the request. `reason` is for the log.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        reason: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.reason = reason or detail
        self.headers = headers

    def as_response(self) -> Response:
        """The problem as `application/problem+json` (RFC 9457)."""
        body = {"status": self.status, "title": self.title, "detail": self.detail}
        return Response(self.status, json.dumps(body), "application/problem+json", self.headers)


class BadRequest(HttpProblem):
    """400: the request cannot be understood."""

    def __init__(self, detail: str) -> None:
        super().__init__(400, "Bad request", detail)


class BodyTooLarge(HttpProblem):
    """413: the body is larger than any webhook of a provider."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, "Body too large", f"The body is larger than {limit} bytes.")


class Unauthorized(HttpProblem):
    """401: the sender has not proven who they are; only the log tells which proof failed."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            401,
            "Unauthorized",
            "The credentials or the signature of this request are missing or wrong.",
            reason=reason,
            headers={"www-authenticate": 'Basic realm="callhooks"'},
        )


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request: header names in lower case, the body as the bytes that were signed."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    request_id: str = ""

    @classmethod
    def from_event(cls, event: HttpApiEvent) -> Request:
        """Read an HTTP API event.

        Raises:
            BadRequest: the body is marked as base64 and is not.
        """
        http = _mapping(_mapping(event.get("requestContext")).get("http"))
        headers = _mapping(event.get("headers"))
        return cls(
            method=(_text(http.get("method")) or "POST").upper(),
            path=_text(event.get("rawPath")) or _text(http.get("path")) or "/",
            query=tuple(parse_qsl(_text(event.get("rawQueryString")), keep_blank_values=True)),
            headers={name.lower(): value for name, value in headers.items() if isinstance(value, str)},
            body=_body_bytes(event),
            request_id=_text(_mapping(event.get("requestContext")).get("requestId")),
        )

    def header(self, name: str) -> str | None:
        """The value of a header, whatever the case of its name."""
        return self.headers.get(name.lower())


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. jambonz reads a body only where the content type has `application/json` in it."""

    status: int
    body: str
    content_type: str = JSON_CONTENT_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_payload(self) -> HttpPayload:
        """The answer as API Gateway takes it."""
        return {
            "statusCode": self.status,
            "headers": {"content-type": self.content_type, **self.headers},
            "body": self.body,
        }


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


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
