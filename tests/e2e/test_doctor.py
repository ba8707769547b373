"""`callhooks doctor` on the deployed application: as it is, and broken on purpose where only a deployment shows it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest

from tests.running_stack import CALLHOOKS, RunningStack, start
from tests.support import ROOT

DOCTOR_SECONDS = 120
SECRETS_SETTLE_SECONDS = 65
"""Functions do not look for newer secrets within a minute after they have read theirs."""
WITHOUT_DELIVERIES = ("--no-deliveries",)


@dataclass(frozen=True)
class Verdict:
    """What the command has printed, and how it has ended."""

    status: int
    output: str

    def failures(self) -> list[str]:
        return [line for line in self.output.splitlines() if line.startswith("FAILED")]


class BrokenStack:
    """The running stack, and ways to break it that put it back."""

    def __init__(self, running: RunningStack) -> None:
        self.running = running
        pages = running.client("cloudformation").get_paginator("list_stack_resources").paginate(
            StackName=running.stack.stack_name
        )  # fmt: skip
        self.resources: dict[str, str] = {
            one["LogicalResourceId"]: one["PhysicalResourceId"]
            for page in pages
            for one in page["StackResourceSummaries"]
        }

    def doctor(self, *options: str) -> Verdict:
        ended = subprocess.run(
            [CALLHOOKS, "doctor", *options],
            capture_output=True,
            text=True,
            env=self.environment,
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

    def left_over(self) -> list[str]:
        """The partitions of the doctor's events and calls, one for each item."""
        return [item["pk"]["S"] for item in self._of_the_doctor()]

    def remove_left_over(self) -> None:
        for item in self._of_the_doctor():
            self.running.client("dynamodb").delete_item(
                TableName=self.running.stack.events_table, Key={"pk": item["pk"], "sk": item["sk"]}
            )

    def _of_the_doctor(self) -> list[dict[str, Any]]:
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
    def variables(self, logical_id: str, change: Callable[[dict[str, str]], dict[str, str]]) -> Iterator[None]:
        client, name = self.running.client("lambda"), self.resources[logical_id]
        before: dict[str, Any] = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        client.update_function_configuration(FunctionName=name, Environment={"Variables": change(dict(before))})
        try:
            yield
        finally:
            client.update_function_configuration(FunctionName=name, Environment={"Variables": before})

    @contextmanager
    def retries_purged(self) -> Iterator[None]:
        """What is put aside here is not there for the next one."""
        try:
            yield
        finally:
            self.running.client("sqs").purge_queue(QueueUrl=self.resources["ProjectionRetryQueue"])

    @contextmanager
    def not_publishing(self) -> Iterator[None]:
        with self.retries_purged(), self.not_permitted("CallProjectorFunction", "Publish"):
            yield

    @contextmanager
    def not_permitted(self, logical_id: str, sid: str) -> Iterator[None]:
        """Take a permission from a function."""
        client, functions = self.running.client("iam"), self.running.client("lambda")
        role = functions.get_function_configuration(FunctionName=self.resources[logical_id])["Role"].rpartition("/")[2]
        policies = {name: self._policy(role, name) for name in client.list_role_policies(RoleName=role)["PolicyNames"]}
        for name, document in policies.items():
            left = {**document, "Statement": [one for one in document["Statement"] if one.get("Sid") != sid]}
            client.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(left))
        try:
            yield
        finally:
            for name, document in policies.items():
                client.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))

    @contextmanager
    def not_permitted_from_the_start(self, logical_id: str, sid: str) -> Iterator[None]:
        """The same, in containers that have not read a secret before."""
        with (
            self.not_permitted(logical_id, sid),
            self.variables(logical_id, lambda known: {**known, "STARTED_ANEW": sid}),
        ):
            yield

    def _policy(self, role: str, name: str) -> dict[str, Any]:
        document = self.running.client("iam").get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        read: dict[str, Any] = json.loads(document) if isinstance(document, str) else document
        return read


@pytest.fixture(scope="module")
def patient() -> Iterator[BrokenStack]:
    """A deployment of its own: what other tests leave in queues and alarms would be found."""
    running = start(ROOT / ".local" / f"e2e-doctor{os.environ.get('PYTEST_XDIST_WORKER', '')}")
    patient = BrokenStack(running)
    yield patient
    assert running.stop() == 0


