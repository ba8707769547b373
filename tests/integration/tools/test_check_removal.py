"""`callhooks check-removal`: rules of subscribers, which would stop the deletion of a stack half-way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import boto3
import pytest
from botocore.exceptions import ClientError
from callhooks_tools.cli import app
from callhooks_tools.commands import upkeep
from callhooks_tools.stack.stack import StackResource
from typer.testing import CliRunner, Result

from tests.commands import done, failed

pytestmark = pytest.mark.usefixtures("aws")
STACK = "callhooks-prod"
BUS = StackResource("AWS::Events::EventBus", "CallBus", STACK)
QUEUE = StackResource("AWS::SQS::Queue", "SpillQueue", "spilled")

Check = Callable[[Sequence[StackResource]], Result]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Check:
    """Run the command on a stack with these resources."""

    def run(resources: Sequence[StackResource]) -> Result:
        monkeypatch.setattr(upkeep, "stack_resources", lambda _session, _stack: list(resources))
        return CliRunner().invoke(app, ["check-removal", "--stack", STACK])

    return run


def test_a_stack_without_subscribers_can_be_removed(check: Check) -> None:
    events = boto3.client("events")
    events.create_event_bus(Name=STACK)
    # A rule on another bus does not matter.
    events.put_rule(Name="other", EventPattern='{"source": ["aws.s3"]}')
    assert f"No rules on the event bus of {STACK}" in done(check([QUEUE, BUS]))


def test_rules_of_subscribers_are_listed_and_fail_the_check(check: Check) -> None:
    events = boto3.client("events")
    events.create_event_bus(Name=STACK)
    # EventBridge returns at most 50 rules at once.
    names = [f"rule-{number:02}" for number in range(60)]
    for name in names:
        events.put_rule(Name=name, EventBusName=STACK, EventPattern='{"source": ["callhooks.wavix"]}')
    shown = failed(check([BUS]))
    assert [line.strip() for line in shown.splitlines() if line.startswith("  ")] == names
    assert "Nothing has been removed" in shown


@pytest.mark.parametrize("resources", [[QUEUE], [BUS]], ids=["a failed deployment", "a bus that has been deleted"])
def test_a_stack_without_a_bus_can_be_removed(resources: Sequence[StackResource], check: Check) -> None:
    done(check(resources))


def test_a_stack_that_cannot_be_read_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_session: object, _stack: str) -> list[StackResource]:
        message = "Stack with id callhooks-prod does not exist"
        raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "ListStackResources")

    monkeypatch.setattr(upkeep, "stack_resources", missing)
    shown = failed(CliRunner().invoke(app, ["check-removal", "--stack", STACK]))
    assert "Stack with id callhooks-prod does not exist" in shown
    assert "does not exist" in shown
