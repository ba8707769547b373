"""The engine denies actions that a function's role does not allow, as soon as they are removed from the role."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from callhooks_tools.stack.recordings import Delivery, read_delivery

from tests.running_stack import RunningStack
from tests.support import EVENTS

POLICY = "permissions"
DRAINED_WITHIN_SECONDS = 60


@contextmanager
def without(running: RunningStack, function: str, action: str) -> Iterator[None]:
    """Remove one action from a function's role."""
    resources = running.client("cloudformation").describe_stack_resources(StackName=running.stack.stack_name)
    physical = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources["StackResources"]}
    client, role = running.client("iam"), physical[f"{function}Role"]
    document = client.get_role_policy(RoleName=role, PolicyName=POLICY)["PolicyDocument"]
    policy: dict[str, Any] = document if isinstance(document, dict) else json.loads(document)
    reduced = [statement for statement in policy["Statement"] if statement["Action"] != action]
    assert len(reduced) == len(policy["Statement"]) - 1

    def put(statements: list[dict[str, Any]]) -> None:
        changed = json.dumps({**policy, "Statement": statements})
        client.put_role_policy(RoleName=role, PolicyName=POLICY, PolicyDocument=changed)

    put(reduced)
    try:
        yield
    finally:
        put(policy["Statement"])


def deliver(running: RunningStack, tag: str) -> int:
    """Deliver a new Wavix event, and return the status of the answer."""
    recorded = read_delivery(EVENTS / "wavix" / "ringing.json")
    body = json.dumps({**json.loads(recorded.request.body), "tag": tag})
    return running.post(running.signed(Delivery({**recorded.event, "body": body}))).status_code


def test_an_event_that_may_not_be_stored_waits_in_the_spill_queue(running: RunningStack) -> None:
    before = len(running.items())
    with without(running, "WavixCall", "dynamodb:PutItem"):
        assert deliver(running, f"denied-{time.time_ns()}") == 200
    deadline = time.monotonic() + DRAINED_WITHIN_SECONDS
    while len(running.items()) == before:
        assert time.monotonic() < deadline, "the drainer has not stored the event"
        time.sleep(0.2)


def test_an_event_that_may_not_be_stored_or_spilled_is_not_accepted(running: RunningStack) -> None:
    with without(running, "WavixCall", "dynamodb:PutItem"), without(running, "WavixCall", "sqs:SendMessage"):
        assert deliver(running, f"denied-{time.time_ns()}") == 503
