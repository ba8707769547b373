"""Requests of jambonz to an application: signed, retried, strict about the response (feature-server 0.9.8).

Only a `Transport` knows HTTP; it may also answer in the same process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn, Protocol
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from callhooks.providers.jambonz.authentication import (
    DEFAULT_SIGNATURE_HEADER,
    basic_header_value,
    signature_header_value,
)
from pydantic import JsonValue

from callhooks_tools.providers.jambonz.phone.bodies import Body
from callhooks_tools.providers.jambonz.phone.steps import Caller, Noted, Sent, Walk

ACCEPTED = frozenset({200, 202, 204})
BACKOFF_SECONDS = (0.5, 1, 2, 4, 6)
MAX_RETRIES = 5
MAX_DIGITS = 20
_INTEGER = re.compile(r"\s*[+-]?(?:0[xX](?P<hex>[0-9a-fA-F]+)|(?P<digits>[0-9]+))")
_ABSOLUTE = re.compile(r"https?://", re.ASCII)
_SECRET_NAME = re.compile(r"token|secret|key|pass|pwd|sig|auth|code", re.IGNORECASE)
# Characters that JavaScript's encodeURIComponent does not encode, in addition to letters, digits and _.-~
_UNQUOTED = "!'()*"

Check = Callable[[Sequence[Mapping[str, JsonValue]]], Sequence[str]]
"""Returns the faults of an array of verbs in the form `{"verb": name, ...}`; empty if there are none."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response; header names are case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str:
        """Return the value of a header, empty if it is missing."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), "")


class ConnectFailed(Exception):
    """There is no connection, or it broke, for the stated reason.

    `is_ct` is true for the few reasons that jambonz's retry policy `ct` covers, such as a connection that is refused or
    reset. It does not cover one that is closed without an answer, an unknown host or an invalid certificate.
    """

    def __init__(self, reason: str, *, is_ct: bool) -> None:
        super().__init__(reason)
        self.is_ct = is_ct


class TimedOut(Exception):
    """The headers of the response did not arrive within 10 seconds."""


class Transport(Protocol):
    """Connection to the application."""

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """Send a request once, and do not follow redirects.

        Raises:
            ConnectFailed: there is no connection, or it broke.
            TimedOut: no response within 10 seconds.
        """


class Clock(Protocol):
    """Time of a call; a clock in a test never waits."""

    def now(self) -> datetime:
        """Return the time (aware), for signatures."""

    def monotonic(self) -> float:
        """Return the seconds of a monotonic clock, to measure response times."""

    def sleep(self, seconds: float) -> None:
        """Wait before a retry."""

    def pass_call_time(self, seconds: float) -> None:
        """Let call time pass: speech, pauses, ringing or talking."""


class SimulatedClock:
    """Clock that never waits; waiting only advances it."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._seconds = 0.0

    def now(self) -> datetime:
        """Return the start plus all waiting time."""
        return self._start + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        """Return the seconds since the start."""
        return self._seconds

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self._seconds += seconds

    def pass_call_time(self, seconds: float) -> None:
        """Move on."""
        self._seconds += seconds


@dataclass(frozen=True, slots=True)
class Outside:
    """Dependencies of a simulated call.

    `caller` makes the decisions, `check` returns the faults in an array of verbs, `new_id` returns a UUID.
    """

    transport: Transport
    caller: Caller
    check: Check
    clock: Clock
    new_id: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Application:
    """Settings of a jambonz application; the method of its hooks is POST."""

    call_hook: str
    username: str
    password: str
    webhook_secret: str
    call_status_hook: str | None = None


class RequestFailed(Exception):
    """jambonz treats the response as an error, for the stated reason (in jambonz's words if possible)."""


class TooManyHooks(Exception):
    """The call sent too many requests: it is in an endless loop."""


