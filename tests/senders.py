"""Test senders for Wavix, Bird, VoIPstudio and jambonz's events, each with a warm container of its function."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from callhooks.events.event_item import Item
from callhooks.providers import bird
from callhooks.providers.bird import BirdWebhook, SubscriptionFilter, read_signing_keys
from callhooks.providers.jambonz.authentication import (
    DEFAULT_SIGNATURE_HEADER,
    basic_header_value,
    read_credentials,
    signature_header_value,
)
from callhooks.providers.jambonz.events import EventWebhook
from callhooks.providers.url_token import Networks, read_tokens
from callhooks.providers.voipstudio import VoipstudioWebhook
from callhooks.providers.wavix import WavixWebhook
from callhooks.webhooks.credentials import CredentialStore
from callhooks.webhooks.pipeline import Receiver

from tests.support import (
    EVENTS,
    NOW,
    PASSWORD,
    PUBLIC_URL,
    USERNAME,
    WEBHOOK_SECRET,
    Answer,
    Clock,
    Event,
    FakeDynamoDB,
    FakeQueue,
    FakeSecrets,
    detail_attributes,
    get_writer_of,
)

TOKEN = "tok3n"
SIGNING_KEY = "mysecretkey"
CHANNEL = "6d0c1f0e-97c1-4f3e-9b0f-2a3f5b7c9d10"


_REQUESTS = itertools.count()


@dataclass
class Sender:
    """Provider, and a warm container of the function that it calls."""

    provider: str
    receiver: Callable[[Sender], Receiver[Any, Any]]
    secret: Mapping[str, object]
    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    sign: Callable[[Event, datetime], Event] = lambda event, _now: event
    database: FakeDynamoDB = field(default_factory=FakeDynamoDB)
    queue: FakeQueue = field(default_factory=FakeQueue, kw_only=True)
    secrets: FakeSecrets = field(default_factory=FakeSecrets)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.secrets.text = json.dumps(self.secret)
        self._receiver = self.receiver(self)

    def another_container(self) -> Sender:
        """Return a new container of the same function with the same table."""
        return replace(self)

    def receive(self, event: Event) -> Answer:
        """Deliver an event as a separate request."""
        context = {**event["requestContext"], "requestId": f"request-{next(_REQUESTS)}"}
        return self.deliver({**event, "requestContext": context})

    def deliver(self, event: Event) -> Answer:
        """Deliver an event unchanged."""
        return Answer(**self._receiver.receive(event))

    def event(self, body: object, **changes: Any) -> Event:
        """Return a delivery in API Gateway's format. `body` is a document, a text, or raw bytes (base64 encoded)."""
        raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        event = http_event(raw, path=self.path, parameters=self.parameters, encoded=isinstance(body, bytes))
        return self.sign({**event, **changes}, self.clock.now)

    def send(self, body: object, **changes: Any) -> Answer:
        return self.receive(self.event(body, **changes))

    def stored(self, body: object, **changes: Any) -> Stored:
        """Send a delivery that must be accepted, and return the stored event."""
        assert self.send(body, **changes).statusCode == 200
        return Stored(self.database.item)

    @property
    def items(self) -> list[Item]:
        return list(self.database.items.values())


@dataclass(frozen=True)
class Stored:
    """Item of the table, with easy access to its values."""

    item: Item

    def __getitem__(self, name: str) -> str:
        return str(self.item[name]["S"])

    def get(self, name: str) -> str | None:
        return self[name] if name in self.item else None

    @property
    def details(self) -> dict[str, object]:
        details = detail_attributes(self.item)
        return {name: next(iter(value.values())) for name, value in details.items()}


def http_event(
    raw: bytes,
    *,
    path: str,
    parameters: Mapping[str, str],
    method: str = "POST",
    encoded: bool = False,
    source: str = "198.51.100.20",
) -> Event:
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {
            "domainName": "abcdef1234.execute-api.us-east-1.amazonaws.com",
            "http": {"method": method, "path": path, "sourceIp": source},
            "routeKey": f"{method} /webhooks/recorded",
        },
        "pathParameters": dict(parameters),
        "body": base64.b64encode(raw).decode() if encoded else raw.decode(),
        "isBase64Encoded": encoded,
    }


