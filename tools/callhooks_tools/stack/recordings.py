"""Recorded deliveries: HTTP API events in `events/`, signed when they are sent."""

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
from urllib.parse import parse_qsl, urlencode

from callhooks.providers.description import Credentials, Provider, Route, Signing
from callhooks.providers.registry import find_provider, providers
from callhooks.runtime.errors import HttpProblem
from callhooks.runtime.http import HttpApiEvent, Request
from pydantic import BaseModel, Field, StringConstraints, TypeAdapter, ValidationError

from callhooks_tools.stack.secrets import credentials_in

_EVENT = TypeAdapter(dict[str, Any])
_NOT_SENT = {"host", "content-length", "connection"}
FORM = "application/x-www-form-urlencoded"


class DeliveryUnusable(Exception):
    """A recorded delivery cannot be sent. The message gives the reason."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A recorded delivery."""

    event: HttpApiEvent

    @property
    def request(self) -> Request:
        """Return the HTTP request of the event."""
        return Request.from_event(self.event)

    @property
    def route(self) -> str:
        """Return the path as written in the template. Unlike the real path, it contains no token."""
        return self.request.route.rpartition(" ")[2] or f"/webhooks/{self.provider}"

    @property
    def headers_to_send(self) -> dict[str, str]:
        """Return the headers, except the ones that an HTTP client sets itself."""
        return {name: value for name, value in self.request.headers.items() if name not in _NOT_SENT}

    @property
    def provider(self) -> str:
        """Return the name of the provider, determined by the path.

        Raises:
            DeliveryUnusable: the path does not belong to a webhook.
        """
        return self.webhook[0].name

    @property
    def webhook(self) -> tuple[Provider, Route]:
        """Return the provider and the route of the webhook.

        Raises:
            DeliveryUnusable: the path does not belong to a webhook.
        """
        path = self.request.path
        for provider in providers().values():
            route = provider.route_of(path)
            if route is not None:
                return provider, route
        known = ", ".join(route.fixed_path for provider in providers().values() for route in provider.routes)
        raise DeliveryUnusable(f"{path} is not the path of a webhook. It must begin with one of: {known}")


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
        DeliveryUnusable: the file is missing, or is not an HTTP API event of payload format 2.0.
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
        member = ".".join(str(part) for part in first["loc"])
        raise DeliveryUnusable(
            f"{path}: not an HTTP API event of payload format 2.0 ({member}: {first['msg']}). "
            "If the file contains only a body, add --as PROVIDER."
        ) from error
    except HttpProblem as error:
        raise DeliveryUnusable(f"{path}: {error.detail}") from error
    return delivery


def delivery_of_body(path: Path, provider: str) -> Delivery:
    """Return a delivery of the body in a file, as the provider would send it.

    Raises:
        DeliveryUnusable: the file cannot be read, or the provider is unknown.
    """
    try:
        body = path.read_bytes()
    except OSError as error:
        raise DeliveryUnusable(f"{path}: {error.strerror}") from error
    webhook = provider_named(provider).routes[0]
    return Delivery(
        {
            "version": "2.0",
            "routeKey": f"POST {webhook.path}",
            "rawPath": webhook.fixed_path,
            "headers": {"content-type": "application/json"},
            "requestContext": {
                "routeKey": f"POST {webhook.path}",
                "http": {"method": "POST", "path": webhook.fixed_path},
            },
            "body": base64.b64encode(body).decode("ascii"),
            "isBase64Encoded": True,
        }
    )


def provider_named(name: str) -> Provider:
    """Return a provider by its name.

    Raises:
        DeliveryUnusable: the provider is unknown.
    """
    provider = find_provider(name)
    if provider is None:
        raise DeliveryUnusable(f"Unknown provider {name}. Use one of: {', '.join(providers())}.")
    return provider


