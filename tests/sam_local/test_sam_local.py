"""Functions in containers use the table, the queue and the engine of the running local stack, and nothing else can."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError
from callhooks_tools.local.containers import Processor
from callhooks_tools.local.sam_local import build

from tests.running_stack import CALLHOOKS, RunningStack
from tests.support import EVENTS, ROOT

CREDENTIALS: dict[str, dict[str, str]] = json.loads((EVENTS / "local-env.json").read_text("utf-8"))
BASIC = json.loads(CREDENTIALS["JambonzNewCallFunction"]["JAMBONZ_CREDENTIALS"])
CONSOLE = json.loads(CREDENTIALS["CallLogFunction"]["CONSOLE_CREDENTIALS"])
SECONDS = 240


def image_options(image: str) -> list[str]:
    return ["--skip-pull-image", "--invoke-image", image]


@dataclass(frozen=True)
class SamLocal:
    """`callhooks sam-local` with the stand-in image."""

    running: RunningStack
    image: str

    @property
    def folder(self) -> Path:
        return self.running.folder / "sam-local"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "CALLHOOKS_STACK_FILE": str(self.running.folder / "stack.json")}

    def invoke(self, function: str, event: str) -> tuple[dict[str, Any], str]:
        """Return the response of a function and everything else that was printed."""
        ended = subprocess.run(
            [CALLHOOKS, "sam-local", "invoke", function, "--event", f"events/{event}.json", *image_options(self.image)],
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=ROOT,
            timeout=SECONDS,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout), ended.stderr


@pytest.fixture(scope="session")
def sam(running: RunningStack, image: str) -> SamLocal:
    return SamLocal(running, image)


def until(read: Callable[[], Any]) -> Any:
    """Return the first true value that is read; fail if time runs out."""
    deadline = time.monotonic() + SECONDS
    while not (value := read()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return value


def test_an_event_sent_twice_is_stored_once_and_marked_as_repeated(sam: SamLocal) -> None:
    (first, printed), (second, _) = (sam.invoke("WavixCallFunction", "wavix/ringing") for _ in range(2))
    assert [json.loads(one["body"]) for one in (first, second)] == [{"status": "stored"}] * 2
    assert ["idempotent-replayed" in one["headers"] for one in (first, second)] == [False, True]
    call_id = json.loads(json.loads((EVENTS / "wavix" / "ringing.json").read_text())["body"])["uuid"]
    assert [item["call_id"]["S"] for item in sam.running.items()] == [call_id]

    (line,) = [line for line in printed.splitlines() if "sam local invoke WavixCallFunction" in line]
    assert shlex.split(line)[-3:] == image_options(sam.image)
    keys = (sam.running.stack.aws_access_key_id, sam.running.stack.aws_secret_access_key)
    assert not [key for key in keys if key in printed]
    assert list(sam.folder.glob("*.json")) == []


@dataclass(frozen=True)
class ServedApi:
    """`callhooks sam-local start-api`, and the variables that its functions got."""

    process: subprocess.Popen[bytes]
    url: str
    variables: dict[str, dict[str, str]]

    @property
    def engine(self) -> str:
        return self.variables["CallLogFunction"]["AWS_ENDPOINT_URL"]


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def served_api(sam: SamLocal) -> Iterator[ServedApi]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--warm-containers", "LAZY", *image_options(sam.image)]
    log = sam.running.folder / "start-api.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [CALLHOOKS, "sam-local", "start-api", *options], stderr=output, env=sam.environment, cwd=ROOT
        )
    try:
        until(lambda: process.poll() is not None or is_open(port))
        assert process.poll() is None, log.read_text()
        (file,) = sam.folder.glob("env-vars-*.json")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        yield ServedApi(process, f"http://127.0.0.1:{port}", json.loads(file.read_text()))
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, log.read_text()


def engine_client(sam: SamLocal, url: str, key: str, secret: str) -> Any:
    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name=sam.running.stack.region,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )


def test_a_call_gets_verbs_and_is_in_the_call_log_while_the_api_runs(sam: SamLocal) -> None:
    stack = sam.running.stack
    body = json.loads((EVENTS / "jambonz" / "new_call.json").read_text())["body"]
    with served_api(sam) as api:
        answer = httpx.post(
            f"{api.url}/webhooks/call",
            auth=(BASIC["username"], BASIC["password"]),
            headers={"content-type": "application/json"},
            content=body,
            timeout=60,
            trust_env=False,
        )
        assert answer.status_code == 200
        hooks = re.findall(r'"actionHook":\s*"([^"#?]+)', answer.text)
        assert hooks
        assert all(hook.startswith(f"{api.url}/webhooks/call/") for hook in hooks)

        def calls() -> Any:
            url = f"{api.url}/calls?provider=jambonz"
            listed = httpx.get(url, auth=(CONSOLE["username"], CONSOLE["password"]), timeout=60, trust_env=False)
            assert listed.status_code == 200, listed.text
            return listed.json()["calls"]

        (call,) = until(calls)
        assert call["call_id"] == json.loads(body)["call_sid"]

        own = engine_client(sam, api.engine, stack.aws_access_key_id, stack.aws_secret_access_key)
        assert stack.events_table in own.list_tables()["TableNames"]
        for key, secret in (
            (stack.aws_access_key_id, "wrong"),
            ("test", "test"),
            (f"{stack.aws_access_key_id}0", stack.aws_secret_access_key),
        ):
            with pytest.raises(ClientError, match=r"AccessDenied|access key|signature|Signature"):
                engine_client(sam, api.engine, key, secret).list_tables()
        assert httpx.get(f"{api.engine}/_ministack/health", trust_env=False).status_code == 403

    with pytest.raises(httpx.ConnectError):
        httpx.get(api.engine, trust_env=False)
    assert list(sam.folder.glob("*.json")) == []


def test_plain_sam_local_answers_a_call_without_the_local_stack(image: str, tmp_path: Path) -> None:
    processor = Processor.of_this_machine()
    template = build(tmp_path, processor).with_name("template.yaml")
    options = ["--env-vars", "events/local-env.json", "--parameter-overrides", f"Architecture={processor.sam}"]
    # sam passes credentials on to the container: it must not have the user's.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    ended = subprocess.run(
        [CALLHOOKS.with_name("sam"), "local", "invoke", "JambonzNewCallFunction", "--template", template, "--event",
         "events/jambonz/new_call.json", *options, *image_options(image)],
        env=environment | {"HOME": str(tmp_path), "SAM_CLI_TELEMETRY": "0"},
        capture_output=True, text=True, cwd=ROOT, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    answer = json.loads(ended.stdout)
    assert answer["statusCode"] == 200
    assert [verb["verb"] for verb in json.loads(answer["body"])]
    assert "CALLHOOKS_UNSTORED_EVENT" in ended.stderr
