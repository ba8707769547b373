"""A real Chromium without a window, the page in it, and the call log as its double."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from callhooks.call_log.page import load_page
from callhooks_tools.stack.private_files import make_private_folder
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, sync_playwright

from tests.browser.double import PASSWORD, USERNAME, CallLogDouble, serving
from tests.browser.recordings import DAY
from tests.running_stack import RunningStack, deployment_for
from tests.support import ROOT

PAGE = load_page(ROOT / "functions" / "call_log" / "page")
NOW = DAY + timedelta(hours=14, minutes=20)
SCREENSHOTS = ROOT / ".local" / "screenshots"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MISSING = (
    "There is no Chromium here: `apt-get install chromium` (or any Chromium or Chrome on PATH, or named by CHROMIUM)"
)
_ARGUMENTS = (
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 360, "height": 740}


def chromium() -> str | None:
    """The system's Chromium."""
    return os.environ.get("CHROMIUM") or next((path for name in _NAMES if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def running() -> Iterator[RunningStack]:
    with deployment_for("browser") as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = chromium()
    if executable is None:
        if os.environ.get("CALLHOOKS_REQUIRE_BROWSER"):
            pytest.fail(_MISSING)
        pytest.skip(_MISSING)
    # Chromium's sandbox does not run as root.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=[*_ARGUMENTS, *sandbox])
        yield launched
        launched.close()


@dataclass
class Watched:
    """A page of the browser, and whatever went wrong in it."""

    page: Page
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("dialog", self._asked)
        self.page.add_init_script(
            "document.addEventListener('securitypolicyviolation', "
            "(event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))"
        )

    def settle(self) -> None:
        """Wait until everything that has gone wrong is told: a violation of the policy is, a task later."""
        self.page.evaluate("new Promise((done) => setTimeout(done, 50))")

    def _asked(self, dialog: Dialog) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _heard(self, message: ConsoleMessage) -> None:
        # The browser itself tells of each answer that is an error; the page says it to who looks at it.
        if not message.text.startswith("Failed to load resource"):
            self.faults.append(f"{message.type}: {message.text}")


def sign_in(page: Page, password: str = PASSWORD, *, username: str = USERNAME) -> None:
    """Fill the form in and send it."""
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


@dataclass
class Visitor:
    """Opens pages in one browser context, and holds each to having logged nothing and broken no policy."""

    context: BrowserContext
    double: CallLogDouble
    watched: list[Watched] = field(default_factory=list)

    def page(self) -> Page:
        page = self.context.new_page()
        page.set_default_timeout(10_000)
        self.watched.append(Watched(page))
        return page

    def signed_in(self, fragment: str = "") -> Page:
        """The page with a session, as it is after the first answers."""
        answer = self.context.request.post(
            f"{self.double.url}session", data={"username": USERNAME, "password": PASSWORD}
        )
        assert answer.status == 204
        page = self.page()
        page.goto(f"{self.double.url}{fragment}")
        page.locator("#console").wait_for()
        page.locator("#list:not([aria-busy])").wait_for(state="attached")
        return page


@pytest.fixture
def double() -> Iterator[CallLogDouble]:
    with serving(CallLogDouble(PAGE, NOW)) as double:
        yield double


@pytest.fixture
def look() -> dict[str, object]:
    """How the browser is set up: a test module or a parameter changes it."""
    return {"viewport": WIDE}


@pytest.fixture
def visitor(browser: Browser, double: CallLogDouble, look: dict[str, object]) -> Iterator[Visitor]:
    context = browser.new_context(**look)  # type: ignore[arg-type]
    visitor = Visitor(context, double)
    yield visitor
    for watched in visitor.watched:
        watched.settle()
    context.close()
    assert [fault for watched in visitor.watched for fault in watched.faults] == []


def screenshot(page: Page, name: str, *, whole: bool = False) -> None:
    make_private_folder(SCREENSHOTS)
    # What moves is at rest in a picture.
    with suppress(Exception):
        page.evaluate("document.getAnimations().forEach((one) => one.finish())")
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole)
