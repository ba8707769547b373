"""Lists as CSV: the same values as in JSON, nothing that a spreadsheet runs, and pages that join to one file."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest
from callhooks.call_log.csv_export import csv_text
from callhooks.call_log.listing import ListedCall, listed_call
from callhooks.calls.call import Outcome
from hypothesis import given
from hypothesis import strategies as st

from tests.call_table import a_call, item_of, table_of
from tests.console import Console, api_event, basic
from tests.support import PUBLIC_URL, Answer

CALLER = "+14155550100"
FLOWS = ("reception", "sales")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
harmless_texts = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 ,.:é-]*", fullmatch=True)
parts = st.sampled_from(["=", "+", "-", "@", "\t", "\r", "\n", ";", ",", '"', " ", "a", "1", "\u200e", "\uff1d"])
hostile_texts = st.lists(parts, min_size=1, max_size=12).map("".join)


def listed(**members: Any) -> ListedCall:
    return listed_call(item_of(a_call("one", **members)))


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def shown(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@given(
    name=harmless_texts,
    cause=harmless_texts,
    talk_seconds=st.none() | st.integers(0, 9_999_999).map(lambda number: number / 1000),
)
def test_a_csv_reader_gets_the_values_of_the_list(name: str, cause: str, talk_seconds: float | None) -> None:
    call = listed(caller_name=name, cause=cause, talk_seconds=talk_seconds, outcome=Outcome.BUSY, flows=FLOWS)
    (row,) = rows(csv_text([call], UTC, header=True))
    expected = {
        **call.model_dump(by_alias=True),
        "started_at": "2026-11-21T06:30:00.000+00:00",
        "flows": "reception > sales",
    }
    assert row == {title: shown(value) for title, value in expected.items()}


@given(name=texts | hostile_texts, cause=texts | hostile_texts)
def test_no_cell_starts_a_formula_and_apostrophes_are_all_that_is_added(name: str, cause: str) -> None:
    (row,) = rows(csv_text([listed(caller_name=name, cause=cause)], UTC, header=True))
    for title, text in (("caller_name", name), ("cause", cause)):
        assert row[title].replace("'", "") == text.replace("'", "")
        is_number = re.fullmatch(r"\+[0-9]{1,15}", text)
        assert is_number or not re.match(r"[\s\u200e]*[=+\-@\uff1d]|[\t\r\n]", row[title])
        # Another separator, where a spreadsheet does not split at commas.
        assert is_number or not re.search(r"[;,\t\r\n\"]\s*[=+\-@\uff1d]", row[title])


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        (CALLER, CALLER), ("+491701234567", "+491701234567"), ("anonymous", "anonymous"), ("0", "0"),
        ('=HYPERLINK("http://example.com")', "'=HYPERLINK(\"http://example.com\")"), ("+1+1", "'+1+1"),
        ("-2", "'-2"), ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "'\t'=1"), ("\rx", "'\rx"), (" =1", "' =1"),
        ("a;=1", "a;'=1"), ("Doe, Jane - sales", "Doe, Jane - sales"), ("a-b", "a-b"), ("\uff1d1", "'\uff1d1"),
        *((f"{letter}=1", f"'{letter}=1") for letter in "\xad\u061c\u180e\u200b\u2060\u2066\u2069\ufeff"),
    ],
)  # fmt: skip
def test_a_number_stays_as_it_is_and_a_formula_becomes_text(text: str, cell: str) -> None:
    (row,) = rows(csv_text([listed(caller_name=text)], UTC, header=True))
    assert row["caller_name"] == cell


def test_a_long_hostile_text_is_written_in_linear_time() -> None:
    tabs = "\t" * 100_000
    (row,) = rows(csv_text([listed(caller_name=f"{tabs}=1")], UTC, header=True))
    assert row["caller_name"] == f"'{tabs}'=1"


def get(console: Console, accept: str | None = None, **query: object) -> Answer:
    headers = {"authorization": basic(), **({"accept": accept} if accept else {})}
    return console.answer(api_event("/calls", query=query, headers=headers))


@pytest.mark.parametrize(
    ("accept", "query", "is_csv"),
    [
        (None, {}, False), ("*/*", {}, False), ("application/json", {}, False), ("text/html, */*;q=0.8", {}, False),
        ("text/csv", {}, True), ("Text/CSV;q=0.9, */*;q=0.1", {}, True), ("text/csv, application/json", {}, True),
        ("text/csv;q=0.5, application/json", {}, False), ("text/csv;q=0", {}, False), ("text/csv;q=x", {}, False),
        (None, {"format": "csv"}, True), ("application/json", {"format": "csv"}, True),
        ("text/csv", {"format": "json"}, False),
    ],
)  # fmt: skip
def test_a_client_asks_for_csv_by_header_or_parameter(
    accept: str | None, query: dict[str, str], *, is_csv: bool
) -> None:
    answer = get(Console(table_of([a_call("one")])), accept, **query)
    content_type = "text/csv; charset=utf-8; header=present" if is_csv else "application/json"
    assert (answer.statusCode, answer.headers["content-type"]) == (200, content_type)
    if is_csv:
        assert [row["call_id"] for row in rows(answer.body)] == ["one"]
    else:
        assert [call["call_id"] for call in json.loads(answer.body)["calls"]] == ["one"]


def pages(console: Console, answer: Answer) -> Iterator[Answer]:
    """Yield an answer and all further pages, by their links."""
    yield answer
    while link := answer.headers.get("link"):
        found = re.fullmatch(r'<(.*)>; rel="next"', link)
        assert found
        url = urlsplit(found[1])
        assert f"{url.scheme}://{url.netloc}{url.path}" == f"{PUBLIC_URL}/calls"
        event = api_event("/calls", raw_query=url.query, headers={"authorization": basic()})
        answer = console.answer(event)
        yield answer


def test_the_pages_behind_the_links_are_one_file_of_a_whole_month() -> None:
    calls = [a_call(f"call-{number}", milliseconds=-number * 1_200_000, cause="é, \n=1") for number in range(2300)]
    console = Console(table_of(calls))
    answers = list(
        pages(console, get(console, format="csv", since="2026-10-01", until="2026-11-22", tz="Europe/Berlin"))
    )
    assert [answer.headers["content-type"][-7:] for answer in answers] == ["present", *["=absent"] * (len(answers) - 1)]
    assert len(answers) > 2
    found = rows("".join(answer.body for answer in answers))
    assert [row["call_id"] for row in found] == [call.call_id for call in calls]
    starts = [row["started_at"] for row in found]
    assert (starts[0], starts[-1]) == ("2026-11-21T07:30:00.000+01:00", "2026-10-20T10:10:00.000+02:00")
    assert all(datetime.fromisoformat(later) > datetime.fromisoformat(start) for later, start in pairwise(starts))
    assert answers[-1].headers["callhooks-read-to"] == "2026-09-30T22:00:00.000Z"
    assert all(len(json.dumps(answer.body)) < 6_000_000 for answer in answers)


def test_a_json_list_has_the_link_too_and_keeps_its_parameters() -> None:
    console = Console(table_of(a_call(f"call-{number}", milliseconds=number) for number in range(25)))
    answers = list(pages(console, get(console, number="+1 415-555 0100", limit=10)))
    assert [len(json.loads(answer.body)["calls"]) for answer in answers] == [10, 10, 5]
