"""The spill queue: where an event waits that the table has not taken, and how it gets there at last."""

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
from callhooks.runtime.errors import describe_exception, error_name, is_refused_for_good
from callhooks.runtime.metrics import EVENT_REPEATED, EVENT_STORED, count, measure

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

FIRST_PAUSE_SECONDS = 5
MAX_PAUSE_SECONDS = 900
RESERVED_SECONDS = 30.0
"""What a write that hangs and the pauses after it may cost; with less, nothing is begun any more."""

logger = Logger(child=True)


class SpillQueue:
    """Takes events that could not be stored.

    Args:
        new_client: makes SQS's client, once it is needed: nobody waits for that while the table works.
        url: of the queue.
    """

    def __init__(self, new_client: Callable[[], SQSClient], url: str) -> None:
        self._new_client = new_client
        self._client: SQSClient | None = None
        self._url = url

    def put(self, item: Item) -> None:
        """Put an item into the queue.

        Raises:
            ClientError, BotoCoreError: the queue has not taken it.
        """
        self._client = self._client or self._new_client()
        self._client.send_message(QueueUrl=self._url, MessageBody=pack_item(item))


class Message(TypedDict):
    """A message of the queue, as Lambda hands it over."""

    messageId: str
    receiptHandle: str
    body: str
    attributes: Mapping[str, str]


class MessageBatch(TypedDict):
    """Messages of the queue."""

    Records: Sequence[Message]


class Failed(TypedDict):
    """A message that the queue is to keep."""

    itemIdentifier: str


class BatchReply(TypedDict):
    """What Lambda takes for a batch that was only partly done."""

    batchItemFailures: list[Failed]


def pause_after(times: int) -> int:
    """How many seconds a message rests after so many times: short at first, since most outages are."""
    return min(FIRST_PAUSE_SECONDS << min(times - 1, 10), MAX_PAUSE_SECONDS)


class SpillDrainer:
    """Stores what waits in the spill queue, by the write that the webhooks use: what is there already stays as it is.

    Args:
        store: where events are kept.
        client: SQS's.
        url: of the queue.
    """

    def __init__(self, store: EventStore, client: SQSClient, url: str) -> None:
        self._store = store
        self._client = client
        self._url = url

    def take(self, batch: MessageBatch, seconds_left: Callable[[], float]) -> BatchReply:
        """Store a batch. What fails stays in the queue, for a while that grows with each time.

        Args:
            batch: the messages as Lambda hands them over.
            seconds_left: how long this invocation may still take.
        """
        waiting = list(batch["Records"])
        failed: list[Message] = []
        stored = repeated = 0
        while waiting:
            message = waiting.pop(0)
            failure = "no time was left"
            if seconds_left() > RESERVED_SECONDS:
                try:
                    if self._keep(unpack_item(message["body"])):
                        stored += 1
                    else:
                        repeated += 1
                    continue
                except ClientError as error:
                    failure = error_name(error)
                except BotoCoreError as error:
                    failure = error_name(error)
                    # Who gives no answer to one gives none to the others.
                    failed, waiting = [*failed, *waiting], []
                except Exception as error:  # noqa: BLE001 - one broken message may not keep the others waiting
                    failure = describe_exception(error)
            logger.error("not drained", extra={"failure": failure, "message_id": message["messageId"]})
            failed.append(message)
        self._pause(failed)
        logger.info("drained", extra={"stored": stored, "repeated": repeated, "failed": len(failed)})
        return {"batchItemFailures": [{"itemIdentifier": message["messageId"]} for message in failed]}

    def _keep(self, item: Item) -> bool:
        """Write an item, and count it; what the database refuses for good goes into quarantine."""
        try:
            is_new = self._store.put(item)
        except ClientError as error:
            if not is_refused_for_good(error) or item["pk"]["S"].startswith(QUARANTINE):
                raise
        else:
            if item["sk"]["S"].startswith(EVENT_PREFIX):
                measure(EVENT_STORED if is_new else EVENT_REPEATED, 1, provider=item["provider"]["S"])
            return is_new
        provider = item["provider"]["S"]
        logger.warning("quarantined", extra={"provider": provider, "reason": REFUSED_BY_DATABASE})
        count("EventQuarantined", provider=provider, reason=REFUSED_BY_DATABASE)
        return self._store.put(refused_item(item))

    def _pause(self, failed: Sequence[Message]) -> None:
        """Have messages come again after a while of their own."""
        for message in failed:
            pause = pause_after(int(message["attributes"]["ApproximateReceiveCount"]))
            try:
                self._client.change_message_visibility(
                    QueueUrl=self._url, ReceiptHandle=message["receiptHandle"], VisibilityTimeout=pause
                )
            except (ClientError, BotoCoreError) as error:
                # Then they come again when the queue's own time-out is over.
                logger.warning("pause not set", extra={"failure": error_name(error)})
                return
