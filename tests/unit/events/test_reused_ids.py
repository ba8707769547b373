"""If an id is reused with another body, both deliveries are stored, and the call continues."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from callhooks.events.call_event import CallEvent, Kind
from callhooks.events.event_item import Item, event_item, event_of_item, pack_item
from callhooks.events.event_table import EventStore
from callhooks.events.spill_queue import SpillDrainer
from callhooks.events.write_result import WriteOutcome
from callhooks.runtime.http import Request, Response
from callhooks_tools.commands.recover import Logged, recover_delivery
from callhooks_tools.commands.recover import RecoveryOutcome as Recovered
from callhooks_tools.recovery.quarantine import store_event
from hypothesis import given
from hypothesis import strategies as st

from tests.calls import fold
from tests.projection import queue_batch
from tests.senders import Sender, document_of, jambonz_event, voipstudio
from tests.support import (
    NOW,
    OUT_OF_ORDER,
    SPILL_QUEUE_URL,
    Container,
    FakeDynamoDB,
    FakeQueue,
    unstored,
    with_header,
    writer_of,
)

CALL = "50331"


def event(name: str, **changes: Any) -> dict[str, Any]:
    """Return an event of VoIPstudio; all events in this module have the same id."""
    return {**document_of("voipstudio", name), "id": 77, "call_id": CALL, **changes}


INITIAL, HANGUP, SMS = event("call_initial"), event("call_hangup"), document_of("voipstudio", "sms_received")


def kinds(sender: Sender) -> list[str]:
    return [item["kind"]["S"] for item in sender.items]


ANSWER = Response(200, "[]")


def item_of(body: bytes) -> Item:
    ringing = CallEvent("voipstudio", CALL, "77", Kind.RINGING, "call.ringing", NOW)
    return event_item(ringing, Request("POST", "/", body=body), ANSWER, retention_days=90)


class TestAnIdWithAnotherBody:
    def test_is_stored_once_next_to_the_first_and_ends_the_call(self) -> None:
        sender = voipstudio()
        answers = [sender.send(INITIAL), sender.another_container().send(HANGUP)]
        assert [(answer.statusCode, answer.replayed) for answer in answers] == [(200, False)] * 2
        assert kinds(sender) == ["call.initiated", "call.completed"]
        assert fold([event_of_item(item) for item in sender.items]).ended_at is not None
        for _ in range(2):
            # The first of them has cached the first event.
            for container in (sender, sender.another_container()):
                for document in (INITIAL, HANGUP, event("call_ringing")):
                    container.send(document)
        assert kinds(sender) == ["call.initiated", "call.completed", "call.ringing"]

    def test_does_not_make_duplicates_more_expensive(self) -> None:
        sender = voipstudio()
        sender.send(INITIAL)
        assert sender.send(INITIAL).replayed
        assert sender.database.calls == 1
        assert sender.another_container().send(INITIAL).replayed
        assert sender.database.calls == 2

    def test_with_an_unverifiable_signature_is_stored_too(self) -> None:
        sender = jambonz_event()
        sender.secrets.text = json.dumps({**sender.secret, "webhook_secrets": []})
        for status in ("ringing", "in-progress", "ringing"):
            unsigned = sender.event({"call_sid": CALL, "call_status": status})
            sender.receive(with_header(unsigned, "jambonz-signature", "t=1"))
        assert kinds(sender) == ["call.ringing", "call.answered"]

    @pytest.mark.parametrize(
        ("documents", "stored"),
        [
            # the key of a new call, which has only one event
            ([{**INITIAL, "id": "new-call"}, {**HANGUP, "id": "new-call"}], ["call.initiated", "call.completed"]),
            ([{**SMS, "text": text} for text in ("first", "second", "first")], ["sms.received"] * 2),
        ],
    )
    def test_of_any_kind_is_stored(self, documents: list[dict[str, Any]], stored: list[str]) -> None:
        sender = voipstudio()
        for document in documents:
            sender.send(document)
        assert kinds(sender) == stored

    def test_of_a_jambonz_new_call_is_a_duplicate_and_gets_the_first_answer(self) -> None:
        container = Container()
        first = container.receive_call({"call_sid": CALL, "to": "+14155550123", "sip": {}})
        for one in (container, replace(container)):
            again = one.receive_call({"call_sid": CALL, "to": "+1900", "sip": {}})
            assert (again.replayed, again.body) == (True, first.body)
        assert len(container.database.items) == 1


class TestEveryPathIntoTheTable:
    """A delivery with a reused id is stored, whichever path it takes into the table."""

    @pytest.fixture
    def table(self) -> FakeDynamoDB:
        table = FakeDynamoDB()
        assert writer_of(table, FakeQueue()).write(item_of(b"{}"), ANSWER, lambda: 7).outcome is WriteOutcome.STORED
        return table

    def test_from_the_spill_queue_stores_and_counts_it(self, table: FakeDynamoDB) -> None:
        reused: list[Item] = []
        queue = FakeQueue()
        table.fault = OUT_OF_ORDER
        assert writer_of(table, queue).write(item_of(b"other"), ANSWER, lambda: 7).outcome is WriteOutcome.SPILLED
        table.fault = None
        store = EventStore(table.as_client(), "events", on_reused_key=reused.append)
        drainer = SpillDrainer(store, queue.as_client(), SPILL_QUEUE_URL)
        for _ in range(2):
            assert drainer.drain(queue_batch(map(pack_item, queue.items)), lambda: 60) == {"batchItemFailures": []}
        assert bodies(table) == [b"other", b"{}"]
        assert len(reused) == 1

    def test_from_the_log_stores_it(self, table: FakeDynamoDB, log: io.StringIO) -> None:
        table.fault = OUT_OF_ORDER
        writer_of(table, FakeQueue(fault=OUT_OF_ORDER)).write(item_of(b"other"), ANSWER, lambda: 7)
        table.fault = None
        line = next(line for line in log.getvalue().splitlines() if "CALLHOOKS_UNSTORED_EVENT" in line)
        assert unstored(log.getvalue()) == [item_of(b"other")]
        logged = Logged("1", json.loads(line)["delivery"])
        store = EventStore(table.as_client(), "events")
        assert [recover_delivery(store, logged).outcome for _ in range(2)] == [Recovered.STORED, Recovered.KNOWN]
        assert bodies(table) == [b"other", b"{}"]

    def test_from_quarantine_stores_it(self, table: FakeDynamoDB) -> None:
        store = EventStore(table.as_client(), "events")
        assert [store_event(store, item_of(body)) for body in (b"other", b"other", b"{}")] == [True, False, False]
        assert bodies(table) == [b"other", b"{}"]

    def test_from_a_queue_that_also_holds_the_first_stores_both(self) -> None:
        table, queue = FakeDynamoDB(fault=OUT_OF_ORDER), FakeQueue()
        writer = writer_of(table, queue)
        outcomes = [writer.write(item_of(body), ANSWER, lambda: 7).outcome for body in (b"{}", b"other", b"{}")]
        assert outcomes == [WriteOutcome.SPILLED, WriteOutcome.SPILLED, WriteOutcome.REPLAYED]
        table.fault = None
        drainer = SpillDrainer(EventStore(table.as_client(), "events"), queue.as_client(), SPILL_QUEUE_URL)
        drainer.drain(queue_batch(map(pack_item, queue.items)), lambda: 60)
        assert bodies(table) == [b"other", b"{}"]

    def test_after_a_lost_reply_stores_it_once(self) -> None:
        table = FakeDynamoDB(lose_reply=True)
        item = item_of(b"{}") | {"request_id": {"S": "1"}}
        assert writer_of(table, FakeQueue()).write(item, ANSWER, lambda: 7).outcome is WriteOutcome.STORED
        assert len(table.items) == 1

    def test_after_an_unreadable_first_body_stores_it(self, table: FakeDynamoDB) -> None:
        first = next(iter(table.items.values()))
        first["body"], first["body_encoding"] = {"B": b"broken"}, {"S": "gzip"}
        assert writer_of(table, FakeQueue()).write(item_of(b"{}"), ANSWER, lambda: 7).outcome is WriteOutcome.STORED
        assert len(table.items) == 2


def bodies(table: FakeDynamoDB) -> list[bytes]:
    return sorted(bytes(item["body"]["B"]) for item in table.items.values())


@given(st.lists(st.tuples(st.sampled_from([b"1", b"2", b"3" * 3000]), st.booleans()), min_size=1, max_size=8))
def test_each_body_is_stored_once_in_any_order_and_container(deliveries: list[tuple[bytes, bool]]) -> None:
    table = FakeDynamoDB()
    warm = writer_of(table, FakeQueue())
    seen: set[bytes] = set()
    for body, is_warm in deliveries:
        writer = warm if is_warm else writer_of(table, FakeQueue())
        assert writer.write(item_of(body), ANSWER, lambda: 7).outcome is (
            WriteOutcome.REPLAYED if body in seen else WriteOutcome.STORED
        )
        seen.add(body)
    assert len(table.items) == len(seen)
