"""Look up the past calls of a caller in the events table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from callhooks.calls.repository import MAX_BATCH_KEYS, calls_at
from callhooks.events.call_event import OUTBOUND
from callhooks.events.event_item import party_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

BY_FROM = "by_from"


@dataclass(frozen=True, slots=True)
class PastCall:
    """A past call: `started_at` is ISO 8601 in UTC, `outcome` a value of `Outcome`."""

    call_id: str | None
    started_at: str
    direction: str | None = None
    from_: str | None = None
    to: str | None = None
    status: str | None = None
    outcome: str | None = None
    ring_seconds: int | None = None
    talk_seconds: int | None = None


class PastCalls:
    """Lookup of calls by caller, across all providers."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def of_caller(self, party: str, *, limit: int) -> tuple[PastCall, ...]:
        """Return the last calls that a number or a SIP user made, newest first.

        Raises:
            ReadsThrottled, ClientError, BotoCoreError: the table could not be read.
        """
        reply = self._client.query(
            TableName=self._table_name,
            IndexName=BY_FROM,
            KeyConditionExpression="from_party = :party",
            ExpressionAttributeValues={":party": {"S": party_key(party)}},
            ScanIndexForward=False,
            Limit=min(2 * limit, MAX_BATCH_KEYS),
        )
        found = calls_at(self._client, self._table_name, (entry["pk"]["S"] for entry in reply["Items"]))
        newest_first = sorted(found, key=lambda item: _text(item, "started_at") or "", reverse=True)
        # A dialled leg carries its caller's number, but the caller did not make that call.
        calls = (_past_call(item) for item in newest_first if _text(item, "direction") != OUTBOUND)
        return tuple(islice(calls, limit))


def _past_call(item: Mapping[str, AttributeValueTypeDef]) -> PastCall:
    return PastCall(
        call_id=_text(item, "call_id"),
        started_at=_text(item, "started_at") or "",
        direction=_text(item, "direction"),
        from_=_text(item, "from"),
        to=_text(item, "to"),
        status=_text(item, "status"),
        outcome=_text(item, "outcome"),
        ring_seconds=_seconds(item, "ring_seconds"),
        talk_seconds=_seconds(item, "talk_seconds"),
    )


def _text(item: Mapping[str, AttributeValueTypeDef], name: str) -> str | None:
    return item.get(name, {}).get("S")


def _seconds(item: Mapping[str, AttributeValueTypeDef], name: str) -> int | None:
    number = item.get(name, {}).get("N")
    return None if number is None else int(float(number))