def signed_by_bird(event: Event, *, key: str = SIGNING_KEY, now: datetime = NOW, public_url: str = PUBLIC_URL) -> Event:
    """Return the delivery with Bird's signature."""
    body = _raw_body(event)
    timestamp = str(int(now.timestamp()))
    query = f"?{event['rawQueryString']}" if event["rawQueryString"] else ""
    signature = bird.sign(key, timestamp, f"{public_url}{event['rawPath']}{query}", body)
    headers = {bird.TIMESTAMP_HEADER: timestamp, bird.SIGNATURE_HEADER: signature}
    return {**event, "headers": {**event["headers"], **headers}}


def signed_by_jambonz(event: Event, now: datetime) -> Event:
    """Return the delivery with jambonz's credentials and signature."""
    signature = signature_header_value(WEBHOOK_SECRET, now, _raw_body(event))
    credentials = {"authorization": basic_header_value(USERNAME, PASSWORD), "jambonz-signature": signature}
    return {**event, "headers": {**event["headers"], **credentials}}


def _raw_body(event: Event) -> bytes:
    return base64.b64decode(event["body"]) if event["isBase64Encoded"] else str(event["body"]).encode()


def _receiver(sender: Sender, webhook: Any, read_credentials: Any) -> Receiver[Any, Any]:
    return Receiver(
        webhook,
        credentials=CredentialStore(
            ["credentials"],
            build=read_credentials,
            read_secret=sender.secrets.read,
            monotonic=sender.clock.monotonic,
        ),
        get_writer=get_writer_of(sender.database, sender.queue),
        clock=sender.clock,
        retention_days=90,
    )


def wavix(*, allowed: Networks = (), **changes: Any) -> Sender:
    return Sender(
        provider="wavix",
        receiver=lambda sender: _receiver(sender, WavixWebhook(allowed=allowed), read_tokens),
        secret=changes.pop("secret", {"token": TOKEN}),
        path=f"/webhooks/wavix/{TOKEN}",
        parameters={"token": TOKEN},
        **changes,
    )


def voipstudio(*, allowed: Networks = (), **changes: Any) -> Sender:
    return Sender(
        provider="voipstudio",
        receiver=lambda sender: _receiver(sender, VoipstudioWebhook(allowed=allowed), read_tokens),
        secret=changes.pop("secret", {"token": TOKEN}),
        path=f"/webhooks/voipstudio/{TOKEN}",
        parameters={"token": TOKEN},
        **changes,
    )


def bird_voice(
    *,
    public_url: str = PUBLIC_URL,
    window: timedelta = timedelta(hours=24),
    wanted: SubscriptionFilter | None = None,
    channel_id: str | None = None,
    **changes: Any,
) -> Sender:
    webhook = BirdWebhook(public_url=public_url, window=window, wanted=wanted or SubscriptionFilter())
    return Sender(
        provider="bird",
        receiver=lambda sender: _receiver(sender, webhook, read_signing_keys),
        secret=changes.pop("secret", {"signing_key": SIGNING_KEY}),
        path=f"/webhooks/bird/{channel_id}" if channel_id else "/webhooks/bird",
        parameters={"channel_id": channel_id} if channel_id else {},
        sign=lambda event, _now: signed_by_bird(event),
        **changes,
    )


def jambonz_event(**changes: Any) -> Sender:
    webhook = EventWebhook(signature_header=DEFAULT_SIGNATURE_HEADER)
    return Sender(
        provider="jambonz",
        receiver=lambda sender: _receiver(
            sender, webhook, partial(read_credentials, signature_header=DEFAULT_SIGNATURE_HEADER)
        ),
        secret={"username": USERNAME, "password": PASSWORD, "webhook_secrets": [WEBHOOK_SECRET]},
        path="/webhooks/call/events",
        sign=signed_by_jambonz,
        **changes,
    )


SENDERS: dict[str, Callable[[], Sender]] = {"wavix": wavix, "bird": bird_voice, "voipstudio": voipstudio}


def document_of(provider: str, name: str) -> dict[str, Any]:
    """Return the JSON document in a recorded delivery."""
    event = json.loads((EVENTS / provider / f"{name}.json").read_text("utf-8"))
    document: dict[str, Any] = json.loads(event["body"])
    return document
