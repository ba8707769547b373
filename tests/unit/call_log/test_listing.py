"""Lists, counts and legs of calls in the table, and the number of entries read for them."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from callhooks.call_log import listing as call_list
from callhooks.call_log.listing import MAX_LISTED, UNDER_WAY, CallList, CallQuery, Cursor, InvalidCursor
from callhooks.call_log.search import Search
from callhooks.call_log.spans import Span, Unit
from callhooks.calls.call import Call, CallStatus, Outcome, Result
from callhooks.calls.repository import DAY_SHARDS, MAX_BATCH_KEYS, ReadsThrottled, shard_of
from callhooks.events.call_event import utc_text
from callhooks.events.event_item import partition_key
from hypothesis import given
from hypothesis import strategies as st

from tests.call_table import FakeTable, a_call, item_of, newest_first, path_of, table_of
from tests.calls import START
from tests.properties import examples

TODAY = Span.of_day(START.date())
START_TEXT = utc_text(START)
CALLER, CALLED = "+14155550100", "+14155550123"
ALL_OF_TODAY = CallQuery(TODAY)


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
    assert walk(table, CallQuery(TODAY, **narrowing), limit=limit) == newest_first(narrowed(calls, narrowing))


@given(
    calls=calls_of_a_day,
    narrowing=narrowings,
    limit=st.integers(1, 20),
    day=st.sampled_from([None, TODAY]),
    number=st.sampled_from([CALLER, "1 (415) 555-0123", "sip:Jane@sip.example.com"]),
)
def test_the_pages_of_a_number_list_every_call_once_in_order(
    calls: list[Call], narrowing: dict[str, Any], limit: int, day: Span | None, number: str
) -> None:
    stored = {CALLER: CALLER, "1 (415) 555-0123": CALLED, "sip:Jane@sip.example.com": "jane"}[number]
    yesterday = a_call("yesterday", milliseconds=-86_400_000, to=stored, from_=stored)
    table = table_of([*calls, yesterday])
    matching = [call for call in [*calls, *([] if day else [yesterday])] if stored in (call.from_, call.to)]
    query = CallQuery(day, number=number, **narrowing)
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
    query = CallQuery(TODAY, direction="outbound")
    page = list_of(table).page(query, limit=50)
    assert page.calls == ()
    assert page.cursor is not None
    assert table.reads < MAX_LISTED + DAY_SHARDS * 500
    next_page = list_of(table).page(query, limit=50, after=Cursor.parse(page.cursor).position_for(query))
    assert [call.call_id for call in next_page.calls] == ["rare"]


def test_calls_with_the_same_start_are_all_listed_however_many_there_are() -> None:
    calls = [a_call(f"call-{number}") for number in range(MAX_LISTED + 100)]
    assert walk(table_of(calls), CallQuery(TODAY, direction="inbound"), limit=1500) == newest_first(calls)


def test_the_calls_of_a_day_are_spread_over_all_shards() -> None:
    shards = Counter(shard_of(f"jambonz#call-{number}") for number in range(8000))
    assert len(shards) == DAY_SHARDS
    assert max(shards.values()) < 1300


# Spans. The days around the clock changes of these zones in October, and their midnights.

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Asia/Beirut",
         "America/Havana", "Pacific/Kiritimati"]  # fmt: skip
zones = st.sampled_from(ZONES).map(ZoneInfo)
OCTOBER = datetime(2026, 10, 1, tzinfo=UTC)
moments = st.integers(0, 70 * 86_400).map(lambda seconds: OCTOBER + timedelta(seconds=seconds)) | st.builds(
    lambda day, milliseconds: OCTOBER + timedelta(days=day, milliseconds=milliseconds),
    st.integers(0, 70),
    st.sampled_from([-3_600_000, -1, 0, 1, 3_600_000]),
)
calls_of_months = st.lists(
    st.builds(
        lambda call_id, started_at, **members: a_call(call_id, **members).model_copy(update={"started_at": started_at}),
        st.uuids().map(str),
        moments,
        provider=st.sampled_from(["jambonz", "wavix"]),
        outcome=st.none() | st.sampled_from(Outcome),
        result=st.sampled_from(Result),
        direction=st.sampled_from(["inbound", "outbound", None]),
        from_=st.sampled_from([CALLER, CALLED, None]),
        to=st.sampled_from([CALLER, CALLED, None]),
        caller_name=st.sampled_from(["Jane Doe", "J\u00fcrgen", None]),
        trunk=st.sampled_from(["carrier", None]),
        talk_seconds=st.none() | st.integers(0, 4_000_000).map(lambda number: number / 1000),
        parent_call_id=st.sampled_from(["parent", None]),
    ),
    max_size=40,
)


@given(calls=calls_of_months, ends=st.tuples(moments, moments), limit=st.integers(1, 20), max_days=st.integers(1, 9))
def test_the_pages_of_any_span_list_its_calls_once_in_order(
    calls: list[Call], ends: tuple[datetime, datetime], limit: int, max_days: int
) -> None:
    since, until = sorted(ends)
    expected = [call for call in calls if since <= call.started_at < until]
    table = table_of(calls)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(call_list, "MAX_DAYS", max_days)
        assert walk(table, CallQuery(Span.between(since, until)), limit=limit) == newest_first(expected)


@given(calls=calls_of_months, zone=zones, day=st.integers(0, 69).map(lambda days: (OCTOBER + timedelta(days)).date()))
def test_a_day_of_a_zone_has_the_calls_that_started_on_its_date(calls: list[Call], zone: ZoneInfo, day: date) -> None:
    expected = [call for call in calls if call.started_at.astimezone(zone).date() == day]
    assert walk(table_of(calls), CallQuery(Span.of_day(day, zone)), limit=7) == newest_first(expected)


@given(calls=calls_of_months, ends=st.tuples(moments, moments), limit=st.integers(1, 20))
def test_every_call_from_read_to_on_is_on_the_pages_so_far(
    calls: list[Call], ends: tuple[datetime, datetime], limit: int
) -> None:
    query, table = CallQuery(Span.between(*sorted(ends))), table_of(calls)
    listed = newest_first(call for call in calls if min(ends) <= call.started_at < max(ends))
    seen: list[str] = []
    after = None
    while True:
        page = list_of(table).page(query, limit=limit, after=after)
        seen += [call.path for call in page.calls]
        assert page.read_to is not None
        read_to = datetime.fromisoformat(page.read_to)
        later = newest_first(call for call in calls if path_of(call) in listed and call.started_at > read_to)
        assert seen[: len(later)] == later
        if page.cursor is None:
            assert page.read_to == query.span.since if query.span else False
            return
        after = Cursor.parse(page.cursor).position_for(query)


def test_a_page_of_a_year_without_calls_reads_a_month_and_says_so() -> None:
    table = table_of([a_call("old", milliseconds=-300 * 86_400_000)])
    query = CallQuery(Span.between(START - timedelta(days=365), START))
    page = list_of(table).page(query, limit=50)
    assert (page.calls, page.read_to) == ((), "2026-10-21T00:00:00.000Z")
    assert table.queries == DAY_SHARDS * call_list.MAX_DAYS
    assert walk(table, query, limit=50) == ["/calls/jambonz/old"]


def test_a_month_in_any_zone_is_one_page() -> None:
    for zone in map(ZoneInfo, ZONES):
        october = Span(Span.of_day(date(2026, 10, 1), zone).since, Span.of_day(date(2026, 11, 1), zone).since)
        assert list_of(FakeTable()).page(CallQuery(october), limit=50).cursor is None


def test_a_page_of_long_texts_ends_before_the_largest_response() -> None:
    table = table_of(a_call(f"call-{number}", milliseconds=number, cause="\u00e9" * 3000) for number in range(900))
    page = list_of(table).page(ALL_OF_TODAY, limit=900)
    assert 1_000_000 < len(json.dumps(page.model_dump_json())) < 6_000_000
    assert page.cursor is not None
    assert len(walk(table, ALL_OF_TODAY, limit=900)) == 900


# Counts.


def counted(table: FakeTable, query: CallQuery, **how: Any) -> tuple[Counter[Any], Counter[Any]]:
    """Return calls and talk milliseconds of all pages, by the members that distinguish counts."""
    calls: Counter[Any] = Counter()
    talked: Counter[Any] = Counter()
    after = None
    while True:
        page = list_of(table).counts(query, after=after, **how)
        assert sum(count.calls for count in page.counts) <= call_list.MAX_COUNTED
        for count in page.counts:
            key = (count.start, count.provider, count.outcome, count.result, count.number, count.trunk)
            calls[key] += count.calls
            talked[key] += round(1000 * count.talk_seconds)
        if page.cursor is None:
            return calls, talked
        after = Cursor.parse(page.cursor).position_for(query)


def start_of(unit: Unit, local: datetime) -> datetime:
    """Return the start of a unit, found by steps of a minute back from a time."""

    def unit_of(moment: datetime) -> tuple[int, ...]:
        year, week, _ = moment.isocalendar()
        return {
            Unit.HOUR: (*moment.timetuple()[:4], round((moment.utcoffset() or timedelta()).total_seconds())),
            Unit.DAY: moment.timetuple()[:3],
            Unit.WEEK: (year, week),
            Unit.MONTH: moment.timetuple()[:2],
        }[unit]

    step, zone = timedelta(minutes=15), local.tzinfo
    start = local.replace(minute=local.minute // 15 * 15, second=0, microsecond=0)
    while True:
        before = (start.astimezone(UTC) - step).astimezone(zone)
        if unit_of(before) != unit_of(start):
            return start
        start = before


@given(
    calls=calls_of_months,
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "America/Havana"]).map(ZoneInfo),
    unit=st.sampled_from(Unit),
    per=st.none() | st.sampled_from(call_list.Per),
    legs=st.booleans(),
    bounds=st.tuples(st.integers(1, 30), st.integers(1, 40)),
)
@examples(50)
def test_the_counts_of_a_span_add_up_to_its_calls(  # noqa: PLR0917
    calls: list[Call], zone: ZoneInfo, unit: Unit, per: call_list.Per | None, legs: bool, bounds: tuple[int, int]
) -> None:
    span = Span.between(OCTOBER + timedelta(days=3), OCTOBER + timedelta(days=60))
    expected: Counter[Any] = Counter()
    talked: Counter[Any] = Counter()
    for call in calls:
        if span.since <= utc_text(call.started_at) < span.until and (legs or call.parent_call_id is None):
            number = call.from_ if call.direction == "outbound" else call.to
            start = start_of(unit, call.started_at.astimezone(zone)).isoformat()
            key = (
                start, call.provider, call.outcome or UNDER_WAY, call.result,
                number if per == "number" else None, call.trunk if per == "trunk" else None,
            )  # fmt: skip
            expected[key] += 1
            talked[key] += round(1000 * (call.talk_seconds or 0))
    table = table_of(calls)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(call_list, "MAX_COUNTED", bounds[0])
        patch.setattr(call_list, "MAX_DAYS", bounds[1])
        assert counted(table, CallQuery(span, legs=legs), by=unit, zone=zone, per=per) == (expected, talked)


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 7, 1), 24)])
def test_a_day_of_a_clock_change_has_its_own_number_of_hours(day: date, hours: int) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    midnight = datetime(day.year, day.month, day.day, tzinfo=berlin).astimezone(UTC)
    calls = [
        a_call(str(number)).model_copy(update={"started_at": midnight + timedelta(minutes=30 * number - 30)})
        for number in range(2 * hours + 2)
    ]
    counts = list_of(table_of(calls)).counts(CallQuery(Span.of_day(day, berlin)), zone=berlin)
    assert [count.calls for count in counts.counts] == [2] * hours
    assert len({count.start for count in counts.counts}) == hours
    assert [count.start for count in counts.counts] == [
        (midnight + timedelta(hours=number)).astimezone(berlin).isoformat() for number in range(hours)
    ]
    assert counts.day == day.isoformat()


def test_counts_per_number_of_an_attack_end_before_the_largest_response() -> None:
    table = table_of(a_call(f"call-{number}", milliseconds=number, to=f"{number:04}" * 1000) for number in range(1500))
    page = list_of(table).counts(ALL_OF_TODAY, per=call_list.Per.NUMBER)
    assert len(json.dumps(page.model_dump_json())) < 6_000_000
    assert page.cursor is not None
    assert counted(table, ALL_OF_TODAY, per=call_list.Per.NUMBER)[0].total() == 1500


# Search.


def a_search(text: str) -> Search:
    return Search(text, tuple(partition_key(provider, text) for provider in ("jambonz", "wavix")))


def searched_calls() -> list[Call]:
    week = 7 * 86_400_000
    return [
        a_call("call-1", milliseconds=-week, from_="jane", to="+498912345", caller_name="Jane D\u00f6e"),
        a_call("12345678", milliseconds=1, provider="wavix", from_="+4930123456", to="4062"),
        a_call("call-3", milliseconds=2, from_="+1 (212) 555-4062", caller_name="\uff2adoe  Ltd"),
        a_call("call-4", milliseconds=-week, from_="+1 (212) 555-4062", to="4062"),
        a_call("call-5", milliseconds=3, from_="+12125554063", to=None, caller_name="DOE"),
    ]


@pytest.mark.parametrize(
    ("text", "found", "read_to"),
    [
        # An id and a whole number, on all days.
        ("call-1", ["call-1"], None),
        ("+12125554062", ["call-3", "call-4"], None),
        ("1 212 555 4062", ["call-3", "call-4"], None),
        ("\uff0b\uff11\uff12\uff11\uff12\uff15\uff15\uff15\uff14\uff10\uff16\uff12", ["call-3", "call-4"], None),
        # What may be more than one of these.
        ("12345678", ["12345678"], TODAY.since),
        ("4062", ["call-3", "12345678", "call-4"], TODAY.since),
        ("jane", ["call-1"], TODAY.since),
        # Parts, within the span.
        ("2125554062", ["call-3"], TODAY.since),
        ("(212) 555", ["call-5", "call-3"], TODAY.since),
        ("0212 5554063", ["call-5"], TODAY.since),
        ("doe", ["call-5", "call-3"], TODAY.since),
        ("jdoe ltd", ["call-3"], TODAY.since),
        ("Nobody", [], TODAY.since),
    ],
)  # fmt: skip
def test_a_search_finds_ids_and_numbers_on_all_days_and_parts_in_the_span(
    text: str, found: list[str], read_to: str | None
) -> None:
    table, query = table_of(searched_calls()), CallQuery(TODAY, search=a_search(text))
    page = list_of(table).page(query, limit=50)
    assert ([call.call_id for call in page.calls], page.cursor, page.read_to) == (found, None, read_to)
    one_by_one = walk(table, query, limit=1)
    assert one_by_one == [call.path for call in page.calls]


@given(
    calls=calls_of_months, text=st.sampled_from(["5550", CALLER, "doe", "JU\u0308RGEN", "x"]), limit=st.integers(1, 9)
)
def test_the_pages_of_a_search_list_every_match_once_in_order(calls: list[Call], text: str, limit: int) -> None:
    span = Span.between(OCTOBER + timedelta(days=20), OCTOBER + timedelta(days=50))
    expected = [
        call
        for call in calls
        if (text == CALLER and CALLER in (call.from_, call.to))
        or (
            span.since <= utc_text(call.started_at) < span.until
            and (
                (text == "5550" and (call.from_ or call.to))
                or (text == "doe" and call.caller_name == "Jane Doe")
                or (text == "JU\u0308RGEN" and call.caller_name == "J\u00fcrgen")
            )
        )
    ]
    assert walk(table_of(calls), CallQuery(span, search=a_search(text)), limit=limit) == newest_first(expected)


def test_a_search_for_an_id_reads_one_item_and_for_a_number_only_its_calls() -> None:
    table = table_of([*searched_calls(), *(a_call(f"other-{number}", milliseconds=number) for number in range(900))])
    list_of(table).page(CallQuery(TODAY, search=a_search("call-1")), limit=50)
    assert (table.queries, table.reads) == (0, 0)
    list_of(table).page(CallQuery(TODAY, search=a_search("+12125554062")), limit=50)
    assert (table.queries, table.reads) == (4, 4)


def test_a_search_that_finds_nothing_stops_early_and_says_how_far_it_has_read() -> None:
    table = table_of(a_call(f"call-{number}", milliseconds=number * 1000) for number in range(MAX_LISTED + 500))
    page = list_of(table).page(CallQuery(TODAY, search=a_search("Nobody")), limit=50)
    assert (page.calls, page.read_to) == ((), "2026-11-21T06:38:20.000Z")
    assert page.cursor is not None


a_cursor = Cursor.at(call_list.Position("2026-11-21T06:30:00.000Z", "jambonz#one"), ALL_OF_TODAY)


def test_a_cursor_is_accepted_for_its_own_query() -> None:
    read = Cursor.parse(str(a_cursor))
    assert (read, read.span) == (a_cursor, TODAY)
    assert read.position_for(ALL_OF_TODAY) == a_cursor.after


@pytest.mark.parametrize(
    "other",
    [{"span": Span.of_day(date(2026, 11, 22))}, {"span": None, "number": CALLER}, {"number": CALLER},
     {"search": Search("Jane", ())}, {"provider": "jambonz"},
     {"status": CallStatus.BUSY}, {"outcome": Outcome.BUSY}, {"direction": "inbound"},
     {"result": Result.REACHED}, {"flow": "sales"}, {"context": "QUEUE"}, {"queue": "sales"}],
)  # fmt: skip
def test_the_cursor_of_another_query_is_rejected(other: dict[str, Any]) -> None:
    with pytest.raises(InvalidCursor):
        Cursor.parse(str(a_cursor)).position_for(CallQuery(**{"span": TODAY, **other}))


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
    | (json_values | st.lists(json_values, min_size=5, max_size=5)).map(
        lambda value: encoded(json.dumps(value).encode())
    )
)
def test_arbitrary_text_is_not_accepted_as_a_cursor(text: str) -> None:
    with pytest.raises(InvalidCursor):
        Cursor.parse(text).position_for(ALL_OF_TODAY)


@pytest.mark.parametrize(
    ("since", "until", "started_at"),
    [
        (TODAY.since, "2026-99-99T99:99:99.999Z", START_TEXT), (TODAY.since, TODAY.until, "2026-02-30T00:00:00.000Z"),
        ("0001-01-01T00:00:00.000Z", TODAY.until, START_TEXT), (TODAY.since, TODAY.until, "0001-01-01T00:00:00.000Z"),
        ("0001-01-01T00:00:00.000+05:00", TODAY.until, START_TEXT), (TODAY.since, TODAY.until, START_TEXT[:-1]),
        (TODAY.since, "9999-12-31T23:59:59.999Z", START_TEXT), (TODAY.until, TODAY.since, START_TEXT),
    ],
)  # fmt: skip
def test_a_cursor_with_times_that_no_list_has_is_rejected(since: str, until: str, started_at: str) -> None:
    cursor = Cursor.at(call_list.Position(started_at, ""), CallQuery(Span(since, until)))
    with pytest.raises(InvalidCursor):
        Cursor.parse(str(cursor))


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
