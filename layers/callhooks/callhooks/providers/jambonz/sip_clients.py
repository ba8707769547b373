"""ClientStore: SIP clients, the nonce counts that they have used, and their failures by address, in one table.

A client is kept with its HA1, MD5(username:realm:password) of RFC 2617, and never with its password. For this realm an
HA1 is as good as the password, which is why the table has no stream and one function alone may read it.
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
NONCES_KEPT = timedelta(days=1)
FAILURES_KEPT = timedelta(hours=2)


class ClientsUnavailable(CallhooksError):
    """The table of clients could not be asked; names the fault and nothing that was asked for."""


@dataclass(frozen=True, slots=True)
class Client:
    """A SIP client.

    `expires` is the longest time in seconds for which it is registered, `application_sid` the jambonz application that
    takes its calls; `None` leaves either to jambonz.
    """

    username: str
    realm: str
    ha1: str = field(repr=False)
    expires: int | None = None
    application_sid: str | None = None


@dataclass(frozen=True, slots=True)
class NonceCount:
    """A nonce and its count (`nc`) as a client has used them, as texts: what differs in them differs in the digest."""

    username: str
    realm: str
    nonce: str
    nc: str


def client_key(username: str, realm: str) -> Item:
    """The key of a client. Both names are exact: a digest is made of them as they are written."""
    return {"pk": {"S": f"{CLIENT_PREFIX}{key_part(realm)}#{key_part(username)}"}}


def client_item(client: Client) -> Item:
    """A client as it is kept."""
    item = client_key(client.username, client.realm)
    item |= {"username": {"S": client.username}, "realm": {"S": client.realm}, "ha1": {"S": client.ha1}}
    if client.expires is not None:
        item["expires_seconds"] = {"N": str(client.expires)}
    if client.application_sid is not None:
        item["application_sid"] = {"S": client.application_sid}
    return item


def client_of(item: Item) -> Client:
    """The client in an item."""
    return Client(
        username=item["username"]["S"],
        realm=item["realm"]["S"],
        ha1=item["ha1"]["S"],
        expires=int(item["expires_seconds"]["N"]) if "expires_seconds" in item else None,
        application_sid=item["application_sid"]["S"] if "application_sid" in item else None,
    )


class ClientStore:
    """The table of clients, as far as their authentication needs it; each method is one request."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def find(self, username: str, realm: str) -> Client | None:
        """The client of exactly this name and realm; one that was removed is not found any more, at once.

        Raises:
            ClientsUnavailable: the table could not be read.
        """
        with _faults_named():
            reply = self._client.get_item(
                TableName=self._table_name, Key=client_key(username, realm), ConsistentRead=True
            )
        return client_of(reply["Item"]) if "Item" in reply else None

    def claim_nonce(self, used: NonceCount, *, request_id: str, now: datetime) -> bool:
        """Whether this nonce count is used for the first time within a day; it counts as used from here on.

        A request that has claimed it may claim it again: a write whose reply was lost, and that the SDK sent again,
        meets itself.

        Raises:
            ClientsUnavailable: the table could not be written.
        """
        parts = [used.realm, used.username, used.nonce, used.nc]
        item: Item = {
            "pk": {"S": f"nonce#{_hash(json.dumps(parts))}"},
            "request_id": {"S": request_id},
            "expires_at": _second(now + NONCES_KEPT),
        }
        with _faults_named():
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
        """Count a failure of an address, and tell how many it has had in this hour (UTC).

        Raises:
            ClientsUnavailable: the table could not be written.
        """
        with _faults_named():
            reply = self._client.update_item(
                TableName=self._table_name,
                Key={"pk": {"S": f"failures#{_hash(address)}#{now:%Y-%m-%dT%H}"}},
                UpdateExpression="ADD failures :one SET expires_at = :later",
                ExpressionAttributeValues={":one": {"N": "1"}, ":later": _second(now + FAILURES_KEPT)},
                ReturnValues="UPDATED_NEW",
            )
        return int(reply["Attributes"]["failures"]["N"])


@contextmanager
def _faults_named() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise ClientsUnavailable(type(error).__name__) from error


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _second(moment: datetime) -> AttributeValueTypeDef:
    return {"N": str(int(moment.timestamp()))}