class NewCallIds:
    """Replaces call ids with new ones, always in the same way, so that the events of a call stay together."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def renew(self, delivery: Delivery, path: Path) -> Delivery:
        """Return the same delivery for a new call or SMS. Return it unchanged if its route needs no call id.

        Raises:
            DeliveryUnusable: neither its body nor its URL contains a call id.
        """
        request, (provider, route) = delivery.request, delivery.webhook
        if not request.body or not route.names_call:
            return delivery
        is_form = (request.header("content-type") or "").startswith(FORM)
        body = self._renewed_form(request, provider) if is_form else self._renewed_json(request, provider)
        query = tuple((name, str(self._new(value)) if name == "call" else value) for name, value in request.query)
        if body is None and query == request.query:
            raise DeliveryUnusable(f"{path}: contains no call id to replace. Leave out --new-call")
        event: HttpApiEvent = {**delivery.event, "rawQueryString": urlencode(query)}
        return Delivery({**event, "body": body, "isBase64Encoded": False} if body is not None else event)

    def _renewed_form(self, request: Request, provider: Provider) -> str | None:
        fields = parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
        ids = {text for name, text in fields if name in provider.call_ids and text}
        renewed = [(name, str(self._new(text)) if text in ids else text) for name, text in fields]
        return urlencode(renewed) if renewed != fields else None

    def _renewed_json(self, request: Request, provider: Provider) -> str | None:
        try:
            document = json.loads(request.body)
        except ValueError:
            return None
        renewed = self._renewed(document, provider) if isinstance(document, dict) else document
        return json.dumps(renewed) if renewed != document else None

    def _renewed(self, document: Mapping[str, object], provider: Provider) -> dict[str, object]:
        renewed = {name: self._new(value) for name, value in document.items() if name in provider.call_ids and value}
        nested = {name: document[name] for name in provider.nested if name in document}
        inner = {name: self._renewed(value, provider) for name, value in nested.items() if isinstance(value, dict)}
        return {**document, **renewed, **inner}

    def _new(self, old: object) -> object:
        is_number = str(old).isdigit()
        new = self._known.setdefault(str(old), str(secrets.randbelow(10**9)) if is_number else str(uuid.uuid4()))
        return int(new) if isinstance(old, int) else new


_TIME = re.compile(
    r'"(?P<day>\d{4}-\d\d-\d\d)(?P<t>[T ])(?P<time>\d\d:\d\d:\d\d)(?P<fraction>\.\d{1,6})?(?P<zone>Z|\+00:00)?"',
    re.ASCII,
)


def starting_at(start: datetime, deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Return the same deliveries, with all times in their bodies shifted so that the earliest one is `start`."""
    bodies = [delivery.request.body.decode("utf-8", "surrogateescape") for delivery in deliveries]
    times = [_time(found) for body in bodies for found in _TIME.finditer(body)]
    if not times:
        return list(deliveries)
    shift = start.astimezone(UTC).replace(microsecond=0) - min(times).replace(microsecond=0)

    def shifted(found: re.Match[str]) -> str:
        text = f"{_time(found) + shift:%Y-%m-%d{found['t']}%H:%M:%S}"
        return f'"{text}{found["fraction"] or ""}{found["zone"] or ""}"'

    return [
        Delivery(
            {
                **delivery.event,
                "body": base64.b64encode(_TIME.sub(shifted, body).encode("utf-8", "surrogateescape")).decode("ascii"),
                "isBase64Encoded": True,
            }
        )
        for delivery, body in zip(deliveries, bodies, strict=True)
    ]


def _time(found: re.Match[str]) -> datetime:
    return datetime.fromisoformat(f"{found['day']}T{found['time']}").replace(tzinfo=UTC)


def as_sent_by(
    provider: str, delivery: Delivery, credentials: Credentials, now: datetime, *, base_url: str
) -> Delivery:
    """Return the delivery as its provider would send it now, with its credentials, signature or URL token.

    `base_url` is the public URL of the receiving API, which some signatures cover; empty for the host in the event.
    """
    request = delivery.request
    sent = provider_named(provider).sign(request, Signing(credentials, now, base_url))
    event: HttpApiEvent = {**delivery.event, "headers": dict(sent.headers)}
    if sent.raw_query != request.raw_query:
        event = {**event, "rawQueryString": sent.raw_query}
    if sent.path != request.path:
        context: Any = delivery.event["requestContext"]
        event = {
            **event,
            "rawPath": sent.path,
            "pathParameters": dict(sent.path_parameters),
            "requestContext": {**context, "http": {**context["http"], "path": sent.path}},
        }
    return Delivery(event)


def credentials_from_env_vars(path: Path, provider: str) -> Credentials:
    """Return a provider's credentials from a `sam local --env-vars` file.

    Raises:
        DeliveryUnusable: the file does not contain them.
    """
    known = provider_named(provider)
    function = known.routes[0].function
    try:
        variables: Mapping[str, str] = json.loads(path.read_text("utf-8"))[function]
        return credentials_in((secret, json.loads(variables[secret.variable])) for secret in known.secrets)
    except OSError as error:
        raise DeliveryUnusable(f"{path}: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DeliveryUnusable(f"{path}: contains no credentials for {function}") from error
