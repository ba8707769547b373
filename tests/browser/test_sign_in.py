"""Signing in and out, expired sessions, and the data that remains in the browser."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NOW, Visitor, screenshot, sign_in
from tests.browser.double import CallLogDouble
from tests.browser.recordings import BIRD, StoredCall, day_of_calls, recorded_call

POLLED = 8000
NUMBER = "+31612345678"


@pytest.fixture
def call(double: CallLogDouble) -> StoredCall:
    call = recorded_call("bird", BIRD)
    double.store(call, *day_of_calls(5, until=NOW - timedelta(hours=9)))
    return call


def test_the_page_shows_no_data_before_signing_in(visitor: Visitor, call: StoredCall) -> None:
    page = visitor.page()
    page.goto(visitor.double.url)
    expect(page.get_by_role("heading", name="Sign in to the call log")).to_be_visible()
    expect(page.get_by_label("User name")).to_be_focused()
    screenshot(page, "sign-in")
    expect(page.locator("#console")).to_be_hidden()
    assert NUMBER not in page.content()
    for label, kind in (("User name", "username"), ("Password", "current-password")):
        expect(page.get_by_label(label)).to_have_attribute("autocomplete", kind)
    sign_in(page)
    expect(page.locator("#rows tr")).to_have_count(6)
    expect(page.get_by_label("Password")).to_have_value("")
    assert "s3cr3t" not in "".join(visitor.double.requests)


def test_a_wrong_password_is_reported_and_can_be_corrected(visitor: Visitor, call: StoredCall) -> None:
    page = visitor.page()
    page.goto(visitor.double.url)
    sign_in(page, "wrong")
    expect(page.locator("#sign-in-error")).to_have_text("Wrong user name or password.")
    expect(page.get_by_label("Password")).to_be_focused()
    sign_in(page)
    expect(page.locator("#rows tr")).to_have_count(6)


def test_an_outage_while_signing_in_is_not_reported_as_a_wrong_password(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto(visitor.double.url)
    page.locator("#sign-in").wait_for()
    visitor.double.fault = 503
    sign_in(page)
    expect(page.locator("#sign-in-error")).to_have_text("Calls are temporarily unavailable.")


def test_an_expired_session_hides_everything_until_the_next_sign_in(visitor: Visitor, call: StoredCall) -> None:
    page = visitor.signed_in(f"#provider=bird&call={call.path}")
    page.locator(".event").first.wait_for()
    visitor.double.end_sessions()
    expect(page.locator("#sign-in")).to_be_visible(timeout=POLLED)
    assert NUMBER not in page.locator("body").inner_html()
    expect(page.locator("#sign-in-reason")).to_contain_text("continue where you left off")
    sign_in(page)
    expect(page.locator('.event[data-kind="call.completed"]')).to_be_visible()
    assert set(page.locator("#rows td.provider").all_inner_texts()) == {"bird"}


def test_signing_out_ends_the_session_and_clears_the_view(visitor: Visitor, call: StoredCall) -> None:
    page = visitor.signed_in(f"#number={NUMBER.replace('+', '%2B')}&call={call.path}")
    page.locator(".event").first.wait_for()
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#sign-in-reason")).to_have_text("You are signed out.")
    assert "DELETE /session" in visitor.double.requests
    assert NUMBER not in page.locator("body").inner_html()
    expect(page).to_have_url(re.compile(r"/$"))
    page.reload()
    expect(page.locator("#sign-in")).to_be_visible()


def test_the_browser_stores_only_the_cookie(visitor: Visitor, call: StoredCall) -> None:
    page = visitor.signed_in(f"#call={call.path}")
    page.locator(".event").first.wait_for()
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    assert [cookie["name"] for cookie in visitor.context.cookies()] == ["callhooks_session"]


def test_the_policy_blocks_injected_markup_scripts_and_styles(visitor: Visitor) -> None:
    # The browser itself must enforce the policy.
    page = visitor.signed_in()
    tried = page.evaluate(
        """() => {
            const succeeded = [];
            const attempt = (name, act, worked) => {
                try { act(); if (worked()) succeeded.push(name); } catch (error) { void error; }
            };
            const script = document.createElement("script");
            attempt("html", () => { document.body.innerHTML = "<b>x</b>"; }, () => true);
            attempt("script", () => { script.textContent = "window.bad = 1"; document.body.append(script); },
                () => window.bad);
            attempt("style", () => document.body.setAttribute("style", "color: red"),
                () => document.body.style.color);
            return succeeded;
        }"""
    )
    assert tried == []
    visitor.watched[0].settle()
    faults = visitor.watched[0].faults
    for blocked in ("requires 'TrustedHTML'", "requires 'TrustedScript'", "policy: style-src"):
        assert [fault for fault in faults if blocked in fault], (blocked, faults)
    faults.clear()
