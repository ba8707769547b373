"""The real template, built and deployed to the local engine with permission checks on, and called over HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from callhooks_tools.stack.private_files import make_private_folder
from callhooks_tools.stack.recordings import Delivery, NewCallIds, as_sent_by, read_delivery
from callhooks_tools.stack.stack import LocalStack

from tests.support import EVENTS, ROOT

START_SECONDS = 180
# The engine extracts the layers for each container. After many of them, a slow disk needs half a minute to delete them.
STOP_SECONDS = 180
CALLHOOKS = Path(sys.prefix) / "bin" / "callhooks"


@dataclass
class RunningStack:
    """`callhooks run` in a separate process, with a folder next to the one of the user's own local stack."""

    folder: Path
    process: subprocess.Popen[str]
    stack: LocalStack

    @property
    def output(self) -> str:
        return (self.folder / "output.txt").read_text()

    def post(self, delivery: Delivery) -> httpx.Response:
        request = delivery.request
        return httpx.request(
            request.method,
            f"{self.stack.base_url}{request.path}",
            params=request.query,
            headers=delivery.headers_to_send,
            content=request.body,
            timeout=30,
            trust_env=False,
        )

    def signed(self, delivery: Delivery) -> Delivery:
        """Sign the delivery as its provider would sign it now."""
        access = self.stack.credentials.of(delivery.provider)
        return as_sent_by(delivery.provider, delivery, access, datetime.now(UTC), base_url=self.stack.base_url)

    def recorded(self, name: str) -> Delivery:
        return self.signed(read_delivery(EVENTS / "jambonz" / f"{name}.json"))

    def new_call(self) -> Delivery:
        """Return the recorded new call with fresh ids, signed."""
        return self.signed(NewCallIds().renew(self.recorded("new_call"), Path("new_call.json")))

    def client(self, service: str, key: str | None = None, secret: str | None = None) -> Any:
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=self.stack.aws_endpoint_url,
            region_name=self.stack.region,
            aws_access_key_id=key or self.stack.aws_access_key_id,
            aws_secret_access_key=secret or self.stack.aws_secret_access_key,
        )

    def items(self) -> list[dict[str, Any]]:
        """Return all delivered items of the table. Items of calls are left out: the projector writes them later."""
        pages = self.client("dynamodb").get_paginator("scan").paginate(
            TableName=self.stack.events_table, ConsistentRead=True
        )  # fmt: skip
        return [item for page in pages for item in page["Items"] if item["sk"]["S"] != "call"]

    def command(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        stack_file = str(self.folder / "stack.json")
        # An empty CALLHOOKS_STACK selects the local stack.
        environment = {**os.environ, "CALLHOOKS_STACK": "", "CALLHOOKS_STACK_FILE": stack_file}
        return subprocess.run(
            [CALLHOOKS, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
            check=False,
            cwd=ROOT,
        )

    def stop(self, number: signal.Signals = signal.SIGTERM, *, seconds: float = STOP_SECONDS) -> int:
        """Stop the process if it still runs, and return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


def start(folder: Path, *options: str) -> RunningStack:
    """Start the local stack as `make run` does, on free ports."""
    make_private_folder(folder)
    stack_file = folder / "stack.json"
    stack_file.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "CALLHOOKS_STACK_FILE": str(stack_file),
        # A user may have set these. They must not be used.
        "AWS_PROFILE": "production",
        "AWS_ACCESS_KEY_ID": "AKIAPRODUCTION",
    }
    output_file = folder / "output.txt"
    # The output contains credentials.
    output_file.touch(0o600)
    with output_file.open("w") as output:
        process = subprocess.Popen(
            [CALLHOOKS, "run", "--port", "0", *options],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
            umask=0o022,  # the default of most users; `callhooks run` must protect its own files
        )
    deadline = time.monotonic() + START_SECONDS
    while "Ctrl-C" not in (folder / "output.txt").read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            process.terminate()
            process.wait(30)
            pytest.fail(f"callhooks run did not start:\n{(folder / 'output.txt').read_text()}")
        time.sleep(0.1)
    return RunningStack(folder, process, LocalStack.read(stack_file))


@contextmanager
def deployment_for(suite: str) -> Iterator[RunningStack]:
    """Run one deployment for all tests of a suite, or one for each worker process of pytest-xdist."""
    running = start(ROOT / ".local" / f"{suite}{os.environ.get('PYTEST_XDIST_WORKER', '')}")
    yield running
    assert running.stop() == 0
