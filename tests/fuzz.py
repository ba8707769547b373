"""`make fuzz`: takes other examples in each round of the property tests, until one fails or the time is up.

`python -m tests.fuzz --minutes 60` starts pytest for each round, with this module as a plugin, which ends a round in
time and prints how to repeat a failure.
"""

from __future__ import annotations

import os
import random
import secrets
import shlex
import subprocess
import sys
import time
from typing import Annotated

import pytest
import typer
from callhooks_tools.stack.stack import ROOT
from callhooks_tools.stack.terminal import console

from tests.properties import FUZZ

PYTEST = (os.path.relpath(sys.executable, ROOT), "-m", "pytest", "-p", "tests.fuzz", "--hypothesis-profile", FUZZ)
FOLDERS = ("tests/unit", "tests/integration")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the time at which a round ends."""
    parser.addoption("--fuzz-until", type=float, default=float("inf"), help="Start no test after this Unix time.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin each round with other tests, so that short runs reach all of them in turn."""
    random.Random(config.getoption("--hypothesis-seed")).shuffle(items)  # noqa: S311 - an order, and no secret


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Watch the time."""
    session.config.pluginmanager.register(_Watch(session))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the command that repeats each failure."""
    for report in (*terminalreporter.getreports("failed"), *terminalreporter.getreports("error")):
        command = shlex.join([*PYTEST, "--hypothesis-seed", config.getoption("--hypothesis-seed"), report.nodeid])
        terminalreporter.write_line(f"\nTo repeat it:\n  {command}")


class _Watch:
    def __init__(self, session: pytest.Session) -> None:
        self._session = session
        self._until: float = session.config.getoption("--fuzz-until")

    def pytest_runtest_logreport(self) -> None:
        """Stop after the test that was running when the time was up."""
        if time.time() > self._until:
            self._session.shouldstop = "the time is up"

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Make a round that the clock has ended no failure."""
        if exitstatus == pytest.ExitCode.INTERRUPTED and self._session.shouldstop and not session.testsfailed:
            session.exitstatus = pytest.ExitCode.OK


def fuzz(minutes: float) -> int:
    """Run rounds, each with a seed of its own, and return the exit code of the last one."""
    started = time.time()
    until = started + 60 * minutes
    number, code = 0, 0
    while not code and time.time() < until:
        number += 1
        seed = secrets.randbits(32)
        console.print(f"Round {number}, seed {seed}, after {(time.time() - started) / 60:.0f} of {minutes:g} minutes")
        command = [*PYTEST, "-n", "auto", "-x", "-q", "--no-header", "-m", "hypothesis", *FOLDERS]
        options = ["--hypothesis-seed", str(seed), "--fuzz-until", str(until)]
        code = subprocess.run([*command, *options], cwd=ROOT, check=False).returncode
    outcome = "A test has failed" if code else "Nothing has failed"
    console.print(f"{outcome} in round {number}, after {(time.time() - started) / 60:.0f} minutes")
    return code


def main(minutes: Annotated[float, typer.Option(min=0.1, help="Start no further test after this time.")] = 10) -> None:
    """Take random examples for all property tests, round after round, until one fails or the time is up."""
    raise typer.Exit(fuzz(minutes))


if __name__ == "__main__":
    typer.run(main)
