"""Recorded deliveries: HTTP API events in `events/`, signed and addressed when they are sent."""

from __future__ import annotations

import base64
import json
import re
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from callhooks.providers import bird
from callhooks.providers.jambonz.authentication import (
    DEFAULT_SIGNATURE_HEADER,
    basic_header_value,
    signature_header_value,
)
from callhooks.providers.jambonz.plan.call_signature import call_signature
from callhooks.runtime.errors import HttpProblem
from callhooks.runtime.http import HttpApiEvent, Request
from pydantic import BaseModel, Field, StringConstraints, TypeAdapter, ValidationError

from callhooks_tools.stack.stack import Access, BirdAccess, JambonzAccess, Provider, TokenAccess

RECORDING_SECRET = "wh_secret_cJqgtMDPzDhhnjmaJH6Mtk"
"""Signs for a function that has no webhook secret configured, and so does not look at the signature."""

CLIENT_AUTH_PATH = "/webhooks/client-auth"
"""A SIP client says who it is: there is no call yet."""

PROVIDER_OF_PATH = {
    "/webhooks/call": Provider.JAMBONZ,
    CLIENT_AUTH_PATH: Provider.JAMBONZ,
    "/adulting": Provider.JAMBONZ,
    "/streaming-event": Provider.JAMBONZ,
    "/tokens-result": Provider.JAMBONZ,
    "/webhooks/tool": Provider.JAMBONZ,
    "/webhooks/wavix": Provider.WAVIX,
    "/webhooks/bird": Provider.BIRD,
    "/webhooks/voipstudio": Provider.VOIPSTUDIO,
}
_FUNCTION_AND_SECRET = {
    Provider.JAMBONZ: ("JambonzNewCallFunction", "JAMBONZ_CREDENTIALS"),
    Provider.WAVIX: ("WavixCallFunction", "WAVIX_CREDENTIALS"),
    Provider.BIRD: ("BirdVoiceFunction", "BIRD_CREDENTIALS"),
    Provider.VOIPSTUDIO: ("VoipstudioEventFunction", "VOIPSTUDIO_CREDENTIALS"),
}
_CALL_IDS = {
    Provider.JAMBONZ: ("call_sid", "parent_call_sid"),
    Provider.WAVIX: ("id", "uuid", "call_id"),
    Provider.BIRD: ("id", "callId"),
    Provider.VOIPSTUDIO: ("call_id", "id", "src_hash"),
}

_NESTED = ("payload", "parent_call_info", "dequeuer")
_NAME_NO_CALL = (CLIENT_AUTH_PATH, "/streaming-event", "/tokens-result")

_EVENT = TypeAdapter(dict[str, Any])
_NOT_SENT = {"host", "content-length", "connection"}


class DeliveryUnusable(Exception):
    """An event file that cannot be sent; says why."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A recorded delivery, ready to be sent."""

    event: HttpApiEvent

    @property
    def request(self) -> Request:
        """The HTTP request that the event stands for."""
        return Request.from_event(self.event)

    @property
    def route(self) -> str:
        """The path as the template writes it: unlike the path it holds no token."""
        return self.request.route.rpartition(" ")[2] or f"/webhooks/{self.provider}"

    @property
    def headers_to_send(self) -> dict[str, str]:
        """The headers, without those that an HTTP client makes itself."""
        return {name: value for name, value in self.request.headers.items() if name not in _NOT_SENT}

    @property
    def provider(self) -> Provider:
        """Whose webhook it is, by its path.

        Raises:
            DeliveryUnusable: it is no webhook's.
        """
        path = self.request.path
        for prefix, provider in PROVIDER_OF_PATH.items():
            if path == prefix or path.startswith(f"{prefix}/"):
                return provider
        raise DeliveryUnusable(f"{path} is no webhook: it must begin with one of {', '.join(PROVIDER_OF_PATH)}")


class _Http(BaseModel):
    method: str
    path: str


class _RequestContext(BaseModel):
    http: _Http


class _HttpApiEvent(BaseModel):
    version: Literal["2.0"]
    raw_path: str = Field(alias="rawPath", pattern="^/")
    request_context: _RequestContext = Field(alias="requestContext")
    headers: dict[str, Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]*$")]] = {}
    body: str | None = None
    is_base64_encoded: bool = Field(default=False, alias="isBase64Encoded")


