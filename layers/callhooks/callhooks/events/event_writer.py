"""EventWriter: an item goes to the table; if that fails, to the spill queue; if that fails too, to the log."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig, idempotent_function

from callhooks.events.event_item import Item, pack_item
from callhooks.events.event_table import EventStore, PendingWrite
from callhooks.events.spill_queue import SpillQueue
from callhooks.events.write_result import WriteOutcome, WriteResult
from callhooks.runtime.errors import error_name, is_permanent_rejection
from callhooks.runtime.http import HttpPayload, Response
from callhooks.runtime.metrics import count

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import DataRecord

REPLAYED_HEADER = "idempotent-replayed"
UNSTORED_MARKER = "CALLHOOKS_UNSTORED_EVENT"
MAX_LOGGED_PART = 200_000
"""CloudWatch accepts at least 256 KB in one log event."""

STORE_SECONDS = 4.4
"""The longest write: two attempts, each with connection, TLS handshake and response, and a pause of one second."""
SPILL_SECONDS = 1.8
"""The longest queue request: one such attempt."""
NO_TIME = "no time was left"

logger = Logger(child=True)


class EventWriter:
    """Stores each item once.

    Args:
        store: the events table.
        spill_queue: the queue for items that could not be written.
    """

    def __init__(self, store: EventStore, spill_queue: SpillQueue) -> None:
        self._store = store
        self._spill_queue = spill_queue
        idempotency = IdempotencyConfig(use_local_cache=True, response_hook=_mark_as_replayed)
        # Powertools does not configure the store if idempotency is disabled, but `holds` is called even then.
        store.configure(idempotency)
        self._store_once = idempotent_function(
            _answer, data_keyword_argument="write", persistence_store=store, config=idempotency
        )

    def write(self, item: Item, answer: Response, seconds_left: Callable[[], float]) -> WriteResult:
        """Store an item in the first place that accepts it in the remaining time, and return its answer.

        An item that DynamoDB will never accept is `REFUSED` and not stored: the caller may store it in another form.
        """
        payload, failure = answer.as_payload(), NO_TIME
        if seconds_left() >= STORE_SECONDS or self._store.holds(item):
            failure = "the store has not seen it"
            try:
                payload = self._store_once(write=PendingWrite(item, answer))
            except Exception as error:  # noqa: BLE001 - the sender gets its answer even if DynamoDB fails
                cause = error.__cause__ or error
                if is_permanent_rejection(cause):
                    logger.error("rejected by DynamoDB", extra={"failure": error_name(cause)})
                    return WriteResult(WriteOutcome.REFUSED, payload)
                failure = error_name(cause)
        if self._store.holds(item):
            is_duplicate = REPLAYED_HEADER in payload["headers"]
            return WriteResult(WriteOutcome.REPLAYED if is_duplicate else WriteOutcome.STORED, payload)
        if seconds_left() < SPILL_SECONDS:
            logger.error("not spilled", extra={"failure": NO_TIME})
        elif self._spill(item, answer, failure):
            return WriteResult(WriteOutcome.SPILLED, payload)
        self.log(item, failure)
        return WriteResult(WriteOutcome.LOGGED, payload)

    def log(self, item: Item, failure: str) -> None:
        """Write a packed item to the log, from which `callhooks recover` stores it."""
        packed = pack_item(item)
        name = hashlib.sha256(packed.encode("ascii")).hexdigest()[:16]
        slices = [packed[start : start + MAX_LOGGED_PART] for start in range(0, len(packed), MAX_LOGGED_PART)]
        for number, part in enumerate(slices, start=1):
            fields = {"failure": failure, "event": name, "part": number, "parts": len(slices), "delivery": part}
            logger.error(UNSTORED_MARKER, extra=fields)
        count("EventUnstored")

    def _spill(self, item: Item, answer: Response, failure: str) -> bool:
        try:
            self._spill_queue.put(item)
        except Exception as error:  # noqa: BLE001 - if the queue fails, the log remains
            logger.error("not spilled", extra={"failure": error_name(error)})
            return False
        self._store.remember(item, answer)
        count("EventSpilled", provider=item["provider"]["S"], reason=failure)
        return True


def _answer(*, write: PendingWrite) -> HttpPayload:
    return write.answer.as_payload()


def _mark_as_replayed(response: Any, idempotent_data: DataRecord) -> Any:  # noqa: ARG001
    response["headers"][REPLAYED_HEADER] = "true"
    return response
