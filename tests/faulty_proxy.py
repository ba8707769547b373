"""Proxy between the deployed functions and the local engine that breaks AWS services for a while."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from urllib.parse import urlsplit

import psutil
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from yarl import URL

from tests.publishing import change_variables
from tests.running_stack import RunningStack

LOOPBACK = "127.0.0.1"
SERVICES = ("DYNAMODB", "SQS", "SECRETS_MANAGER", "EVENTBRIDGE")
"""AWS services of the functions, as named in the variables `AWS_ENDPOINT_URL_<SERVICE>`."""
MAX_REQUEST_BYTES = 32 * 1024 * 1024
IDLE_SECONDS = 30.0
"""Shorter than the 75 seconds after which the engine closes an idle connection."""

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}
_MADE_BY_CLIENT = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_THROTTLED = {"DynamoDB": "ProvisionedThroughputExceededException", "AmazonSQS": "RequestThrottled"}


class Fault(Enum):
    """Fault that a request meets."""

    HANG = auto()
    """It is not answered; the connection is closed when the fault ends."""
    ERROR = auto()
    """It is answered 500."""
    THROTTLE = auto()
    """It is answered 400 with the throttling error of the service."""
    DENY = auto()
    """It is answered 400, AccessDeniedException."""
    REFUSE_FOR_GOOD = auto()
    """It is answered 400, ValidationException."""
    UNREACHABLE = auto()
    """The connection is closed, and the request is not forwarded."""
    LOSE_REPLY = auto()
    """It is forwarded, and the connection is closed without an answer."""
    KILL = auto()
    """It is forwarded, and the worker that sent it is killed before it gets the answer."""


@dataclass
class Breakage:
    """Fault in progress.

    `hits` counts the requests that met it, and `killed` are the process ids of the killed workers.
    """

    fault: Fault
    target: str
    every: int
    having: str
    hits: int = 0
    killed: list[int] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    _turns: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def meets(self, operation: str, body: bytes) -> bool:
        """Return whether a request must fail, and count it."""
        is_target = operation == self.target or operation.startswith(f"{self.target}.")
        met = is_target and self.having.encode() in body and next(self._turns) % self.every == 0
        self.hits += met
        return met


class FaultyProxy:
    """HTTP proxy on a free port of the loopback interface, in a separate thread.

    Args:
        upstream_url: the URL of the engine.

    `seen` counts all requests by operation, such as `DynamoDB.PutItem`, `AmazonSQS.SendMessage`,
    `secretsmanager.GetSecretValue` and `AWSEvents.PutEvents`; `seen_at` is the time of the last one, by
    `time.monotonic`.
    """

    def __init__(self, upstream_url: str) -> None:
        self._upstream_url = upstream_url
        self._engine_port = urlsplit(upstream_url).port
        self.seen: Counter[str] = Counter()
        self.seen_at: dict[str, float] = {}
        self.url = ""
        self._breakages: tuple[Breakage, ...] = ()
        self._loop = asyncio.new_event_loop()
        self._serving = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="faulty proxy", daemon=True)
        self._upstream: ClientSession

    def start(self) -> None:
        """Start the proxy, and return when it accepts requests."""
        self._thread.start()
        while not self._serving.wait(0.1):
            if not self._thread.is_alive():
                raise RuntimeError("the proxy did not start: see standard error")

    def stop(self) -> None:
        """Close all connections and end the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @contextmanager
    def broken(self, fault: Fault, target: str, *, every: int = 1, having: str = "") -> Iterator[Breakage]:
        """Break requests inside the `with` block.

        Args:
            fault: the fault that they meet.
            target: a service by its name in `seen` (`DynamoDB`), or one of its operations (`DynamoDB.PutItem`).
            every: 2 breaks only every second request, and so on.
            having: break only requests with this text in their body.
        """
        breakage = Breakage(fault, target, every, having)
        # The latest breakage takes precedence.
        self._breakages = (breakage, *self._breakages)
        try:
            yield breakage
        finally:
            self._breakages = tuple(one for one in self._breakages if one is not breakage)
            self._loop.call_soon_threadsafe(breakage.over.set)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        application = web.Application(client_max_size=MAX_REQUEST_BYTES)
        application.router.add_route("*", "/{path:.*}", self._answer)
        application.cleanup_ctx.append(self._open_upstream)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0, auto_decompress=False)
        try:
            self._loop.run_until_complete(runner.setup())
            self._loop.run_until_complete(web.TCPSite(runner, LOOPBACK, 0).start())
            _, port = runner.addresses[0]
            self.url = f"http://{LOOPBACK}:{port}"
            self._serving.set()
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(runner.cleanup())
            self._loop.close()

    async def _open_upstream(self, _application: web.Application) -> AsyncIterator[None]:
        connector = TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS)
        async with ClientSession(
            connector=connector,
            timeout=ClientTimeout(total=None),
            auto_decompress=False,
            skip_auto_headers=_MADE_BY_CLIENT,
        ) as self._upstream:
            yield

    async def _answer(self, request: web.Request) -> web.Response:
        operation = operation_of(request.headers)
        body = await request.read()
        self.seen[operation] += 1
        self.seen_at[operation] = time.monotonic()
        breakage = next((one for one in self._breakages if one.meets(operation, body)), None)
        if breakage is None:
            return await self._forward(request, body)
        match breakage.fault:
            case Fault.HANG:
                await breakage.over.wait()
            case Fault.LOSE_REPLY:
                await self._forward(request, body)
            case Fault.KILL:
                await self._forward(request, body)
                breakage.killed += await self._loop.run_in_executor(None, self._kill_sender, request)
            case Fault.UNREACHABLE:
                pass
            case fault:
                return _error(fault, operation)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        async with self._upstream.request(
            request.method,
            URL(f"{self._upstream_url}{request.raw_path}", encoded=True),
            headers=_end_to_end(request.headers),
            data=body,
        ) as reply:
            return web.Response(status=reply.status, headers=_end_to_end(reply.headers), body=await reply.read())

    def _kill_sender(self, request: web.Request) -> list[int]:
        _, proxy_port = request.get_extra_info("sockname")
        _, port = request.get_extra_info("peername")
        senders = _senders(self._engine_port, port, proxy_port)
        for pid in senders:
            os.kill(pid, signal.SIGKILL)
        return senders


