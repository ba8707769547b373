"""The HTTP API in front of the local engine.

The engine does not import routes from the `Body` that SAM writes, and it answers `OPTIONS` itself. The front therefore
reads the routes from the processed template, and invokes functions with payload 2.0 events, as API Gateway does.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, Field, ValidationError

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

MAX_BODY_BYTES = 10 * 1024 * 1024
CONCURRENT_INVOCATIONS = 32
STOP_SECONDS = 1.0

_FUNCTION_IN_URI = re.compile(r"\$\{(\w+)(?:\.Arn)?\}/invocations")
_PARAMETER = re.compile(r"\{(\w+)(\+?)\}")
_TEXT_TYPE = re.compile(r"text/|application/(.+\+)?(json|xml|javascript)|application/problem", re.IGNORECASE)
_ANY_METHOD = "x-amazon-apigateway-any-method"


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ApiRoute:
    """A method and a path of the HTTP API, with the name of their function or the ARN of its alias."""

    method: str
    path: str
    function_name: str

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """Return the path parameters of a request, or `None` if the route does not match it."""
        if self.method not in (method, "ANY"):
            return None
        found = re.fullmatch(self._pattern, path)
        return found.groupdict() if found else None

    @property
    def key(self) -> str:
        """Return the route key in the form of API Gateway."""
        return f"{self.method} {self.path}"

    @property
    def precedence(self) -> tuple[bool, int, int, bool]:
        """Return the sort key: greedy parameters last, fewer parameters and longer paths first, a method before ANY."""
        return "+}" in self.path, self.path.count("{"), -self.path.count("/"), self.method == "ANY"

    @property
    def _pattern(self) -> str:
        parts = _PARAMETER.split(self.path)
        pattern = re.escape(parts[0])
        for name, greedy, literal in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            pattern += f"(?P<{name}>{'.*' if greedy else '[^/]+'}){re.escape(literal)}"
        return pattern


def routes_of(template: Mapping[str, Any], function_names: Mapping[str, str]) -> list[ApiRoute]:
    """Return the routes of all HTTP APIs in a processed template, in the order in which they are matched.

    `function_names` maps the logical ids of functions and aliases to function names and to ARNs of aliases.
    """
    return sorted(_routes(template, function_names), key=lambda route: route.precedence)


def _routes(template: Mapping[str, Any], function_names: Mapping[str, str]) -> Iterator[ApiRoute]:
    apis = (one for one in template["Resources"].values() if one["Type"] == "AWS::ApiGatewayV2::Api")
    for api in apis:
        for path, operations in api["Properties"]["Body"]["paths"].items():
            for method, operation in operations.items():
                uri = json.dumps(operation["x-amazon-apigateway-integration"]["uri"])
                logical_id = _FUNCTION_IN_URI.search(uri)
                if logical_id is None:
                    raise ValueError(f"{method} {path} has no function")
                yield ApiRoute(
                    "ANY" if method == _ANY_METHOD else method.upper(), path, function_names[logical_id.group(1)]
                )


class ProxyResponse(BaseModel):
    """The response of a function, in payload format 2.0."""

    status_code: int = Field(alias="statusCode")
    headers: dict[str, str | int | bool] = {}
    cookies: list[str] = []
    body: str = ""
    is_base64_encoded: bool = Field(default=False, alias="isBase64Encoded")


class Front:
    """HTTP server for the routes, on a bound socket and in a separate thread.

    `on_request` is called with a log line for each request. The line contains no token.
    """

    def __init__(
        self,
        routes: list[ApiRoute],
        client: LambdaClient,
        listener: socket.socket,
        on_request: Callable[[str], None],
    ) -> None:
        self._on_request = on_request
        self._routes = routes
        self._client = client
        self._listener = listener
        self._pool = ThreadPoolExecutor(CONCURRENT_INVOCATIONS, thread_name_prefix="invoke")
        self._loop = asyncio.new_event_loop()
        self._serving = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="front", daemon=True)

    def start(self) -> None:
        """Start the server and wait until it accepts requests.

        Raises:
            RuntimeError: the thread ended. Its traceback is on standard error.
        """
        self._thread.start()
        while not self._serving.wait(0.1):
            if not self._thread.is_alive():
                raise RuntimeError("the HTTP front did not start")

    def stop(self) -> None:
        """Stop accepting requests and end the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        # Like API Gateway, pass on the original bytes, because signatures cover them.
        runner = web.AppRunner(
            self._application(), access_log=None, shutdown_timeout=STOP_SECONDS, auto_decompress=False
        )
        try:
            self._loop.run_until_complete(runner.setup())
            self._loop.run_until_complete(web.SockSite(runner, self._listener).start())
            self._serving.set()
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(runner.cleanup())
            self._loop.close()

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", self._answer)
        return application

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        for route in self._routes:
            parameters = route.match(request.method, path)
            if parameters is not None:
                event = _event(request, await request.read(), route, parameters)
                started = time.monotonic()
                response = await self._loop.run_in_executor(
                    self._pool, invoke, self._client, route.function_name, event
                )
                # Log the route, because the path may contain a token.
                self._on_request(
                    f"{request.method} {route.path}  {response.status}  {1000 * (time.monotonic() - started):.0f} ms"
                )
                return response
        known = {segment for route in self._routes for segment in route.path.split("/")}
        masked = "/".join(segment if segment in known else "..." for segment in path.split("/"))
        self._on_request(f"{request.method} {masked}  404: no matching route in template.yaml")
        return _message(404, "Not Found")


