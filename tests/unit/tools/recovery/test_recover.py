"""Deliveries that are only in the log: their parts are found in any envelope, and joined."""

from __future__ import annotations

import base64
import gzip
import io
import json
from collections.abc import Callable

import pytest
from callhooks.events.call_event import CallEvent, Kind, QuarantinedDelivery
from callhooks.events.event_item import Item, event_item, pack_item, quarantine_item
from callhooks.events.event_table import EventStore
from callhooks.events.event_writer import MAX_LOGGED_PART, UNSTORED_MARKER
from callhooks.runtime.http import Request, Response
from callhooks_tools.commands.recover import Joiner, LogLine, Recovered, RecoveryOutcome, parse_part, recover_delivery
from hypothesis import given
from hypothesis import strategies as st

from tests.support import NOW, FakeDynamoDB, FakeQueue, incompressible, writer_of

SMALL = event_item(
    CallEvent("wavix", "call-1", "key-1", Kind.RINGING, "ringing", NOW),
    Request("POST", "/", body=b"{}"),
    Response(200, "[]"),
    retention_days=90,
)
IN_QUARANTINE = quarantine_item(
    QuarantinedDelivery("wavix", "The body is not JSON.", NOW),
    Request("POST", "/", body=b"{", route="POST /webhooks/wavix/{token}"),
    Response(202, "{}"),
    retention_days=90,
)


def large_item() -> Item:
    """Return an item that takes two parts in the log."""
    answer = base64.b64encode(incompressible(MAX_LOGGED_PART)).decode()
    return SMALL | {"answer": {"S": answer}}


@pytest.fixture
def logged(log: io.StringIO) -> list[str]:
    """Return the log lines of two deliveries that could not be stored elsewhere; one is large."""
    writer = writer_of(FakeDynamoDB(), FakeQueue())
    writer.log(large_item(), "ThrottlingException")
    writer.log(IN_QUARANTINE, "ThrottlingException")
    lines = [line for line in log.getvalue().splitlines() if UNSTORED_MARKER in line]
    assert len(lines) == 3
    return lines


def lines_of(messages: list[str]) -> list[LogLine]:
    return [LogLine(f"group stream {number}", message) for number, message in enumerate(messages)]


def recovered(joiner: Joiner, messages: list[str], database: FakeDynamoDB) -> list[Recovered]:
    store = EventStore(database.as_client(), "events")
    return [recover_delivery(store, logged) for logged in joiner.join(lines_of(messages))]


def outcomes(found: list[Recovered]) -> list[RecoveryOutcome]:
    return [one.outcome for one in found]


ENVELOPES: dict[str, Callable[[str], str]] = {
    "no envelope": lambda line: line,
    "in plain text": lambda line: f"[ERROR]\t2026-11-21T06:30:00.250Z\t970af256-8d3a-41e8-9b7f-740a0b9202ac\t{line}\n",
    "as text in an envelope": lambda line: json.dumps({"timestamp": "2026-11-21T06:30:00Z", "message": line}),
    "as an object in an envelope": lambda line: json.dumps({"level": "ERROR", "message": json.loads(line)}),
    "in two envelopes": lambda line: json.dumps({"message": json.dumps({"message": f"[ERROR] {line}"})}),
}


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_a_logged_delivery_is_recovered_once_from_any_envelope(envelope: str, logged: list[str]) -> None:
    messages, database = [ENVELOPES[envelope](line) for line in logged], FakeDynamoDB()
    assert outcomes(recovered(Joiner(), messages, database)) == [RecoveryOutcome.STORED, RecoveryOutcome.STORED]
    assert outcomes(recovered(Joiner(), messages, database)) == [RecoveryOutcome.KNOWN, RecoveryOutcome.KNOWN]
    assert len(database.items) == 2
    assert database.items[IN_QUARANTINE["pk"]["S"], IN_QUARANTINE["sk"]["S"]] == IN_QUARANTINE


@given(st.data())
def test_parts_are_joined_in_any_order_and_with_duplicates(data: st.DataObject) -> None:
    texts = {name: pack_item(SMALL | {"answer": {"S": name}}) for name in ("one", "two", "three")}
    parts = [
        json.dumps({"message": UNSTORED_MARKER, "event": name, "part": part, "parts": 5, "delivery": delivery})
        for name, text in texts.items()
        for part, delivery in enumerate([text[:10], text[10:11], text[11:100], "", text[100:]], start=1)
    ]
    messages = data.draw(st.permutations(parts + data.draw(st.lists(st.sampled_from(parts)))))
    joiner = Joiner()
    assert {one.event: one.packed for one in joiner.join(lines_of(messages))} == texts
    assert (joiner.unreadable, joiner.incomplete) == ([], [])


def test_an_incomplete_delivery_and_an_invalid_line_are_reported_and_skipped(logged: list[str]) -> None:
    joiner = Joiner()
    assert outcomes(recovered(joiner, [logged[2][:-9], *logged[1:]], FakeDynamoDB())) == [RecoveryOutcome.STORED]
    event = json.loads(logged[0])["event"]
    assert joiner.incomplete == [Recovered(event, RecoveryOutcome.UNREADABLE, "only 1 of 2 parts found")]
    assert joiner.unreadable == [
        Recovered("group stream 0", RecoveryOutcome.UNREADABLE, "its JSON is truncated or invalid")
    ]


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (UNSTORED_MARKER, "it has no JSON with the marker"),
        (json.dumps({"message": f"grep {UNSTORED_MARKER}"}), "it has no JSON with the marker"),
        ('{"message":' * 50_000, "its JSON is truncated or invalid"),
        (json.dumps({"message": UNSTORED_MARKER, "delivery": "+14155550123"}),
         "members are missing or have the wrong type"),
        (json.dumps({"message": UNSTORED_MARKER, "event": "1", "part": 3, "parts": 2, "delivery": ""}),
         "its part number is too high"),
    ],
)  # fmt: skip
def test_an_error_describes_a_line_without_quoting_it(message: str, problem: str) -> None:
    with pytest.raises(ValueError, match=rf"\A{problem}\Z"):
        parse_part(message)


def test_an_invalid_or_rejected_item_is_reported(logged: list[str]) -> None:
    too_large = pack_item(SMALL | {"answer": {"S": "a" * 410_000}})
    messages = [
        json.dumps({"message": UNSTORED_MARKER, "event": event, "part": 1, "parts": 1, "delivery": delivery})
        for event, delivery in (("broken", base64.b64encode(gzip.compress(b"{")).decode()), ("too large", too_large))
    ]
    found = recovered(Joiner(), [*messages, *logged], FakeDynamoDB())
    assert found[:2] == [
        Recovered("broken", RecoveryOutcome.UNREADABLE, "not a packed item (JSONDecodeError)"),
        Recovered("too large", RecoveryOutcome.UNREADABLE, "the database rejects it"),
    ]
    assert outcomes(found[2:]) == [RecoveryOutcome.STORED, RecoveryOutcome.STORED]
