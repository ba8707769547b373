"""Reading events and writing calls, in a table created from the template."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import boto3
import pytest
from botocore.exceptions import ClientError
from callhooks.calls.call import FOLD_VERSION, CallSummary
from callhooks.calls.repository import CallStore, OutOfTime, calls_at, shard_of, summary_of_item
from callhooks.events.call_event import CallEvent, Kind
from callhooks.events.event_item import event_item
from callhooks.events.event_table import EventStore
from callhooks.runtime.http import Request, Response

from tests.calls import fold, make_event
from tests.integration.conftest import TABLE, Aws
from tests.support import LONG_TEXT

PK = "jambonz#one-call"


@pytest.fixture
def calls(aws: Aws) -> CallStore:
    return CallStore(boto3.client("dynamodb"), TABLE)


def store_event(aws: Aws, event: CallEvent, *, body: bytes = b"{}", retention_days: float = 90) -> None:
    request, answer = Request("POST", "/", body=body), Response(200, "[]")
    EventStore(aws.dynamodb, TABLE).put(event_item(event, request, answer, retention_days=retention_days))


def call_in_table(aws: Aws) -> dict[str, object]:
    item = aws.dynamodb.get_item(TableName=TABLE, Key={"pk": {"S": PK}, "sk": {"S": "call"}})["Item"]
    return {name: next(iter(value.values())) for name, value in item.items()}


def test_only_the_events_of_a_call_are_read_page_by_page_while_there_is_time(aws: Aws, calls: CallStore) -> None:
    events = [make_event(Kind.DTMF, number, {"text": LONG_TEXT, "digits": "1"}) for number in range(60)]
    for event in [*events, replace(events[0], call_id="one-call-2")]:
        store_event(aws, event)
    calls.write_if_newer(PK, fold(events), expires_at=None)
    read = calls.events_of(PK).events
    assert {event.dedupe_key for event in read} == {event.dedupe_key for event in events}
    assert fold(read) == fold(events)
    assert calls.events_of("jambonz#unknown").events == ()
    aws.calls.clear()
    calls.events_of(PK)
    assert aws.calls.count("Query") > 1
    aws.calls.clear()
    with pytest.raises(OutOfTime):
        calls.events_of(PK, has_time=lambda: False)
    assert aws.calls == ["Query"]


def test_a_call_expires_with_its_last_event(aws: Aws, calls: CallStore) -> None:
    first = make_event(Kind.INITIATED)
    last = replace(first, dedupe_key="last", received_at=first.received_at + timedelta(hours=1))
    for event in (first, last):
        store_event(aws, event, retention_days=1)
    expires_at = int((last.received_at + timedelta(days=1)).timestamp())
    assert calls.events_of(PK).expires_at == expires_at
    store_event(aws, replace(first, dedupe_key="for ever"), retention_days=0)
    assert calls.events_of(PK).expires_at is None


def test_a_call_is_only_replaced_by_one_of_more_events_or_a_newer_fold(aws: Aws, calls: CallStore) -> None:
    events = [make_event(Kind.INITIATED), make_event(Kind.ANSWERED, 5), make_event(Kind.COMPLETED, 9)]
    assert calls.write_if_newer(PK, fold(events[:2]), expires_at=None)
    assert calls.write_if_newer(PK, fold(events), expires_at=7)
    for stale in (fold(events), fold(events[:2]), fold(events[:1])):
        assert not calls.write_if_newer(PK, stale, expires_at=None)
    stored = call_in_table(aws)
    assert (stored["event_count"], stored["status"], stored["expires_at"]) == ("3", "completed", "7")
    newer = fold(events).model_copy(update={"fold_version": FOLD_VERSION + 1, "event_count": 1})
    assert calls.write_if_newer(PK, newer, expires_at=None)
    assert not calls.write_if_newer(PK, fold(events), expires_at=None)


def test_a_call_is_indexed_by_day_and_parties_and_a_leg_by_conversation(aws: Aws, calls: CallStore) -> None:
    parties = {"from_": "+1 (212) 555-0187", "to": "sip:jane@example.com"}
    leg = fold(
        [make_event(Kind.INITIATED, 0, {"parent_call_sid": "parent"}, **parties), make_event(Kind.COMPLETED, 9.5)]
    )
    calls.write_if_newer(PK, leg, expires_at=None)
    for index, name, key in (
        ("by_day", "day_shard", f"2026-11-21#{shard_of(PK)}"),
        ("by_from", "from_party", "12125550187"),
        ("by_to", "to_party", "jane"),
        ("by_conversation", "conversation_id", "jambonz#parent"),
    ):
        reply = aws.dynamodb.query(
            TableName=TABLE,
            IndexName=index,
            KeyConditionExpression=f"{name} = :key",
            ExpressionAttributeValues={":key": {"S": key}},
        )
        (entry,) = reply["Items"]
        assert entry["pk"]["S"] == PK
        if index == "by_day":
            listed = summary_of_item(entry)
            assert listed.model_dump() == leg.model_dump(include=set(CallSummary.model_fields))
        else:
            assert set(entry) == {"pk", "sk", name, "started_at"}
    (item,) = calls_at(aws.dynamodb, TABLE, [PK, PK, "jambonz#another"])
    assert summary_of_item(item).model_dump() == leg.model_dump(include=set(CallSummary.model_fields))


def test_a_failing_table_raises_an_error(aws: Aws, calls: CallStore) -> None:
    aws.dynamodb.delete_table(TableName=TABLE)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        calls.write_if_newer(PK, fold([make_event(Kind.INITIATED)]), expires_at=None)
