"""List, chart and filters of a day's calls, and their automatic updates."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from callhooks.calls.call import Outcome
from callhooks.events.call_event import Detail, Kind
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import NOW, OTHER_HOST, Visitor, screenshot, sign_in
from tests.browser.double import CallLogDouble
from tests.browser.recordings import (
    ANSWERED_CALL,
    DAY,
    RING_GROUP,
    StoredCall,
    StoredEvent,
    call_of,
    day_of_calls,
    event,
    jambonz_calls,
    made_call,
    recorded_call,
    ring_group,
)

SECONDS = 1000
POLLED = 8 * SECONDS
CUSTOMER = "+12125550187"


def top_of(locator: Locator) -> float:
    box = locator.bounding_box()
    assert box is not None
    return box["y"]


def texts(page: Page, column: str) -> list[str]:
    return page.locator(f"#rows td.{column}").all_inner_texts()


def a_day(double: CallLogDouble, count: int = 200) -> list[StoredCall]:
    calls = day_of_calls(count, until=NOW - timedelta(minutes=6))
    double.store(*calls)
    return calls


def under_way(number: int = 900, *, answered: bool = False, ago: float = 9, **changes: object) -> StoredCall:
    call = made_call(number, NOW - timedelta(seconds=ago), None, ring=4, **changes)  # type: ignore[arg-type]
    return call if answered else call_of(call.events[:2])


def test_a_row_summarises_a_call(double: CallLogDouble, visitor: Visitor) -> None:
    double.store(recorded_call("voipstudio", ("call_initial", "call_ringing", "call_connected", "call_hangup")))
    page = visitor.signed_in()
    cells = page.locator("#rows tr").get_by_role("cell").all_inner_texts()
    assert [re.sub(r"\s+", " ", cell) for cell in cells] == [
        "06:30:00", "447700900123 → to 442079460123", "↘in", "voipstudio", "Answered", "", "0:05", "0:42",
    ]  # fmt: skip
    expect(page.locator("#rows time")).to_have_attribute("title", re.compile(r"\(your time\)$"))
    expect(page.get_by_role("columnheader").first).to_have_text("Time UTC")


def test_every_outcome_has_its_own_word_and_shape(double: CallLogDouble, visitor: Visitor) -> None:
    for number, outcome in enumerate(Outcome):
        double.store(made_call(number, NOW - timedelta(minutes=10 + number), outcome))
    double.store(under_way(), made_call(99, NOW - timedelta(hours=5), None))
    page = visitor.signed_in()
    assert texts(page, "how") == [
        "Ringing", "Answered", "Missed", "No answer", "Busy", "Rejected", "Cancelled", "Failed", "No end reported",
    ]  # fmt: skip
    shapes = [path.get_attribute("d") for path in page.locator("#rows td.how path").all()]
    assert len(set(shapes)) == len(shapes)


def test_ring_and_talk_time_are_separate_bars(double: CallLogDouble, visitor: Visitor) -> None:
    double.store(made_call(1, NOW - timedelta(minutes=30), Outcome.ANSWERED, ring=30, talk=60))
    bars = visitor.signed_in().locator("#rows .length i")
    ring, talk = (bar.bounding_box() for bar in bars.all())
    assert ring is not None
    assert talk is not None
    assert talk["width"] / ring["width"] == pytest.approx(2, rel=0.1)
    expect(bars.first).to_have_class("ringing-time")


def test_new_and_changed_calls_appear_without_a_reload(double: CallLogDouble, visitor: Visitor) -> None:
    first = under_way()
    double.store(first)
    page = visitor.signed_in()
    page.evaluate("document.body.dataset.loaded = 'once'")
    link = page.locator("#rows a").first
    link.focus()
    double.store(under_way(901, ago=1, from_="+12125550111"))
    double.store(made_call(900, NOW - timedelta(seconds=9), Outcome.BUSY))
    rows = page.locator("#rows tr")
    expect(rows).to_have_count(2, timeout=POLLED)
    expect(rows.nth(0)).to_contain_text("+12125550111")
    expect(rows.nth(1)).to_contain_text("Busy")
    expect(rows.nth(1)).to_have_class(re.compile("changed"))
    expect(rows.nth(1).locator("a")).to_be_focused()
    expect(page.locator("#news")).to_have_text("1 new call")
    expect(page.locator('#legend [data-outcome="busy"] b')).to_have_text("1")
    expect(page.locator('#legend [data-outcome="under_way"] b')).to_have_text("1")
    expect(page.locator("body")).to_have_attribute("data-loaded", "once")


def test_visible_rows_do_not_move_when_new_calls_arrive(double: CallLogDouble, visitor: Visitor) -> None:
    a_day(double)
    page = visitor.signed_in()
    page.mouse.move(700, 600)
    page.mouse.wheel(0, 900)
    watched_row = page.locator("#rows tr").nth(30)
    page.wait_for_timeout(300)
    before = top_of(watched_row)
    watched_row = page.locator(f'tr[data-path="{watched_row.get_attribute("data-path")}"]')
    double.store(*(under_way(900 + number, ago=5 + number) for number in range(3)))
    fresh = page.get_by_role("button", name="3 new calls")
    fresh.wait_for(timeout=POLLED)
    assert top_of(watched_row) == pytest.approx(before, abs=1)
    fresh.click()
    expect(page.locator("#rows a").first).to_be_focused()
    expect(page.locator("#rows tr").first).to_be_in_viewport()


def test_the_duration_of_a_call_under_way_is_counted_up(double: CallLogDouble, visitor: Visitor) -> None:
    answered_at = NOW - timedelta(seconds=16)
    double.store(under_way(answered=True, ago=20))
    talk = visitor.signed_in().locator("#rows td.talk")
    earliest = double.now - answered_at
    first = talk.inner_text()
    latest = double.now - answered_at
    minutes, _, seconds = first.partition(":")
    shown = timedelta(minutes=int(minutes), seconds=int(seconds))
    # The page ticks every second, and its clock follows the server's in whole seconds.
    assert earliest - timedelta(seconds=3) <= shown <= latest + timedelta(seconds=1)
    expect(talk).not_to_have_text(first, timeout=3 * SECONDS)


def test_further_pages_are_loaded_on_demand_and_stay(double: CallLogDouble, visitor: Visitor) -> None:
    calls = a_day(double)
    page = visitor.signed_in()
    expect(page.locator("#rows tr")).to_have_count(50)
    for loaded in (100, 150, 200):
        page.get_by_role("button", name="Load more").click()
        expect(page.locator("#rows tr")).to_have_count(loaded)
    expect(page.locator("#more")).to_be_hidden()
    shown = [tr.get_attribute("data-path") for tr in page.locator("#rows tr").all()]
    expected = sorted((call.summary for call in calls), key=lambda one: (one["started_at"], one["path"]), reverse=True)
    assert shown == [call["path"] for call in expected]
    page.wait_for_timeout(4 * SECONDS)
    expect(page.locator("#rows tr")).to_have_count(200)


def test_more_new_calls_than_a_page_leave_no_gap(double: CallLogDouble, visitor: Visitor) -> None:
    double.store(*day_of_calls(60, until=DAY + timedelta(hours=12)))
    page = visitor.signed_in()
    double.store(*(made_call(1000 + n, DAY + timedelta(hours=12, seconds=n), Outcome.BUSY) for n in range(300)))
    expect(page.locator("#rows tr").first).to_contain_text("12:04:59", timeout=POLLED)
    while page.locator("#more").is_visible():
        count = page.locator("#rows tr").count()
        page.locator("#more").click()
        expect(page.locator("#rows tr")).not_to_have_count(count)
    expect(page.locator("#rows tr")).to_have_count(360)


def test_an_empty_page_with_a_cursor_is_not_the_end(double: CallLogDouble, visitor: Visitor) -> None:
    a_day(double, 20)
    double.empty_pages = 6
    page = visitor.signed_in()
    expect(page.locator("#more-note")).to_contain_text("Load more to continue the search")
    page.get_by_role("button", name="Load more").click()
    expect(page.locator("#rows tr")).to_have_count(20)


@pytest.mark.parametrize(
    ("name", "option", "column"),
    [
        ("Provider", "bird", "provider"),
        ("Direction", "outbound", "direction"),
        ("Outcome", "busy", "how"),
    ],
)
def test_a_filter_narrows_the_list_and_is_in_the_url(
    double: CallLogDouble, visitor: Visitor, name: str, option: str, column: str
) -> None:
    a_day(double)
    shown = {"bird": "bird", "outbound": "↗out", "busy": "Busy"}[option]
    page = visitor.signed_in()
    page.get_by_label(name, exact=True).select_option(option)
    expect(page).to_have_url(re.compile(f"#{name.lower()}={option}$"))
    expect(page.locator(f"#rows td.{column}").first).to_have_text(shown)
    assert set(texts(page, column)) == {shown}
    page.reload()
    page.locator("#list:not([aria-busy])").wait_for()
    assert set(texts(page, column)) == {shown}
    page.get_by_role("button", name="Clear filters").click()
    expect(page.locator("#rows tr")).to_have_count(50)


def test_an_added_provider_can_be_selected_once_it_has_calls(double: CallLogDouble, visitor: Visitor) -> None:
    a_day(double, 5)
    double.store(made_call(900, NOW - timedelta(minutes=30), Outcome.BUSY, provider="telco"))
    page = visitor.signed_in()
    page.get_by_label("Provider", exact=True).select_option("telco")
    expect(page.locator("#rows td.provider")).to_have_text(["telco"])
    page.reload()
    expect(page.locator("#rows td.provider")).to_have_text(["telco"])


def test_a_number_is_searched_on_all_days_or_on_one(double: CallLogDouble, visitor: Visitor) -> None:
    a_day(double, 40)
    number = "+1 (646) 555-0999"
    double.store(made_call(1, NOW - timedelta(days=3), Outcome.BUSY, from_="+16465550999"))
    double.store(made_call(2, NOW - timedelta(minutes=20), Outcome.BUSY, to="+16465550999"))
    page = visitor.signed_in()
    page.get_by_label("Number", exact=True).fill(number)
    page.keyboard.press("Enter")
    expect(page.locator("#rows tr")).to_have_count(2)
    assert [text.split("\n")[0] for text in texts(page, "time")] == ["21 Nov 2026", "18 Nov 2026"]
    screenshot(page, "search")
    page.get_by_label("Search on").select_option("This day")
    expect(page.locator("#rows tr")).to_have_count(1)
    # A server may log URLs; the fragment is never sent.
    assert not [request for request in double.requests if request.startswith("GET /?")]


def test_another_day_is_a_click_away(double: CallLogDouble, visitor: Visitor) -> None:
    a_day(double, 5)
    double.store(made_call(1, NOW - timedelta(days=1), Outcome.REJECTED))
    page = visitor.signed_in()
    page.get_by_role("button", name="Previous day").click()
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page.locator("#day-heading")).to_have_text("Friday, 20 November 2026 UTC")
    expect(page).to_have_url(re.compile("#day=2026-11-20$"))
    page.get_by_role("button", name="Next day").click()
    expect(page.locator("#rows tr")).to_have_count(5)
    expect(page.get_by_role("button", name="Next day")).to_be_disabled()


def test_the_chart_adds_up_and_filters(double: CallLogDouble, visitor: Visitor) -> None:
    calls = a_day(double)
    double.store(under_way())
    page = visitor.signed_in()
    screenshot(page, "list")
    outcomes = [call.summary["outcome"] for call in calls]
    legend = page.get_by_role("group", name="Filter by outcome")
    for outcome in Outcome:
        button = legend.locator(f'[data-outcome="{outcome.value}"]')
        expect(button.locator("b")).to_have_text(str(outcomes.count(outcome.value)))
    expect(page.locator("#totals")).to_contain_text("201")
    share = int(100 * outcomes.count("answered") / len(outcomes) + 0.5)
    expect(page.locator("#totals")).to_contain_text(f"{share} %")
    hour = [call for call in calls if call.summary["started_at"][11:13] == "10"]
    heights = {
        stack.get_attribute("data-outcome"): stack.bounding_box() for stack in page.locator('[data-hour="10"]').all()
    }
    assert set(heights) == {call.summary["outcome"] for call in hour}
    page.get_by_text("Show as table").click()
    line = page.locator("#chart-table tr", has=page.get_by_role("rowheader", name="10:00")).get_by_role("cell")
    assert sum(int(cell) for cell in line.all_inner_texts()) == len(hour)
    legend.get_by_role("button", name="Busy").click()
    expect(legend.get_by_role("button", name="Busy")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#rows td.how").first).to_have_text("Busy")
    assert set(texts(page, "how")) == {"Busy"}


def test_a_day_without_calls_explains_how_to_send_one(visitor: Visitor) -> None:
    page = visitor.signed_in()
    expect(page.locator("#empty")).to_contain_text("callhooks send events/jambonz/new_call.json --new-call")
    screenshot(page, "empty")
    page.goto(f"{visitor.double.url}#outcome=busy")
    expect(page.locator("#empty")).to_contain_text("No calls match these filters")
    page.locator("#empty").get_by_role("button", name="Clear filters").click()
    expect(page.locator("#empty")).to_contain_text("No calls yet today")


def test_a_day_without_calls_of_a_deployed_stack_suggests_the_doctor(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto(visitor.double.url.replace("127.0.0.1", OTHER_HOST))
    sign_in(page)
    expect(page.locator("#empty")).to_contain_text("callhooks doctor --stack NAME")
    expect(page.locator("#empty")).not_to_contain_text("callhooks send")


def test_a_first_load_that_fails_shows_no_calls_and_is_retried(double: CallLogDouble, visitor: Visitor) -> None:
    a_day(double, 5)
    page = visitor.signed_in()
    double.fault = 503
    page.reload()
    expect(page.locator("#list-heading")).to_have_text("Cannot load calls.")
    expect(page.locator("#trouble")).to_contain_text("Retrying…")
    expect(page.locator("#trouble")).not_to_contain_text("Showing the last data")
    double.fault = None
    expect(page.locator("#rows tr")).to_have_count(5, timeout=POLLED)


def test_an_outage_is_reported_and_the_page_recovers(double: CallLogDouble, visitor: Visitor) -> None:
    a_day(double, 5)
    page = visitor.signed_in()
    double.fault = 503
    expect(page.get_by_role("alert").filter(has_text="Showing the last data received. Retrying…")).to_be_visible(
        timeout=POLLED
    )
    expect(page.locator("#live")).to_contain_text("Not updated. Retrying in")
    expect(page.locator("#rows tr")).to_have_count(5)
    double.fault = None
    expect(page.locator("#trouble")).to_be_hidden(timeout=2 * POLLED)
    expect(page.locator("#live")).to_contain_text("Updated")


HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(2)</script>",
    '"><svg onload=alert(3)>',
    "javascript:alert(4)",
    "{{7*7}}${7*7}",
    "\u202egnp.exe",
    "constructor",
    "__proto__",
    "a" * 600,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_content_of_webhooks_is_never_markup(double: CallLogDouble, visitor: Visitor, text: str) -> None:
    members = {"call_id": text, "direction": text, "from_": text, "to": text, "name": text, "status": text}
    end_details = {"reason": text, "hangup_source": text, "tag": text, "caller_name": text, "called_name": text}
    end_details |= {"trunk": text, "queue": text, "customer_data.x": text, "digits": text, text or "x": text}
    start = event(Kind.INITIATED, NOW - timedelta(minutes=9), **members)  # type: ignore[arg-type]
    end = event(Kind.COMPLETED, NOW - timedelta(minutes=8), end_details, **members)
    other = event(Kind.OTHER, NOW - timedelta(minutes=8), end_details, **members)
    verbs = [{"verb": text, "text": text, "url": text}]
    call = call_of(StoredEvent(one, text, verbs, text) for one in (start, other, end))
    double.store(call)
    page = visitor.signed_in()
    page.locator("#rows a").first.click()
    page.locator(".event").first.wait_for()
    for button in page.locator(".raw-toggle").all():
        button.click()
    page.wait_for_timeout(200)
    assert page.locator("#call img, #call script, #call a, #rows img, #rows script, svg[onload], iframe").count() == 0
    assert page.locator("#rows .party").first.text_content() == (call.call.from_ or "").replace("\u202e", "⟨U+202E⟩")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


INVISIBLE = [
    *"\x00\x07\x1b\x7f\x85\x9b\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e",
    *"\u2060\u2066\u2067\u2068\u2069\u3164\ufeff\ufff9\ufffb\U0001d173\U000e0001\U000e0041\U000e007f\U000e0101",
]


def test_invisible_characters_of_webhooks_are_written_out(double: CallLogDouble, visitor: Visitor) -> None:
    text = f"a{'b'.join([*INVISIBLE, chr(10), chr(9)])}c"
    members = {
        "call_id": "unseen",
        "direction": text,
        "from_": f"anonymous@{text}",
        "to": text,
        "name": text,
        "status": text,
    }
    end_details = {
        "reason": text,
        "hangup_source": text,
        "tag": text,
        "caller_name": text,
        "called_name": text,
        text: text,
    }
    end_details |= {"trunk": text, "queue": text, "customer_data.x": text, "digits": text, "call_termination_by": text}
    start, end = NOW - timedelta(minutes=9), NOW - timedelta(minutes=8)
    verbs = [{"verb": text, "text": text, "url": text}]
    body = json.dumps({"text": text}, ensure_ascii=False)
    double.store(
        call_of(
            StoredEvent(event(kind, at, end_details, **members), body, verbs, text)
            for kind, at in ((Kind.INITIATED, start), (Kind.VERB, end), (Kind.OTHER, end), (Kind.COMPLETED, end))
        )
    )
    page = visitor.signed_in()
    expect(page.locator("#rows .name")).to_have_attribute("title", re.compile("⟨U\\+202E⟩.*⟨U\\+E0041⟩"))
    page.locator("#rows a").first.click()
    page.locator(".event").first.wait_for()
    for button in page.locator(".raw-toggle").all():
        expect(button).to_have_attribute("aria-label", re.compile("^Raw JSON of "))
        button.click()
    attributes = page.evaluate(
        "[...document.querySelectorAll('*')].flatMap((element) => [...element.attributes].map(({value}) => value))"
    )
    shown_texts = page.evaluate(
        """[document.title, ...[...document.querySelectorAll("body :not(script, style)")].flatMap(({childNodes}) =>
            [...childNodes].filter(({nodeType}) => nodeType === Node.TEXT_NODE).map(({data}) => data))]"""
    )
    assert len([shown for shown in attributes if "⟨U+202E⟩" in shown]) > 10
    assert len([shown for shown in shown_texts if "⟨U+202E⟩" in shown]) > 20
    # A line end would start a new line in a tooltip.
    assert {shown for shown in attributes if set(shown) & {*INVISIBLE, "\n", "\t"}} == set()
    assert {shown for shown in shown_texts if set(shown) & set(INVISIBLE)} == set()
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").first.click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert (json.loads(copied), set(copied) & set(INVISIBLE)) == ({"text": text}, set())


def test_visible_characters_are_unchanged(double: CallLogDouble, visitor: Visitor) -> None:
    name = "Zoë O\u2019Neil\u00a0\u2013 שלום, 山田 ☎\ufe0f ⟨U+202E⟩"
    double.store(call_of([StoredEvent(event(Kind.INITIATED, NOW - timedelta(minutes=1), {"caller_name": name}), "{}")]))
    page = visitor.signed_in()
    expect(page.locator("#rows .name")).to_have_attribute("title", name)
    assert page.locator("#rows .name").text_content() == f" {name}"


@pytest.mark.parametrize("path", ["/calls/jambonz/..", "/calls/../stats", "/stats", "//example.com/x"])
def test_a_link_opens_only_calls(visitor: Visitor, path: str) -> None:
    page = visitor.signed_in(f"#call={quote(path, safe='')}")
    assert "call=" not in page.url
    assert page.locator("#call").is_hidden()


def test_legs_are_listed_on_demand(double: CallLogDouble, visitor: Visitor) -> None:
    double.store(*ring_group(NOW - timedelta(minutes=3)))
    page = visitor.signed_in()
    rows = page.locator("#rows tr")
    expect(rows).to_have_count(1)
    expect(page.locator("#totals dd").first).to_have_text("1")
    page.get_by_label("Include legs").check()
    expect(rows).to_have_count(4)
    expect(page).to_have_url(re.compile("#legs=yes$"))
    expect(page.locator("#totals dd").first).to_have_text("4")
    assert [row.inner_text().count("leg") for row in rows.all()] == [1, 1, 1, 0]
    page.reload()
    expect(rows).to_have_count(4)
    screenshot(page, "legs")
    page.get_by_label("Include legs").uncheck()
    expect(rows).to_have_count(1)


def test_a_number_search_includes_dialled_legs(double: CallLogDouble, visitor: Visitor) -> None:
    double.store(*ring_group(NOW - timedelta(minutes=3)))
    page = visitor.signed_in(f"#number=%2B{RING_GROUP[0][1:]}")
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page.get_by_label("Include legs")).to_be_checked()
    expect(page.get_by_label("Include legs")).to_be_disabled()


def test_a_leg_without_a_reported_end_does_not_ring_for_hours(double: CallLogDouble, visitor: Visitor) -> None:
    alone = ring_group(NOW - timedelta(minutes=9), until=8)[1]
    double.store(alone)
    page = visitor.signed_in("#legs=yes")
    expect(page.locator("#rows td.how")).to_have_text("No end reported")
    expect(page.locator("#rows td.ring")).to_have_text("\u2013")
    double.store(*ring_group(NOW - timedelta(minutes=9)))
    expect(page.locator("#rows td.how")).to_have_text(
        ["Busy", "Not answered", "Answered", "Answeredbridged"], timeout=POLLED
    )


def jambonz(
    number: int, kind: Kind, details: Mapping[str, Detail], *, name: str = "", status: str | None = None
) -> StoredCall:
    members: dict[str, Any] = {"provider": "jambonz", "call_id": f"j-{number}"}
    start = NOW - timedelta(minutes=20 + number)
    events = [
        event(Kind.INITIATED, start, {"flow": "menu"}, **members),
        event(Kind.ANSWERED, start + timedelta(seconds=1), **members),
    ]
    events.append(event(kind, start + timedelta(seconds=9), details, name=name, status=status, **members))
    events.append(event(Kind.COMPLETED, start + timedelta(seconds=60), {"reason": "Normal"}, **members))
    return call_of(StoredEvent(one, answer=[]) for one in events)


def test_an_answered_call_shows_how_it_went_on(double: CallLogDouble, visitor: Visitor) -> None:
    double.store(
        jambonz_calls(NOW - timedelta(minutes=5))[ANSWERED_CALL],
        jambonz(1, Kind.OTHER, {}),
        jambonz(2, Kind.VERB, {"dial_call_status": "no-answer", "flow": "voicemail"}),
        jambonz(3, Kind.QUEUE_LEFT, {"queue": "support", "reason": "abandoned"}),
        made_call(4, NOW - timedelta(minutes=30), Outcome.FAILED),
    )
    page = visitor.signed_in()
    expect(page.locator("#rows td.how")).to_have_text(
        ["Answeredbridged", "Answeredmenu", "Answeredvoicemail", "Answeredleft the queue", "Failed"]
    )
    expect(page.locator("#rows .outcome").nth(2)).to_have_attribute("title", "not connected to anyone; Normal")
    expect(page.locator("#rows .outcome").nth(4)).to_have_attribute("title", "Network out of order")
    expect(page.locator("#rows .name")).to_have_text("Jane Doe")
    # A cell with a tooltip is above the link of its row, and a click still opens the call.
    page.locator("#rows .outcome").first.click()
    expect(page.locator("#gist")).to_contain_text("bridged")


def test_a_call_without_an_end_is_under_way_or_has_no_end_reported(double: CallLogDouble, visitor: Visitor) -> None:
    double.store(
        made_call(1, NOW - timedelta(hours=7), None), under_way(), made_call(2, NOW - timedelta(hours=7), Outcome.BUSY)
    )
    page = visitor.signed_in()
    expect(page.locator("#totals div", has_text="Under way").locator("dd")).to_have_text("1")
    expect(page.locator("#totals div", has_text="No end reported").locator("dd")).to_have_text("1")
    legend = page.locator("#legend")
    expect(legend.locator('[data-outcome="under_way"] b')).to_have_text("1")
    assert page.locator('[data-hour="7"]').evaluate_all("(all) => all.map((one) => one.dataset.outcome)") == [
        "busy",
        "no_end",
    ]
    button = legend.get_by_role("button", name="No end reported")
    expect(button).to_have_attribute("title", re.compile("Show all calls without an end"))
    button.click()
    expect(page).to_have_url(re.compile("#outcome=under_way$"))
    expect(page.locator("#rows td.how")).to_have_text(["Ringing", "No end reported"])


def test_a_missing_number_is_unknown_and_a_hidden_one_is_withheld(double: CallLogDouble, visitor: Visitor) -> None:
    parties = [(None, None), ("anonymous", "anonymous"), ("sip:Restricted@example.invalid", "+14155550123")]
    for number, (from_, to) in enumerate(parties):
        double.store(made_call(number, NOW - timedelta(minutes=10 + number), Outcome.BUSY, from_=from_, to=to))
    texts_of = visitor.signed_in().locator("#rows a")
    expect(texts_of).to_have_text(["unknown→ to unknown", "withheld→ to anonymous", "withheld→ to +14155550123"])


def test_the_totals_are_updated_when_a_call_leaves_the_list(double: CallLogDouble, visitor: Visitor) -> None:
    double.store(under_way(), under_way(901, ago=4))
    page = visitor.signed_in("#outcome=under_way")
    expect(page.locator("#rows tr")).to_have_count(2)
    double.store(made_call(900, NOW - timedelta(seconds=9), Outcome.BUSY))
    expect(page.locator("#rows tr")).to_have_count(1, timeout=POLLED)
    # Long before the regular refresh of the totals.
    expect(page.locator('#legend [data-outcome="busy"] b')).to_have_text("1", timeout=2 * SECONDS)


def test_the_heading_of_the_list_shows_the_number_of_calls(double: CallLogDouble, visitor: Visitor) -> None:
    calls = a_day(double)
    page = visitor.signed_in()
    expect(page.locator("#list-heading")).to_contain_text("The newest 50 of 200 calls today")
    answered = sum(call.summary["outcome"] == "answered" for call in calls)
    page.get_by_label("Outcome", exact=True).select_option("answered")
    expect(page.locator("#list-heading")).to_contain_text(f"The newest 50 of {answered} calls today")
    expect(page.locator("#totals-note")).to_be_hidden()
    page.get_by_label("Outcome", exact=True).select_option("")
    page.get_by_label("Direction", exact=True).select_option("inbound")
    expect(page.locator("#list-heading")).to_contain_text("The newest 50 calls today")
    expect(page.locator("#totals-note")).to_have_text(
        "Totals and chart show all calls of the day. The direction filter applies only to the list."
    )


def test_only_ringing_calls_have_a_ring_time(double: CallLogDouble, visitor: Visitor) -> None:
    double.store(call_of(under_way(900, ago=9).events[:1]), under_way(901, ago=20))
    page = visitor.signed_in()
    expect(page.locator("#rows td.how")).to_have_text(["Setting up", "Ringing"])
    expect(page.locator("#rows td.ring")).to_have_text(["\u2013", re.compile(r"0:2\d")])
    expect(page.locator("#rows tr").first.locator(".length i")).to_have_count(0)


@pytest.mark.parametrize(
    "fragment",
    [
        "outcome=foo",
        "day=2026-99-99",
        "day=2026-02-31",
        "outcome=toString",
        "provider=X",
        "direction=x",
        "legs=x",
        "x=1",
    ],
)
def test_invalid_values_in_the_url_are_dropped(double: CallLogDouble, visitor: Visitor, fragment: str) -> None:
    double.store(under_way(), made_call(1, NOW - timedelta(minutes=30), Outcome.BUSY, direction="outbound"))
    page = visitor.signed_in(f"#{fragment}")
    expect(page.locator("#rows tr")).to_have_count(2)
    expect(page).to_have_url(double.url)
    page.evaluate(
        "(hash) => { location.hash = hash; }",
        f"direction=outbound&{fragment}" if "direction" not in fragment else fragment,
    )
    expect(page.locator("#rows tr")).to_have_count(2 if "direction" in fragment else 1)
    assert fragment not in page.url


def test_a_number_without_country_code_is_not_found_and_the_page_explains_it(
    double: CallLogDouble, visitor: Visitor
) -> None:
    a_day(double, 5)
    page = visitor.signed_in()
    number = page.get_by_label("Number", exact=True)
    expect(number).to_have_accessible_description("(in full, with country code)")
    number.fill("555 0187")
    page.keyboard.press("Enter")
    expect(page.locator("#empty")).to_contain_text("Enter the full number with its country code")
    assert [request for request in double.requests if "number=" in request] == ["GET /calls?limit=50&number=555+0187"]
