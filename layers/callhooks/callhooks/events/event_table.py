"""EventStore: one conditional write that stores an event, its raw body and its answer.

The stored event is the idempotency record. Powertools' own DynamoDB layer writes a record before and after the
function. Here the answer is known before the write, so a single `PutItem` is enough.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, Self

from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyItemAlreadyExistsError,
    IdempotencyItemNotFoundError,
)
from aws_lambda_powertools.utilities.idempotency.persistence.base import BasePersistenceLayer
from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import STATUS_CONSTANTS, DataRecord
from botocore.exceptions import ClientError

from callhooks.events.event_item import Item, answer_of, body_of_item, is_duplicate, is_stored_once, with_own_key
from callhooks.runtime.http import Response

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class PendingWrite:
    """An item to write, and its answer.

    Immutable, so the deep copy that Powertools takes is the object itself.
    """

    __slots__ = ("answer", "item")

    def __init__(self, item: Item, answer: Response) -> None:
        self.item = item
        self.answer = answer

    def __deepcopy__(self, _memo: object) -> Self:
        return self


class EventStore(BasePersistenceLayer):
    """A Powertools persistence layer whose record is the event.

    `idempotent_function` passes the item and its answer to `save_inprogress`, which writes a new item. For a duplicate
    it raises `IdempotencyItemAlreadyExistsError` with the first answer as a completed record without expiry. There is
    no state in between, so a concurrent duplicate is never an error. A container caches the last answers it gave and
    serves them without a request. A delivery with the key of another body is not a duplicate: it is written under a
    separate key.

    Args:
        client: a DynamoDB client.
        table_name: the events table.
        on_reused_key: called with each item that got a separate key, because its own belonged to another body.
    """

    def __init__(
        self, client: DynamoDBClient, table_name: str, *, on_reused_key: Callable[[Item], None] = lambda _item: None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._client = client
        self._table_name = table_name
        self._on_reused_key = on_reused_key

    def holds(self, item: Item) -> bool:
        """Return whether this container knows that the event is stored."""
        return self._retrieve_from_cache(_record_key(item)) is not None

    def put(self, item: Item) -> bool:
        """Write an item; return `False` if it was already stored.

        Raises:
            ClientError, BotoCoreError: the write failed.
        """
        return self._put(item) is None

    # Powertools passes its argument on, although its type says dict.
    def save_inprogress(  # type: ignore[override]
        self,
        data: PendingWrite,
        remaining_time_in_millis: int | None = None,  # noqa: ARG002
    ) -> None:
        """Write the item unless it exists: in one request, or in two if another delivery has its key.

        Raises:
            IdempotencyItemAlreadyExistsError: the item is a duplicate; the error holds the first answer.
            ClientError, BotoCoreError: the write failed.
        """
        known = self._retrieve_from_cache(_record_key(data.item))
        if known is not None:
            raise IdempotencyItemAlreadyExistsError(old_data_record=known)
        first = self._put(data.item)
        record = self.remember(data.item, data.answer if first is None else answer_of(first))
        # A write whose reply was lost and that the SDK sent again meets itself: that is no repeat.
        if first is not None and not _same_write(first, data.item):
            raise IdempotencyItemAlreadyExistsError(old_data_record=record)

    def _put(self, item: Item) -> Item | None:
        """Write an item, or return the stored item of which it is a duplicate."""
        first = self._put_new(item)
        if first is None or is_duplicate(item, first):
            return first
        first = self._put_new(with_own_key(item))
        if first is None:
            self._on_reused_key(item)
        return first

    def _put_new(self, item: Item) -> Item | None:
        """Write an item if its key is free, or return the item that has the key."""
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
            return first
        return None

    def read_body(self, partition_key: str, sort_key: str) -> bytes | None:
        """Return the raw body of a stored event; `None` if there is no such event.

        Raises:
            ClientError, BotoCoreError: the table could not be read.
        """
        reply = self._client.get_item(
            TableName=self._table_name,
            Key={"pk": {"S": partition_key}, "sk": {"S": sort_key}},
            ProjectionExpression="body, body_encoding",
            ConsistentRead=True,
        )
        item = reply.get("Item")
        return None if item is None else body_of_item(item)

    def save_success(self, data: PendingWrite, result: object) -> None:  # type: ignore[override]
        """Do nothing: the item is already complete."""

    def delete_record(self, data: PendingWrite, exception: Exception) -> None:  # type: ignore[override]
        """Do nothing: an accepted event is never deleted."""

    def remember(self, item: Item, answer: Response) -> DataRecord:
        """Cache the answer of an item stored in the table or the queue, for duplicates."""
        record = DataRecord(
            idempotency_key=_record_key(item),
            status=STATUS_CONSTANTS["COMPLETED"],
            response_data=json.dumps(answer.as_payload()),
        )
        self._save_to_cache(record)
        return record

    def _get_record(self, idempotency_key: str) -> NoReturn:
        raise IdempotencyItemNotFoundError(idempotency_key)

    def _put_record(self, data_record: DataRecord) -> NoReturn:  # noqa: ARG002
        raise RuntimeError("save_inprogress writes the complete item")

    _update_record = _delete_record = _put_record


def _record_key(item: Item) -> str:
    key = f"{item['pk']['S']}|{item['sk']['S']}"
    # Python's hash of bytes is randomised per process, and cached after the first call.
    return key if is_stored_once(item) else f"{key}|{hash(bytes(item['body']['B']))}"


def _same_write(first: Item, second: Item) -> bool:
    return "request_id" in second and all(first.get(name) == second.get(name) for name in ("request_id", "answer"))
