"""An item that neither DynamoDB nor the queue accepts is logged completely, in lines that CloudWatch accepts."""

from __future__ import annotations

import io
import json

import pytest
from callhooks.events.call_event import CallEvent, Kind
from callhooks.events.event_item import Item, event_item
from callhooks.events.event_writer import MAX_LOGGED_PART
from callhooks.events.write_result import WriteOutcome
from callhooks.runtime.http import Request, Response

from tests.support import NOW, OUT_OF_ORDER, FakeDynamoDB, FakeQueue, incompressible, unstored, writer_of

MAX_LOG_EVENT_BYTES = 256 * 1024
ANSWER = Response(200, "[]")


def item_of(body: bytes) -> Item:
    details = {"note": body.hex()[: 2 * 60_000]}
    event = CallEvent("wavix", "call-1", "key-1", Kind.RINGING, "ringing", NOW, details=details)
    return event_item(event, Request("POST", "/", body=body), ANSWER, retention_days=90)


@pytest.mark.parametrize(("size", "parts"), [(10, 1), (128 * 1024, 2)])
def test_a_large_item_is_logged_in_parts_that_fit(size: int, parts: int, log: io.StringIO) -> None:
    item = item_of(incompressible(size))
    writer = writer_of(FakeDynamoDB(fault=OUT_OF_ORDER), FakeQueue(fault=OUT_OF_ORDER))
    assert writer.write(item, ANSWER, lambda: 7).outcome is WriteOutcome.LOGGED
    lines = [line for line in log.getvalue().splitlines() if "CALLHOOKS_UNSTORED_EVENT" in line]
    assert len(lines) == parts
    assert max(len(line) for line in lines) < MAX_LOG_EVENT_BYTES
    assert max(len(json.loads(line)["delivery"]) for line in lines) <= MAX_LOGGED_PART
    assert unstored(log.getvalue()) == [item]


def test_without_time_for_dynamodb_the_item_is_spilled() -> None:
    database, queue = FakeDynamoDB(), FakeQueue()
    assert writer_of(database, queue).write(item_of(b"{}"), ANSWER, lambda: 4.3).outcome is WriteOutcome.SPILLED
    assert (database.calls, len(queue.items)) == (0, 1)


def test_without_time_for_the_queue_the_item_is_logged(log: io.StringIO) -> None:
    database, queue, item = FakeDynamoDB(fault=OUT_OF_ORDER), FakeQueue(), item_of(b"{}")
    left = iter([4.4, 1.7])
    assert writer_of(database, queue).write(item, ANSWER, lambda: next(left)).outcome is WriteOutcome.LOGGED
    assert (database.calls, queue.clients_made) == (1, 0)
    assert unstored(log.getvalue()) == [item]


def test_without_time_a_duplicate_still_gets_the_first_answer() -> None:
    database, item = FakeDynamoDB(), item_of(b"{}")
    writer = writer_of(database, FakeQueue())
    writer.write(item, ANSWER, lambda: 7)
    again = writer.write(item, Response(200, '["another"]'), lambda: 0)
    assert (again.outcome, again.payload["body"]) == (WriteOutcome.REPLAYED, "[]")
    assert database.calls == 1


def test_the_sqs_client_is_created_once_on_first_use() -> None:
    database, queue = FakeDynamoDB(), FakeQueue()
    writer = writer_of(database, queue)
    writer.write(item_of(b"1"), ANSWER, lambda: 7)
    assert queue.clients_made == 0
    database.fault = OUT_OF_ORDER
    for number in (2, 3):
        item = item_of(b"{}") | {"sk": {"S": f"event#{number}"}}
        writer.write(item, ANSWER, lambda: 7)
    assert (queue.clients_made, len(queue.items)) == (1, 2)
