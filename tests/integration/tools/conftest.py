"""Commands of a provider, with the simulated account as a stack and a local server as the provider's API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType

import boto3
import pytest
from callhooks_tools.cli import app
from callhooks_tools.stack.stack import StackOutputs
from typer.testing import CliRunner, Result

from tests.integration.conftest import Aws
from tests.provider_apis.server import Api
from tests.stacks import stack_outputs

OUTPUTS = stack_outputs(base_url="https://hooks.example.com")
Command = Callable[..., Result]


@dataclass
class CommandStack:
    """The stack of a provider's commands."""

    monkeypatch: pytest.MonkeyPatch
    outputs: StackOutputs = OUTPUTS

    def move_to(self, base_url: str) -> None:
        self.outputs = replace(OUTPUTS, base_url=base_url)

    def command(self, name: str, module: ModuleType, api: Api, **variables: str) -> Command:
        """Return a function that runs a provider's commands with these and further environment variables."""
        self.monkeypatch.setattr(module, "stack_in_aws", lambda _name: (boto3.session.Session(), self.outputs))

        def run(*arguments: str, **others: str) -> Result:
            environment = {"COLUMNS": "200", **variables, **api.environment, **others}
            return CliRunner().invoke(app, [name, *arguments], env=environment)

        return run


@pytest.fixture
def stack(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> CommandStack:
    return CommandStack(monkeypatch)
