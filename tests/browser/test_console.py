"""Console of a deployed stack: webhooks arrive, and a user watches their calls in a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from callhooks.runtime.http import HttpApiEvent
from callhooks_tools.stack.recordings import Delivery, NewCallIds, read_delivery
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import WIDE, Watched, screenshot, sign_in
from tests.browser.recordings import BIRD, VOIPSTUDIO, WAVIX
from tests.browser.test_ladder import LADDERS, VERB_REQUEST, arrows
from tests.running_stack import RunningStack
from tests.support import EVENTS

ARRIVED = 20_000
"""Maximum milliseconds from a delivery to the page: stream, projector and polling interval."""
RECORDED_DAY = "2026-11-21"
HOSTILE = '<img src=x onerror="alert(1)">'


class Calls:
    """Sender of recorded calls under new ids."""

    def __init__(self, running: RunningStack) -> None:
        self._running = running
        self._ids = NewCallIds()

    def send(self, provider: str, name: str, changes: Mapping[str, object] = MappingProxyType({})) -> str:
        """Send a recording, and return the path of its call in the call log."""
        path = EVENTS / provider / f"{name}.json"
        delivery = self._ids.renew(read_delivery(path), Path(path.name))
        document: dict[str, Any] = {**json.loads(delivery.request.body), **changes}
        event: HttpApiEvent = {**delivery.event, "body": json.dumps(document), "isBase64Encoded": False}
        assert self._running.post(self._running.signed(Delivery(event))).status_code == 200
        members = {"jambonz": "call_sid", "wavix": "id", "voipstudio": "call_id"}
        call_id = document["payload"]["id"] if provider == "bird" else document[members[provider]]
        return f"/calls/{provider}/{call_id}"


@pytest.fixture
def calls(running: RunningStack) -> Calls:
    return Calls(running)


@pytest.fixture
def page(running: RunningStack, browser: Browser) -> Iterator[Page]:
    """Return the console, signed in through its form."""
    context = browser.new_context(viewport=WIDE)  # type: ignore[arg-type]
    watched = Watched(context.new_page())
    watched.page.goto(running.stack.base_url)
    access = running.stack.credentials.console
    sign_in(watched.page, access.password, username=access.username)
    watched.page.locator("#console").wait_for()
    yield watched.page
    watched.settle()
    context.close()
    assert watched.faults == []


def row(page: Page, path: str) -> Locator:
    return page.locator(f'#rows tr[data-path="{path}"]')


def test_a_call_is_shown_live_from_its_first_webhook_to_its_end(page: Page, calls: Calls) -> None:
    page.evaluate("document.body.dataset.loaded = 'once'")
    path = calls.send("jambonz", "new_call")
    shown = row(page, path)
    expect(shown).to_contain_text("Setting up", timeout=ARRIVED)
    calls.send("jambonz", "call_status_inbound_in_progress")
    expect(shown).to_contain_text("Talking", timeout=ARRIVED)
    shown.locator("a").click()
    expect(page.locator(".tail")).to_contain_text("talking", timeout=ARRIVED)
    calls.send("jambonz", "action_gather_digits")
    calls.send("jambonz", "call_status_inbound_completed")
    expect(shown).to_contain_text("Answered", timeout=ARRIVED)
    expect(page.locator('.event[data-kind="call.completed"]')).to_be_visible(timeout=ARRIVED)
    assert arrows(page) == [
        ("call.initiated", "from", "provider"),
        ("call.initiated", "provider", "callhooks"),
        ("call.initiated", "callhooks", "provider"),
        ("call.answered", "provider", "from"),
        *VERB_REQUEST,
        ("call.completed", "from", "provider"),
    ]
    expect(page.locator(".verbs").first).to_contain_text("Thank you for calling Acme")
    expect(page.locator("body")).to_have_attribute("data-loaded", "once")
    screenshot(page, "deployed")


def test_markup_in_a_caller_s_name_stays_text(page: Page, calls: Calls) -> None:
    path = calls.send("jambonz", "new_call", {"caller_name": HOSTILE, "from": HOSTILE})
    row(page, path).locator("a").click(timeout=ARRIVED)
    expect(page.locator(".names")).to_have_text(f"from {HOSTILE}")
    expect(page.locator("#call-heading .party").first).to_have_text(HOSTILE)
    page.get_by_role("button", name=re.compile("^Raw JSON")).first.click()
    expect(page.get_by_role("region", name="Body")).to_contain_text("onerror")
    assert page.locator("main img").count() == 0


@pytest.mark.parametrize(("provider", "names"), [("wavix", WAVIX), ("bird", BIRD), ("voipstudio", VOIPSTUDIO)])
def test_a_call_of_each_provider_has_its_ladder(
    page: Page, calls: Calls, provider: str, names: tuple[str, ...]
) -> None:
    path = ""
    for name in reversed(names):
        path = calls.send(provider, name)
    page.evaluate("(state) => { location.hash = state; }", f"day={RECORDED_DAY}&provider={provider}")
    # The page refreshes other days than today less often.
    page.wait_for_timeout(3000)
    page.reload()
    expect(row(page, path)).to_contain_text("Answered", timeout=ARRIVED)
    row(page, path).locator("a").click()
    page.locator('.event[data-kind="call.completed"]').wait_for()
    assert arrows(page) == LADDERS[provider]


def test_a_number_is_found_and_removed_when_signing_out(page: Page, calls: Calls) -> None:
    number = "+12125550163"
    path = calls.send("jambonz", "new_call", {"from": number})
    row(page, path).wait_for(timeout=ARRIVED)
    page.get_by_label("Number", exact=True).fill("1 212 555-0163")
    page.keyboard.press("Enter")
    expect(row(page, path)).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#sign-in-reason")).to_have_text("You are signed out.")
    assert number not in page.content()
    page.reload()
    expect(page.locator("#sign-in")).to_be_visible()
