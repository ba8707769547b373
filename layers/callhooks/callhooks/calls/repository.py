"""CallStore: the events of a call read back, and the call's own item.

A call is a function of its events, so that its item is written over only by one that more events went into.
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
"""How many partitions of the index the calls of a day are spread over.

A partition takes 1,000 writes a second, and a call costs about four: 2,000 new calls a second in all. A list of a day
asks each of them.
"""

MAX_AT_ONCE = 100
"""What one BatchGetItem takes."""

_ROUNDS = 3
_READ_OF_AN_EVENT = (
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
    """The events of a call, and the epoch second at which the last of them is forgotten; `None` is never."""

    events: tuple[CallEvent, ...]
    expires_at: int | None


class OutOfTime(CallhooksError):
    """A call has so many events that they could not be read in the time there was."""


class CallsUnread(CallhooksError):
    """DynamoDB has left out calls that it was asked for, again and again: it is throttled."""


def calls_at(client: DynamoDBClient, table_name: str, keys: Iterable[str]) -> Iterator[Item]:
    """The items of calls, `MAX_AT_ONCE` at the most, by their partition keys, in any order.

    Raises:
        CallsUnread: DynamoDB is throttled.
        ClientError, BotoCoreError: the table could not be read.
    """
    wanted: Sequence[Item] = [{"pk": {"S": key}, "sk": {"S": CALL}} for key in sorted(set(keys))]
    for _ in range(_ROUNDS):
        if not wanted:
            return
        reply = client.batch_get_item(RequestItems={table_name: {"Keys": wanted}})
        yield from reply["Responses"].get(table_name, [])
        left_out = reply.get("UnprocessedKeys", {}).get(table_name)
        wanted = left_out["Keys"] if left_out else []
    if wanted:
        raise CallsUnread


class CallStore:
    """The events and the items of calls in the table of events."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def events_of(self, pk: str, *, has_time: Callable[[], bool] = lambda: True) -> CallEvents:
        """All events of a call, as they are at this moment. They are read page by page, as long as `has_time`.

        Raises:
            OutOfTime: there was no time for all of them.
            ClientError, BotoCoreError: the table could not be read.
            KeyError, ValueError: an item is no event.
        """
        items = list(self._query(pk, _READ_OF_AN_EVENT, has_time))
        ends = [int(item["expires_at"]["N"]) if "expires_at" in item else None for item in items]
        forgotten = [end for end in ends if end is not None]
        return CallEvents(
            tuple(event_of_item(item) for item in items),
            max(forgotten) if forgotten and len(forgotten) == len(ends) else None,
        )

    def items_of(self, pk: str) -> Iterator[Item]:
        """The items of all events of a call, with what was sent and what was answered.

        Raises:
            ClientError, BotoCoreError: the table could not be read.
        """
        return self._query(pk, (), lambda: True)

    def event_at(self, pk: str, sk: str) -> CallEvent | None:
        """One event by its key; `None` where it is not there any more.

        Raises:
            ClientError, BotoCoreError: the table could not be read.
            KeyError, ValueError: the item is no event.
        """
        item = self._get(pk, sk)
        return None if item is None else event_of_item(item)

    def item_of(self, pk: str) -> Item | None:
        """The item of a call, where there is one.

        Raises:
            ClientError, BotoCoreError: the table could not be read.
        """
        return self._get(pk, CALL)

    def keep(self, pk: str, call: Call, *, expires_at: int | None) -> bool:
        """Write a call's item; `False` where there is one already that as many events went into.

        Raises:
            ClientError, BotoCoreError: the write failed.
        """
        return self._put_if(
            call_item(pk, call, expires_at=expires_at),
            _NEWER,
            {":version": {"N": str(call.fold_version)}, ":count": {"N": str(call.event_count)}},
        )

    def replace(self, pk: str, call: Call, *, expires_at: int | None, seen: Item | None) -> bool:
        """Write a call's item over the one that was seen; `False` where `keep` has written another one meanwhile.

        Raises:
            ClientError, BotoCoreError: the write failed.
        """
        known = {name: seen[name] for name in _VERSION if name in seen} if seen else {}
        conditions = [f"{name} = :{name}" if name in known else f"attribute_not_exists({name})" for name in _VERSION]
        return self._put_if(
            call_item(pk, call, expires_at=expires_at),
            " AND ".join(conditions),
            {f":{name}": value for name, value in known.items()},
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
    """A call as it is kept: its members as attributes, and the keys of the indexes that list it."""
    members = call.model_dump(by_alias=True, exclude_none=True)
    item: Item = {name: _attribute(value) for name, value in members.items() if value not in ("", (), {})}
    keys = {"pk": pk, "sk": CALL, "day_shard": day_shard(members["started_at"][:10], shard_of(pk))}
    if call.from_:
        keys["from_party"] = party_key(call.from_)
    if call.to:
        keys["to_party"] = party_key(call.to)
    # A call that names no other is found by its own key.
    item.pop("conversation_id")
    if call.conversation_id != call.call_id:
        keys["conversation_id"] = partition_key(call.provider, call.conversation_id)
    item |= {name: {"S": key} for name, key in keys.items()}
    if expires_at is not None:
        item["expires_at"] = {"N": str(expires_at)}
    return item


def summary_of_item(item: Mapping[str, AttributeValueTypeDef]) -> CallSummary:
    """The call of an item, or of its entry in an index.

    Raises:
        ValidationError: it is no such item.
    """
    return CallSummary.model_validate({name: _plain(item[name]) for name in _SUMMARY_MEMBERS if name in item})


def day_shard(day: str, shard: int) -> str:
    """The partition key of the index of a day: `2026-11-21#3`."""
    return f"{day}#{shard}"


def shard_of(pk: str) -> int:
    """The shard of a call, always the same."""
    return zlib.crc32(pk.encode("utf-8")) % DAY_SHARDS


_SUMMARY_MEMBERS = [field.alias or name for name, field in CallSummary.model_fields.items()]


def _plain(value: AttributeValueTypeDef) -> str | bool | int | float:
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
