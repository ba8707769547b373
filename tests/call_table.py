"""In-memory events table for tests of the call log, and calls to put into it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from callhooks.calls.call import Call, CallStatus
from callhooks.calls.repository import call_item
from callhooks.events.call_event import utc_text
from callhooks.events.event_item import Item, partition_key

from tests.calls import START
from tests.support import resource

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass
class FakeTable:
    """DynamoDB's Query and BatchGetItem, as far as the call log uses them. Entries with the same start are unsorted.

    `reads` counts the entries that were read, `queries` the requests. `unprocessed` is the number of BatchGetItem
    requests that return only their first key.
    """

    items: dict[tuple[str, str], Item] = field(default_factory=dict)
    max_reply: int = 1000
    reads: int = 0
    queries: int = 0
    fault: Exception | None = None
    unprocessed: int = 0

    def put(self, *items: Item) -> None:
        for item in items:
            self.items[_key(item)] = item

    def query(self, *, TableName: str, **query: Any) -> dict[str, Any]:  # noqa: N803
        self.queries += 1
        if self.fault:
            raise self.fault
        values = {name: value["S"] for name, value in query["ExpressionAttributeValues"].items()}
        if any(not value for value in values.values()):
            raise AssertionError("DynamoDB rejects empty key values")
        if "IndexName" not in query:
            found = [
                item
                for item in self.items.values()
                if item["pk"]["S"] == values[":pk"] and item["sk"]["S"].startswith(values[":events"])
            ]
            return {"Items": sorted(found, key=_key)}
        partition_of, members = _index(query["IndexName"])
        (partition,) = {values[name] for name in (":value", ":conversation") if name in values}
        oldest, newest = values.get(":oldest", "0"), values.get(":newest", "~")
        if oldest > newest:
            raise AssertionError("DynamoDB rejects a range that ends before it begins")
        entries = [
            {name: item[name] for name in members if name in item}
            for item in self.items.values()
            if item.get(partition_of, {}).get("S") == partition and oldest <= item["started_at"]["S"] <= newest
        ]
        entries.sort(key=lambda entry: (entry["started_at"]["S"], zlib.crc32(entry["pk"]["S"].encode())))
        if not query.get("ScanIndexForward", True):
            entries.reverse()
        if "ExclusiveStartKey" in query:
            keys = [_key(entry) for entry in entries]
            entries = entries[keys.index(_key(query["ExclusiveStartKey"])) + 1 :]
        page = entries[: min(query["Limit"], self.max_reply)]
        self.reads += len(page)
        reply: dict[str, Any] = {"Items": page}
        if len(page) < len(entries):
            reply["LastEvaluatedKey"] = {name: page[-1][name] for name in ("pk", "sk", partition_of, "started_at")}
        if "ProjectionExpression" in query:
            names = [query["ExpressionAttributeNames"][name] for name in query["ProjectionExpression"].split(", ")]
            reply["Items"] = [{name: entry[name] for name in names if name in entry} for entry in page]
        return reply

    def batch_get_item(self, *, RequestItems: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N803
        ((table, requested),) = RequestItems.items()
        keys = [_key(key) for key in requested["Keys"]]
        assert 0 < len(keys) <= 100
        reply: dict[str, Any] = {}
        if self.unprocessed:
            self.unprocessed -= 1
            reply["UnprocessedKeys"] = {table: {"Keys": requested["Keys"][1:]}} if keys[1:] else {}
            keys = keys[:1]
        return {"Responses": {table: [self.items[key] for key in keys if key in self.items]}, **reply}

    def as_client(self) -> DynamoDBClient:
        client: Any = self
        return client  # type: ignore[no-any-return]


def a_call(call_id: str, *, milliseconds: int = 0, provider: str = "jambonz", **members: Any) -> Call:
    """Return a call that starts `milliseconds` after `START`."""
    started_at = START + timedelta(milliseconds=milliseconds)
    defaults = {
        "status": CallStatus.INITIATED,
        "direction": "inbound",
        "from_": "+14155550100",
        "to": "+14155550123",
        "conversation_id": call_id,
    }
    return Call(
        provider=provider,
        call_id=call_id,
        started_at=started_at,
        last_event_at=started_at,
        event_count=1,
        **{**defaults, **members},
    )


def item_of(call: Call) -> Item:
    return call_item(partition_key(call.provider, call.call_id), call, expires_at=None)


def table_of(calls: Iterable[Call]) -> FakeTable:
    table = FakeTable()
    table.put(*(item_of(call) for call in calls))
    return table


def path_of(call: Call) -> str:
    return f"/calls/{partition_key(call.provider, call.call_id).replace('#', '/', 1)}"


def newest_first(calls: Iterable[Call]) -> list[str]:
    """Return the paths of calls in the order of a list."""
    positions = [
        (utc_text(call.started_at), partition_key(call.provider, call.call_id), path_of(call)) for call in calls
    ]
    return [path for _, _, path in sorted(positions, reverse=True)]


def _index(name: str) -> tuple[str, list[str]]:
    """Return the partition key of an index in the template, and the attributes of its entries."""
    (index,) = [one for one in resource("EventsTable")["GlobalSecondaryIndexes"] if one["IndexName"] == name]
    keys = [key["AttributeName"] for key in index["KeySchema"]]
    return keys[0], ["pk", "sk", *keys, *index["Projection"].get("NonKeyAttributes", [])]


def _key(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]
