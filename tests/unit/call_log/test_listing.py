"""Lists, counts and legs of calls in the table, and the number of entries read for them."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from callhooks.call_log import listing as call_list
from callhooks.call_log.listing import MAX_LISTED, UNDER_WAY, CallList, CallQuery, Cursor, InvalidCursor
from callhooks.calls.call import Call, CallStatus, Outcome, Result
from callhooks.calls.repository import DAY_SHARDS, MAX_BATCH_KEYS, ReadsThrottled, shard_of
from callhooks.events.event_item import partition_key
from hypothesis import given
from hypothesis import strategies as st

from tests.call_table import FakeTable, a_call, item_of, newest_first, path_of, table_of
from tests.calls import START

TODAY = "2026-11-21"
CALLER, CALLED = "+14155550100", "+14155550123"
ALL_OF_TODAY = CallQuery(day=TODAY)


def list_of(table: FakeTable) -> CallList:
    return CallList(table.as_client(), "events")


def walk(table: FakeTable, query: CallQuery, *, limit: int) -> list[str]:
    """Return the paths on all pages of a query, following only the cursors of the responses."""
    paths: list[str] = []
    text: str | None = None
    while True:
        after = Cursor.parse(text).position_for(query) if text else None
        page = list_of(table).page(query, limit=limit, after=after)
        assert len(page.calls) <= limit
        paths += [call.path for call in page.calls]
        if page.cursor is None:
            return paths
        assert page.cursor != text
        text = page.cursor


calls_of_a_day = st.lists(
    st.builds(
        a_call,
        st.uuids().map(str),
        milliseconds=st.integers(0, 5) | st.integers(0, 60_000_000),
        provider=st.sampled_from(["jambonz", "wavix", "bird", "voipstudio"]),
        status=st.sampled_from(CallStatus),
        outcome=st.none() | st.sampled_from(Outcome),
        direction=st.sampled_from(["inbound", "outbound", None]),
        result=st.sampled_from(Result),
        flows=st.sampled_from([(), ("sales",), ("reception", "sales", "voicemail")]),
        context=st.sampled_from(["QUEUE", "LOCAL_USER", None]),
        queue=st.sampled_from(["Support", "sales", None]),
        from_=st.sampled_from([CALLER, CALLED, "jane", None]),
        to=st.sampled_from([CALLER, CALLED, None]),
        talk_seconds=st.none() | st.integers(0, 4000) | st.integers(0, 4_000_000).map(lambda number: number / 1000),
    ),
    max_size=60,
)
narrowings = st.fixed_dictionaries(
    {},
    optional={
        "provider": st.sampled_from(["jambonz", "wavix"]),
        "status": st.sampled_from(CallStatus),
        "outcome": st.sampled_from([UNDER_WAY, *Outcome]),
        "direction": st.sampled_from(["inbound", "outbound"]),
        "result": st.sampled_from(Result),
        "flow": st.sampled_from(["sales", "voicemail", "sale"]),
        "context": st.sampled_from(["queue", "LOCAL_USER"]),
        "queue": st.sampled_from(["support", "Sales", "Supp"]),
    },
)


def narrowed(calls: Iterable[Call], narrowing: dict[str, Any]) -> list[Call]:
    return [call for call in calls if all(fits(call, name, value) for name, value in narrowing.items())]


def fits(call: Call, name: str, value: str) -> bool:
    match name:
        case "outcome":
            return (call.outcome or UNDER_WAY) == value
        case "flow":
            return value in call.flows
        case "context" | "queue":
            return (getattr(call, name) or "").lower() == value.lower()
    return bool(getattr(call, name) == value)


@given(calls=calls_of_a_day, narrowing=narrowings, limit=st.integers(1, 20), reply=st.integers(1, 30))
def test_the_pages_of_a_day_list_every_call_once_in_order(
    calls: list[Call], narrowing: dict[str, Any], limit: int, reply: int
) -> None:
    table = table_of([*calls, a_call("yesterday", milliseconds=-86_400_000), a_call("later", milliseconds=86_400_000)])
    table.max_reply = reply
    assert walk(table, CallQuery(day=TODAY, **narrowing), limit=limit) == newest_first(narrowed(calls, narrowing))


@given(
    calls=calls_of_a_day,
    narrowing=narrowings,
    limit=st.integers(1, 20),
    day=st.sampled_from([None, TODAY]),
    number=st.sampled_from([CALLER, "1 (415) 555-0123", "sip:Jane@sip.example.com"]),
)
def test_the_pages_of_a_number_list_every_call_once_in_order(
    calls: list[Call], narrowing: dict[str, Any], limit: int, day: str | None, number: str
) -> None:
    stored = {CALLER: CALLER, "1 (415) 555-0123": CALLED, "sip:Jane@sip.example.com": "jane"}[number]
    yesterday = a_call("yesterday", milliseconds=-86_400_000, to=stored, from_=stored)
    table = table_of([*calls, yesterday])
    matching = [call for call in [*calls, *([] if day else [yesterday])] if stored in (call.from_, call.to)]
    query = CallQuery(day=day, number=number, **narrowing)
    assert walk(table, query, limit=limit) == newest_first(narrowed(matching, narrowing))


@given(first=calls_of_a_day, later=calls_of_a_day, limit=st.integers(1, 10))
def test_calls_that_arrive_between_pages_do_not_shift_the_next_page(
    first: list[Call], later: list[Call], limit: int
) -> None:
    table = table_of(first)
    page = list_of(table).page(ALL_OF_TODAY, limit=limit)
    if page.cursor is None:
        return
    edge = Cursor.parse(page.cursor).after
    arrived = [call.model_copy(update={"started_at": START + timedelta(hours=17)}) for call in later]
    table.put(*(item_of(call) for call in arrived))
    second = list_of(table).page(ALL_OF_TODAY, limit=limit, after=edge)
    assert [call.path for call in second.calls] == newest_first(first)[limit : 2 * limit]


def test_a_page_reads_few_more_entries_than_it_returns() -> None:
    table = table_of(a_call(f"call-{number}", milliseconds=number) for number in range(3000))
    list_of(table).page(ALL_OF_TODAY, limit=50)
    assert (table.queries <= DAY_SHARDS + 4, table.reads <= 150) == (True, True)


def test_a_page_without_matches_stops_early_and_continues_from_its_cursor() -> None:
    calls = [a_call(f"call-{number}", milliseconds=number) for number in range(MAX_LISTED + 500)]
    table = table_of([*calls, a_call("rare", milliseconds=-1, direction="outbound")])
    query = CallQuery(day=TODAY, direction="outbound")
    page = list_of(table).page(query, limit=50)
    assert page.calls == ()
    assert page.cursor is not None
    assert table.reads < MAX_LISTED + DAY_SHARDS * 500
    next_page = list_of(table).page(query, limit=50, after=Cursor.parse(page.cursor).position_for(query))
    assert [call.call_id for call in next_page.calls] == ["rare"]


def test_calls_with_the_same_start_are_all_listed_however_many_there_are() -> None:
    calls = [a_call(f"call-{number}") for number in range(MAX_LISTED + 100)]
    assert walk(table_of(calls), CallQuery(day=TODAY, direction="inbound"), limit=1500) == newest_first(calls)


def test_the_calls_of_a_day_are_spread_over_all_shards() -> None:
    shards = Counter(shard_of(f"jambonz#call-{number}") for number in range(8000))
    assert len(shards) == DAY_SHARDS
    assert max(shards.values()) < 1300


@given(calls=calls_of_a_day, max_counted=st.integers(1, 30))
def test_the_counts_of_a_day_add_up_to_its_calls(calls: list[Call], max_counted: int) -> None:
    table = table_of([*calls, a_call("yesterday", milliseconds=-86_400_000)])
    counted: Counter[tuple[int, str, str, str]] = Counter()
    talked: Counter[tuple[int, str, str, str]] = Counter()
    text: str | None = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(call_list, "MAX_COUNTED", max_counted)
        while True:
            after = Cursor.parse(text).position_for(ALL_OF_TODAY) if text else None
            counts = list_of(table).counts(TODAY, after=after)
            assert sum(count.calls for count in counts.counts) <= max_counted
            for count in counts.counts:
                key = (count.hour, count.provider, count.outcome, count.result)
                counted[key] += count.calls
                talked[key] += round(1000 * count.talk_seconds)
            text = counts.cursor
            if text is None:
                break
    assert counted == Counter(
        (call.started_at.hour, call.provider, call.outcome or UNDER_WAY, call.result) for call in calls
    )
    assert talked.total() == sum(round(1000 * (call.talk_seconds or 0)) for call in calls)


a_cursor = Cursor.at(call_list.Position("2026-11-21T06:30:00.000Z", "jambonz#one"), ALL_OF_TODAY)


def test_a_cursor_is_accepted_for_its_own_query() -> None:
    read = Cursor.parse(str(a_cursor))
    assert (read, read.day) == (a_cursor, TODAY)
    assert read.position_for(ALL_OF_TODAY) == a_cursor.after


@pytest.mark.parametrize(
    "other",
    [{"day": "2026-11-22"}, {"day": None, "number": CALLER}, {"number": CALLER}, {"provider": "jambonz"},
     {"status": CallStatus.BUSY}, {"outcome": Outcome.BUSY}, {"direction": "inbound"},
     {"result": Result.REACHED}, {"flow": "sales"}, {"context": "QUEUE"}, {"queue": "sales"}],
)  # fmt: skip
def test_the_cursor_of_another_query_is_rejected(other: dict[str, Any]) -> None:
    with pytest.raises(InvalidCursor):
        Cursor.parse(str(a_cursor)).position_for(CallQuery(**{"day": TODAY, **other}))


def test_a_cursor_accepts_the_number_in_another_notation_and_does_not_contain_it() -> None:
    cursor = Cursor.at(a_cursor.after, CallQuery(number="+1 415 555-0100"))
    assert cursor.position_for(CallQuery(number="14155550100")) == a_cursor.after
    assert b"4155550100" not in base64.urlsafe_b64decode(str(cursor))


@given(index=st.integers(0, len(str(a_cursor)) - 1), letter=st.characters())
def test_a_tampered_cursor_is_rejected(index: int, letter: str) -> None:
    text = str(a_cursor)
    changed = text[:index] + letter + text[index + 1 :]
    if changed == text:
        return
    with pytest.raises(InvalidCursor):
        Cursor.parse(changed).position_for(ALL_OF_TODAY)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def encoded(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode()


@given(
    st.text(max_size=60)
    | st.binary(max_size=60).map(encoded)
    | (json_values | st.lists(json_values, min_size=4, max_size=4)).map(
        lambda value: encoded(json.dumps(value).encode())
    )
)
def test_arbitrary_text_is_not_accepted_as_a_cursor(text: str) -> None:
    with pytest.raises(InvalidCursor):
        Cursor.parse(text).position_for(ALL_OF_TODAY)


@pytest.mark.parametrize("text", ["A" * 5000, base64.b64encode(b"[" * 3000).decode(), "é", "\ud800"])
def test_a_cursor_that_is_expensive_to_parse_is_rejected(text: str) -> None:
    with pytest.raises(InvalidCursor):
        Cursor.parse(text)


def conversation() -> tuple[FakeTable, Call, list[Call]]:
    parent = a_call("parent")
    legs = [a_call(f"leg-{number}", milliseconds=number, conversation_id="parent") for number in (1, 2, 3)]
    return table_of([parent, *legs, a_call("other"), a_call("leg-of-other", conversation_id="other")]), parent, legs


def paths_of_legs(table: FakeTable, call: Call) -> list[str]:
    return [leg.path for leg in list_of(table).legs(partition_key(call.provider, call.call_id), call)]


def test_a_call_has_its_legs_oldest_first_and_a_leg_its_parent_and_siblings() -> None:
    table, parent, legs = conversation()
    assert paths_of_legs(table, parent) == [path_of(leg) for leg in legs]
    assert paths_of_legs(table, legs[1]) == [path_of(call) for call in (parent, legs[0], legs[2])]


def test_calls_that_share_a_conversation_need_no_parent() -> None:
    legs = [a_call(str(number), provider="voipstudio", conversation_id="5a1b") for number in (1, 2)]
    assert paths_of_legs(table_of(legs), legs[0]) == [path_of(legs[1])]
    alone = a_call("alone")
    assert paths_of_legs(table_of([alone]), alone) == []


def test_legs_are_limited_to_one_batch_request() -> None:
    legs = [a_call(f"leg-{number:03}", milliseconds=number, conversation_id="parent") for number in range(150)]
    table = table_of([a_call("parent"), *legs])
    assert len(paths_of_legs(table, legs[0])) == MAX_BATCH_KEYS - 1


def test_legs_that_dynamodb_leaves_unprocessed_are_requested_again_or_raise() -> None:
    table, parent, legs = conversation()
    table.unprocessed = 2
    assert paths_of_legs(table, parent) == [path_of(leg) for leg in legs]
    table.unprocessed = 1000
    table.put(*(item_of(a_call(f"more-{number}", conversation_id="parent")) for number in range(9)))
    with pytest.raises(ReadsThrottled):
        paths_of_legs(table, parent)
