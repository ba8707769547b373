"""A provider's REST API over HTTPS: time limits, repeats of what may be repeated, errors that say what happened."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar

import httpx
from callhooks.providers.payload import Document
from pydantic import ValidationError

from callhooks_tools.providers.rest.answers import answer_of
from callhooks_tools.providers.rest.errors import NotFound, RetryableError, Unexpected, Unreachable
from callhooks_tools.providers.rest.retries import RetryPolicy

MAX_ANSWER = 8 * 1024 * 1024
MAX_RECORDING = 2 * 1024 * 1024 * 1024

Query: TypeAlias = Mapping[str, str | int]
D = TypeVar("D", bound=Document)
T = TypeVar("T")


class RestClient:
    """One provider's API. Not to be used by several threads at once, nor within an event loop that is running.

    Errors of every method, but where it says more:
        KeyRejected, NotFound, RequestRejected, RateLimited: as the provider answers.
        Unreachable: no whole answer, or 408, 502, 503 or 504; for a `POST` or `PATCH` it may be done all the same.
        Unexpected: a redirect, another 5xx, or what is not the JSON that is expected.

    `GET`, `PUT` and `DELETE` are repeated after lost connections, time-outs and 408, 502, 503 and 504; `POST` and
    `PATCH` only where no connection was made. All are after 429.
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
        """`confidential` are the texts that no error may show: the key, and what else is sent that is secret."""
        self.provider = provider
        self.retry_policy = retry_policy or RetryPolicy()
        self._confidential = confidential
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(
            base_url=base_url,
            # An answer that is packed could be larger than memory.
            headers={**headers, "accept": "application/json", "accept-encoding": "identity", "user-agent": "callhooks"},
            timeout=httpx.Timeout(self.retry_policy.read_seconds, connect=self.retry_policy.connect_seconds),
            transport=transport,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close the connections; the client is of no use afterwards."""
        self._runner.run(self._client.aclose())
        self._runner.close()

    def get(self, path: str, query: Query | None = None) -> object:
        """The JSON at a path."""
        return self._ask("GET", path, query=query, repeatable=True)

    def post(self, path: str, body: Mapping[str, object] | None = None) -> object:
        """Post a JSON object, or nothing; the JSON of the answer, `None` where it is empty."""
        return self._ask("POST", path, body=body, repeatable=False)

    def put(self, path: str, body: Mapping[str, object], *, repeatable: bool = True) -> object:
        """Replace what is at a path; the JSON of the answer, `None` where it is empty.

        An API whose `PUT` does something, as others' `POST` does, is not `repeatable`.
        """
        return self._ask("PUT", path, body=body, repeatable=repeatable)

    def patch(self, path: str, body: Mapping[str, object]) -> object:
        """Change members of what is at a path; the JSON of the answer, `None` where it is empty."""
        return self._ask("PATCH", path, body=body, repeatable=False)

    def delete(self, path: str, query: Query | None = None) -> object:
        """Remove what is at a path. That it is not there any more after an attempt without an answer, is no error."""
        request = self._request("DELETE", path, query=query)
        maybe_done = False

        def attempt() -> object:
            nonlocal maybe_done
            try:
                return self._answer(request)
            except RetryableError as passing:
                maybe_done = maybe_done or not passing.not_sent
                raise
            except NotFound:
                if maybe_done:
                    return None
                raise

        return self.retry_policy.run(attempt, repeatable=True)

    def download(self, path: str, target: Path, *, size: int | None) -> int:
        """Fetch a file, and return its length in bytes. The target is there whole, or as it was before.

        `size` is the length in bytes that it must have, where that is known.

        Raises:
            Unexpected: it has another length, or is empty.
            OSError: it cannot be written.
        """
        request = self._request("GET", path)
        return self.retry_policy.run(lambda: self._file(request, target, size), repeatable=True)

    def unexpected(self, message: str) -> Unexpected:
        """The error for an answer of another shape."""
        return Unexpected(self.provider, message=message)

    def objects(self, value: object, what: str) -> list[dict[str, object]]:
        """A list of JSON objects that an answer must have.

        Raises:
            Unexpected: it is none.
        """
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise self.unexpected(f"there is no list of {what}")
        return value

    def object_in(self, document: object, name: str) -> dict[str, object]:
        """The JSON object that is a member of an answer.

        Raises:
            Unexpected: there is none.
        """
        member = document.get(name) if isinstance(document, dict) else None
        if not isinstance(member, dict):
            raise self.unexpected(f"there is no {name}")
        return member

    def model(self, model: type[D], document: object, *, needs: str) -> D:
        """A JSON object as a model has it; `needs` names the member that it is of no use without.

        Raises:
            Unexpected: it is no object, or has not that member.
        """
        try:
            parsed = model.model_validate(document)
        except ValidationError:
            raise self.unexpected("there is no JSON object where one should be") from None
        if getattr(parsed, needs) is None:
            raise self.unexpected(f"there is no {needs}")
        return parsed

    def _request(
        self, method: str, path: str, *, query: Query | None = None, body: Mapping[str, object] | None = None
    ) -> httpx.Request:
        # httpx would encode the body as UTF-8, and fail where an argument of a command is none.
        content = None if body is None else json.dumps(body).encode("ascii")
        headers = {} if body is None else {"content-type": "application/json"}
        return self._client.build_request(method, path, params=query, content=content, headers=headers)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Mapping[str, object] | None = None,
        repeatable: bool,
    ) -> object:
        request = self._request(method, path, query=query, body=body)
        return self.retry_policy.run(lambda: self._answer(request), repeatable=repeatable)

    def _run(self, attempt: Coroutine[Any, Any, T]) -> T:
        with self._transport_failures():
            return self._runner.run(attempt)

    def _answer(self, request: httpx.Request) -> object:
        status, headers, content = self._run(self._exchange(request))
        return answer_of(self.provider, status, headers, content, self._confidential)

    async def _exchange(self, request: httpx.Request) -> tuple[int, httpx.Headers, bytes]:
        # httpx's own limits begin anew with every byte that comes.
        async with (
            asyncio.timeout(self.retry_policy.whole_seconds),
            aclosing(await self._client.send(request, stream=True)) as response,
        ):
            return response.status_code, response.headers, await self._content(response)

    async def _content(self, response: httpx.Response) -> bytes:
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > MAX_ANSWER:
                raise Unexpected(self.provider, status=response.status_code, message="the answer has no end")
        return bytes(content)

    def _file(self, request: httpx.Request, target: Path, size: int | None) -> int:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        part = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                length = self._run(self._write(request, file, MAX_RECORDING if size is None else size))
            if not length or length != (size or length):
                told = "it is empty" if not length else f"{length} bytes came, and {size} are told of"
                raise self.unexpected(f"the recording is not whole: {told}")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return length

    async def _write(self, request: httpx.Request, file: BinaryIO, most: int) -> int:
        length = 0
        async with aclosing(await self._client.send(request, stream=True)) as response:
            if response.status_code != httpx.codes.OK:
                async with asyncio.timeout(self.retry_policy.whole_seconds):
                    content = await self._content(response)
                answer_of(self.provider, response.status_code, response.headers, content, self._confidential)
                raise Unexpected(self.provider, status=response.status_code, message="there is no recording in it")
            async for chunk in response.aiter_bytes():
                length += len(chunk)
                if length > most:
                    raise self.unexpected(f"the recording is longer than the {most} bytes that are told of")
                file.write(chunk)
        return length

    @contextmanager
    def _transport_failures(self) -> Iterator[None]:
        """What httpx raises, as what a provider does. The text of an error of httpx may hold the address."""
        try:
            yield
        except TimeoutError:
            raise Unreachable(
                self.provider,
                not_sent=False,
                message=f"no whole answer within {self.retry_policy.whole_seconds:g} seconds",
            ) from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            message = f"there is no connection ({type(error).__name__})"
            raise Unreachable(self.provider, not_sent=True, message=message) from None
        except httpx.TransportError as error:
            message = f"the connection is lost ({type(error).__name__})"
            raise Unreachable(self.provider, not_sent=False, message=message) from None
        except (httpx.RequestError, httpx.StreamError) as error:
            raise self.unexpected(f"the answer cannot be read ({type(error).__name__})") from None
