"""Shared test helpers: API Gateway events, fakes of AWS services, and a clock that the test sets."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlencode

from botocore.exceptions import ClientError
from callhooks.events.event_item import QUARANTINE, Item, details_of_item, unpack_item
from callhooks.events.event_table import EventStore
from callhooks.events.event_writer import UNSTORED_MARKER, EventWriter
from callhooks.events.spill_queue import SpillQueue
from callhooks.providers.jambonz.authentication import (
    DEFAULT_SIGNATURE_HEADER,
    JambonzCredentials,
    basic_header_value,
    read_credentials,
    signature_header_value,
)
from callhooks.providers.jambonz.new_call import NewCall, NewCallWebhook
from callhooks.providers.jambonz.plan.call_signature import call_signature
from callhooks.providers.jambonz.plan.patterns import PartyPattern
from callhooks.providers.jambonz.plan.plan import Flow, Plan, Route
from callhooks.webhooks.credentials import CredentialStore
from callhooks.webhooks.pipeline import Receiver
from callhooks_tools.stack.template import read_template

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

Event: TypeAlias = dict[str, Any]

ROOT = Path(__file__).resolve().parents[1]
EVENTS = ROOT / "events"
JAMBONZ_EVENT_PATHS = ("/webhooks/call/events", "/adulting", "/streaming-event", "/tokens-result")
MAX_ITEM_BYTES = 400 * 1024
NOW = datetime(2026, 11, 21, 6, 30, 0, 250_000, tzinfo=UTC)
USERNAME, PASSWORD = "jambonz", "s3cr3t"
PUBLIC_URL = "https://hooks.example.com"
LONG_TEXT = Random(4711).randbytes(20_000).hex()  # noqa: S311 - no secret
"""40,000 characters that cannot be compressed to less than 20 KB."""
SPILL_QUEUE_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/spill"
WEBHOOK_SECRET = "wh_secret_cJqgtMDPzDhhnjmaJH6Mtk"
RECEPTION = [{"verb": "say", "text": "Welcome"}, {"verb": "hangup"}]
VOICEMAIL = [{"verb": "say", "text": "Leave a message"}]
APOLOGY = [{"verb": "say", "text": "Sorry"}]

PLAN = Plan(
    routes=(Route("reception", to=(PartyPattern("14155550123"),)), Route("voicemail")),
    flows={"reception": Flow(RECEPTION), "voicemail": Flow(VOICEMAIL)},
    fallback=APOLOGY,
)


@dataclass
class Clock:
    """A clock that only moves when the test advances it."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class FakeDynamoDB:
    """The part of DynamoDB's PutItem that the store uses.

    `fault` makes it fail; `lose_reply` makes the first reply get lost after the write; `refuses_events` rejects all
    items except quarantined ones.
    """

    items: dict[tuple[str, str], Item] = field(default_factory=dict)
    calls: int = 0
    fault: Exception | None = None
    lose_reply: bool = False
    refuses_events: bool = False

    def put_item(self, *, Item: Item, ConditionExpression: str, **_: object) -> None:  # noqa: N803
        assert ConditionExpression == "attribute_not_exists(pk)"
        self.calls += 1
        if self.fault is not None:
            raise self.fault
        refused = self.refuses_events and not Item["pk"]["S"].startswith(QUARANTINE)
        if refused or size_of({"M": Item}) > MAX_ITEM_BYTES:
            raise ClientError(PERMANENT_REJECTION, "PutItem")
        key = (Item["pk"]["S"], Item["sk"]["S"])
        if self.lose_reply:
            self.items.setdefault(key, Item)
        if key in self.items:
            reply: Any = {"Error": {"Code": "ConditionalCheckFailedException"}, "Item": self.items[key]}
            raise ClientError(reply, "PutItem")
        self.items[key] = Item

    @property
    def item(self) -> Item:
        """Return the only item."""
        (item,) = self.items.values()
        return item

    def as_client(self) -> DynamoDBClient:
        client: Any = self
        return client  # type: ignore[no-any-return]