def route_functions_through(running: RunningStack, proxy: FaultyProxy) -> None:
    """Route the AWS requests of all deployed functions through the proxy, until the next deployment."""
    cloudformation, client = running.client("cloudformation"), running.client("lambda")
    resources = cloudformation.describe_stack_resources(StackName=running.stack.stack_name)["StackResources"]
    functions = [one["PhysicalResourceId"] for one in resources if one["ResourceType"] == "AWS::Lambda::Function"]
    for name in functions:
        variables = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        variables |= {f"AWS_ENDPOINT_URL_{service}": proxy.url for service in SERVICES}
        change_variables(client, name, variables)


def operation_of(headers: Mapping[str, str]) -> str:
    """Return the operation of a request without the API version, such as `DynamoDB.PutItem`."""
    service, _, name = headers.get("X-Amz-Target", "").partition(".")
    return f"{service.partition('_')[0]}.{name}"


def _senders(engine_port: int | None, port: int, proxy_port: int) -> list[int]:
    """Return the ids of the engine's child processes with a connection from this port to the proxy.

    The engine is this process or one of its descendants.
    """
    own = psutil.Process()
    engines = [
        process
        for process in (own, *own.children(recursive=True))
        if (engine_port, None) in _ports(process, psutil.CONN_LISTEN)
    ]
    return [
        worker.pid
        for engine in engines
        for worker in engine.children(recursive=True)
        if (port, proxy_port) in _ports(worker, psutil.CONN_ESTABLISHED)
    ]


def _ports(process: psutil.Process, state: str) -> list[tuple[int, int | None]]:
    """Return the ports of a process in this state, each with the port of its peer."""
    try:
        sockets = [socket for socket in process.net_connections("tcp4") if socket.status == state]
    except psutil.NoSuchProcess:
        return []
    has_peer = state == psutil.CONN_ESTABLISHED
    return [(socket.laddr.port, socket.raddr.port if has_peer else None) for socket in sockets]


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    # The signature covers the host, so it is not changed.
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}


def _error(fault: Fault, operation: str) -> web.Response:
    service = operation.partition(".")[0]
    status, code = {
        Fault.ERROR: (500, "InternalServerError"),
        Fault.THROTTLE: (400, _THROTTLED.get(service, "ThrottlingException")),
        Fault.DENY: (400, "AccessDeniedException"),
        Fault.REFUSE_FOR_GOOD: (400, "ValidationException"),
    }[fault]
    body = json.dumps({"__type": f"{service}#{code}", "message": f"{code}, by the proxy of the tests"})
    return web.Response(status=status, text=body, content_type="application/x-amz-json-1.0")
