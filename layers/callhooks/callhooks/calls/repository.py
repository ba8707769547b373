"""CallStore: read the events of a call, and read and write the call's own item.

A call is a function of its events, so an item is only replaced by one built from more events.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from callhooks.calls.call import Call, CallSummary
from callhooks.events.call_event import CallEvent
from callhooks.events.event_item import EVENT_PREFIX, Item, event_of_item, partition_key, party_key
from callhooks.runtime.errors import CallhooksError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, PutItemInputTypeDef, QueryInputTypeDef

CALL = "call"
DAY_SHARDS = 8
"""The number of index partitions for the calls of a day.

A partition accepts 1,000 writes a second, and a call costs about four: 2,000 new calls a second in total. Listing a day
queries every partition.
"""

MAX_BATCH_KEYS = 100
"""The limit of one BatchGetItem."""

_ROUNDS = 3
_EVENT_ATTRIBUTES = (
    "sk",
    "provider",
    "call_id",
    "kind",
    "event_name",
    "status",
    "direction",
    "from",
    "to",
    "occurred_at",
    "received_at",
    "details",
    "body",
    "body_encoding",
    "expires_at",
)
_VERSION = ("fold_version", "event_count")
_NEWER = "attribute_not_exists(pk) OR fold_version < :version OR (fold_version = :version AND event_count < :count)"


@dataclass(frozen=True, slots=True)
class CallEvents:
    """The events of a call, and the epoch second at which the last one expires; `None` if they never expire."""

    events: tuple[CallEvent, ...]
    expires_at: int | None


class OutOfTime(CallhooksError):
    """The events of a call could not all be read in the remaining time."""


class ReadsThrottled(CallhooksError):
    """DynamoDB is throttled: after several attempts, it still returned only some of the calls."""


def calls_at(client: DynamoDBClient, table_name: str, keys: Iterable[str]) -> Iterator[Item]:
    """Yield the items of at most `MAX_BATCH_KEYS` calls by their partition keys, in any order.

    Raises:
        ReadsThrottled: DynamoDB is throttled.
        ClientError, BotoCoreError: the table could not be read.
    """
    pending: Sequence[Item] = [{"pk": {"S": key}, "sk": {"S": CALL}} for key in sorted(set(keys))]
    for _ in range(_ROUNDS):
        if not pending:
            return
        reply = client.batch_get_item(RequestItems={table_name: {"Keys": pending}})
        yield from reply["Responses"].get(table_name, [])
        unprocessed = reply.get("UnprocessedKeys", {}).get(table_name)
        pending = unprocessed["Keys"] if unprocessed else []
    if pending:
        raise ReadsThrottled


class CallStore:
    """Access to the calls in the events table, and to their events."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def events_of(self, pk: str, *, has_time: Callable[[], bool] = lambda: True) -> CallEvents:
        """Return all events of a call, with consistent reads, page by page while `has_time`.

        Raises:
            OutOfTime: there was not enough time for all pages.
            ClientError, BotoCoreError: the table could not be read.
            KeyError, ValueError: an item is not a valid event.
        """
        items = list(self._query(pk, _EVENT_ATTRIBUTES, has_time))
        expiries = [int(item["expires_at"]["N"]) for item in items if "expires_at" in item]
        return CallEvents(
            tuple(event_of_item(item) for item in items),
            max(expiries) if expiries and len(expiries) == len(items) else None,
        )

    def items_of(self, pk: str) -> Iterator[Item]:
        """Return the complete items of all events of a call, with body and answer.

        Raises:
            ClientError, BotoCoreError: the table could not be read.
        """
        return self._query(pk, (), lambda: True)

    def event_at(self, pk: str, sk: str) -> CallEvent | None:
        """Return an event by its key; `None` if it no longer exists.

        Raises:
            ClientError, BotoCoreError: the table could not be read.
            KeyError, ValueError: the item is not a valid event.
        """
        item = self._get(pk, sk)
        return None if item is None else event_of_item(item)

    def item_of(self, pk: str) -> Item | None:
        """Return the item of a call; `None` if there is none.

        Raises:
            ClientError, BotoCoreError: the table could not be read.
        """
        return self._get(pk, CALL)

    def write_if_newer(self, pk: str, call: Call, *, expires_at: int | None) -> bool:
        """Write a call's item; return `False` if the stored item was built from as many events or more.

        Raises:
            ClientError, BotoCoreError: the write failed.
        """
        return self._put_if(
            call_item(pk, call, expires_at=expires_at),
            _NEWER,
            {":version": {"N": str(call.fold_version)}, ":count": {"N": str(call.event_count)}},
        )

    def replace(self, pk: str, call: Call, *, expires_at: int | None, seen: Item | None) -> bool:
        """Replace the call's item that was read; return `False` if it has changed since then.

        Raises:
            ClientError, BotoCoreError: the write failed.
        """
        version = {name: seen[name] for name in _VERSION if name in seen} if seen else {}
        conditions = [f"{name} = :{name}" if name in version else f"attribute_not_exists({name})" for name in _VERSION]
        return self._put_if(
            call_item(pk, call, expires_at=expires_at),
            " AND ".join(conditions),
            {f":{name}": value for name, value in version.items()},
        )

    def _put_if(self, item: Item, condition: str, values: Item) -> bool:
        request: PutItemInputTypeDef = {
            "TableName": self._table_name,
            "Item": item,
            "ConditionExpression": condition,
        }
        if values:
            request["ExpressionAttributeValues"] = values
        try:
            self._client.put_item(**request)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return False
        return True

    def _get(self, pk: str, sk: str) -> Item | None:
        reply = self._client.get_item(
            TableName=self._table_name, Key={"pk": {"S": pk}, "sk": {"S": sk}}, ConsistentRead=True
        )
        return reply.get("Item")

    def _query(self, pk: str, attributes: tuple[str, ...], has_time: Callable[[], bool]) -> Iterator[Item]:
        query: QueryInputTypeDef = {
            "TableName": self._table_name,
            "KeyConditionExpression": "pk = :pk AND begins_with(sk, :events)",
            "ExpressionAttributeValues": {":pk": {"S": pk}, ":events": {"S": EVENT_PREFIX}},
            "ConsistentRead": True,
        }
        if attributes:
            names = {f"#{number}": name for number, name in enumerate(attributes)}
            query |= {"ProjectionExpression": ", ".join(names), "ExpressionAttributeNames": names}
        while True:
            reply = self._client.query(**query)
            yield from reply["Items"]
            if "LastEvaluatedKey" not in reply:
                return
            if not has_time():
                raise OutOfTime
            query["ExclusiveStartKey"] = reply["LastEvaluatedKey"]