@pytest.fixture
def settled(patient: BrokenStack) -> None:
    """Secrets that were changed so long ago that a refusal has another cause."""
    client = patient.running.client("secretsmanager")
    changed = [
        client.describe_secret(SecretId=name)["LastChangedDate"].timestamp()
        for logical_id, name in patient.resources.items()
        if logical_id.endswith(("Credentials", "WebhookSecrets"))
    ]
    time.sleep(max(0.0, max(changed) + SECRETS_SETTLE_SECONDS - time.time()))


def without(name: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda variables: {known: value for known, value in variables.items() if known != name}


Break: TypeAlias = Callable[[BrokenStack], AbstractContextManager[None]]

# What the deployed functions, roles and event sources have to do themselves. All else that is found by a look or by an
# answer is in tests/integration/tools/test_doctor.py and tests/unit/tools/doctor.
TRIED: dict[str, tuple[Break, list[str]]] = {
    "the projector gets no events": (
        lambda patient: patient.source_switched_off("CallProjectorFunctionNewEvents"),
        [
            "event source CallProjectorFunctionNewEvents: It is switched off: new events do not reach the projector",
            "became no call within 30 s: the projector does not run, fails, or is far behind.",
        ],
    ),
    "the projector may not publish": (
        lambda patient: patient.not_publishing(),
        [
            "role CallProjectorRole: CallProjectorFunction may not do events:PutEvents (Publish) any more.",
            "projector: It has written",
            "publishing: Calls are written, but their events were not published (or were not projected)",
            'The log of CallProjectorFunction has the cause at "not projected": /',
        ],
    ),
    "SIP clients may not be looked up": (
        lambda patient: patient.not_permitted("JambonzClientAuthFunction", "FindClients"),
        ["role JambonzClientAuthRole: JambonzClientAuthFunction may not do dynamodb:GetItem (FindClients) any more."],
    ),
    "a function may not write into the table": (
        lambda patient: patient.not_permitted("VoipstudioEventFunction", "KeepEvents"),
        ["the table refuses VoipstudioEventFunction itself (its permissions, its EVENTS_TABLE)"],
    ),
    "a function may not read its secrets": (
        lambda patient: patient.not_permitted_from_the_start("BirdVoiceFunction", "VerifySenders"),
        ["Bird event: BirdVoiceFunction cannot read the secret store: it can verify nobody (503)."],
    ),
    "new calls get the fallback": (
        lambda patient: patient.variables("JambonzNewCallFunction", without("EVENTS_TABLE")),
        [
            "jambonz new call, no credentials: It got the plan's fallback: the function cannot verify anybody",
            "jambonz new call: It got the plan's fallback, and nothing was stored",
        ],
    ),
}


def test_passes_on_the_fresh_stack_and_leaves_nothing(patient: BrokenStack) -> None:
    verdict = patient.doctor()
    assert verdict.status == 0, verdict.output
    assert verdict.failures() == []
    assert "WARNING" not in verdict.output
    for told in (
        "stack: callhooks is CREATE_COMPLETE",
        "All 6 secrets can be read",
        "functions: All 11 are active",
        "event sources: All 3 are switched on",
        "queues: All 5 are empty",
        "event bus: It is there",
        "publishing: The projector has put nothing aside",
        "leads to this API",
        "clock: This machine's clock and that of the API agree",
        "refusals: Whoever does not prove who they are is refused, in 10 ways",
        "its repeat was known, and got the same answer",
        "projector: It has written 4 calls",
        "call log: It shows what was sent for 4 of 4 providers",
        "items of the test events are removed",
        "Nothing is wrong",
    ):
        assert told in verdict.output
    assert patient.left_over() == []


def test_sends_nothing_where_it_is_only_to_look(patient: BrokenStack) -> None:
    before = patient.running.output.count("POST ")
    verdict = patient.doctor(*WITHOUT_DELIVERIES)
    assert verdict.status == 0, verdict.output
    assert patient.running.output.count("POST ") == before


def test_leaves_the_events_where_they_are_wanted_until_they_are_forgotten(patient: BrokenStack) -> None:
    verdict = patient.doctor("--keep")
    assert verdict.status == 0, verdict.output
    assert "The test events stay; their calls are callhooks-doctor-" in verdict.output
    assert len(patient.left_over()) == 9
    found = patient.running.command("forget", "callhooks-doctor")
    assert "calls from or to it             4" in found.stdout, found.stdout
    patient.remove_left_over()


# Each of another function, so that none hides another: a run takes ten seconds.
TOGETHER = [
    ["the projector may not publish"],
    ["the projector gets no events"],
    [
        "SIP clients may not be looked up",
        "a function may not write into the table",
        "a function may not read its secrets",
        "new calls get the fallback",
    ],
]


def test_all_that_it_knows_is_tried() -> None:
    assert sorted(name for group in TOGETHER for name in group) == sorted(TRIED)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("group", TOGETHER, ids=[" and ".join(group) for group in TOGETHER])
def test_fails_where_it_is_tried_that(group: list[str], patient: BrokenStack) -> None:
    with ExitStack() as broken:
        for name in group:
            broken.enter_context(TRIED[name][0](patient))
        verdict = patient.doctor()
    assert verdict.status == 1, verdict.output
    for name in group:
        for told in TRIED[name][1]:
            assert told in verdict.output, name
    assert patient.left_over() == []


def test_passes_again_when_all_is_put_back(patient: BrokenStack) -> None:
    verdict = patient.doctor()
    assert (verdict.status, verdict.failures()) == (0, []), verdict.output
    assert patient.left_over() == []


def test_warns_of_alarms_that_tell_nobody(patient: BrokenStack) -> None:
    with patient.alarm_silenced("UnstoredAlarm"):
        verdict = patient.doctor(*WITHOUT_DELIVERIES)
    assert verdict.status == 0, verdict.output
    assert "WARNING alarms: The actions of 1 are switched off: nobody is told." in verdict.output
    assert "1 warning." in verdict.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_cleans_up_when_it_is_interrupted(number: signal.Signals, patient: BrokenStack) -> None:
    with patient.source_switched_off("CallProjectorFunctionNewEvents"):
        process = subprocess.Popen(
            [CALLHOOKS, "doctor"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=patient.environment
        )
        deadline = time.monotonic() + DOCTOR_SECONDS
        while len(patient.left_over()) < 5 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(patient.left_over()) == 5
        process.send_signal(number)
        output, _ = process.communicate(timeout=DOCTOR_SECONDS)
    assert process.returncode == 130, output
    assert "items of the test events are removed" in output
    assert patient.left_over() == []


def test_tells_of_a_stack_that_is_not_there(patient: BrokenStack) -> None:
    stack = patient.running.stack
    asked = subprocess.run(
        [CALLHOOKS, "doctor", "--stack", "elsewhere"],
        capture_output=True,
        text=True,
        check=False,
        timeout=DOCTOR_SECONDS,
        env={
            **patient.environment,
            "AWS_ENDPOINT_URL": stack.aws_endpoint_url,
            "AWS_ACCESS_KEY_ID": stack.aws_access_key_id,
            "AWS_SECRET_ACCESS_KEY": stack.aws_secret_access_key,
            "AWS_REGION": stack.region,
        },
    )
    assert asked.returncode == 1
    assert "FAILED  stack: The stack elsewhere cannot be read" in asked.stdout
    assert "AWS_REGION" in asked.stdout


def test_urls_show_where_to_enter_what_and_no_secret_unless_it_is_asked_for(patient: BrokenStack) -> None:
    hidden = patient.running.command("urls").stdout
    patient.assert_no_secret_in(hidden)
    base = patient.running.stack.base_url
    for told in (
        "Portal: Applications, the application",
        f"Calling webhook       {base}/webhooks/call#rc=2&rp=ct,5xx",
        f"Queue event webhook   {base}/webhooks/call/events#rc=2&rp=ct,5xx",
        f"Registration webhook  {base}/webhooks/client-auth\n",
        f"{base}/webhooks/wavix/<token>",
        "Bird takes https with a host name and no port: not this URL.",
        "callhooks urls --credentials shows it whole",
    ):
        assert told in hidden
    whole = patient.running.command("urls", "--credentials").stdout
    assert f"{base}/webhooks/wavix/{patient.running.stack.credentials.of('wavix')['token']}" in whole
    assert "shows it whole" not in whole
