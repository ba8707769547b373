"""What only the log has kept: its parts are found in whatever stands around them, and joined."""

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
from callhooks_tools.commands.recover import Joiner, LogLine, Recovered, RecoveryOutcome, bring_in, part_of
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
    """An item of which the log needs two parts."""
    answer = base64.b64encode(incompressible(MAX_LOGGED_PART)).decode()
    return SMALL | {"answer": {"S": answer}}


@pytest.fixture
def logged(log: io.StringIO) -> list[str]:
    """The lines of the log of two deliveries that could be kept nowhere, of which one is large."""
    keeper = writer_of(FakeDynamoDB(), FakeQueue())
    keeper.log(large_item(), "ThrottlingException")
    keeper.log(IN_QUARANTINE, "ThrottlingException")
    lines = [line for line in log.getvalue().splitlines() if UNSTORED_MARKER in line]
    assert len(lines) == 3
    return lines


def lines_of(messages: list[str]) -> list[LogLine]:
    return [LogLine(f"group stream {number}", message) for number, message in enumerate(messages)]


def recovered(joiner: Joiner, messages: list[str], database: FakeDynamoDB) -> list[Recovered]:
    store = EventStore(database.as_client(), "events")
    return [bring_in(store, logged) for logged in joiner.whole(lines_of(messages))]


def fates(found: list[Recovered]) -> list[RecoveryOutcome]:
    return [one.fate for one in found]


AROUND: dict[str, Callable[[str], str]] = {
    "as it is": lambda line: line,
    "in plain text": lambda line: f"[ERROR]\t2026-11-21T06:30:00.250Z\t970af256-8d3a-41e8-9b7f-740a0b9202ac\t{line}\n",
    "as text in an envelope": lambda line: json.dumps({"timestamp": "2026-11-21T06:30:00Z", "message": line}),
    "as an object in an envelope": lambda line: json.dumps({"level": "ERROR", "message": json.loads(line)}),
    "in two envelopes": lambda line: json.dumps({"message": json.dumps({"message": f"[ERROR] {line}"})}),
}


@pytest.mark.parametrize("around", AROUND)
def test_what_was_logged_is_brought_in_once_whatever_stands_around_it(around: str, logged: list[str]) -> None:
    messages, database = [AROUND[around](line) for line in logged], FakeDynamoDB()
    assert fates(recovered(Joiner(), messages, database)) == [RecoveryOutcome.STORED, RecoveryOutcome.STORED]
    assert fates(recovered(Joiner(), messages, database)) == [RecoveryOutcome.KNOWN, RecoveryOutcome.KNOWN]
    assert len(database.items) == 2
    assert database.items[IN_QUARANTINE["pk"]["S"], IN_QUARANTINE["sk"]["S"]] == IN_QUARANTINE


@given(st.data())
def test_parts_come_in_any_order_and_any_number_of_times(data: st.DataObject) -> None:
    texts = {name: pack_item(SMALL | {"answer": {"S": name}}) for name in ("one", "two", "three")}
    parts = [
        json.dumps({"message": UNSTORED_MARKER, "event": name, "part": part, "parts": 5, "delivery": delivery})
        for name, text in texts.items()
        for part, delivery in enumerate([text[:10], text[10:11], text[11:100], "", text[100:]], start=1)
    ]
    messages = data.draw(st.permutations(parts + data.draw(st.lists(st.sampled_from(parts)))))
    joiner = Joiner()
    assert {one.event: one.packed for one in joiner.whole(lines_of(messages))} == texts
    assert (joiner.unreadable, joiner.incomplete) == ([], [])


def test_what_is_incomplete_is_named(logged: list[str]) -> None:
    joiner, database = Joiner(), FakeDynamoDB()
    assert fates(recovered(joiner, logged[1:], database)) == [RecoveryOutcome.STORED]
    event = json.loads(logged[0])["event"]
    assert joiner.incomplete == [Recovered(event, RecoveryOutcome.UNREADABLE, "1 of 2 parts are there")]


def test_a_line_that_is_no_part_is_named_by_its_place_and_holds_up_nothing(logged: list[str]) -> None:
    joiner, database = Joiner(), FakeDynamoDB()
    assert len(recovered(joiner, [logged[2][:-9], *logged], database)) == 2
    assert joiner.unreadable == [
        Recovered("group stream 0", RecoveryOutcome.UNREADABLE, "its JSON is cut off or broken")
    ]


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (UNSTORED_MARKER, "there is no JSON with the marker"),
        (json.dumps({"message": f"grep {UNSTORED_MARKER}"}), "there is no JSON with the marker"),
        ('{"message":' * 50_000, "its JSON is cut off or broken"),
        (json.dumps({"message": UNSTORED_MARKER, "delivery": "+14155550123"}),
         "members are missing or of a wrong type"),
        (json.dumps({"message": UNSTORED_MARKER, "event": "1", "part": 3, "parts": 2, "delivery": ""}),
         "its part is beyond the last one"),
    ],
)  # fmt: skip
def test_what_is_no_part_is_told_and_not_repeated(message: str, problem: str) -> None:
    with pytest.raises(ValueError, match=rf"\A{problem}\Z"):
        part_of(message)


def test_what_is_no_item_or_refused_for_good_is_named(logged: list[str]) -> None:
    too_large = pack_item(SMALL | {"answer": {"S": "a" * 410_000}})
    messages = [
        json.dumps({"message": UNSTORED_MARKER, "event": event, "part": 1, "parts": 1, "delivery": delivery})
        for event, delivery in (("broken", base64.b64encode(gzip.compress(b"{")).decode()), ("too large", too_large))
    ]
    found = recovered(Joiner(), [*messages, *logged], FakeDynamoDB())
    assert found[:2] == [
        Recovered("broken", RecoveryOutcome.UNREADABLE, "not a packed item (JSONDecodeError)"),
        Recovered("too large", RecoveryOutcome.UNREADABLE, "the database refuses it"),
    ]
    assert fates(found[2:]) == [RecoveryOutcome.STORED, RecoveryOutcome.STORED]
