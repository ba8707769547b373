"""Measure one Lambda function in a fresh process: `python -P -S probe.py`, with a JSON document on standard input.

The script only imports the standard library, so that the process contains nothing but the function's own imports.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Context:
    """The parts of Lambda's context that handlers use."""

    aws_request_id = "8f2c1e0a-5b7d-4c3e-9a1f-6d5e4c3b2a19"
    function_name = "bench"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:bench"
    memory_limit_in_mb = 512

    def get_remaining_time_in_millis(self) -> int:
        """Return the remaining time of the invocation."""
        return 60_000


class Duration:
    """Duration of a block in seconds."""

    wall = cpu = 0.0


@contextmanager
def timed() -> Iterator[Duration]:
    """Measure the duration of a block."""
    duration, wall, cpu = Duration(), time.perf_counter(), time.process_time()
    yield duration
    duration.wall, duration.cpu = time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Import the function, and pass it the first events, the warm-up events and the timed events."""
    spec = json.load(sys.stdin)
    report = os.fdopen(os.dup(1), "w")
    log = os.open(os.devnull if spec["log"] is None else spec["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    sys.path[:0] = spec["path"]
    known, context = set(sys.modules), Context()
    with timed() as importing:
        handler = importlib.import_module("app").handler
    with timed() as answering:
        statuses = [_status(handler(event, context)) for event in spec["first"]]
    modules = sorted(set(sys.modules) - known)
    statuses += [_status(handler(event, context)) for event in spec["warm_up"]]
    if spec["offline"]:
        _answer_at_once()
    logged, each = os.lseek(log, 0, os.SEEK_END), []
    gc.collect()
    for event in spec["timed"]:
        began = time.process_time_ns()
        reply = handler(event, context)
        each.append((time.process_time_ns() - began) / 1e9)
        statuses.append(_status(reply))
    sys.stdout.flush()
    measured = {
        "import_wall": importing.wall,
        "import_cpu": importing.cpu,
        "first_cpu": answering.cpu,
        "modules": modules,
        "statuses": statuses,
        "each_cpu": each,
        "log_bytes": os.lseek(log, 0, os.SEEK_END) - logged,
        "peak_bytes": _peak_bytes(),
    }
    with report:
        json.dump(measured, report)


def _peak_bytes() -> int:
    """Return the peak memory of the process. Prefer /proc, because `ru_maxrss` includes the parent's memory."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - no additional imports
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _answer_at_once() -> None:
    """Make botocore get an empty reply to every request, without a network."""
    awsrequest, httpsession = (
        importlib.import_module("botocore.awsrequest"),
        importlib.import_module("botocore.httpsession"),
    )

    def send(_session: object, request: object) -> object:
        response = awsrequest.AWSResponse(getattr(request, "url", ""), 200, {"content-type": "application/json"}, None)
        response._content = b"{}"  # noqa: SLF001 - there is no public way to set the body
        return response

    httpsession.URLLib3Session.send = send


def _status(reply: object) -> object:
    return reply.get("statusCode") if isinstance(reply, dict) else None


if __name__ == "__main__":
    main()
