"""Accessibility: phones, dark mode, keyboard, screen readers, reduced motion."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from callhooks.calls.call import Outcome
from playwright.sync_api import Page, expect

from tests.browser.conftest import NOW, PHONE, WIDE, Visitor, screenshot
from tests.browser.double import CallLogDouble
from tests.browser.recordings import (
    ANSWERED_CALL,
    VOIPSTUDIO,
    WAVIX,
    StoredCall,
    call_of,
    day_of_calls,
    jambonz_calls,
    made_call,
    recorded_call,
)

POLLED = 8000
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": WIDE, "color_scheme": "light"},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light", "has_touch": True, "is_mobile": True},
    "phone dark": {"viewport": PHONE, "color_scheme": "dark", "has_touch": True, "is_mobile": True},
}


@pytest.fixture
def call(double: CallLogDouble) -> StoredCall:
    """Return a call with every part of a ladder, among the calls of a day with every outcome."""
    calls = jambonz_calls(NOW - timedelta(minutes=5))
    double.store(*day_of_calls(120, until=NOW - timedelta(minutes=8)))
    double.store(*(made_call(800 + n, NOW - timedelta(minutes=6, seconds=n), one) for n, one in enumerate(Outcome)))
    double.store(call_of(made_call(900, NOW - timedelta(seconds=9), None).events[:2]))
    double.store(recorded_call("wavix", WAVIX, at="14:13"), recorded_call("voipstudio", VOIPSTUDIO, at="14:12"))
    double.relate(*calls.values())
    return calls[ANSWERED_CALL]


def open_ladder(visitor: Visitor, call: StoredCall) -> Page:
    page = visitor.signed_in(f"#call={call.path}")
    page.locator(".event").first.wait_for()
    return page


@pytest.mark.parametrize("look", [LOOKS["phone"], {**LOOKS["phone"], "viewport": {"width": 320, "height": 640}}])
def test_the_page_fits_the_width_of_a_phone(visitor: Visitor, call: StoredCall, look: dict[str, Any]) -> None:
    page = visitor.signed_in()
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(fits)
    name = f"phone-{look['viewport']['width']}"
    screenshot(page, name)
    page.locator("#rows a").nth(9).scroll_into_view_if_needed()
    screenshot(page, f"{name}-list")
    page.locator(f'tr[data-path="{call.path}"] a').tap()
    page.locator(".event").first.wait_for()
    assert page.evaluate(fits)
    page.locator(".raw-toggle").first.tap()
    page.locator(".raw").wait_for()
    assert page.evaluate(fits)
    page.locator(".raw-toggle").first.tap()
    screenshot(page, f"{name}-ladder", full_page=True)
    expect(page.locator("#rows")).to_be_hidden()
    page.get_by_role("button", name="Close call").tap()
    expect(page.locator(f'tr[data-path="{call.path}"] a')).to_be_focused()


@pytest.mark.parametrize("look", [LOOKS["phone"]])
def test_the_legend_fits_the_width_of_a_phone(visitor: Visitor, call: StoredCall) -> None:
    visitor.double.store(made_call(901, NOW - timedelta(hours=8), None))
    legend = visitor.signed_in().locator("#legend")
    boxes = [button.bounding_box() for button in legend.get_by_role("button").all()]
    assert len(boxes) == len(Outcome) + 2
    assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"] for box in boxes)


@pytest.mark.parametrize("look", [LOOKS["phone"]])
def test_touch_targets_are_large_enough(visitor: Visitor, call: StoredCall) -> None:
    page = open_ladder(visitor, call)
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, summary")]
            .filter((one) => one.checkVisibility())
            .map((one) => [one.id || one.textContent, one.getBoundingClientRect()])
            .filter(([, box]) => box.width < 24 || box.height < 24).map(([name]) => name)"""
    )
    assert small == []


CONTRAST = """() => {
    // Resolve colours as the browser paints them, in any notation.
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const rgba = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
    const luminance = (colour) => {
        const linear = (one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
        const [r, g, b] = colour.map((one) => linear(one / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        const layers = [];
        for (let one = element; one; one = one.parentElement) layers.push(rgba(getComputedStyle(one).backgroundColor));
        return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
    };
    const worst = {};
    for (const element of document.querySelectorAll("body *")) {
        const texts = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
        const text = texts.map((node) => node.data.trim()).join("");
        if (!text || !element.checkVisibility() || element.closest(".unseen, :disabled, svg")) continue;
        const back = ground(element);
        const front = over(rgba(getComputedStyle(element).color), back);
        const [light, dark] = [luminance(front), luminance(back)].sort((a, b) => b - a);
        const ratio = (light + 0.05) / (dark + 0.05);
        if (ratio < 4.5) worst[`${element.tagName}.${element.className} ${text.slice(0, 30)}`] = ratio;
    }
    return worst;
}"""


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_all_text_has_enough_contrast(visitor: Visitor, call: StoredCall, look: dict[str, Any]) -> None:
    page = visitor.signed_in()
    assert page.evaluate(CONTRAST) == {}
    page.get_by_label("Outcome", exact=True).select_option("busy")
    page.goto(f"{visitor.double.url}#call={call.path}")
    page.locator(".event").first.wait_for()
    page.locator(".raw-toggle").first.click()
    assert page.evaluate(CONTRAST) == {}
    page.locator(".raw-toggle").first.click()
    if look is LOOKS["dark"]:
        page.mouse.move(5, 5)
        screenshot(page, "dark")