def call_item(pk: str, call: Call, *, expires_at: int | None) -> Item:
    """Return the item of a call: its members as attributes, and the keys of the indexes."""
    members = call.model_dump(by_alias=True, exclude_none=True)
    item: Item = {name: _attribute(value) for name, value in members.items() if value not in ("", (), {})}
    keys = {"pk": pk, "sk": CALL, "day_shard": day_shard(members["started_at"][:10], shard_of(pk))}
    if call.from_:
        keys["from_party"] = party_key(call.from_)
    if call.to:
        keys["to_party"] = party_key(call.to)
    # A call that is its own conversation is found by its own key.
    item.pop("conversation_id")
    if call.conversation_id != call.call_id:
        keys["conversation_id"] = partition_key(call.provider, call.conversation_id)
    item |= {name: {"S": key} for name, key in keys.items()}
    if expires_at is not None:
        item["expires_at"] = {"N": str(expires_at)}
    return item


def summary_of_item(item: Mapping[str, AttributeValueTypeDef]) -> CallSummary:
    """Return the call in an item or in its index entry.

    Raises:
        ValidationError: the item is not a call.
    """
    return CallSummary.model_validate({name: _plain(item[name]) for name in _SUMMARY_MEMBERS if name in item})


def day_shard(day: str, shard: int) -> str:
    """Return the partition key of the index by day: `2026-11-21#3`."""
    return f"{day}#{shard}"


def shard_of(pk: str) -> int:
    """Return the shard of a call, which never changes."""
    return zlib.crc32(pk.encode("utf-8")) % DAY_SHARDS


_SUMMARY_MEMBERS = [field.alias or name for name, field in CallSummary.model_fields.items()]


def _plain(value: AttributeValueTypeDef) -> str | bool | int | float | list[str]:
    if "L" in value:
        return [text["S"] for text in value["L"]]
    if "N" not in value:
        return value["BOOL"] if "BOOL" in value else value["S"]
    number = float(value["N"])
    return int(number) if number.is_integer() else number


def _attribute(value: object) -> AttributeValueTypeDef:
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int | float | Decimal):
        return {"N": f"{Decimal(str(value)):f}"}
    if isinstance(value, list | tuple):
        return {"L": [_attribute(one) for one in value]}
    if isinstance(value, Mapping):
        return {"M": {name: _attribute(one) for name, one in value.items()}}
    return {"S": str(value)}