def read_delivery(path: Path) -> Delivery:
    """Read a recorded delivery.

    Raises:
        DeliveryUnusable: the file is missing, or is no HTTP API event of payload format 2.0.
    """
    try:
        document = _EVENT.validate_json(path.read_bytes())
    except OSError as error:
        raise DeliveryUnusable(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        raise DeliveryUnusable(f"{path}: not a JSON object") from error
    try:
        _HttpApiEvent.model_validate(document)
        delivery = Delivery(document)
        _ = delivery.request
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DeliveryUnusable(
            f"{path}: not an HTTP API event of payload format 2.0 ({where}: {first['msg']}). "
            "A body alone is sent with --as PROVIDER."
        ) from error
    except HttpProblem as error:
        raise DeliveryUnusable(f"{path}: {error.detail}") from error
    return delivery


def delivery_of_body(path: Path, provider: Provider) -> Delivery:
    """A file with nothing but a body, as its provider would deliver it.

    Raises:
        DeliveryUnusable: the file cannot be read.
    """
    try:
        body = path.read_bytes()
    except OSError as error:
        raise DeliveryUnusable(f"{path}: {error.strerror}") from error
    webhook = next(prefix for prefix, owner in PROVIDER_OF_PATH.items() if owner is provider)
    token = "/{token}" if provider in (Provider.WAVIX, Provider.VOIPSTUDIO) else ""
    route = f"POST {webhook}{token}"
    return Delivery(
        {
            "version": "2.0",
            "routeKey": route,
            "rawPath": webhook,
            "headers": {"content-type": "application/json"},
            "requestContext": {"routeKey": route, "http": {"method": "POST", "path": webhook}},
            "body": base64.b64encode(body).decode("ascii"),
            "isBase64Encoded": True,
        }
    )


class NewCallIds:
    """Ids of calls not seen before: the same for the same old one, so that the events of a call stay together."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def renew(self, delivery: Delivery, path: Path) -> Delivery:
        """The same delivery for another call, or for another SMS; one that need not name any as it is.

        Raises:
            DeliveryUnusable: neither its body nor its URL names a call.
        """
        request = delivery.request
        if not request.body or request.path in _NAME_NO_CALL:
            return delivery
        try:
            document = json.loads(request.body)
        except ValueError:
            document = None
        renewed = self._renewed(document, _CALL_IDS[delivery.provider]) if isinstance(document, dict) else document
        query = tuple((name, str(self._new(value)) if name == "call" else value) for name, value in request.query)
        if renewed == document and query == request.query:
            raise DeliveryUnusable(f"{path}: has no call id to renew")
        event: HttpApiEvent = {
            **delivery.event,
            "rawQueryString": urlencode(query),
            "body": json.dumps(renewed),
            "isBase64Encoded": False,
        }
        return Delivery(event)

    def _renewed(self, document: Mapping[str, object], members: Sequence[str]) -> dict[str, object]:
        renewed = {name: self._new(value) for name, value in document.items() if name in members and value}
        nested = {name: document[name] for name in _NESTED if name in document}
        inner = {name: self._renewed(value, members) for name, value in nested.items() if isinstance(value, dict)}
        return {**document, **renewed, **inner}

    def _new(self, old: object) -> object:
        is_number = str(old).isdigit()
        new = self._known.setdefault(str(old), str(secrets.randbelow(10**9)) if is_number else str(uuid.uuid4()))
        return int(new) if isinstance(old, int) else new


_MOMENT = re.compile(
    r'"(?P<day>\d{4}-\d\d-\d\d)(?P<t>[T ])(?P<time>\d\d:\d\d:\d\d)(?P<fraction>\.\d{1,6})?(?P<zone>Z|\+00:00)?"',
    re.ASCII,
)


def begun(at: datetime, deliveries: Sequence[Delivery]) -> list[Delivery]:
    """The same deliveries at another time: all moments in their bodies moved by as much, the first of them to `at`."""
    bodies = [delivery.request.body.decode("utf-8", "surrogateescape") for delivery in deliveries]
    told = [_moment(found) for body in bodies for found in _MOMENT.finditer(body)]
    if not told:
        return list(deliveries)
    later = at.astimezone(UTC).replace(microsecond=0) - min(told).replace(microsecond=0)

    def moved(found: re.Match[str]) -> str:
        text = f"{_moment(found) + later:%Y-%m-%d{found['t']}%H:%M:%S}"
        return f'"{text}{found["fraction"] or ""}{found["zone"] or ""}"'

    return [
        Delivery(
            {
                **delivery.event,
                "body": base64.b64encode(_MOMENT.sub(moved, body).encode("utf-8", "surrogateescape")).decode("ascii"),
                "isBase64Encoded": True,
            }
        )
        for delivery, body in zip(deliveries, bodies, strict=True)
    ]


def _moment(found: re.Match[str]) -> datetime:
    return datetime.fromisoformat(f"{found['day']}T{found['time']}").replace(tzinfo=UTC)


def as_sent_by(provider: Provider, delivery: Delivery, access: Access, now: datetime, *, base_url: str) -> Delivery:
    """The delivery as its provider sends it now: with its credentials, signed, or addressed with its token.

    `base_url` is where the receiving API believes to be, which Bird signs; empty for the event's own host.
    """
    match access:
        case JambonzAccess():
            return _signed_by_jambonz(delivery, access, now)
        case BirdAccess():
            return _signed_by_bird(delivery, access, now, base_url)
        case TokenAccess():
            return _addressed(delivery, provider, access)


def _signed_by_jambonz(delivery: Delivery, access: JambonzAccess, now: datetime) -> Delivery:
    body = delivery.request.body
    return _with_headers(
        _with_signed_call(delivery, access.webhook_secret or access.password),
        {
            "authorization": basic_header_value(access.username, access.password),
            DEFAULT_SIGNATURE_HEADER.lower(): signature_header_value(
                access.webhook_secret or RECORDING_SECRET, now, body
            ),
        },
    )


def _with_signed_call(delivery: Delivery, key: str) -> Delivery:
    """The delivery with the call in its URL signed, as callhooks signs it in the URLs of its hooks."""
    query = [(name, value) for name, value in delivery.request.query if name != "sig"]
    calls = [value for name, value in query if name == "call"]
    if not calls:
        return delivery
    signed = urlencode([*query, ("sig", call_signature(key, calls[-1]))])
    event: HttpApiEvent = {**delivery.event, "rawQueryString": signed}
    return Delivery(event)


def _signed_by_bird(delivery: Delivery, access: BirdAccess, now: datetime, base_url: str) -> Delivery:
    request, timestamp = delivery.request, str(int(now.timestamp()))
    signature = bird.sign(access.signing_key, timestamp, request.url(base_url), request.body)
    return _with_headers(delivery, {bird.TIMESTAMP_HEADER: timestamp, bird.SIGNATURE_HEADER: signature})


def _addressed(delivery: Delivery, provider: Provider, access: TokenAccess) -> Delivery:
    path = f"/webhooks/{provider.value}/{access.token}"
    context: Any = delivery.event["requestContext"]
    event: HttpApiEvent = {
        **delivery.event,
        "rawPath": path,
        "pathParameters": {"token": access.token},
        "requestContext": {**context, "http": {**context["http"], "path": path}},
    }
    return Delivery(event)


def _with_headers(delivery: Delivery, headers: Mapping[str, str]) -> Delivery:
    event: HttpApiEvent = {**delivery.event, "headers": {**delivery.request.headers, **headers}}
    return Delivery(event)


def access_of_env_vars(path: Path, provider: Provider) -> Access:
    """A provider's credentials in a `sam local --env-vars` file.

    Raises:
        DeliveryUnusable: the file has none.
    """
    function, secret = _FUNCTION_AND_SECRET[provider]
    try:
        variables: Mapping[str, str] = json.loads(path.read_text("utf-8"))[function]
        members = json.loads(variables[secret])
        if provider is Provider.JAMBONZ:
            webhook_secrets = json.loads(variables["JAMBONZ_WEBHOOK_SECRETS"])["webhook_secrets"]
            return JambonzAccess.model_validate({**members, "webhook_secret": next(iter(webhook_secrets), None)})
        return (BirdAccess if provider is Provider.BIRD else TokenAccess).model_validate(members)
    except OSError as error:
        raise DeliveryUnusable(f"{path}: {error.strerror}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise DeliveryUnusable(f"{path}: has no credentials for {function}") from error
