"""SIP clients as jambonz reports them, and a warm container of the function that authenticates them."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from botocore.exceptions import ClientError
from callhooks.events.event_item import Item
from callhooks.providers.jambonz.authentication import DEFAULT_SIGNATURE_HEADER, JambonzCredentials
from callhooks.providers.jambonz.client_auth import ClientAuth, ClientAuthWebhook
from callhooks.providers.jambonz.sip_clients import Client, ClientStore, client_item
from callhooks.webhooks.pipeline import Receiver

from tests.support import (
    Answer,
    Clock,
    Event,
    FakeDynamoDB,
    FakeQueue,
    FakeSecrets,
    credential_store,
    detail_attributes,
    get_writer_of,
    signed_event,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PATH = "/webhooks/client-auth"
REALM = "sip.example.com"
ADDRESS = "192.0.2.44"
JANES_PASSWORD = "s3cr3t"
"""Password of the client in the recordings client_auth_*.json."""

_REQUESTS = itertools.count()


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def client(username: str = "jane", realm: str = REALM, password: str = JANES_PASSWORD, **members: Any) -> Client:
    return Client(username, realm, md5(f"{username}:{realm}:{password}"), **members)


def attempt(
    *,
    password: str = JANES_PASSWORD,
    method: str = "REGISTER",
    username: str = "jane",
    realm: str = REALM,
    nonce: str = "InFriVGWVoKeCckYrTx7wg==",
    nc: str | None = "00000001",
    cnonce: str | None = "03d8d2aafd5a975f",
    qop: str | None = "auth",
    **members: object,
) -> dict[str, Any]:
    """Return the body that jambonz posts for a client with this password; `members` override its members."""
    uri = f"sip:{realm}"
    response = ":".join(
        [
            md5(f"{username}:{realm}:{password}"),
            nonce,
            *([nc or "", cnonce] if cnonce else []),
            *([qop] if qop else []),
            md5(f"{method}:{uri}"),
        ]
    )
    document: dict[str, Any] = {
        "source_address": ADDRESS,
        "source_port": 5060,
        "method": method,
        "headers": {"call-id": "reg-1@192.0.2.44", "User-Agent": "ExampleSoftphone/1.0"},
        "expires": 3600 if method == "REGISTER" else None,
        "scheme": "digest",
        "username": username,
        "realm": realm,
        "nonce": nonce,
        "uri": uri,
        "algorithm": "MD5",
        "response": md5(response),
        "nc": nc,
        "cnonce": cnonce,
        "qop": qop,
        **members,
    }
    return {name: value for name, value in document.items() if value is not None or name == "expires"}


@dataclass
class FakeClientsTable:
    """Fake of the DynamoDB operations that the store of clients uses; `faults` make an operation fail."""

    items: dict[str, Item] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    faults: dict[str, Exception] = field(default_factory=dict)
    lose_reply: bool = False

    def get_item(self, *, Key: Item, ConsistentRead: bool, **_: object) -> dict[str, Any]:  # noqa: N803
        assert ConsistentRead
        self._called("GetItem")
        item = self.items.get(Key["pk"]["S"])
        return {} if item is None else {"Item": item}

    def put_item(self, *, Item: Item, ConditionExpression: str, **_: object) -> None:  # noqa: N803
        assert ConditionExpression == "attribute_not_exists(pk)"
        self._called("PutItem")
        key = Item["pk"]["S"]
        if self.lose_reply:
            self.items.setdefault(key, Item)
        if key in self.items:
            reply: Any = {"Error": {"Code": "ConditionalCheckFailedException"}, "Item": self.items[key]}
            raise ClientError(reply, "PutItem")
        self.items[key] = Item

    def update_item(self, *, Key: Item, ExpressionAttributeValues: Item, **_: object) -> dict[str, Any]:  # noqa: N803
        self._called("UpdateItem")
        item = self.items.setdefault(Key["pk"]["S"], {**Key, "failures": {"N": "0"}})
        item["failures"] = {"N": str(int(item["failures"]["N"]) + int(ExpressionAttributeValues[":one"]["N"]))}
        item["expires_at"] = ExpressionAttributeValues[":later"]
        return {"Attributes": item}

    def _called(self, operation: str) -> None:
        self.calls.append(operation)
        if operation in self.faults:
            raise self.faults[operation]

    def as_client(self) -> DynamoDBClient:
        client: Any = self
        return client  # type: ignore[no-any-return]


@dataclass
class ClientContainer:
    """Warm container of the client authentication function; the client jane is registered in its table."""

    clients: FakeClientsTable = field(default_factory=FakeClientsTable)
    database: FakeDynamoDB = field(default_factory=FakeDynamoDB)
    queue: FakeQueue = field(default_factory=FakeQueue, kw_only=True)
    secrets: FakeSecrets = field(default_factory=FakeSecrets)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.add(client())
        self.receiver: Receiver[JambonzCredentials, ClientAuth] = Receiver(
            ClientAuthWebhook(
                ClientStore(self.clients.as_client(), "clients"), signature_header=DEFAULT_SIGNATURE_HEADER
            ),
            credentials=credential_store(self.secrets, self.clock),
            get_writer=get_writer_of(self.database, self.queue),
            clock=self.clock,
            retention_days=90,
        )

    def add(self, client: Client) -> None:
        item = client_item(client)
        self.clients.items[item["pk"]["S"]] = item

    def receive(self, event: Event) -> Answer:
        return Answer(**self.receiver.receive(event))

    def post(self, document: object, **changes: Any) -> Answer:
        """Post a document as a separate request, signed now."""
        changes = {"path": PATH, "request_id": f"request-{next(_REQUESTS)}", **changes}
        return self.receive(signed_event(document, now=self.clock.now, **changes))

    def get(self, document: dict[str, Any]) -> Answer:
        members = {name: "null" if value is None else value for name, value in document.items() if name != "headers"}
        return self.post("", method="GET", query=urlencode(members))

    def result(self, document: object, **changes: Any) -> dict[str, Any]:
        """Post a document and return the body of the response, which is always 200."""
        return result_of(self.post(document, **changes))

    @property
    def kinds(self) -> list[str]:
        """The kinds of all stored events, in the order of their arrival."""
        return [item["kind"]["S"] for item in self.database.items.values()]

    @property
    def details(self) -> dict[str, Any]:
        """The details of the only event."""
        details = detail_attributes(self.database.item)
        return {name: next(iter(value.values())) for name, value in details.items()}


def result_of(answer: Answer) -> dict[str, Any]:
    assert (answer.statusCode, answer.headers["content-type"]) == (200, "application/json")
    document: dict[str, Any] = json.loads(answer.body)
    return document