@dataclass(frozen=True, slots=True)
class Hook:
    """A hook in a verb: a URL, or an object with one."""

    url: str
    method: str = "POST"
    has_credentials: bool = False

    @classmethod
    def read(cls, value: JsonValue) -> Hook | None:
        """Return the hook; `None` if the value is not one."""
        if isinstance(value, str) and value:
            return cls(value)
        if isinstance(value, dict) and isinstance(url := value.get("url"), str) and url:
            method = value.get("method")
            credentials = not {"username", "password", "basicAuth"}.isdisjoint(value)
            return cls(url, method if isinstance(method, str) else "POST", credentials)
        return None


@dataclass(frozen=True, slots=True)
class _Retries:
    """Retry policy in the fragment of a hook's URL: `#rc=2&rp=all`."""

    count: int = 0
    policies: frozenset[str] = frozenset({"ct"})

    @classmethod
    def read(cls, fragment: str) -> _Retries:
        members = dict(parse_qsl(fragment.removeprefix("?"), keep_blank_values=True))
        policies = {policy.strip() for policy in (members.get("rp") or "ct").split(",")}
        return cls(min(_parsed_int(members.get("rc", "")), MAX_RETRIES), frozenset(policies))

    def cover(self, failure: str | int) -> bool:
        """Return whether the policy retries a kind of failure or a status; only `all` covers every failure.

        `rt` is meant for timeouts, but never matches in 0.9.8.
        """
        kind = f"{failure // 100}xx" if isinstance(failure, int) else failure
        return "all" in self.policies or (kind in ("ct", "4xx", "5xx") and kind in self.policies)


@dataclass(frozen=True, slots=True)
class _Request:
    """A request; its retries repeat it byte for byte, including the time in the signature."""

    name: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: Body
    content: bytes


