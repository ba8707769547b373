"""Processor time of each step of a warm delivery; a part of `make bench`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import typer
from callhooks_tools.packaging.layer_build import version_of
from callhooks_tools.stack.terminal import console, errors
from pydantic import TypeAdapter
from rich.table import Table

from bench.artifacts import FOLDER, Builder, BuildFailed, functions_python
from bench.deliveries import CREDENTIALS, fresh
from bench.process import Process, ProcessFailed
from bench.subjects import CALL_STATUS, OUR_ENVIRONMENT

PROBE = Path(__file__).with_name("steps_probe.py")
ROUNDS = 300

_STEPS = TypeAdapter(dict[str, float])


def steps(process: Process) -> dict[str, float]:
    """Return the microseconds of each step of a jambonz event, in a process with the function's packages.

    Raises:
        ProcessFailed: the steps could not be measured.
    """
    access = CREDENTIALS.of("jambonz")
    credentials = (access["username"], access["password"], access["webhook_secret"])
    environment = {**process.environment, "PYTHONPATH": os.pathsep.join(map(str, process.path))}
    spec = {"credentials": credentials, "events": fresh(CALL_STATUS, ROUNDS)}
    return _STEPS.validate_json(replace(process, environment=environment).run_probe(PROBE, spec))


def show(measured: Mapping[str, float], python: str) -> None:
    """Print the steps, measured with this version of Python."""
    table = Table(f"warm jambonz event, Python {python}", "microseconds", "%")
    total = sum(measured.values())
    for name, duration in measured.items():
        table.add_row(name, f"{duration:.0f}", f"{100 * duration / total:.0f}")
    table.add_section()
    table.add_row("total", f"{total:.0f}", "100")
    console.print(table)


def main() -> None:
    """Build the layer, and measure the steps of a warm delivery with the template's Python."""
    python = functions_python()
    try:
        builder = Builder(FOLDER, python)
        measured = steps(Process(python, (builder.layers()["CallhooksLayer"], builder.runtime()), OUR_ENVIRONMENT))
    except (BuildFailed, ProcessFailed) as error:
        errors.print(f"callhooks: {error}")
        raise typer.Exit(1) from None
    show(measured, version_of(python))


if __name__ == "__main__":
    typer.run(main)
