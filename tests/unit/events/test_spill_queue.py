"""The drainer stores each event of the spill queue exactly once, whatever fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from callhooks.events.call_event import CallEvent, Kind
from callhooks.events.event_item import Item, body_of_item, event_item, pack_item, refused_item
from callhooks.events.event_table import EventStore
from callhooks.events.spill_queue import RESERVED_SECONDS, SpillDrainer, pause_after
from callhooks.runtime.http import Request, Response
from hypothesis import given
from hypothesis import strategies as st

from tests.projection import queue_batch
from tests.support import NOW, OUT_OF_ORDER, PERMANENT_REJECTION, SPILL_QUEUE_URL, FakeDynamoDB, FakeQueue, metric_lines

THROTTLED = ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "PutItem")
NO_ANSWER = [ReadTimeoutError(endpoint_url="https://dynamodb"), ConnectTimeoutError(endpoint_url="https://dynamodb")]


def item_of(number: int, answer: str = "[]") -> Item:
    event = CallEvent("wavix", f"call-{number}", "key", Kind.RINGING, "ringing", NOW)
    return event_item(event, Request("POST", "/", body=b"{}"), Response(200, answer), retention_days=90)


def batch(items: Sequence[Item], *, received: int = 1) -> Any:
    sent = queue_batch(map(pack_item, items))
    for number, record in enumerate(sent["Records"]):
        record |= {"receiptHandle": f"receipt-{number}", "attributes": {"ApproximateReceiveCount": str(received)}}
    return sent


@dataclass
class FakeTable(FakeDynamoDB):
    """A table with faults for some items, by partition key."""

    faults: dict[str, Exception] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)

    def put_item(self, *, Item: Item, ConditionExpression: str, **others: object) -> None:  # noqa: N803
        pk = Item["pk"]["S"]
        self.written.append(pk)
        if pk in self.faults:
            raise self.faults[pk]
        super().put_item(Item=Item, ConditionExpression=ConditionExpression, **others)


@dataclass
class Drain:
    table: FakeTable = field(default_factory=FakeTable)
    queue: FakeQueue = field(default_factory=FakeQueue)

    def run(self, batch: Any, seconds_left: Callable[[], float] = lambda: 60) -> list[str]:
        """Drain a batch, and return the ids of the messages that stay in the queue."""
        drainer = SpillDrainer(EventStore(self.table.as_client(), "events"), self.queue.as_client(), SPILL_QUEUE_URL)
        return [failed["itemIdentifier"] for failed in drainer.drain(batch, seconds_left)["batchItemFailures"]]


def test_an_event_is_stored_unchanged_and_never_overwritten() -> None:
    drain, items = Drain(), [item_of(1), item_of(2)]
    assert drain.run(batch(items)) == []
    assert drain.run(batch([item_of(1, answer='["second"]')])) == []
    assert list(drain.table.items.values()) == items
    assert drain.queue.pauses == []


@given(st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=6))
def test_an_event_is_stored_once_however_often_it_is_delivered(batches: list[list[int]]) -> None:
    drain = Drain()
    for numbers in batches:
        assert drain.run(batch([item_of(number) for number in numbers])) == []
    assert {pk for pk, _ in drain.table.items} == {f"wavix#call-{number}" for numbers in batches for number in numbers}


@pytest.mark.parametrize("fault", [THROTTLED, TypeError("+14155550123")])
def test_a_failed_message_stays_in_the_queue_without_delaying_others(fault: Exception, log: Any) -> None:
    drain = Drain(FakeTable(faults={"wavix#call-1": fault}))
    assert drain.run(batch([item_of(number) for number in range(3)])) == ["message-1"]
    assert len(drain.table.items) == 2
    assert drain.queue.pauses == [("receipt-1", 5)]
    assert '"message_id":"message-1"' in log.getvalue()
    assert "4155550123" not in log.getvalue()


def test_an_event_that_dynamodb_will_never_accept_is_quarantined() -> None:
    drain, item = Drain(FakeTable(refuses_events=True)), item_of(1, answer='["first"]')
    assert drain.run(batch([item])) == []
    assert drain.run(batch([item])) == []
    stored = drain.table.item
    assert (stored["pk"], stored["reason"]) == ({"S": "quarantine#wavix#2026-11-21"}, {"S": "The database refuses it."})
    assert (body_of_item(stored), stored["answer"]) == (b"{}", {"S": '["first"]'})
    assert stored["expires_at"] == item["expires_at"]


def test_an_event_that_cannot_be_quarantined_stays_in_the_queue() -> None:
    drain = Drain(FakeTable(fault=ClientError(PERMANENT_REJECTION, "PutItem")))
    assert drain.run(batch([item_of(1), refused_item(item_of(2))])) == ["message-0", "message-1"]


@pytest.mark.parametrize("fault", NO_ANSWER)
def test_the_rest_of_a_batch_is_not_tried_if_dynamodb_does_not_answer(fault: Exception) -> None:
    drain = Drain(FakeTable(faults={"wavix#call-1": fault}))
    assert set(drain.run(batch([item_of(number) for number in range(4)]))) == {"message-1", "message-2", "message-3"}
    assert drain.table.written == ["wavix#call-0", "wavix#call-1"]
    assert {receipt for receipt, _ in drain.queue.pauses} == {"receipt-1", "receipt-2", "receipt-3"}


def test_no_write_is_started_without_time_to_finish() -> None:
    drain, left = Drain(), iter([60.0, RESERVED_SECONDS, 0.0])
    assert drain.run(batch([item_of(number) for number in range(3)]), lambda: next(left)) == ["message-1", "message-2"]
    assert drain.table.written == ["wavix#call-0"]


@pytest.mark.parametrize(
    ("received", "seconds"), [(1, 5), (2, 10), (3, 20), (8, 640), (9, 900), (50, 900), (1000, 900)]
)
def test_the_delay_grows_with_each_attempt(received: int, seconds: int) -> None:
    drain = Drain(FakeTable(fault=THROTTLED))
    drain.run(batch([item_of(1)], received=received))
    assert [pause for _, pause in drain.queue.pauses] == [seconds] == [pause_after(received)]


def test_a_delay_that_cannot_be_set_loses_no_message() -> None:
    drain = Drain(FakeTable(fault=THROTTLED))
    drain.queue.fault = THROTTLED
    assert drain.run(batch([item_of(1), item_of(2)])) == ["message-0", "message-1"]


def test_a_batch_is_logged_in_one_line_and_counts_its_events(capsys: pytest.CaptureFixture[str], log: Any) -> None:
    drain = Drain(FakeTable(faults={"wavix#call-3": OUT_OF_ORDER}))
    drain.run(batch([item_of(1)]))
    drain.run(batch([item_of(number) for number in (1, 2, 3)]))
    drained = [line for line in map(json.loads, log.getvalue().splitlines()) if line["message"] == "drained"]
    assert [(line["stored"], line["repeated"], line["failed"]) for line in drained] == [(1, 0, 0), (1, 1, 1)]
    lines = metric_lines(capsys.readouterr().out)
    counted = [name for line in lines for name in ("EventStored", "EventRepeated") if name in line]
    assert counted == ["EventStored", "EventRepeated", "EventStored"]
    for line in lines:
        assert line["provider"] == "wavix"
        assert sorted(line["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0]) == ["provider", "service"]