class Requestor:
    """HTTP client of one call; every request carries the credentials of the call hook.

    Args:
        max_hooks: limit of requests, not counting retries; the call is aborted after it.
    """

    def __init__(self, application: Application, outside: Outside, *, trace_id: str, max_hooks: int) -> None:
        self._transport = outside.transport
        self._clock = outside.clock
        self._new_id = outside.new_id
        self._trace_id = trace_id
        self._max_hooks = max_hooks
        self._secret = application.webhook_secret
        self._authorization: str | None = basic_header_value(application.username, application.password)
        self._base = _base_of(application.call_hook)
        self._sent = 0
        self._noted_credentials = False

    def request(self, name: str, hook: Hook, body: Body, *, traced: bool = True) -> Walk[JsonValue]:
        """Send a request, with retries as the URL says, and return the JSON of the response; "" if it has none.

        Raises:
            RequestFailed: jambonz treats the response as an error.
            TooManyHooks: the limit of requests is exceeded.
        """
        self._sent += 1
        if self._sent > self._max_hooks:
            raise TooManyHooks
        url, retries = yield from self._resolve(name, hook)
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
        headers = self._headers(hook.method, content, traced=traced)
        request = _Request(name, hook.method, url, headers, body, content)
        for attempt in range(retries.count + 1):
            if attempt:
                self._clock.sleep(BACKOFF_SECONDS[attempt - 1])
            sent, answer, kind = self._try(request, attempt + 1)
            yield sent
            if sent.failure is None:
                return answer
            if not retries.cover(kind):
                break
        raise RequestFailed(sent.failure)

    def hand_over(self, hook: Hook) -> Noted | None:
        """Make a redirect's URL the base of relative hooks; jambonz sends no credentials to another host."""
        if not _ABSOLUTE.match(hook.url) or _base_of(hook.url) == self._base:
            return None
        self._base = _base_of(hook.url)
        self._authorization = None
        return Noted(
            f"the redirect leads to another host, {self._base}: from now on jambonz sends no Authorization header"
        )

    def _resolve(self, name: str, hook: Hook) -> Walk[tuple[str, _Retries]]:
        if hook.has_credentials and not self._noted_credentials:
            self._noted_credentials = True
            yield Noted(f"{name}: jambonz ignores the credentials in a hook and sends those of the call hook")
        if hook.url.startswith("/"):
            if "#" in hook.url:
                yield Noted(f"{name}: jambonz sends the fragment of a relative hook to the server and does not retry")
            return self._base + hook.url.replace("#", "%23"), _Retries()
        parts = _split(hook.url)
        if not _ABSOLUTE.match(hook.url) or not parts.netloc:
            raise RequestFailed(f"Invalid URL: {shown_url(hook.url)}")
        query = urlencode(dict(parse_qsl(parts.query, keep_blank_values=True)), quote_via=quote, safe=_UNQUOTED)
        target = (parts.path or "/") + (f"?{query}" if query else "")
        return f"{_base_of(hook.url)}{target}", _Retries.read(parts.fragment)

    def _headers(self, method: str, content: bytes, *, traced: bool) -> dict[str, str]:
        return {
            DEFAULT_SIGNATURE_HEADER: signature_header_value(self._secret, self._clock.now(), content),
            **({"Authorization": self._authorization} if self._authorization else {}),
            **({"b3": f"{self._trace_id}-{span_id(self._new_id)}-1"} if traced else {}),
            "user-agent": "jambonz",
            **({"Content-Type": "application/json"} if method == "POST" else {}),
        }

    def _try(self, request: _Request, attempt: int) -> tuple[Sent, JsonValue, str | int]:
        """Send the request once; return the step, the JSON, and the status or `ct`, on which retries depend."""
        started = self._clock.monotonic()
        status: int | None = None
        failure: str | None = None
        kind: str | int = ""
        text = ""
        answer: JsonValue = ""
        try:
            content = request.content if request.method == "POST" else None
            reply = self._transport.send(request.method, request.url, request.headers, content)
            status, kind, text = reply.status, reply.status, reply.body.decode("utf-8-sig", "replace")
            answer = _json_of(reply, text)
        except ConnectFailed as error:
            failure, kind = f"connection failed: {error}", "ct" if error.is_ct else ""
        except TimedOut:
            failure = "Headers Timeout Error"
        except RequestFailed as error:
            failure = str(error)
        sent = Sent(
            hook=request.name,
            method=request.method,
            url=shown_url(request.url),
            attempt=attempt,
            status=status,
            milliseconds=round(1000 * (self._clock.monotonic() - started)),
            failure=failure,
            body=request.body,
            answer=answer if answer != "" else text,
        )
        return sent, answer, kind


def shown_url(url: str) -> str:
    """Return the URL without user name and password, and with masked parameters that may be secrets."""
    parts = _split(url)
    pairs = [
        f"{name}={'***' if _SECRET_NAME.search(name) else value}"
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    scheme = f"{parts.scheme}://" if parts.scheme else ""
    return scheme + _host(parts) + parts.path + (f"?{'&'.join(pairs)}" if pairs else "")


def span_id(new_id: Callable[[], str]) -> str:
    """Return the id of a span: 16 hexadecimal digits."""
    return new_id().replace("-", "")[:16]


def _parsed_int(text: str) -> int:
    """Return the absolute value of the number at the start of a text, as JavaScript reads it; 0 without a number."""
    found = _INTEGER.match(text)
    if found is None:
        return 0
    return int(found["hex"], 16) if found["hex"] else int(found["digits"][:MAX_DIGITS])


def _base_of(url: str) -> str:
    parts = _split(url)
    return f"{parts.scheme}://{_host(parts)}"


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", "", "", "")


def _json_of(reply: Reply, text: str) -> JsonValue:
    if reply.status not in ACCEPTED:
        raise RequestFailed(f"Unexpected HTTP Response ({reply.status})")
    if "application/json" not in reply.header("content-type"):
        return ""
    if not text.strip():
        raise RequestFailed("Unexpected end of JSON input")
    try:
        value: JsonValue = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RequestFailed(f"the body is not JSON: {error}") from None
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")