def invoke(client: LambdaClient, function_name: str, event: Mapping[str, object]) -> web.Response:
    """Invoke a function and return the response that API Gateway would send.

    The status is 500 if the function raised or returned an invalid response, and 503 if it did not run.
    """
    try:
        reply = client.invoke(FunctionName=function_name, Payload=json.dumps(event).encode())
    except (BotoCoreError, ClientError) as error:
        logger.warning("cannot invoke %s: %s", function_name, error)
        return _message(503, "Service Unavailable")
    if reply.get("FunctionError"):
        return _message(500, "Internal Server Error")
    try:
        proxy_response = ProxyResponse.model_validate_json(reply["Payload"].read())
    except ValidationError:
        return _message(500, "Internal Server Error")
    headers = {name.lower(): str(value) for name, value in proxy_response.headers.items()}
    if "www-authenticate" in headers:
        headers["x-amzn-remapped-www-authenticate"] = headers.pop("www-authenticate")
    headers.setdefault("content-type", "text/plain; charset=utf-8")
    body = base64.b64decode(proxy_response.body) if proxy_response.is_base64_encoded else proxy_response.body.encode()
    response = web.Response(status=proxy_response.status_code, headers=headers, body=body)
    for cookie in proxy_response.cookies:
        response.headers.add("set-cookie", cookie)
    return response


def _event(request: web.Request, body: bytes, route: ApiRoute, parameters: Mapping[str, str]) -> dict[str, object]:
    path, _, query = request.raw_path.partition("?")
    headers = {name.lower(): ",".join(request.headers.getall(name)) for name in request.headers}
    cookies = [cookie.strip() for cookie in headers.pop("cookie", "").split(";") if cookie.strip()]
    text, encoded = _body_text(body, headers.get("content-type", ""))
    now = time.time()
    event: dict[str, object] = {
        "version": "2.0",
        "routeKey": route.key,
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": request.host,
            "domainPrefix": "local",
            "http": {
                "method": request.method,
                "path": path,
                "protocol": f"HTTP/{request.version.major}.{request.version.minor}",
                "sourceIp": request.remote or "",
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": uuid.uuid4().hex,
            "routeKey": route.key,
            "stage": "$default",
            "time": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": encoded,
    }
    if cookies:
        event["cookies"] = cookies
    if request.query:
        event["queryStringParameters"] = {name: ",".join(request.query.getall(name)) for name in request.query}
    if parameters:
        event["pathParameters"] = dict(parameters)
    if body:
        event["body"] = text
    return event


def _body_text(body: bytes, content_type: str) -> tuple[str, bool]:
    if _TEXT_TYPE.match(content_type):
        with suppress(UnicodeDecodeError):
            return body.decode("utf-8"), False
    return base64.b64encode(body).decode("ascii"), True


def _message(status: int, text: str) -> web.Response:
    return web.json_response({"message": text}, status=status)
