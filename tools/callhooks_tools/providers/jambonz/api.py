"""jambonz: calls while they last, by the client of jambonz's own Python SDK.

That client is asynchronous, waits without a limit and drops what jambonz says of an error; here it gets what it lacks.
Written from jambonz-python-sdk 0.4 and the API server of 0.9 (`validateUpdateCall`): an update has one member, and a
202 says that it is on its way.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import SimpleNamespace, TracebackType
from typing import Any, NoReturn, Self, TypeVar

import aiohttp
from callhooks.providers.payload import Document, Identifier, JsonObject, OptionalInt, OptionalStr
from jambonz_sdk.client import JambonzClient
from pydantic import Field, ValidationError

from callhooks_tools.providers.jambonz.api_hosts import KEY, PROVIDER, WHERE_THE_KEY_IS, account_of, api_url_of
from callhooks_tools.providers.rest.answers import answer_of
from callhooks_tools.providers.rest.client import of_a_call
from callhooks_tools.providers.rest.configuration import checked_id, required
from callhooks_tools.providers.rest.errors import Unexpected, Unreachable
from callhooks_tools.providers.rest.retries import RetryableError, RetryPolicy, repeated
from callhooks_tools.providers.rest.session import MAX_ANSWER

T = TypeVar("T")


class RecordAction(StrEnum):
    """What can be done with the recording of a call, in jambonz's words."""

    START = "startCallRecording"
    STOP = "stopCallRecording"
    PAUSE = "pauseCallRecording"
    RESUME = "resumeCallRecording"


@dataclass(frozen=True, slots=True)
class HookTarget:
    """Where a call gets its next verbs. Without a user name jambonz sends that of the application."""

    url: str
    username: str | None = None
    password: str | None = None


class JambonzCall(Document):
    """A call that lasts. `duration` is in seconds."""

    call_sid: Identifier = None
    direction: OptionalStr = None
    from_: OptionalStr = Field(default=None, alias="from")
    to: OptionalStr = None
    call_status: OptionalStr = None
    sip_status: OptionalInt = None
    duration: OptionalInt = None
    call_id: OptionalStr = None
    parent_call_sid: OptionalStr = None
    application_sid: OptionalStr = None
    customer_data: JsonObject = None


