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
from callhooks.runtime.errors import error_name, is_refused_for_good
from callhooks.runtime.http import HttpPayload, Response
from callhooks.runtime.metrics import count

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import DataRecord

REPLAYED_HEADER = "idempotent-replayed"
UNSTORED_MARKER = "CALLHOOKS_UNSTORED_EVENT"
MAX_LOGGED_PART = 200_000
"""CloudWatch takes 256 KB at least in one event of the log."""

STORE_SECONDS = 4.4
"""What a write costs at most: two attempts, of which each connects, agrees on TLS and waits, and a second between."""
SPILL_SECONDS = 1.8
"""What a message costs at most: one such attempt."""
NO_TIME = "no time was left"

logger = Logger(child=True)


class EventWriter:
    """Stores each item once.

    Args:
        store: the table of events.
        spill_queue: where items wait that the table has not taken.
    """

    def __init__(self, store: EventStore, spill_queue: SpillQueue) -> None:
        self._store = store
        self._spill_queue = spill_queue
        idempotency = IdempotencyConfig(use_local_cache=True, response_hook=_mark_as_replayed)
        # With idempotency switched off Powertools never configures the store, which is asked all the same.
        store.configure(idempotency)
        self._store_once = idempotent_function(
            _answer, data_keyword_argument="write", persistence_store=store, config=idempotency
        )

    def write(self, item: Item, answer: Response, seconds_left: Callable[[], float]) -> WriteResult:
        """Store an item, in a place that can be reached in the time that is left, and return its answer.

        What the database will never take is `REFUSED` and kept nowhere: the caller may have another form of it.
        """
        payload, failure = answer.as_payload(), NO_TIME
        if seconds_left() >= STORE_SECONDS or self._store.holds(item):
            failure = "the store has not seen it"
            try:
                payload = self._store_once(write=PendingWrite(item, answer))
            except Exception as error:  # noqa: BLE001 - whatever the database does, the answer is there
                cause = error.__cause__ or error
                if is_refused_for_good(cause):
                    logger.error("refused by the database", extra={"failure": error_name(cause)})
                    return WriteResult(WriteOutcome.REFUSED, payload)
                failure = error_name(cause)
        if self._store.holds(item):
            is_repeat = REPLAYED_HEADER in payload["headers"]
            return WriteResult(WriteOutcome.REPLAYED if is_repeat else WriteOutcome.STORED, payload)
        if seconds_left() < SPILL_SECONDS:
            logger.error("not spilled", extra={"failure": NO_TIME})
        elif self._spill(item, answer, failure):
            return WriteResult(WriteOutcome.SPILLED, payload)
        self.log(item, failure)
        return WriteResult(WriteOutcome.LOGGED, payload)

    def log(self, item: Item, failure: str) -> None:
        """Write all of an item to the log, packed, for `callhooks recover`: the last place there is."""
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
        except Exception as error:  # noqa: BLE001 - whatever the queue does, there is still the log
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
