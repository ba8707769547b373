"""The spill queue, for events that could not be written to DynamoDB, and the drainer, which stores them later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from callhooks.events.event_item import (
    EVENT_PREFIX,
    QUARANTINE,
    REFUSED_BY_DATABASE,
    Item,
    pack_item,
    refused_item,
    unpack_item,
)
from callhooks.events.event_table import EventStore
from callhooks.runtime.errors import describe_exception, error_name, is_permanent_rejection
from callhooks.runtime.metrics import EVENT_QUARANTINED, EVENT_REPEATED, EVENT_STORED, count, measure

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

FIRST_PAUSE_SECONDS = 5
MAX_PAUSE_SECONDS = 900
RESERVED_SECONDS = 30.0
"""The time of a hanging write and the requests that delay failed messages. With less left, no write is started."""

logger = Logger(child=True)


class SpillQueue:
    """The queue for events that could not be stored.

    Args:
        new_client: creates the SQS client on first use, so that no caller waits for it while DynamoDB works.
        url: the queue's URL.
    """

    def __init__(self, new_client: Callable[[], SQSClient], url: str) -> None:
        self._new_client = new_client
        self._client: SQSClient | None = None
        self._url = url

    def put(self, item: Item) -> None:
        """Put an item into the queue.

        Raises:
            ClientError, BotoCoreError: the queue did not accept the item.
        """
        self._client = self._client or self._new_client()
        self._client.send_message(QueueUrl=self._url, MessageBody=pack_item(item))


class Message(TypedDict):
    """A message of the queue, as Lambda passes it."""

    messageId: str
    receiptHandle: str
    body: str
    attributes: Mapping[str, str]


class MessageBatch(TypedDict):
    """Messages of the queue."""

    Records: Sequence[Message]


class Failed(TypedDict):
    """A message that must stay in the queue."""

    itemIdentifier: str


class BatchReply(TypedDict):
    """The result of a batch, with the messages that failed."""

    batchItemFailures: list[Failed]


def pause_after(attempts: int) -> int:
    """Return how many seconds to delay a message after so many attempts: short at first, because most outages are."""
    return min(FIRST_PAUSE_SECONDS << min(attempts - 1, 10), MAX_PAUSE_SECONDS)


class SpillDrainer:
    """Stores the events of the spill queue with the webhooks' conditional write, which never overwrites an event.

    Args:
        store: the events table.
        client: an SQS client.
        url: the queue's URL.
    """

    def __init__(self, store: EventStore, client: SQSClient, url: str) -> None:
        self._store = store
        self._client = client
        self._url = url

    def drain(self, batch: MessageBatch, seconds_left: Callable[[], float]) -> BatchReply:
        """Store a batch. A message that fails stays in the queue, with a delay that grows with each attempt.

        Args:
            batch: the messages from Lambda.
            seconds_left: returns the remaining time of the invocation.
        """
        pending = list(batch["Records"])
        failed: list[Message] = []
        stored = repeated = 0
        while pending:
            message = pending.pop(0)
            failure = "no time was left"
            if seconds_left() > RESERVED_SECONDS:
                try:
                    if self._store_item(unpack_item(message["body"])):
                        stored += 1
                    else:
                        repeated += 1
                    continue
                except ClientError as error:
                    failure = error_name(error)
                except BotoCoreError as error:
                    failure = error_name(error)
                    # DynamoDB does not answer, so the remaining messages would fail too.
                    failed, pending = [*failed, *pending], []
                except Exception as error:  # noqa: BLE001 - one broken message must not delay the others
                    failure = describe_exception(error)
            logger.error("not drained", extra={"failure": failure, "message_id": message["messageId"]})
            failed.append(message)
        self._delay(failed)
        logger.info("drained", extra={"stored": stored, "repeated": repeated, "failed": len(failed)})
        return {"batchItemFailures": [{"itemIdentifier": message["messageId"]} for message in failed]}

    def _store_item(self, item: Item) -> bool:
        """Write an item and count it. An item that DynamoDB will never accept goes into quarantine."""
        try:
            is_new = self._store.put(item)
        except ClientError as error:
            if not is_permanent_rejection(error) or item["pk"]["S"].startswith(QUARANTINE):
                raise
        else:
            if item["sk"]["S"].startswith(EVENT_PREFIX):
                measure(EVENT_STORED if is_new else EVENT_REPEATED, 1, provider=item["provider"]["S"])
            return is_new
        provider = item["provider"]["S"]
        logger.warning("quarantined", extra={"provider": provider, "reason": REFUSED_BY_DATABASE})
        count(EVENT_QUARANTINED, provider=provider, reason=REFUSED_BY_DATABASE)
        return self._store.put(refused_item(item))

    def _delay(self, failed: Sequence[Message]) -> None:
        """Set when each message is delivered again."""
        for message in failed:
            pause = pause_after(int(message["attributes"]["ApproximateReceiveCount"]))
            try:
                self._client.change_message_visibility(
                    QueueUrl=self._url, ReceiptHandle=message["receiptHandle"], VisibilityTimeout=pause
                )
            except (ClientError, BotoCoreError) as error:
                # They are delivered again after the queue's own visibility timeout.
                logger.warning("delay not set", extra={"failure": error_name(error)})
                return
