"""The engine really denies what a function is not allowed: an action that is taken from its role is missed at once."""

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
    """Take one action from a function's role."""
    resources = running.client("cloudformation").describe_stack_resources(StackName=running.stack.stack_name)
    physical = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources["StackResources"]}
    client, role = running.client("iam"), physical[f"{function}Role"]
    document = client.get_role_policy(RoleName=role, PolicyName=POLICY)["PolicyDocument"]
    policy: dict[str, Any] = document if isinstance(document, dict) else json.loads(document)
    left = [statement for statement in policy["Statement"] if statement["Action"] != action]
    assert len(left) == len(policy["Statement"]) - 1

    def put(statements: list[dict[str, Any]]) -> None:
        changed = json.dumps({**policy, "Statement": statements})
        client.put_role_policy(RoleName=role, PolicyName=POLICY, PolicyDocument=changed)

    put(left)
    try:
        yield
    finally:
        put(policy["Statement"])


def deliver(running: RunningStack, tag: str) -> int:
    """Deliver an event of Wavix that was not seen before."""
    recorded = read_delivery(EVENTS / "wavix" / "ringing.json")
    body = json.dumps({**json.loads(recorded.request.body), "tag": tag})
    return running.post(running.signed(Delivery({**recorded.event, "body": body}))).status_code


def test_what_may_not_be_stored_waits_in_the_queue(running: RunningStack) -> None:
    before = len(running.items())
    with without(running, "WavixCall", "dynamodb:PutItem"):
        assert deliver(running, f"denied-{time.time_ns()}") == 200
    deadline = time.monotonic() + DRAINED_WITHIN_SECONDS
    while len(running.items()) == before:
        assert time.monotonic() < deadline, "the drainer may store it, and has not"
        time.sleep(0.2)


def test_what_may_neither_be_stored_nor_spilled_is_not_taken(running: RunningStack) -> None:
    with without(running, "WavixCall", "dynamodb:PutItem"), without(running, "WavixCall", "sqs:SendMessage"):
        assert deliver(running, f"denied-{time.time_ns()}") == 503
