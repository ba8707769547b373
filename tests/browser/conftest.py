"""Fixtures: a headless Chromium, the console page in it, and a test double of the call log."""

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
# The headless shell has the same engine, and takes less than half the CPU time.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MISSING = (
    "No Chromium found. Install it (`apt-get install chromium-headless-shell`), or set CHROMIUM to the path of a "
    "Chromium or Chrome."
)
OTHER_HOST = "console.localhost"
"""Chromium resolves it to 127.0.0.1 and trusts it without TLS; for the page it is not the local stack's address."""
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
    """Return the path of the system's Chromium."""
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
    """Page of the browser that records console messages, errors, dialogs and policy violations."""

    page: Page
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("dialog", self._on_dialog)
        self.page.add_init_script(
            "document.addEventListener('securitypolicyviolation', "
            "(event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))"
        )

    def settle(self) -> None:
        """Wait until all faults are recorded: policy violations are reported one task later."""
        self.page.evaluate("new Promise((done) => setTimeout(done, 50))")

    def _on_dialog(self, dialog: Dialog) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _on_console(self, message: ConsoleMessage) -> None:
        # The browser logs every error response itself; the page shows it to the user.
        if not message.text.startswith("Failed to load resource"):
            self.faults.append(f"{message.type}: {message.text}")


def sign_in(page: Page, password: str = PASSWORD, *, username: str = USERNAME) -> None:
    """Fill in the sign-in form and submit it."""
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


@dataclass
class Visitor:
    """Browser context whose pages must not log anything or violate their policy."""

    context: BrowserContext
    double: CallLogDouble
    watched: list[Watched] = field(default_factory=list)

    def page(self) -> Page:
        page = self.context.new_page()
        page.set_default_timeout(10_000)
        self.watched.append(Watched(page))
        return page

    def signed_in(self, fragment: str = "") -> Page:
        """Return the page with a session, after its list has loaded."""
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
    """Return the options of the browser context; tests override them by parameter."""
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


def screenshot(page: Page, name: str, *, full_page: bool = False) -> None:
    make_private_folder(SCREENSHOTS)
    # Finish animations before taking the picture.
    with suppress(Exception):
        page.evaluate("document.getAnimations().forEach((one) => one.finish())")
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=full_page)
