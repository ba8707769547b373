"""Store of SIP clients, used digests and failures by address, in one table.

A client is stored with its HA1 (MD5(username:realm:password), RFC 2617), never with its password. Within the realm an
HA1 is equivalent to the password, so the table has no stream and only one function may read it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from callhooks.events.event_item import Item, key_part
from callhooks.runtime.errors import CallhooksError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

CLIENT_PREFIX = "client#"
DIGEST_RETENTION = timedelta(days=1)
FAILURE_RETENTION = timedelta(hours=2)


class ClientsUnavailable(CallhooksError):
    """The clients table is not available. The message is the error's type and contains no client data."""


@dataclass(frozen=True, slots=True)
class Client:
    """SIP client.

    `expires` is the maximum duration of its registration in seconds. `application_sid` is the jambonz application for
    its calls. With `None`, jambonz decides.
    """

    username: str
    realm: str
    ha1: str = field(repr=False)
    expires: int | None = None
    application_sid: str | None = None


@dataclass(frozen=True, slots=True)
class UsedDigest:
    """Digest response that a client has used."""

    username: str
    realm: str
    response: str


def client_key(username: str, realm: str) -> Item:
    """Return the key of a client. Both names are exact, because the digest covers their exact text."""
    return {"pk": {"S": f"{CLIENT_PREFIX}{key_part(realm)}#{key_part(username)}"}}


def client_item(client: Client) -> Item:
    """Return the item of a client."""
    item = client_key(client.username, client.realm)
    item |= {"username": {"S": client.username}, "realm": {"S": client.realm}, "ha1": {"S": client.ha1}}
    if client.expires is not None:
        item["expires_seconds"] = {"N": str(client.expires)}
    if client.application_sid is not None:
        item["application_sid"] = {"S": client.application_sid}
    return item


def client_of(item: Item) -> Client:
    """Return the client in an item."""
    return Client(
        username=item["username"]["S"],
        realm=item["realm"]["S"],
        ha1=item["ha1"]["S"],
        expires=int(item["expires_seconds"]["N"]) if "expires_seconds" in item else None,
        application_sid=item["application_sid"]["S"] if "application_sid" in item else None,
    )


class ClientStore:
    """Access to the clients table for their authentication. Each method makes one request."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def find(self, username: str, realm: str) -> Client | None:
        """Return the client with exactly this name and realm. The read is consistent: removal takes effect at once.

        Raises:
            ClientsUnavailable: the table could not be read.
        """
        with _raising_clients_unavailable():
            reply = self._client.get_item(
                TableName=self._table_name, Key=client_key(username, realm), ConsistentRead=True
            )
        return client_of(reply["Item"]) if "Item" in reply else None

    def claim_digest(self, used: UsedDigest, *, request_id: str, now: datetime) -> bool:
        """Mark a digest as used; return `False` if another request has used it within a day.

        The same request may claim it again, because the SDK repeats a write if the reply was lost.

        Raises:
            ClientsUnavailable: the table could not be written.
        """
        parts = [used.realm, used.username, used.response]
        item: Item = {
            "pk": {"S": f"nonce#{_hash(json.dumps(parts))}"},
            "request_id": {"S": request_id},
            "expires_at": _second(now + DIGEST_RETENTION),
        }
        with _raising_clients_unavailable():
            try:
                self._client.put_item(
                    TableName=self._table_name,
                    Item=item,
                    ConditionExpression="attribute_not_exists(pk)",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                first: Item = error.response.get("Item", {})  # type: ignore[assignment]
                return bool(request_id) and first.get("request_id") == item["request_id"]
        return True

    def count_failure(self, address: str, now: datetime) -> int:
        """Count a failure of an address and return its failures in this hour (UTC).

        Raises:
            ClientsUnavailable: the table could not be written.
        """
        with _raising_clients_unavailable():
            reply = self._client.update_item(
                TableName=self._table_name,
                Key={"pk": {"S": f"failures#{_hash(address)}#{now:%Y-%m-%dT%H}"}},
                UpdateExpression="ADD failures :one SET expires_at = :later",
                ExpressionAttributeValues={":one": {"N": "1"}, ":later": _second(now + FAILURE_RETENTION)},
                ReturnValues="UPDATED_NEW",
            )
        return int(reply["Attributes"]["failures"]["N"])


@contextmanager
def _raising_clients_unavailable() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise ClientsUnavailable(type(error).__name__) from error


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _second(moment: datetime) -> AttributeValueTypeDef:
    return {"N": str(int(moment.timestamp()))}
