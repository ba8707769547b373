"""Ladder of a call: arrows, distances, bars and labels."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from callhooks.calls.call import Outcome
from callhooks.events.call_event import Detail, Kind
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import NOW, PHONE, WIDE, Visitor, screenshot
from tests.browser.double import CallLogDouble
from tests.browser.recordings import (
    ANSWERED_CALL,
    BIRD,
    DIALLED_LEG,
    RING_GROUP,
    VOIPSTUDIO,
    WAVIX,
    StoredCall,
    StoredEvent,
    call_of,
    event,
    jambonz_calls,
    made_call,
    recorded_call,
    renamed,
    ring_group,
)

POLLED = 8000
LONG_AGO = timedelta(hours=2)
START = NOW - timedelta(minutes=5)
Arrow = tuple[str, str, str]

POST_CALL_IDS = {"1c1cf4b6-52d6-4b5e-9d0b-6f1f6f0f8b01": "1c1cf4b6-52d6-4b5e-9d0b-6f1f6f0f8a01"}

INITIATED, RINGING = ("call.initiated", "from", "provider"), ("call.ringing", "provider", "to")
EARLY_MEDIA, ANSWERED = ("call.early_media", "to", "provider"), ("call.answered", "to", "provider")
COMPLETED = [("call.completed", "provider", "from"), ("call.completed", "provider", "to")]
VERB_REQUEST = [("call.verb", "provider", "callhooks"), ("call.verb", "callhooks", "provider")]
LADDERS: dict[str, list[Arrow]] = {
    "wavix": [INITIATED, RINGING, EARLY_MEDIA, ANSWERED, *COMPLETED],
    "bird": [INITIATED, RINGING, ANSWERED, ("call.completed", "to", "provider")],
    "voipstudio": [
        INITIATED,
        RINGING,
        ANSWERED,
        ("call.dtmf", "from", "provider"),
        ("call.held", "to", "provider"),
        ("call.resumed", "to", "provider"),
        *COMPLETED,
    ],
    "jambonz": [
        INITIATED,
        ("call.initiated", "provider", "callhooks"),
        ("call.initiated", "callhooks", "provider"),
        ("call.answered", "provider", "from"),
        *VERB_REQUEST,
        ("call.held", "from", "provider"),
        ("call.resumed", "from", "provider"),
        *VERB_REQUEST,
        ("call.completed", "from", "provider"),
    ],
    "jambonz leg": [("call.initiated", "provider", "to"), RINGING, EARLY_MEDIA, ANSWERED, *COMPLETED],
}


def a_call(name: str) -> StoredCall:
    if name == "wavix":
        return recorded_call("wavix", (*WAVIX, "post_call_answered"), at="14:15", changes=POST_CALL_IDS)
    if name in ("bird", "voipstudio"):
        return recorded_call(name, BIRD if name == "bird" else VOIPSTUDIO, at="14:15")
    return jambonz_calls(START)[DIALLED_LEG if name == "jambonz leg" else ANSWERED_CALL]


def open_call(visitor: Visitor, call: StoredCall) -> Page:
    visitor.double.store(call)
    page = visitor.signed_in(f"#call={call.path}")
    page.locator(".event").first.wait_for()
    return page


def arrows(page: Page) -> list[Arrow]:
    """Return kind, start lane and end lane of each arrow, from top to bottom."""
    return [
        tuple(arrow)
        for arrow in page.locator(".hop[data-from]").evaluate_all(
            "(hops) => hops.map((hop) => [hop.closest('.event').dataset.kind, hop.dataset.from, hop.dataset.to])"
        )
    ]


def middle(lane: Locator) -> float:
    box = lane.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2


def height_of(locator: Locator) -> float:
    box = locator.bounding_box()
    assert box is not None
    return box["height"]


def top_of(page: Page, kind: str) -> float:
    box = page.locator(f'.event[data-kind="{kind}"] .shaft').first.bounding_box()
    assert box is not None
    return box["y"]


@pytest.mark.parametrize("name", LADDERS)
def test_a_recorded_call_has_the_right_arrows(visitor: Visitor, name: str) -> None:
    page = open_call(visitor, a_call(name))
    assert arrows(page) == LADDERS[name]
    lanes = [lane.get_attribute("data-lane") for lane in page.locator(".lanes > div").all()]
    assert lanes == ["from", "provider", *(["callhooks"] if name == "jambonz" else []), "to"]
    screenshot(page, f"ladder-{name.replace(' ', '-')}")


@pytest.mark.parametrize("name", LADDERS)
def test_an_arrow_is_drawn_between_its_lanes(visitor: Visitor, name: str) -> None:
    page = open_call(visitor, a_call(name))
    lanes = {lane: middle(page.locator(f'.lanes [data-lane="{lane}"]')) for lane in ("from", "provider", "to")}
    hops = page.locator(".hop[data-from]").all()
    for hop in hops:
        ends = [lanes.get(hop.get_attribute(side) or "") for side in ("data-from", "data-to")]
        if None in ends:
            continue
        shaft = hop.locator(":scope > .shaft")
        box = shaft.bounding_box()
        assert box is not None
        drawn = [box["x"], box["x"] + box["width"]]
        assert drawn == pytest.approx(sorted(ends), abs=8)  # type: ignore[type-var]
        expect(shaft).to_have_class(re.compile("right" if ends[0] < ends[1] else "left"))  # type: ignore[operator]


MappedEvent = tuple[Kind, str, str, Mapping[str, Detail], list[tuple[str, str]]]
MAPPING: list[MappedEvent] = [
    (Kind.INITIATED, "wavix", "outbound", {}, [("from", "provider")]),
    (Kind.INITIATED, "voipstudio", "outbound", {}, [("from", "provider")]),
    (Kind.INITIATED, "bird", "outbound", {}, [("provider", "to")]),
    (Kind.INITIATED, "jambonz", "outbound", {}, [("provider", "to")]),
    (Kind.ANSWERED, "jambonz", "inbound", {}, [("provider", "from")]),
    (Kind.ANSWERED, "jambonz", "outbound", {}, [("to", "provider")]),
    (Kind.HELD, "voipstudio", "outbound", {}, [("from", "provider")]),
    (Kind.HELD, "jambonz", "outbound", {}, [("to", "provider")]),
    (Kind.DTMF, "jambonz", "inbound", {"digits": "1"}, [("from", "provider")]),
    (Kind.DTMF, "jambonz", "outbound", {"digits": "1"}, [("to", "provider")]),
    (Kind.MEDIA, "jambonz", "inbound", {"text": "sales please", "channel": 1}, [("from", "provider")]),
    (Kind.MEDIA, "jambonz", "inbound", {"text": "hello", "channel": 2}, [("to", "provider")]),
    (Kind.COMPLETED, "bird", "inbound", {"hangup_source": "caller"}, [("from", "provider")]),
    (Kind.COMPLETED, "bird", "inbound", {"hangup_source": "callee"}, [("to", "provider")]),
    (Kind.COMPLETED, "bird", "inbound", {"hangup_source": "carrier"}, [("provider", "from"), ("provider", "to")]),
    (Kind.COMPLETED, "jambonz", "inbound", {"call_termination_by": "caller"}, [("from", "provider")]),
    (Kind.COMPLETED, "jambonz", "outbound", {"call_termination_by": "caller"}, [("to", "provider")]),
    (Kind.COMPLETED, "jambonz", "inbound", {"call_termination_by": "jambonz"},
     [("provider", "from"), ("provider", "to")]),
    (Kind.CANCELLED, "bird", "outbound", {}, [("from", "provider")]),
    (Kind.BUSY, "wavix", "inbound", {}, [("to", "provider")]),
    (Kind.REJECTED, "wavix", "inbound", {}, [("to", "provider")]),
    (Kind.NO_ANSWER, "wavix", "inbound", {}, [("provider", "from"), ("provider", "to")]),
    (Kind.FAILED, "bird", "inbound", {}, [("provider", "from"), ("provider", "to")]),
    (Kind.MISSED, "voipstudio", "inbound", {}, [("provider", "from"), ("provider", "to")]),
    (Kind.VERB, "jambonz", "inbound", {"dial_call_status": "busy"}, [("provider", "callhooks")]),
]  # fmt: skip
NOTES: list[tuple[Kind, Mapping[str, Detail], str]] = [
    (Kind.BILLED, {"charge": 1}, "provider"),
    (Kind.QUEUE_JOINED, {"queue": "support"}, "provider"),
    (Kind.QUEUE_LEFT, {"queue": "support"}, "provider"),
    (Kind.QUEUE_WRAPUP, {}, "provider"),
    (Kind.OTHER, {}, "provider"),
    (Kind.MEDIA, {"media": "audio", "machine_detected": False}, "provider"),
    (Kind.MEDIA, {"machine_detected": True}, "to"),
    (Kind.TOOL_CALLED, {}, "callhooks"),
]


def open_only(page: Page, visitor: Visitor, stored: StoredEvent) -> Locator:
    """Open a call with only this event, in the same page."""
    call = call_of([stored])
    visitor.double.store(call)
    page.evaluate("(call) => { location.hash = `call=${call}`; }", call.path)
    item = page.locator(f'.event[data-key="{stored.event.dedupe_key}"]')
    item.wait_for()
    return item


def test_each_kind_of_event_has_its_arrows(visitor: Visitor) -> None:
    page = visitor.signed_in()
    for number, (kind, provider, direction, details, expected) in enumerate(MAPPING):
        mapped = event(kind, START + timedelta(seconds=number), details, provider=provider, direction=direction,
                     call_id=f"mapped-{number}")  # fmt: skip
        open_only(page, visitor, StoredEvent(mapped, answer=[]))
        assert [(start, end) for _, start, end in arrows(page)] == expected, (kind, provider, direction, details)


def test_an_event_without_sender_and_recipient_is_a_note_on_a_lane(visitor: Visitor) -> None:
    page = visitor.signed_in()
    for number, (kind, details, lane) in enumerate(NOTES):
        item = open_only(
            page, visitor, StoredEvent(event(kind, START + timedelta(seconds=number), details, call_id=f"n-{number}"))
        )
        assert arrows(page) == []
        mark = item.locator(".mark")
        expect(item.locator(".note")).to_have_attribute("data-lane", lane)
        assert middle(mark) == pytest.approx(middle(page.locator(f'.lanes [data-lane="{lane}"]')), abs=2)


def test_a_long_gap_is_cut_and_labelled(visitor: Visitor) -> None:
    steps = [(Kind.INITIATED, 0), (Kind.RINGING, 4), (Kind.ANSWERED, 10), (Kind.HELD, 262), (Kind.RESUMED, 262.2)]
    page = open_call(visitor, call_of(StoredEvent(event(kind, START + timedelta(seconds=at))) for kind, at in steps))
    tops = [top_of(page, kind.value) for kind, _ in steps]
    distances = [after - before for before, after in pairwise(tops)]
    assert distances[0] >= 20
    assert distances[3] >= 20, "simultaneous events must be readable"
    expect(page.locator(".gap")).to_have_text("⋯ 4 min 12 s ⋯")
    assert distances[2] < 200


def test_gaps_are_proportional_to_their_durations(visitor: Visitor) -> None:
    steps = [(Kind.INITIATED, 0), (Kind.RINGING, 3), (Kind.ANSWERED, 9), (Kind.COMPLETED, 15)]
    page = open_call(visitor, call_of(StoredEvent(event(kind, START + timedelta(seconds=at))) for kind, at in steps))
    tops = [top_of(page, kind.value) for kind, _ in steps]
    assert (tops[2] - tops[1]) / (tops[1] - tops[0]) == pytest.approx(2, rel=0.03)
    assert tops[3] - tops[2] == pytest.approx(tops[2] - tops[1], rel=0.03)
    expect(page.locator(".gap")).to_have_count(0)
    rule = page.locator("#rule").bounding_box()
    assert rule is not None
    seconds = int(re.findall(r"= (\d+) s", page.locator("#rule-text").inner_text())[0])
    assert rule["width"] / seconds == pytest.approx((tops[3] - tops[0]) / 15, rel=0.03)


def test_ring_talk_and_hold_are_bars_between_their_events(visitor: Visitor) -> None:
    page = open_call(visitor, a_call("voipstudio"))
    seconds = {
        (bar.get_attribute("class"), bar.get_attribute("data-lane")): float(bar.get_attribute("data-seconds") or 0)
        for bar in page.locator(".wires i").all()
    }
    assert seconds == {
        ("ringing-time", "to"): 5,
        ("talking-time", "from"): 42,
        ("talking-time", "to"): 42,
        ("hold-time", "from"): 10,
        ("hold-time", "to"): 10,
    }
    hold = page.locator(".wires .hold-time").first
    assert height_of(hold) == pytest.approx(top_of(page, "call.resumed") - top_of(page, "call.held"), abs=2)
    ring = page.locator(".wires .ringing-time")
    assert height_of(ring) == pytest.approx(top_of(page, "call.answered") - top_of(page, "call.ringing"), abs=2)


def test_verbs_in_a_response_are_readable(visitor: Visitor) -> None:
    page = open_call(visitor, a_call("jambonz"))
    verbs = [" ".join(one.inner_text().split()) for one in page.locator(".verbs > li").all()]
    assert verbs[0].startswith("gather input digits, speech numDigits 1 timeout 8 s “Thank you for calling Acme.")
    assert verbs[1] == "say “We are connecting you to sales.”"
    assert verbs[2].startswith("dial target +14155550100, +14155550101 (phones, rung simultaneously)")
    assert verbs[3] == "hangup"


def test_raw_json_is_one_click_away_and_unchanged(visitor: Visitor) -> None:
    body = '{"big":12345678901234567890,"price":1.10,"empty":{},"none":[],"list":[1,{"a":"{x: [1]}"}],"text":"é\\n"}'
    page = open_call(visitor, call_of([StoredEvent(event(Kind.OTHER, START), body, {"status": "stored"})]))
    page.get_by_role("button", name=re.compile("^Raw JSON")).click()
    shown = page.get_by_role("region", name="Body").inner_text()
    assert json.loads(shown) == json.loads(body)
    assert "12345678901234567890" in shown
    assert "1.10" in shown
    assert '"empty": {},' in shown
    assert shown.count("\n") > 8
    expect(page.get_by_role("region", name="Answer, status 200")).to_contain_text('"status": "stored"')
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == body


def test_a_body_that_is_not_json_is_shown_unchanged(visitor: Visitor) -> None:
    page = open_call(
        visitor, call_of([StoredEvent(event(Kind.OTHER, START), "not { JSON", "plain", query="call=1&hook=x")])
    )
    page.get_by_role("button", name=re.compile("^Raw JSON")).click()
    expect(page.get_by_role("region", name="Body")).to_have_text("not { JSON")
    expect(page.locator(".raw")).to_contain_text("call=1&hook=x")


def test_the_heading_shows_the_known_facts_of_the_call(visitor: Visitor) -> None:
    page = open_call(visitor, a_call("jambonz"))
    head = page.locator(".call-head")
    for text in ("+12125550187", "Jane Doe", "Answered", "talked 3:08", "on hold 0:07", "Q.850 16 (normal clearing)",
                 "SIP 200 (OK)", "example-carrier", "orderId: A-1001", ANSWERED_CALL):  # fmt: skip
        expect(head).to_contain_text(text)
    page = open_call(visitor, a_call("wavix"))
    expect(page.locator(".facts")).to_contain_text("0.0095 USD")
    expect(page.locator(".facts")).to_contain_text("1234")
    page = open_call(visitor, a_call("voipstudio"))
    expect(page.locator(".call-head")).to_contain_text("wrap-up 0:09")


def test_a_call_set_up_by_click_to_call_says_so(visitor: Visitor) -> None:
    clicked = event(Kind.INITIATED, START, {"click_to_call": True}, provider="voipstudio", call_id="clicked")
    page = open_call(visitor, call_of([StoredEvent(clicked, answer=[])]))
    expect(page.locator('.event[data-kind="call.initiated"]')).to_contain_text("click to call accepted")


def test_related_legs_are_links_to_their_ladders(double: CallLogDouble, visitor: Visitor) -> None:
    calls = jambonz_calls(START)
    double.relate(*calls.values())
    page = open_call(visitor, calls[ANSWERED_CALL])
    page.locator(".legs a").click()
    expect(page.locator(".facts .id")).to_have_text(DIALLED_LEG)
    assert arrows(page) == LADDERS["jambonz leg"]
    page.go_back()
    expect(page.locator(".facts .id")).to_have_text(ANSWERED_CALL)


def test_the_ladder_of_a_call_under_way_grows(double: CallLogDouble, visitor: Visitor) -> None:
    finished = made_call(1, NOW - timedelta(seconds=20), Outcome.ANSWERED, ring=4, talk=10)
    page = open_call(visitor, call_of(finished.events[:2]))
    expect(page.locator(".tail")).to_contain_text("ringing")
    page.locator(".raw-toggle").first.click()
    page.locator(".raw-toggle").first.focus()
    double.store(finished)
    expect(page.locator('.event[data-kind="call.completed"]')).to_be_visible(timeout=POLLED)
    expect(page.locator(".tail")).to_have_count(0)
    expect(page.locator(".raw")).to_be_visible()
    expect(page.locator(".raw-toggle").first).to_be_focused()


def test_an_unknown_call_is_reported(visitor: Visitor) -> None:
    page = visitor.signed_in("#call=/calls/wavix/unknown")
    expect(page.locator("#call")).to_contain_text("This call does not exist")


def test_only_paths_of_calls_are_requested(double: CallLogDouble, visitor: Visitor) -> None:
    page = visitor.signed_in("#call=//evil.example/calls/a/b")
    page.goto(f"{double.url}#call=/session")
    page.goto(f"{double.url}#call=/calls/a/../../session")
    page.wait_for_timeout(300)
    expect(page.locator("#call")).to_be_hidden()
    assert {request.split("?")[0] for request in double.requests} <= {
        "GET /",
        "POST /session",
        "GET /calls",
        "GET /stats",
    }


def legs_of(page: Page) -> list[tuple[str | None, str]]:
    """Return time and text of the rows of legs, from top to bottom."""
    rows = page.locator(".event.of-leg")
    return [
        (row.locator("time").text_content(), " ".join(row.locator(".label").inner_text().split())) for row in rows.all()
    ]


def test_the_ladder_shows_which_legs_rang_and_which_one_answered(double: CallLogDouble, visitor: Visitor) -> None:
    calls = ring_group(START)
    double.relate(*calls)
    page = open_call(visitor, calls[0])
    first, second, third = RING_GROUP
    assert legs_of(page) == [
        ("+0:04", f"dials {first}"),
        ("+0:04", f"dials {second}"),
        ("+0:04", f"dials {third}"),
        ("+0:09", f"{third} busy Busy Here"),
        ("+0:19", f"{first} answers"),
        ("+0:19", f"{second} not answered"),
        ("+1:41", f"{first} ended 1:22"),
    ]
    assert [lane.inner_text().split("\n") for lane in page.locator(".lanes > div").all()][-1] == [
        "dialled",
        "3 parties",
    ]
    bars = page.locator(".wires i[data-leg]")
    drawn = {
        (bar.get_attribute("data-leg"), bar.get_attribute("class")): bar.get_attribute("data-seconds")
        for bar in bars.all()
    }
    assert drawn == {
        ("/calls/jambonz/group-0", "ringing-time"): "13.000",
        ("/calls/jambonz/group-0", "talking-time"): "82.000",
        ("/calls/jambonz/group-1", "ringing-time"): "15.000",
        ("/calls/jambonz/group-2", "ringing-time"): "3.000",
    }
    ringing = [bar.bounding_box() for bar in page.locator(".wires .ringing-time[data-leg]").all()]
    assert len({round(box["x"]) for box in ringing if box}) == 3, "simultaneous legs must be side by side"
    screenshot(page, "ladder-legs", full_page=True)
    page.locator(".event.of-leg").get_by_role("link", name=second).first.click()
    expect(page.locator(".facts .id")).to_have_text("group-1")
    expect(page.locator("#gist")).to_contain_text("Not answered")
    expect(page.locator("#gist")).to_contain_text("rang 0:13")
    expect(page.locator(".legs h3")).to_have_text(["Leg of", "Other legs of that call"])


def test_a_leg_whose_caller_hung_up_is_not_answered(double: CallLogDouble, visitor: Visitor) -> None:
    calls = ring_group(START, answered=False)
    double.relate(*calls)
    page = open_call(visitor, calls[0])
    assert legs_of(page)[-2:] == [("+0:24", f"{number} not answered") for number in RING_GROUP[:2]]
    expect(page.locator(".event").last).to_have_attribute("data-kind", "call.completed")


def test_a_leg_dialled_after_another_was_answered_is_still_ringing(double: CallLogDouble, visitor: Visitor) -> None:
    calls = ring_group(NOW - timedelta(seconds=120), until=101.5)
    members: dict[str, Any] = {"provider": "jambonz", "call_id": "later", "direction": "outbound", "to": "+14155550109"}
    moment = NOW - timedelta(seconds=8)
    later = call_of([
        StoredEvent(event(Kind.INITIATED, moment, {"parent_call_sid": "group"}, **members), answer=[]),
        StoredEvent(event(Kind.RINGING, moment + timedelta(seconds=1), **members), answer=[]),
    ])  # fmt: skip
    double.relate(*calls, later)
    page = open_call(visitor, calls[0])
    expect(page.locator(".legs li", has_text="+14155550109")).to_contain_text("Ringing")
    expect(page.locator(".legs li", has_text=RING_GROUP[1])).to_contain_text("Not answered")


def test_an_outbound_call_has_a_separate_lane_for_dialled_parties(double: CallLogDouble, visitor: Visitor) -> None:
    parent, *legs = ring_group(START)
    calls = [renamed(parent, "group", direction="outbound"), *legs]
    double.relate(*calls)
    page = open_call(visitor, calls[0])
    lanes = [lane.get_attribute("data-lane") for lane in page.locator(".lanes > div").all()]
    assert lanes == ["from", "provider", "callhooks", "to", "dialled"]
    dials = page.locator('.of-leg[data-step="dialled"] .hop').all()
    assert [hop.get_attribute("data-to") for hop in dials] == ["dialled"] * 3


def test_another_part_of_a_conversation_is_not_a_leg(double: CallLogDouble, visitor: Visitor) -> None:
    call = a_call("voipstudio")
    double.relate(call, renamed(call, "another"))
    page = open_call(visitor, call)
    expect(page.locator(".legs h3")).to_have_text(["Other parts of this conversation"])
    expect(page.locator(".of-leg")).to_have_count(0)


def test_steps_inferred_from_a_later_event_are_in_the_ladder(visitor: Visitor) -> None:
    details = {
        "started_at": (START - timedelta(seconds=14)).isoformat(),
        "ringing_at": (START - timedelta(seconds=11)).isoformat(),
    }
    call = call_of(
        [
            StoredEvent(event(Kind.ANSWERED, START, details)),
            StoredEvent(event(Kind.COMPLETED, START + timedelta(seconds=30))),
        ]
    )
    page = open_call(visitor, call)
    assert page.locator(".event time").all_inner_texts() == ["+0:00", "+0:03", "+0:14", "+0:44"]
    assert [row.get_attribute("data-step") for row in page.locator(".event").all()] == ["started", "rang", None, None]
    expect(page.locator(".wires .ringing-time")).to_have_attribute("data-seconds", "11.000")


@pytest.mark.parametrize(
    ("shift", "shown"),
    [
        (timedelta(), ["+0:00", "+1:05", "+1:02:03"]),
        (timedelta(milliseconds=450), ["+0.000", "+1:05.450", "+1:02:03.450"]),
    ],
)
@pytest.mark.parametrize("look", [{"viewport": WIDE}, {"viewport": PHONE}])
def test_a_time_has_the_precision_of_its_provider_and_fits_on_one_line(
    visitor: Visitor, shift: timedelta, shown: list[str]
) -> None:
    start = NOW - LONG_AGO
    moments = [start, start + timedelta(seconds=65) + shift, start + timedelta(seconds=3723) + shift]
    kinds = [Kind.INITIATED, Kind.ANSWERED, Kind.COMPLETED]
    page = open_call(visitor, call_of(StoredEvent(event(kind, at)) for kind, at in zip(kinds, moments, strict=True)))
    clocks = page.locator(".event time")
    assert clocks.all_inner_texts() == shown
    for clock in clocks.all():
        assert height_of(clock) < 20
        box = clock.bounding_box()
        lane = page.locator(".wires .wire").first.bounding_box()
        assert box
        assert lane
        assert 0 <= box["x"] < box["x"] + box["width"] < lane["x"]


COVERED = """() => {
    const bars = [...document.querySelectorAll(".wires i")].map((bar) => bar.getBoundingClientRect());
    const words = [...document.querySelectorAll(".event .label, .verbs")];
    return words.flatMap((one) => [...one.getClientRects()].filter((box) => bars.some((bar) =>
        box.left < bar.right - 0.5 && box.right > bar.left + 0.5 &&
        box.top < bar.bottom - 1 && box.bottom > bar.top + 1,
    )).map(() => one.textContent));
}"""


@pytest.mark.parametrize("name", LADDERS)
@pytest.mark.parametrize(
    "look",
    [{"viewport": WIDE}, {"viewport": {"width": 900, "height": 900}}, {"viewport": PHONE}],
    ids=["wide", "tablet", "phone"],
)
def test_no_text_covers_a_bar(visitor: Visitor, look: dict[str, dict[str, int]], name: str) -> None:
    page = open_call(visitor, a_call(name))
    covered = page.evaluate(COVERED)
    if look["viewport"] == PHONE:
        # Verbs need the full width of a phone: they are placed next to the caller's lane.
        verbs = page.locator(".verbs").all_text_contents()
        covered = [words for words in covered if words not in verbs]
    assert covered == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("#call").evaluate("(panel) => panel.scrollWidth <= panel.clientWidth")
