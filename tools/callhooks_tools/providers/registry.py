"""Provider-specific extensions of the command.

Each package in this folder may define `COMMANDS`, which names its commands as the table of `callhooks_tools.cli` does,
and may have a module `extension` with any of the functions below.
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
from typing import TYPE_CHECKING

from callhooks_tools import providers as package

if TYPE_CHECKING:
    from boto3.session import Session

    from callhooks_tools.providers.call_control import CallControl
    from callhooks_tools.stack.deployment import Deployment
    from callhooks_tools.stack.findings import Finding
    from callhooks_tools.stack.stack import LocalStack, StackOutputs


def _packages() -> Iterator[str]:
    return (f"{package.__name__}.{module.name}" for module in iter_modules(package.__path__) if module.ispkg)


@cache
def _extensions() -> tuple[ModuleType, ...]:
    names = [f"{name}.extension" for name in _packages()]
    return tuple(import_module(name) for name in names if find_spec(name))


def _extensions_with(function: str) -> Iterator[ModuleType]:
    return (module for module in _extensions() if hasattr(module, function))


def commands() -> Mapping[str, tuple[str, str]]:
    """Return the commands of all providers, without importing them."""
    found: dict[str, tuple[str, str]] = {}
    for name in _packages():
        found |= getattr(import_module(name), "COMMANDS", {})
    return found


def call_controls() -> Mapping[str, CallControl]:
    """Return the call controls by provider name."""
    controls: list[CallControl] = [module.call_control() for module in _extensions_with("call_control")]
    return {control.name: control for control in controls}


def check_before_run() -> None:
    """Run checks before the local stack starts. Ends the command with an error if one fails."""
    for module in _extensions_with("check_before_run"):
        module.check_before_run()


def sender_findings(deployment: Deployment, now: datetime) -> Iterator[Finding]:
    """Check the deliveries that providers have sent to the stack."""
    for module in _extensions_with("sender_findings"):
        yield from module.sender_findings(deployment, now)


def account_findings(session: Session, outputs: StackOutputs, now: datetime) -> Iterator[Finding]:
    """Check the providers' accounts whose API keys are in the environment."""
    for module in _extensions_with("account_findings"):
        yield from module.account_findings(session, outputs, now)


def first_deliveries(stack: LocalStack, folder: Path) -> Iterator[str]:
    """Explain how to send a first delivery to the running stack, and write its body into a folder."""
    for module in _extensions_with("show_first_delivery"):
        text: str = module.show_first_delivery(stack, folder)
        yield text
