"""HTTPS client for a provider's REST API: time limits, retries, errors."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypedDict, TypeVar

import httpx
from callhooks.providers.payload import Document
from pydantic import ValidationError

from callhooks_tools.providers.rest.answers import parse_response
from callhooks_tools.providers.rest.errors import NotFound, RetryableError, Unexpected, Unreachable
from callhooks_tools.providers.rest.retries import RetryPolicy

MAX_RESPONSE = 8 * 1024 * 1024
"""Bytes."""
MAX_RECORDING = 2 * 1024 * 1024 * 1024
"""Bytes."""

Query: TypeAlias = Mapping[str, str | int]
D = TypeVar("D", bound=Document)
T = TypeVar("T")


class RestOptions(TypedDict, total=False):
    """Time limits, and the transport of httpx, of a client."""

    retry_policy: RetryPolicy | None
    transport: httpx.AsyncBaseTransport | None


class RestClient:
    """Client for one provider's API. Use it from one thread, and not inside a running event loop.

    Every method raises these errors; a method's own docstring lists any others.
        KeyRejected, NotFound, RequestRejected, RateLimited: the provider rejected the request.
        Unreachable: no complete response, or 408, 502, 503 or 504. The provider may have acted on a `POST` or `PATCH`.
        Unexpected: a redirect, another 5xx, or a body that is not the expected JSON.

    `GET`, `PUT` and `DELETE` are retried after lost connections, timeouts and 408, 502, 503 and 504; `POST` and
    `PATCH` only if no connection was made. All are retried after 429.
    """

    def __init__(  # noqa: PLR0913 - all but three have a default
        self,
        provider: str,
        base_url: str,
        headers: Mapping[str, str],
        *,
        confidential: Sequence[str],
        retry_policy: RetryPolicy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Create a client. `confidential` lists the strings to redact in errors: the key and any other secret sent."""
        self.provider = provider
        self.retry_policy = retry_policy or RetryPolicy()
        self._confidential = confidential
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(
            base_url=base_url,
            # A compressed response could expand beyond the available memory.
            headers={**headers, "accept": "application/json", "accept-encoding": "identity", "user-agent": "callhooks"},
            timeout=httpx.Timeout(self.retry_policy.read_seconds, connect=self.retry_policy.connect_seconds),
            transport=transport,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close the connections. The client cannot be used afterwards."""
        self._runner.run(self._client.aclose())
        self._runner.close()

    def get(self, path: str, query: Query | None = None) -> object:
        """Return the JSON at a path."""
        try:
            return self._send(self._request("GET", path, query=query), idempotent=True)
        except RetryableError as error:
            # A read changes nothing, even if the provider received it.
            error.not_sent = True
            raise

    def post(self, path: str, body: Mapping[str, object] | None = None) -> object:
        """Post a JSON object or an empty body. Return the JSON of the response, `None` if it is empty."""
        return self._send(self._request("POST", path, body=body), idempotent=False)

    def put(self, path: str, body: Mapping[str, object], *, idempotent: bool = True) -> object:
        """Replace the object at a path. Return the JSON of the response, `None` if it is empty.

        Pass `idempotent=False` for a `PUT` that triggers an action.
        """
        return self._send(self._request("PUT", path, body=body), idempotent=idempotent)

    def patch(self, path: str, body: Mapping[str, object]) -> object:
        """Change members of the object at a path. Return the JSON of the response, `None` if it is empty."""
        return self._send(self._request("PATCH", path, body=body), idempotent=False)

    def delete(self, path: str, query: Query | None = None) -> object:
        """Remove the object at a path. A 404 after an attempt that got no response counts as success."""
        request = self._request("DELETE", path, query=query)
        maybe_done = False

        def attempt() -> object:
            nonlocal maybe_done
            try:
                return self._send_once(request)
            except RetryableError as error:
                maybe_done = maybe_done or not error.not_sent
                raise
            except NotFound:
                if maybe_done:
                    return None
                raise

        return self.retry_policy.run(attempt, idempotent=True)

    def download(self, path: str, target: Path, *, size: int | None) -> int:
        """Download a file and return its length in bytes. The target is written completely or not at all.

        `size` is the expected length in bytes, if known.

        Raises:
            Unexpected: the file has another length, or is empty.
            OSError: the target cannot be written.
        """
        request = self._request("GET", path)
        return self.retry_policy.run(lambda: self._file(request, target, size), idempotent=True)

    def unexpected(self, message: str) -> Unexpected:
        """Return the error for a response of another shape."""
        return Unexpected(self.provider, message=message)

    def objects(self, value: object, noun: str) -> list[dict[str, object]]:
        """Return the value if it is a list of JSON objects. `noun` names them in the error.

        Raises:
            Unexpected: it is not.
        """
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.unexpected(f"no list of {noun}")
        return value

    def object_in(self, document: object, name: str) -> dict[str, object]:
        """Return a member of a response that must be a JSON object.

        Raises:
            Unexpected: it is missing or of another type.
        """
        member = document.get(name) if isinstance(document, dict) else None
        if not isinstance(member, dict):
            raise self.unexpected(f"{name} is missing")
        return member

    def model(self, model: type[D], document: object, *, needs: str) -> D:
        """Parse a JSON object. `needs` names the one member that must be present.

        Raises:
            Unexpected: it is not an object, or lacks that member.
        """
        try:
            parsed = model.model_validate(document)
        except ValidationError:
            raise self.unexpected("a JSON object is missing") from None
        if getattr(parsed, needs) is None:
            raise self.unexpected(f"{needs} is missing")
        return parsed

    def _request(
        self, method: str, path: str, *, query: Query | None = None, body: Mapping[str, object] | None = None
    ) -> httpx.Request:
        # httpx would encode the body as UTF-8, and fail on command arguments that are not valid text.
        content = None if body is None else json.dumps(body).encode("ascii")
        headers = {} if body is None else {"content-type": "application/json"}
        return self._client.build_request(method, path, params=query, content=content, headers=headers)

    def _send(self, request: httpx.Request, *, idempotent: bool) -> object:
        return self.retry_policy.run(lambda: self._send_once(request), idempotent=idempotent)

    def _run(self, attempt: Coroutine[Any, Any, T]) -> T:
        with self._transport_failures():
            return self._runner.run(attempt)

    def _send_once(self, request: httpx.Request) -> object:
        status, headers, content = self._run(self._exchange(request))
        return parse_response(self.provider, status, headers, content, self._confidential)

    async def _exchange(self, request: httpx.Request) -> tuple[int, httpx.Headers, bytes]:
        # httpx restarts its read timeout with every byte received.
        async with (
            asyncio.timeout(self.retry_policy.total_seconds),
            aclosing(await self._client.send(request, stream=True)) as response,
        ):
            return response.status_code, response.headers, await self._content(response)

    async def _content(self, response: httpx.Response) -> bytes:
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > MAX_RESPONSE:
                raise Unexpected(self.provider, status=response.status_code, message="the response is too large")
        return bytes(content)

    def _file(self, request: httpx.Request, target: Path, size: int | None) -> int:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        part = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                length = self._run(self._write(request, file, MAX_RECORDING if size is None else size))
            if not length or length != (size or length):
                problem = "it is empty" if not length else f"received {length} of {size} bytes"
                raise self.unexpected(f"the recording is incomplete: {problem}")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return length

    async def _write(self, request: httpx.Request, file: BinaryIO, max_length: int) -> int:
        length = 0
        async with aclosing(await self._client.send(request, stream=True)) as response:
            if response.status_code != httpx.codes.OK:
                async with asyncio.timeout(self.retry_policy.total_seconds):
                    content = await self._content(response)
                parse_response(self.provider, response.status_code, response.headers, content, self._confidential)
                raise Unexpected(self.provider, status=response.status_code, message="it contains no recording")
            async for chunk in response.aiter_bytes():
                length += len(chunk)
                if length > max_length:
                    raise self.unexpected(f"the recording is longer than {max_length} bytes")
                file.write(chunk)
        return length

    @contextmanager
    def _transport_failures(self) -> Iterator[None]:
        """Convert errors of httpx. Their messages are dropped: they may contain the address."""
        try:
            yield
        except TimeoutError:
            raise Unreachable(
                self.provider,
                not_sent=False,
                message=f"no complete response within {self.retry_policy.total_seconds:g} seconds",
            ) from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            message = f"no connection ({type(error).__name__})"
            raise Unreachable(self.provider, not_sent=True, message=message) from None
        except httpx.TransportError as error:
            message = f"the connection was lost ({type(error).__name__})"
            raise Unreachable(self.provider, not_sent=False, message=message) from None
        except (httpx.RequestError, httpx.StreamError) as error:
            raise self.unexpected(f"the response cannot be read ({type(error).__name__})") from None
