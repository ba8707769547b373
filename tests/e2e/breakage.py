"""Changes of a deployed stack that break a part of it and are undone afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.publishing import change_variables
from tests.running_stack import RunningStack

Variables = dict[str, str]


def physical_ids(running: RunningStack) -> dict[str, str]:
    """Return the physical id of each resource of the stack."""
    pages = running.client("cloudformation").get_paginator("list_stack_resources").paginate(
        StackName=running.stack.stack_name
    )  # fmt: skip
    return {
        one["LogicalResourceId"]: one["PhysicalResourceId"] for page in pages for one in page["StackResourceSummaries"]
    }


@contextmanager
def changed_variables(
    running: RunningStack, logical_id: str, change: Callable[[Variables], Variables]
) -> Iterator[None]:
    """Change the environment of a function."""
    client, name = running.client("lambda"), physical_ids(running)[logical_id]
    before: dict[str, Any] = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    change_variables(client, name, change(dict(before)))
    try:
        yield
    finally:
        change_variables(client, name, before)


@contextmanager
def without_permission(running: RunningStack, logical_id: str, sid: str) -> Iterator[None]:
    """Remove a statement from the policy of a function's role."""
    client, functions = running.client("iam"), running.client("lambda")
    configuration = functions.get_function_configuration(FunctionName=physical_ids(running)[logical_id])
    role = configuration["Role"].rpartition("/")[2]
    (name,) = client.list_role_policies(RoleName=role)["PolicyNames"]
    document = client.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    policy: dict[str, Any] = json.loads(document) if isinstance(document, str) else document
    reduced = [statement for statement in policy["Statement"] if statement.get("Sid") != sid]
    assert len(reduced) == len(policy["Statement"]) - 1

    def put(statements: list[dict[str, Any]]) -> None:
        changed = json.dumps({**policy, "Statement": statements})
        client.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=changed)

    put(reduced)
    try:
        yield
    finally:
        put(policy["Statement"])
