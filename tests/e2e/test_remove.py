"""A stack is removed: what it did ends, and what it has kept stays."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from callhooks_tools.stack.stack import ROOT, local_aws_environment

from tests.running_stack import RunningStack, start

SAM = Path(sys.prefix) / "bin" / "sam"


@pytest.fixture
def to_be_removed() -> Iterator[RunningStack]:
    """A stack of its own: nobody else's may be taken away."""
    running = start(ROOT / ".local" / f"e2e-remove{os.environ.get('PYTEST_XDIST_WORKER', '')}")
    yield running
    assert running.stop() == 0


def test_what_was_kept_outlives_the_stack(to_be_removed: RunningStack) -> None:
    stack = to_be_removed.stack
    assert to_be_removed.post(to_be_removed.new_call()).status_code == 200
    resources = to_be_removed.client("cloudformation").describe_stack_resources(StackName=stack.stack_name)
    physical = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources["StackResources"]}

    removed = subprocess.run(
        [SAM, "delete", "--stack-name", stack.stack_name, "--region", stack.region, "--no-prompts"],
        env=local_aws_environment(stack.engine) | {"SAM_CLI_TELEMETRY": "0"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    assert removed.returncode == 0, removed.stderr

    # Nobody answers any more ...
    functions = to_be_removed.client("lambda").list_functions()["Functions"]
    assert [function["FunctionName"] for function in functions if stack.stack_name in function["FunctionName"]] == []
    assert to_be_removed.post(to_be_removed.new_call()).status_code >= 500

    # ... and all is there that was kept.
    (kept_event,) = to_be_removed.items()
    assert kept_event["kind"]["S"] == "call.initiated"
    tables = to_be_removed.client("dynamodb").list_tables()["TableNames"]
    assert physical["ClientsTable"] in tables
    assert physical["ToolCallsTable"] not in tables
    secrets = to_be_removed.client("secretsmanager").list_secrets()["SecretList"]
    kept = {secret["Name"] for secret in secrets} | {secret["ARN"] for secret in secrets}
    for name in ("JambonzCredentials", "JambonzWebhookSecrets", "WavixCredentials", "BirdCredentials"):
        assert physical[name] in kept
    queues = {url.rpartition("/")[2] for url in to_be_removed.client("sqs").list_queues()["QueueUrls"]}
    assert {physical[name].rpartition("/")[2] for name in ("SpillQueue", "SpillDeadLetterQueue")} <= queues
