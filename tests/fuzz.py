"""`make fuzz`: run the property tests with new random examples in each round, until one fails or time runs out.

`python -m tests.fuzz --minutes 60` starts pytest for each round. This module is also a pytest plugin: it ends a round
on time and prints the command that repeats a failure.
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
    """Add the option for the time when a round ends."""
    parser.addoption("--fuzz-until", type=float, default=float("inf"), help="Do not start a test after this Unix time.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shuffle the tests, so that short runs reach all of them over time."""
    random.Random(config.getoption("--hypothesis-seed")).shuffle(items)  # noqa: S311 - not used for a secret


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the time limit of the round."""
    session.config.pluginmanager.register(_TimeLimit(session))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the command that repeats each failure."""
    for report in (*terminalreporter.getreports("failed"), *terminalreporter.getreports("error")):
        command = shlex.join([*PYTEST, "--hypothesis-seed", config.getoption("--hypothesis-seed"), report.nodeid])
        terminalreporter.write_line(f"\nTo repeat this failure:\n  {command}")


class _TimeLimit:
    def __init__(self, session: pytest.Session) -> None:
        self._session = session
        self._until: float = session.config.getoption("--fuzz-until")

    def pytest_runtest_logreport(self) -> None:
        """Stop after the test that was running when time ran out."""
        if time.time() > self._until:
            self._session.shouldstop = "time ran out"

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Report success for a round that was only interrupted by the time limit."""
        if exitstatus == pytest.ExitCode.INTERRUPTED and self._session.shouldstop and not session.testsfailed:
            session.exitstatus = pytest.ExitCode.OK


def fuzz(minutes: float) -> int:
    """Run rounds, each with its own seed, and return the exit code of the last one."""
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
    outcome = f"A test failed in round {number}" if code else f"All tests passed in {number} rounds"
    console.print(f"{outcome}, after {(time.time() - started) / 60:.0f} minutes")
    return code


def main(minutes: Annotated[float, typer.Option(min=0.1, help="Stop after this many minutes.")] = 10) -> None:
    """Run all property tests with random examples, round after round, until one fails or time runs out."""
    raise typer.Exit(fuzz(minutes))


if __name__ == "__main__":
    typer.run(main)
