"""A removed stack stops answering, and its stored data stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from callhooks_tools.stack.stack import ROOT, local_aws_environment

from tests.e2e.breakage import physical_ids
from tests.running_stack import RunningStack, start

SAM = Path(sys.prefix) / "bin" / "sam"


@pytest.fixture
def own_stack() -> Iterator[RunningStack]:
    """Start a separate stack, because the test removes it."""
    running = start(ROOT / ".local" / f"e2e-remove{os.environ.get('PYTEST_XDIST_WORKER', '')}")
    yield running
    assert running.stop() == 0


def test_stored_data_outlives_the_stack(own_stack: RunningStack) -> None:
    stack = own_stack.stack
    assert own_stack.post(own_stack.new_call()).status_code == 200
    physical = physical_ids(own_stack)

    # A subscriber's rule would stop the deletion half-way ...
    events, rule = own_stack.client("events"), {"Name": "subscriber", "EventBusName": physical["CallBus"]}
    events.put_rule(**rule, EventPattern=json.dumps({"source": [{"prefix": "callhooks."}]}))
    refused = own_stack.command("check-removal")
    assert refused.returncode == 1
    assert "\n  subscriber\n" in refused.stderr
    # ... so it goes first.
    events.delete_rule(**rule)
    assert own_stack.command("check-removal").returncode == 0

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

    # Nothing answers any more ...
    functions = own_stack.client("lambda").list_functions()["Functions"]
    assert [function["FunctionName"] for function in functions if stack.stack_name in function["FunctionName"]] == []
    assert own_stack.post(own_stack.new_call()).status_code >= 500

    # ... and the stored data is still there.
    (stored_event,) = own_stack.items()
    assert stored_event["kind"]["S"] == "call.initiated"
    tables = own_stack.client("dynamodb").list_tables()["TableNames"]
    assert physical["ClientsTable"] in tables
    assert physical["ToolCallsTable"] not in tables
    secrets = own_stack.client("secretsmanager").list_secrets()["SecretList"]
    remaining = {secret["Name"] for secret in secrets} | {secret["ARN"] for secret in secrets}
    for name in ("JambonzCredentials", "JambonzWebhookSecrets", "WavixCredentials", "BirdCredentials"):
        assert physical[name] in remaining
    queues = {url.rpartition("/")[2] for url in own_stack.client("sqs").list_queues()["QueueUrls"]}
    assert {physical[name].rpartition("/")[2] for name in ("SpillQueue", "SpillDeadLetterQueue")} <= queues