class JambonzControl:
    """Calls of one jambonz account. Not to be used by several threads at once, nor within a running event loop.

    Every method raises the errors of `RestClient`. An update is repeated where no connection was made, and after 429.
    """

    def __init__(self, api_url: str, account_sid: str, api_key: str, *, waiting: RetryPolicy | None = None) -> None:
        self._waiting = waiting or RetryPolicy()
        self._confidential = [api_key]
        self._runner = asyncio.Runner()
        self._client = _BoundedClient(api_url, account_sid, api_key, self._waiting)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], *, waiting: RetryPolicy | None = None) -> Self:
        """A client with `JAMBONZ_API_KEY` for the account `JAMBONZ_ACCOUNT_SID` at `JAMBONZ_API_URL`.

        Raises:
            NotConfigured: something is missing or wrong.
        """
        key = required(environ, KEY, PROVIDER, WHERE_THE_KEY_IS)
        account_sid, api_url = account_of(environ), api_url_of(environ)
        return cls(api_url, account_sid, key, waiting=waiting)

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections; the client is of no use afterwards."""
        self._runner.run(self._client.close())
        self._runner.close()

    def get(self, call_sid: str) -> JambonzCall:
        """A call.

        Raises:
            CallIsOver: jambonz knows it no more, or never has.
        """
        sid = checked_id(call_sid, PROVIDER)
        with of_a_call():
            return _call_of(self._answer(lambda: self._client.calls.get(sid), repeatable=True))

    def list_calls(self) -> list[JambonzCall]:
        """All calls of the account that last."""
        answer = self._answer(self._client.calls.list, repeatable=True)
        if not isinstance(answer, list):
            raise Unexpected(PROVIDER, message="there is no list of calls")
        return [_call_of(call) for call in answer]

    def transfer(self, call_sid: str, hook: HookTarget) -> None:
        """Have a call get its verbs from this hook from now on: jambonz's own kind of a transfer.

        Raises:
            CallIsOver: it is over.
        """
        if hook.username is None:
            sid = checked_id(call_sid, PROVIDER)
            with of_a_call():
                self._answer(lambda: self._client.calls.redirect(sid, hook.url), repeatable=False)
            return
        credentials = {"username": hook.username, "password": hook.password or ""}
        self._update(call_sid, {"call_hook": {"url": hook.url, "method": "POST", **credentials}})

    def hang_up(self, call_sid: str) -> None:
        """End a call.

        Raises:
            CallIsOver: it is over.
        """
        self._update(call_sid, {"call_status": "completed"})

    def mute(self, call_sid: str, *, muted: bool) -> None:
        """Let the caller be heard no more, or again.

        Raises:
            CallIsOver: the call is over.
        """
        sid = checked_id(call_sid, PROVIDER)
        with of_a_call():
            self._answer(lambda: self._client.calls.mute(sid, "mute" if muted else "unmute"), repeatable=False)

    def whisper(self, call_sid: str, verb: Mapping[str, object]) -> None:
        """Have one party alone hear something: `{"verb": "say", "text": "..."}` or a `play`.

        Raises:
            CallIsOver: the call is over.
        """
        sid = checked_id(call_sid, PROVIDER)
        with of_a_call():
            self._answer(lambda: self._client.calls.whisper(sid, dict(verb)), repeatable=False)

    def record(
        self, call_sid: str, action: RecordAction, *, siprec_url: str | None = None, recording_id: str | None = None
    ) -> None:
        """Start, stop, pause or go on with the recording of a call by SIPREC.

        `siprec_url` is the SIP URI of the recording server, which jambonz 0.9 wants to know for a start.

        Raises:
            CallIsOver: the call is over.
            Refused: a start without a `siprec_url`, among others.
        """
        named = {"siprecServerURL": siprec_url, "recordingID": recording_id}
        told = {name: value for name, value in named.items() if value is not None}
        self._update(call_sid, {"record": {"action": action.value, **told}})

    def tag(self, call_sid: str, data: Mapping[str, object]) -> None:
        """Give a call data of your own, which its later webhooks have as `customerData`.

        Raises:
            CallIsOver: the call is over.
        """
        self._update(call_sid, {"tag": dict(data)})

    def _update(self, call_sid: str, update: dict[str, object]) -> None:
        sid = checked_id(call_sid, PROVIDER)
        with of_a_call():
            self._answer(lambda: self._client.calls.update(sid, update), repeatable=False)

    def _answer(self, ask: Callable[[], Coroutine[Any, Any, object]], *, repeatable: bool) -> object:
        def attempt() -> object:
            try:
                return self._runner.run(_within(self._waiting.whole_seconds, ask))
            except _Answered as answered:
                return answer_of(PROVIDER, answered.status, answered.headers, answered.content, self._confidential)
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                raise _lost("there is no connection", error, not_sent=True) from None
            except TimeoutError:
                slow = Unreachable(PROVIDER, message=f"no whole answer within {self._waiting.whole_seconds:g} seconds")
                raise RetryableError(slow, not_sent=False) from None
            except (aiohttp.ClientResponseError, LookupError, ValueError, RecursionError) as error:
                # The SDK reads the body as it is said to be: JSON that is none, text in a charset that nobody knows.
                raise Unexpected(PROVIDER, message=f"the answer cannot be read ({type(error).__name__})") from None
            except aiohttp.ClientError as error:
                raise _lost("the connection is lost", error, not_sent=False) from None

        answer = repeated(attempt, self._waiting, repeatable=repeatable)
        return _as_sent(answer)


class _Answered(Exception):
    """An answer with another status than a 2xx, as far as it is read."""

    def __init__(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
        self.content = content


class _BoundedClient(JambonzClient):  # type: ignore[misc, no-any-unimported] # the SDK tells no types
    """The SDK's client with limits of time, without redirects, and with what jambonz says of an error."""

    _session: aiohttp.ClientSession | None

    def __init__(self, api_url: str, account_sid: str, api_key: str, waiting: RetryPolicy) -> None:
        super().__init__(base_url=api_url, account_sid=account_sid, api_key=api_key)
        self._limits = aiohttp.ClientTimeout(
            total=None, sock_connect=waiting.connect_seconds, sock_read=waiting.read_seconds
        )

    async def _get_session(self) -> aiohttp.ClientSession:
        session = self._session
        if session is None or session.closed:
            redirects = aiohttp.TraceConfig()
            redirects.on_request_redirect.append(_refuse_redirect)
            session = self._session = aiohttp.ClientSession(
                headers={
                    "Authorization": f"Bearer {self._api_key}",
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                    "User-Agent": "callhooks",
                },
                timeout=self._limits,
                raise_for_status=_raise_answered,
                trace_configs=[redirects],
                middlewares=[_once],
                trust_env=True,
            )
        return session


async def _within(seconds: float, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    async with asyncio.timeout(seconds):
        return await ask()


async def _raise_answered(response: aiohttp.ClientResponse) -> None:
    # aiohttp takes a 3xx for success.
    if not 200 <= response.status < 300:
        content = await response.content.read(MAX_ANSWER)
        headers = {name.lower(): value for name, value in response.headers.items()}
        raise _Answered(response.status, headers, content)


class _Disconnected(aiohttp.ClientError):
    """The connection was lost while a request was on its way."""


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send a request once: aiohttp itself sends `PUT` again after a lost connection, and a call would hear it twice."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Disconnected(type(error).__name__) from error


async def _refuse_redirect(
    _session: aiohttp.ClientSession, _context: SimpleNamespace, told: aiohttp.TraceRequestRedirectParams
) -> NoReturn:
    raise _Answered(told.response.status, {}, b"")


def _lost(what: str, error: Exception, *, not_sent: bool) -> RetryableError:
    # The text of an error of aiohttp may hold the address.
    return RetryableError(Unreachable(PROVIDER, message=f"{what} ({type(error).__name__})"), not_sent=not_sent)


def _as_sent(answer: object) -> object:
    """The SDK's JSON as `answer_of` would have read it; text, such as `Accepted`, says no more than the status."""
    if answer is None or isinstance(answer, str):
        return None
    return answer_of(PROVIDER, 200, {}, json.dumps(answer).encode("ascii"), ())


def _call_of(document: object) -> JambonzCall:
    try:
        call = JambonzCall.model_validate(document)
    except ValidationError:
        raise Unexpected(PROVIDER, message="there is no call where one should be") from None
    if call.call_sid is None:
        raise Unexpected(PROVIDER, message="there is no call_sid")
    return call
