"""`callhooks doctor` on a deployed application: intact, and with faults that only a deployment can have."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
from callhooks_tools.stack.stack import local_aws_environment

from tests.e2e.breakage import changed_variables, physical_ids, without_permission
from tests.running_stack import CALLHOOKS, RunningStack, start
from tests.support import ROOT

DOCTOR_SECONDS = 120
SECRETS_SETTLE_SECONDS = 65
"""Functions look for newer secrets at most once a minute."""


@dataclass(frozen=True)
class Verdict:
    """Exit status and output of the command."""

    status: int
    output: str

    def failures(self) -> list[str]:
        return [line for line in self.output.splitlines() if line.startswith("FAILED")]


class BrokenStack:
    """Running stack with context managers that break a part of it and repair it afterwards."""

    def __init__(self, running: RunningStack) -> None:
        self.running = running
        self.resources = physical_ids(running)

    def doctor(self, *options: str, **variables: str) -> Verdict:
        ended = subprocess.run(
            [CALLHOOKS, "doctor", *options],
            capture_output=True,
            text=True,
            env={**self.environment, **variables},
            timeout=DOCTOR_SECONDS,
            check=False,
        )
        assert "Traceback" not in ended.stderr
        self.assert_no_secret_in(ended.stdout + ended.stderr)
        return Verdict(ended.returncode, ended.stdout + ended.stderr)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "CALLHOOKS_STACK_FILE": str(self.running.folder / "stack.json")}

    def assert_no_secret_in(self, output: str) -> None:
        credentials = self.running.stack.credentials
        for secret in (
            credentials.of("jambonz")["password"],
            credentials.of("jambonz")["webhook_secret"],
            credentials.of("wavix")["token"],
            credentials.of("bird")["signing_key"],
            credentials.of("voipstudio")["token"],
            credentials.console.password,
        ):
            assert secret
            assert secret not in output

    def remaining_keys(self) -> list[str]:
        """Return the partition key of each event and call that the doctor left in the table."""
        return [item["pk"]["S"] for item in self._doctor_items()]

    def remove_remaining_items(self) -> None:
        for item in self._doctor_items():
            self.running.client("dynamodb").delete_item(
                TableName=self.running.stack.events_table, Key={"pk": item["pk"], "sk": item["sk"]}
            )

    def _doctor_items(self) -> list[dict[str, Any]]:
        pages = (
            self.running.client("dynamodb")
            .get_paginator("scan")
            .paginate(TableName=self.running.stack.events_table, ConsistentRead=True)
        )
        return [item for page in pages for item in page["Items"] if "callhooks-doctor" in item["pk"]["S"]]

    @contextmanager
    def source_switched_off(self, logical_id: str) -> Iterator[None]:
        client, uuid = self.running.client("lambda"), self.resources[logical_id]
        client.update_event_source_mapping(UUID=uuid, Enabled=False)
        try:
            yield
        finally:
            client.update_event_source_mapping(UUID=uuid, Enabled=True)

    @contextmanager
    def alarm_silenced(self, logical_id: str) -> Iterator[None]:
        client, name = self.running.client("cloudwatch"), self.resources[logical_id]
        client.disable_alarm_actions(AlarmNames=[name])
        try:
            yield
        finally:
            client.enable_alarm_actions(AlarmNames=[name])

    @contextmanager
    def not_publishing(self) -> Iterator[None]:
        """Keep the projector from publishing, and empty the retry queue afterwards for the next test."""
        try:
            with without_permission(self.running, "CallProjectorFunction", "Publish"):
                yield
        finally:
            self.running.client("sqs").purge_queue(QueueUrl=self.resources["ProjectionRetryQueue"])

    @contextmanager
    def limited_route(self) -> Iterator[None]:
        """Limit a route, as earlier versions did."""
        client = self.running.client("apigatewayv2")
        stage = {"ApiId": self.resources["Api"], "StageName": "$default"}
        client.update_stage(**stage, RouteSettings={"ANY /calls": {"ThrottlingRateLimit": 50.0}})
        try:
            yield
        finally:
            client.update_stage(**stage, RouteSettings={})

    @contextmanager
    def not_reading_secrets(self) -> Iterator[None]:
        """Remove the permission, and start containers that have not read a secret yet."""
        name = "BirdVoiceFunction"
        with (
            without_permission(self.running, name, "ReadCredentials"),
            changed_variables(self.running, name, lambda known: {**known, "FORCED_COLD_START": "now"}),
        ):
            yield


@pytest.fixture(scope="module")
def deployment() -> Iterator[BrokenStack]:
    """Start a separate deployment: the doctor would report what other tests leave in queues and alarms."""
    running = start(ROOT / ".local" / f"e2e-doctor{os.environ.get('PYTEST_XDIST_WORKER', '')}")
    deployment = BrokenStack(running)
    yield deployment
    assert running.stop() == 0


@pytest.fixture
def settled(deployment: BrokenStack) -> None:
    """Wait until the last change of a secret is so old that it cannot be the cause of a rejection."""
    client = deployment.running.client("secretsmanager")
    changed = [
        client.describe_secret(SecretId=name)["LastChangedDate"].timestamp()
        for logical_id, name in deployment.resources.items()
        if logical_id.endswith(("Credentials", "WebhookSecrets"))
    ]
    time.sleep(max(0.0, max(changed) + SECRETS_SETTLE_SECONDS - time.time()))


def without(name: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda variables: {known: value for known, value in variables.items() if known != name}


Fault: TypeAlias = tuple[Callable[[BrokenStack], AbstractContextManager[None]], list[str]]

# Faults that need deployed functions, roles and event sources, with the messages about them. The other checks of the
# doctor are tested in tests/integration/tools/test_doctor.py and tests/unit/tools/doctor. A run takes ten seconds, so
# faults that do not hide each other share one.
FAULT_GROUPS: list[dict[str, Fault]] = [
    {
        "the projector may not publish": (
            lambda deployment: deployment.not_publishing(),
            [
                "role CallProjectorRole: CallProjectorFunction lacks the permission events:PutEvents (Publish).",
                "projector: It wrote",
                "publishing: The calls were written, but",
                'The log of CallProjectorFunction shows the cause at "not projected": /',
            ],
        ),
    },
    {
        "the projector gets no events": (
            lambda deployment: deployment.source_switched_off("CallProjectorFunctionNewEvents"),
            [
                "event source CallProjectorFunctionNewEvents: It is disabled: new events do not reach the projector",
                "did not become calls within 30 s: the projector does not run, fails, or is far behind.",
            ],
        ),
    },
    {
        "a route has a limit of an earlier version": (
            lambda deployment: deployment.limited_route(),
            ["WARNING API: An earlier version has limited ANY /calls."],
        ),
        "SIP clients may not be looked up": (
            lambda deployment: without_permission(deployment.running, "JambonzClientAuthFunction", "FindClients"),
            ["JambonzClientAuthFunction lacks the permission dynamodb:GetItem (FindClients)."],
        ),
        "a function may not write into the table": (
            lambda deployment: without_permission(deployment.running, "VoipstudioEventFunction", "StoreEvents"),
            ["VoipstudioEventFunction cannot write to the events table"],
        ),
        "a function may not read its secrets": (
            lambda deployment: deployment.not_reading_secrets(),
            ["BirdVoiceFunction cannot read the secret store, so it cannot authenticate any request (503)."],
        ),
        "new calls get the fallback": (
            lambda deployment: changed_variables(deployment.running, "JambonzNewCallFunction", without("EVENTS_TABLE")),
            [
                "jambonz new call, no credentials: It got the plan's fallback: the function cannot authenticate any",
                "jambonz new call: It got the plan's fallback and was not stored",
            ],
        ),
    },
]


def test_passes_on_a_fresh_stack_and_removes_its_test_events(deployment: BrokenStack) -> None:
    verdict = deployment.doctor()
    assert verdict.status == 0, verdict.output
    assert verdict.failures() == []
    assert "WARNING" not in verdict.output
    for line in (
        "stack: callhooks is CREATE_COMPLETE",
        "All 6 secrets can be read",
        "functions: All 11 are active",
        "event sources: All 3 are enabled",
        "queues: All 5 are empty",
        "event bus: It exists",
        "API: No route has a limit of its own",
        "publishing: The projector sent no event to the retry queue",
        "reaches this API",
        "clock: This machine's clock agrees with the API's",
        "authentication: All 10 unauthenticated requests were rejected",
        "A duplicate was recognised and got the same answer",
        "projector: It wrote 4 calls",
        "call log: It shows the test events of 4 of 4 providers",
        "items of the test events were removed",
        "All checks passed",
    ):
        assert line in verdict.output
    assert deployment.remaining_keys() == []


def test_sends_nothing_with_no_deliveries_and_passes_with_a_warning(deployment: BrokenStack) -> None:
    before = deployment.running.output.count("POST ")
    with deployment.alarm_silenced("UnstoredAlarm"):
        verdict = deployment.doctor("--no-deliveries")
    assert verdict.status == 0, verdict.output
    assert "WARNING alarms: 1 alarm cannot notify anyone, because the actions are disabled." in verdict.output
    assert "1 warning." in verdict.output
    assert deployment.running.output.count("POST ") == before


def test_reports_a_stack_that_does_not_exist_with_the_options_to_check(deployment: BrokenStack) -> None:
    verdict = deployment.doctor("--stack", "elsewhere", **local_aws_environment(deployment.running.stack.engine))
    assert verdict.status == 1
    assert "FAILED  stack: There is no stack elsewhere in us-east-1." in verdict.output
    assert "its account and region with --profile and --region" in verdict.output


def test_urls_shows_secrets_only_with_credentials(deployment: BrokenStack) -> None:
    hidden, shown = (deployment.running.command("urls", *options) for options in ([], ["--credentials"]))
    deployment.assert_no_secret_in(hidden.stdout + hidden.stderr)
    stack, revealed = deployment.running.stack, shown.stdout
    placeholder = f"{stack.base_url}/webhooks/wavix/<token>"
    assert (placeholder in hidden.stdout, placeholder in revealed) == (True, False)
    # The name alone works only where it is on PATH.
    assert re.search(r"To show them, run: (\S*/)?callhooks urls --credentials\n", hidden.stderr)
    assert shown.stderr == ""
    assert f"{stack.base_url}/webhooks/wavix/{stack.credentials.of('wavix')['token']}" in revealed


def test_keep_leaves_the_test_events_until_they_are_forgotten(deployment: BrokenStack) -> None:
    verdict = deployment.doctor("--keep")
    assert verdict.status == 0, verdict.output
    assert "The test events stay in the stack; their call id is callhooks-doctor-" in verdict.output
    assert len(deployment.remaining_keys()) == 9
    found = deployment.running.command("forget", "callhooks-doctor")
    assert "calls as caller or callee       4" in found.stdout, found.stdout
    deployment.remove_remaining_items()


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("group", FAULT_GROUPS, ids=" and ".join)
def test_reports_every_fault_of_a_group(group: dict[str, Fault], deployment: BrokenStack) -> None:
    with ExitStack() as broken:
        for break_, _ in group.values():
            broken.enter_context(break_(deployment))
        verdict = deployment.doctor()
    assert verdict.status == 1, verdict.output
    for name, (_, messages) in group.items():
        for message in messages:
            assert message in verdict.output, name
    assert deployment.remaining_keys() == []


def test_passes_after_the_repair(deployment: BrokenStack) -> None:
    verdict = deployment.doctor()
    assert (verdict.status, verdict.failures()) == (0, []), verdict.output
    assert deployment.remaining_keys() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_removes_its_test_events_when_interrupted(number: signal.Signals, deployment: BrokenStack) -> None:
    with deployment.source_switched_off("CallProjectorFunctionNewEvents"):
        process = subprocess.Popen(
            [CALLHOOKS, "doctor"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=deployment.environment,
        )
        deadline = time.monotonic() + DOCTOR_SECONDS
        while len(deployment.remaining_keys()) < 5 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(deployment.remaining_keys()) == 5
        process.send_signal(number)
        output, _ = process.communicate(timeout=DOCTOR_SECONDS)
    assert process.returncode == 130, output
    assert "items of the test events were removed" in output
    assert deployment.remaining_keys() == []
