"""What the command can do for one provider besides what all have.

Each package of this folder may have a module `extension` with any of the functions below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

import typer

from callhooks_tools import providers as package
from callhooks_tools.providers.call_control import CallControl
from callhooks_tools.stack.deployment import Deployment
from callhooks_tools.stack.findings import Finding
from callhooks_tools.stack.stack import LocalStack


@cache
def _extensions() -> tuple[ModuleType, ...]:
    names = [f"{package.__name__}.{found.name}.extension" for found in iter_modules(package.__path__) if found.ispkg]
    return tuple(import_module(name) for name in names if find_spec(name))


def _offering(function: str) -> Iterator[ModuleType]:
    return (module for module in _extensions() if hasattr(module, function))


def register(app: typer.Typer) -> None:
    """Add the commands of each provider."""
    for module in _offering("register"):
        module.register(app)


def call_controls() -> Mapping[str, CallControl]:
    """Return what each provider's API can do with a call, by the provider's name."""
    found: list[CallControl] = [module.call_control() for module in _offering("call_control")]
    return {control.name: control for control in found}


def check_before_run() -> None:
    """Check what the local run would find wrong later; ends the command where anything is."""
    for module in _offering("check_before_run"):
        module.check_before_run()


def sender_findings(deployment: Deployment, now: datetime) -> Iterator[Finding]:
    """Look at what providers have really sent."""
    for module in _offering("sender_findings"):
        yield from module.sender_findings(deployment, now)


def first_deliveries(stack: LocalStack, folder: Path) -> Iterator[str]:
    """Say how a first delivery is sent to the running stack; its body is written into a folder."""
    for module in _offering("show_first_delivery"):
        text: str = module.show_first_delivery(stack, folder)
        yield text