@dataclass
class FakeQueue:
    """SQS's SendMessage and ChangeMessageVisibility; `fault` makes both fail."""

    items: list[Item] = field(default_factory=list)
    pauses: list[tuple[str, int]] = field(default_factory=list)
    fault: Exception | None = None
    clients_made: int = 0

    def send_message(self, *, QueueUrl: str, MessageBody: str) -> None:  # noqa: N803
        assert QueueUrl == SPILL_QUEUE_URL
        if self.fault is not None:
            raise self.fault
        self.items.append(unpack_item(MessageBody))

    def change_message_visibility(self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> None:  # noqa: N803
        assert QueueUrl == SPILL_QUEUE_URL
        if self.fault is not None:
            raise self.fault
        self.pauses.append((ReceiptHandle, VisibilityTimeout))

    def as_client(self) -> SQSClient:
        self.clients_made += 1
        client: Any = self
        return client  # type: ignore[no-any-return]


PERMANENT_REJECTION: Any = {"Error": {"Code": "ValidationException", "Message": "One or more values are invalid"}}
OUT_OF_ORDER = RuntimeError("out of order")


def unstored(log: str) -> list[Item]:
    """Return the items in the log that could not be stored anywhere else."""
    lines = [json.loads(line) for line in log.splitlines() if UNSTORED_MARKER in line]
    parts: dict[str, list[str]] = {}
    for line in lines:
        assert line["message"] == UNSTORED_MARKER
        assert line["part"] == len(parts.setdefault(line["event"], [])) + 1 <= line["parts"]
        parts[line["event"]].append(line["delivery"])
    return [unpack_item("".join(slices)) for slices in parts.values()]


def get_writer_of(store: EventStore | FakeDynamoDB, queue: FakeQueue) -> Callable[[], EventWriter]:
    """Return a function that always returns the same writer, for a receiver."""
    writer = writer_of(store, queue)
    return lambda: writer


def writer_of(store: EventStore | FakeDynamoDB, queue: FakeQueue) -> EventWriter:
    """Return a writer for this store and this queue."""
    if isinstance(store, FakeDynamoDB):
        store = EventStore(store.as_client(), "events")
    return EventWriter(store, SpillQueue(queue.as_client, SPILL_QUEUE_URL))


def detail_attributes(item: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the details of an event as DynamoDB attributes."""
    details: dict[str, dict[str, Any]] = {}
    for name, value in details_of_item(item).items():
        if isinstance(value, bool):
            details[name] = {"BOOL": value}
        else:
            details[name] = {"S": value} if isinstance(value, str) else {"N": f"{Decimal(value):f}"}
    return details


def incompressible(size: int) -> bytes:
    """Return bytes that do not compress; always the same ones."""
    return Random(4711).randbytes(size)  # noqa: S311 - no secret


def size_of(value: Any) -> int:
    """Return the approximate size of an attribute value as DynamoDB counts it."""
    ((kind, content),) = value.items()
    if kind == "M":
        return sum(len(name.encode()) + size_of(member) for name, member in content.items())
    return len(content) if kind == "B" else len(str(content).encode())


@dataclass
class FakeSecrets:
    """Secrets Manager's GetSecretValue."""

    webhook_secrets: list[str] = field(default_factory=lambda: [WEBHOOK_SECRET])
    password: str = PASSWORD
    further_passwords: list[str] = field(default_factory=list)
    reads: int = 0
    fault: Exception | None = None
    text: str | None = None
    on_read: Callable[[], None] = lambda: None

    def read(self, secret_id: str) -> str:
        self.reads += 1
        self.on_read()
        if self.fault is not None:
            raise self.fault
        values = {
            "credentials": {
                "username": USERNAME,
                "password": self.password,
                "further_passwords": self.further_passwords,
            },
            "webhook-secrets": {"webhook_secrets": self.webhook_secrets},
        }
        return json.dumps(values[secret_id]) if self.text is None else self.text


def metric_lines(printed: str) -> list[dict[str, Any]]:
    """Return the lines of the output that are in the embedded metric format."""
    return [json.loads(line) for line in printed.splitlines() if line.startswith('{"_aws"')]


@dataclass
class Container:
    """A warm Lambda container of the new-call function, with fakes for everything outside."""

    database: FakeDynamoDB = field(default_factory=FakeDynamoDB)
    queue: FakeQueue = field(default_factory=FakeQueue, kw_only=True)
    secrets: FakeSecrets = field(default_factory=FakeSecrets)
    clock: Clock = field(default_factory=Clock)
    plan: Plan = PLAN
    public_url: str = PUBLIC_URL

    def __post_init__(self) -> None:
        self.receiver: Receiver[JambonzCredentials, NewCall] = Receiver(
            NewCallWebhook(self.plan, signature_header=DEFAULT_SIGNATURE_HEADER, public_url=self.public_url),
            credentials=credential_store(self.secrets, self.clock),
            get_writer=get_writer_of(self.database, self.queue),
            clock=self.clock,
            retention_days=90,
        )

    def receive(self, event: Event) -> Answer:
        return Answer(**self.receiver.receive(event))

    def receive_call(self, document: object, **changes: Any) -> Answer:
        return self.receive(signed_event(document, now=self.clock.now, **changes))


@dataclass(frozen=True)
class Answer:
    """A response to API Gateway."""

    statusCode: int  # noqa: N815 - payload format 2.0
    headers: dict[str, str]
    body: str
    cookies: list[str] = field(default_factory=list)

    @property
    def verbs(self) -> object:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def problem(self) -> dict[str, object]:
        assert self.headers["content-type"] == "application/problem+json"
        problem: dict[str, object] = json.loads(self.body)
        assert problem["status"] == self.statusCode
        return problem

    @property
    def replayed(self) -> bool:
        return self.headers.get("idempotent-replayed") == "true"


def credential_store(secrets: FakeSecrets, clock: Clock) -> CredentialStore[JambonzCredentials]:
    return CredentialStore(
        ["credentials", "webhook-secrets"],
        build=lambda values: read_credentials(values, signature_header=DEFAULT_SIGNATURE_HEADER),
        read_secret=secrets.read,
        monotonic=clock.monotonic,
    )


def call_in_url(call_id: str, *, key: str = WEBHOOK_SECRET) -> str:
    """Return the query of a hook URL with a call signed by callhooks."""
    return urlencode({"call": call_id, "sig": call_signature(key, call_id)}, errors="surrogatepass")


def recorded(name: str) -> Event:
    """Return a recorded delivery of jambonz from events/, unsigned."""
    event: Event = json.loads((EVENTS / "jambonz" / f"{name}.json").read_text("utf-8"))
    return event


def body_of(name: str) -> dict[str, Any]:
    """Return the document of a recorded delivery."""
    document: dict[str, Any] = json.loads(recorded(name).get("body") or "null")
    return document


def signed(event: Event, *, now: datetime = NOW, secret: str = WEBHOOK_SECRET) -> Event:
    """Return a recorded delivery with a signature of this time."""
    body = (event.get("body") or "").encode()
    headers = {**event["headers"], "jambonz-signature": signature_header_value(secret, now, body)}
    return {**event, "headers": headers}


def signed_event(
    body: object,
    *,
    now: datetime = NOW,
    secret: str = WEBHOOK_SECRET,
    method: str = "POST",
    path: str = "/webhooks/call",
    query: str = "",
    headers: Mapping[str, str] | None = None,
    request_id: str = "request-1",
    base64_encoded: bool = False,
) -> Event:
    """Return an HTTP API event with jambonz's credentials; `body` is a document, a text, or bytes (sent as base64)."""
    raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    base64_encoded = base64_encoded or isinstance(body, bytes)
    return {
        "rawPath": path,
        "rawQueryString": query,
        "headers": {
            "authorization": basic_header_value(USERNAME, PASSWORD),
            "content-type": "application/json",
            "jambonz-signature": signature_header_value(secret, now, raw),
            **(headers or {}),
        },
        "requestContext": {"http": {"method": method, "path": path}, "requestId": request_id},
        "body": base64.b64encode(raw).decode() if base64_encoded else raw.decode(),
        "isBase64Encoded": base64_encoded,
    }


def without_header(event: Event, name: str) -> Event:
    return {**event, "headers": {key: value for key, value in event["headers"].items() if key != name}}


def with_header(event: Event, name: str, value: str) -> Event:
    return {**event, "headers": {**event["headers"], name: value}}


@cache
def template() -> dict[str, Any]:
    """Return template.yaml with intrinsic functions in their long form."""
    return read_template(ROOT / "template.yaml")


def resource(logical_id: str) -> dict[str, Any]:
    """Return the properties of a resource of the template."""
    properties: dict[str, Any] = template()["Resources"][logical_id]["Properties"]
    return properties


def create_table(client: DynamoDBClient, name: str, logical_id: str) -> None:
    """Create a table exactly as the template describes it."""
    properties = resource(logical_id)
    members = {"BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes"} & set(properties)
    client.create_table(TableName=name, **{member: properties[member] for member in members})