@pytest.mark.parametrize("look", [LOOKS["light"], LOOKS["dark"]])
def test_light_and_dark_mode_have_different_backgrounds(visitor: Visitor, look: dict[str, Any]) -> None:
    paper = visitor.signed_in().evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(18, 21, 23)" if look["color_scheme"] == "dark" else "rgb(247, 245, 240)")


def test_a_call_is_opened_and_closed_by_keyboard(visitor: Visitor, call: StoredCall) -> None:
    page = visitor.signed_in()
    page.keyboard.press("Tab")
    skip = page.get_by_role("button", name="Skip to calls")
    expect(skip).to_be_focused()
    page.keyboard.press("Enter")
    first = page.locator("#rows a").first
    expect(first).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Tab")
    link = page.locator("#rows a").nth(3)
    expect(link).to_be_focused()
    ring = link.evaluate("(one) => getComputedStyle(one, '::after').outlineStyle")
    assert ring == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#call-heading")).to_be_focused()
    page.locator(".event").first.wait_for()
    expect(page.locator("#call-heading")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#call")).to_be_hidden()
    expect(link).to_be_focused()


def test_j_and_k_select_the_next_and_previous_call(visitor: Visitor, call: StoredCall) -> None:
    page = visitor.signed_in()
    links = page.locator("#rows a")
    page.keyboard.press("j")
    expect(links.nth(0)).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.locator(".event").first.wait_for()
    page.keyboard.press("j")
    expect(links.nth(2)).to_be_focused()
    expect(links.nth(2)).to_have_attribute("aria-current", "true")
    page.keyboard.press("k")
    expect(links.nth(1)).to_have_attribute("aria-current", "true")
    page.keyboard.press("/")
    expect(page.get_by_label("Number", exact=True)).to_be_focused()
    page.keyboard.type("jk/")
    expect(page.get_by_label("Number", exact=True)).to_have_value("jk/")


def test_elements_have_roles_and_names_for_screen_readers(visitor: Visitor, call: StoredCall) -> None:
    page = open_ladder(visitor, call)
    for role, name in (
        ("banner", None), ("main", None), ("search", "Filter calls"), ("table", re.compile("calls")),
        ("region", re.compile("^\\+12125550187")), ("list", "Events in order"), ("list", "Verbs in the response"),
    ):  # fmt: skip
        expect(page.get_by_role(role, name=name).first).to_be_attached()  # type: ignore[arg-type]
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, select")].filter((one) => one.checkVisibility())
            .filter((one) => !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length))
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))
    levels = page.evaluate(
        """() => [...document.querySelectorAll("h1, h2, h3, h4")].filter((one) => one.checkVisibility())
            .map((one) => Number(one.tagName[1]))"""
    )
    assert all(after - before <= 1 for before, after in pairwise(levels))
    texts = page.locator(".event").all_inner_texts()
    assert re.search(r"\+0:00.*initiated.*from the caller to jambonz", texts[0], re.DOTALL)
    assert re.search(r"completed.*from the caller to jambonz", texts[-1], re.DOTALL)


@pytest.mark.parametrize("look", [{"viewport": WIDE, "reduced_motion": "reduce"}])
def test_nothing_is_animated_with_reduced_motion(double: CallLogDouble, visitor: Visitor) -> None:
    double.store(call_of(made_call(1, NOW - timedelta(seconds=9), None).events[:2]))
    page = visitor.signed_in()
    double.store(made_call(1, NOW - timedelta(seconds=9), Outcome.BUSY))
    changed = page.locator("#rows tr.changed")
    changed.wait_for(timeout=POLLED)
    assert page.evaluate("document.getAnimations().length") == 0
    assert changed.evaluate("(row) => getComputedStyle(row).boxShadow") != "none"


def test_the_keyboard_shortcuts_are_listed(visitor: Visitor, call: StoredCall) -> None:
    page = open_ladder(visitor, call)
    page.get_by_role("button", name="Shortcuts").click()
    keys = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(keys).to_contain_text("search for a number")
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    expect(page.locator("#call")).to_be_visible()
    page.locator("body").press("?")
    expect(keys).to_be_visible()
    keys.get_by_role("button", name="Close").click()
    expect(keys).to_be_hidden()
