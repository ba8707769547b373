"""Updates of a stack, and its removal: callers notice no update, and stored data outlives the stack."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from callhooks_tools.local.run import Sam
from callhooks_tools.stack.stack import ROOT, local_aws_environment
from callhooks_tools.stack.template import ALIAS

from tests.e2e.breakage import physical_ids
from tests.e2e.conftest import eventually
from tests.running_stack import RunningStack, start
from tests.support import recorded

SAM = Path(sys.prefix) / "bin" / "sam"
FUNCTION, LAYER = "JambonzNewCallFunction", "CallhooksLayer"
SENDERS = 2
MARKED_HANDLER = """

from callhooks_release import NUMBER  # the number of the layer

unmarked = handler


def handler(event, context):
    response = unmarked(event, context)
    return {{**response, "headers": {{**response["headers"], "x-handler": "{number}", "x-layer": NUMBER}}}}
"""


@pytest.fixture(scope="module")
def own_stack() -> Iterator[RunningStack]:
    """Start a separate stack, because the tests update and remove it."""
    running = start(ROOT / ".local" / f"e2e-lifecycle{os.environ.get('PYTEST_XDIST_WORKER', '')}")
    yield running
    assert running.stop() == 0


@dataclass(frozen=True)
class Release:
    """A build whose responses to new calls have the numbers of the handler and of the layer that answered."""

    folder: Path
    number: str

    @classmethod
    def from_build(cls, build: Path, folder: Path, number: str) -> Release:
        template = json.loads((build / "template.yaml").read_text("utf-8"))
        for resource in template["Resources"].values():
            for name in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
                resource["Properties"][name] = str((build / resource["Properties"][name]).resolve())
        for logical_id, name in ((FUNCTION, "CodeUri"), (LAYER, "ContentUri")):
            properties = template["Resources"][logical_id]["Properties"]
            shutil.copytree(properties[name], folder / logical_id)
            properties[name] = str(folder / logical_id)
        with (folder / FUNCTION / "app.py").open("a", encoding="utf-8") as handler:
            handler.write(MARKED_HANDLER.format(number=number))
        (folder / LAYER / "python" / "callhooks_release.py").write_text(f'NUMBER = "{number}"\n', "utf-8")
        (folder / "template.yaml").write_text(json.dumps(template), "utf-8")
        return cls(folder, number)

    def zipped_layer(self) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for file in (self.folder / LAYER).rglob("*"):
                archive.write(file, file.relative_to(self.folder / LAYER))
        return packed.getvalue()


Served = tuple[int, str | None, str | None]
"""Status of a response, and the numbers of the handler and of the layer that answered."""


@dataclass
class Callers:
    """Callers who place one call after the other."""

    running: RunningStack
    served: list[list[Served]] = field(default_factory=lambda: [[] for _ in range(SENDERS)])
    _stopped: threading.Event = field(default_factory=threading.Event)
    _calls: list[Future[None]] = field(default_factory=list)

    @contextmanager
    def calling(self) -> Iterator[None]:
        with ThreadPoolExecutor(SENDERS) as pool:
            self._calls = [pool.submit(self._call, served) for served in self.served]
            try:
                yield
            finally:
                self._stopped.set()
            for call in self._calls:
                call.result()

    def _call(self, served: list[Served]) -> None:
        while not self._stopped.is_set():
            response = self.running.post(self.running.new_call())
            served.append((response.status_code, response.headers.get("x-handler"), response.headers.get("x-layer")))

    def wait_for_calls(self) -> None:
        """Wait until every caller has placed several further calls."""
        before = [len(served) for served in self.served]

        def placed() -> bool:
            for call in self._calls:
                if call.done():
                    call.result()
            return all(len(now) > then + 3 for now, then in zip(self.served, before, strict=True))

        eventually(placed)


def pass_half_of_an_update(running: RunningStack, release: Release) -> None:
    """Attach the new layer to the function, which still has its old handler.

    In AWS, CloudFormation updates a function by two requests: configuration and code. The local engine does both at
    once.
    """
    client, name = running.client("lambda"), physical_ids(running)[FUNCTION]
    layers = [one["Arn"] for one in client.get_function_configuration(FunctionName=name)["Layers"]]
    (replaced,) = [one for one in layers if one.split(":")[-2].endswith("-callhooks")]
    published = client.publish_layer_version(
        LayerName=replaced.split(":")[-2], Content={"ZipFile": release.zipped_layer()}
    )["LayerVersionArn"]
    client.update_function_configuration(
        FunctionName=name, Layers=[published if one == replaced else one for one in layers]
    )


def numbers_of_latest(running: RunningStack) -> tuple[str, str]:
    """Return the numbers of handler and layer that answer without the alias."""
    reply = running.client("lambda").invoke(
        FunctionName=physical_ids(running)[FUNCTION], Payload=json.dumps(recorded("new_call"))
    )
    headers = json.load(reply["Payload"])["headers"]
    return headers["x-handler"], headers["x-layer"]


def test_no_caller_gets_a_new_layer_under_an_old_handler(own_stack: RunningStack, tmp_path: Path) -> None:
    """Update the handler and the layer together, twice, while calls come in."""
    sam = Sam(own_stack.folder / "run", own_stack.stack.engine)
    build = sam.build()
    first, second = (Release.from_build(build, tmp_path / number, number) for number in ("1", "2"))
    callers = Callers(own_stack)
    with callers.calling():
        callers.wait_for_calls()
        sam.deploy(first.folder, {"PublicUrl": own_stack.stack.base_url})
        callers.wait_for_calls()
        pass_half_of_an_update(own_stack, second)
        assert numbers_of_latest(own_stack) == ("1", "2")
        callers.wait_for_calls()
        sam.deploy(second.folder, {"PublicUrl": own_stack.stack.base_url})
        callers.wait_for_calls()
    for served in callers.served:
        assert {status for status, _, _ in served} == {200}
        assert [(handler, layer) for _, handler, layer in served if handler != layer] == []
        releases = [handler or "0" for _, handler, _ in served]
        assert set(releases) == {"0", "1", "2"}
        assert releases == sorted(releases), "an update is one switch"


def test_old_versions_stay_for_late_requests_until_they_are_pruned(own_stack: RunningStack) -> None:
    client, name = own_stack.client("lambda"), physical_ids(own_stack)[FUNCTION]

    def versions() -> list[str]:
        return [one["Version"] for one in client.list_versions_by_function(FunctionName=name)["Versions"]]

    # Published by the updates of the test above.
    assert versions() == ["$LATEST", "1", "2", "3"]
    assert client.get_alias(FunctionName=name, Name=ALIAS)["FunctionVersion"] == "3"
    pruned = own_stack.command("prune", "--keep", "2")
    assert (pruned.returncode, versions()) == (0, ["$LATEST", "2", "3"]), pruned.stderr
    assert own_stack.post(own_stack.new_call()).headers["x-handler"] == "2"


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

    stored = {(item["pk"]["S"], item["sk"]["S"]) for item in own_stack.items()}
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
    assert stored
    assert {(item["pk"]["S"], item["sk"]["S"]) for item in own_stack.items()} == stored
    tables = own_stack.client("dynamodb").list_tables()["TableNames"]
    assert physical["ClientsTable"] in tables
    assert physical["ToolCallsTable"] not in tables
    secrets = own_stack.client("secretsmanager").list_secrets()["SecretList"]
    remaining = {secret["Name"] for secret in secrets} | {secret["ARN"] for secret in secrets}
    for name in ("JambonzCredentials", "JambonzWebhookSecrets", "WavixCredentials", "BirdCredentials"):
        assert physical[name] in remaining
    queues = {url.rpartition("/")[2] for url in own_stack.client("sqs").list_queues()["QueueUrls"]}
    assert {physical[name].rpartition("/")[2] for name in ("SpillQueue", "SpillDeadLetterQueue")} <= queues
