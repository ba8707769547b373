"""How jambonz asks an application: signed, retried, and strict about the answer (feature-server 0.9.8).

Nothing here knows HTTP itself; a `Transport` does, or answers in the same process.
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
_ABSOLUTE = re.compile(r"https?://", re.ASCII)
_SECRET_NAME = re.compile(r"token|secret|key|pass|pwd|sig|auth|code", re.IGNORECASE)
# What JavaScript's encodeURIComponent leaves alone, besides letters, digits and _.-~
_UNQUOTED = "!'()*"

Check = Callable[[Sequence[Mapping[str, JsonValue]]], Sequence[str]]
"""What is wrong with an array of verbs, each in the form `{"verb": name, ...}`; empty where all is well."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer; the case of header names does not matter."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str:
        """A header's value, empty where there is none."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), "")


class ConnectFailed(Exception):
    """Nobody answers at the address, or hangs up on the connection; says how."""


class TimedOut(Exception):
    """The headers of the answer did not come within 10 seconds."""


class Transport(Protocol):
    """Carries a request to the application."""

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """Send it once; follows no redirect.

        Raises:
            ConnectFailed: there is no connection.
            TimedOut: no answer within 10 seconds.
        """


class Clock(Protocol):
    """The time. A test's clock waits for nothing."""

    def now(self) -> datetime:
        """Aware, for signatures."""

    def monotonic(self) -> float:
        """Seconds, to measure answers with."""

    def sleep(self, seconds: float) -> None:
        """Wait before a request is tried again."""

    def pass_call_time(self, seconds: float) -> None:
        """Let the call go on: speech, pauses, ringing and talking take this long."""


class SimulatedClock:
    """A clock that waits for nothing: all waiting only moves it on."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._seconds = 0.0

    def now(self) -> datetime:
        """The start, and all that was waited since."""
        return self._start + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        """Seconds since the start."""
        return self._seconds

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self._seconds += seconds

    def pass_call_time(self, seconds: float) -> None:
        """Move on."""
        self._seconds += seconds


@dataclass(frozen=True, slots=True)
class Outside:
    """What a simulated call needs from outside.

    `caller` decides what happens at each verb that asks somebody, `check` says what jambonz would refuse in an array of
    verbs, `new_id` gives a UUID.
    """

    transport: Transport
    caller: Caller
    check: Check
    clock: Clock
    new_id: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Application:
    """What a jambonz application is configured with; the method of its hooks is POST."""

    call_hook: str
    username: str
    password: str
    webhook_secret: str
    call_status_hook: str | None = None


class RequestFailed(Exception):
    """jambonz takes the answer for an error; says why in its words."""


class TooManyHooks(Exception):
    """The call goes round in circles."""


@dataclass(frozen=True, slots=True)
class Hook:
    """A hook as a verb names it: a URL, or an object with one."""

    url: str
    method: str = "POST"
    has_credentials: bool = False

    @classmethod
    def read(cls, value: JsonValue) -> Hook | None:
        """The hook; `None` where there is none."""
        if isinstance(value, str) and value:
            return cls(value)
        if isinstance(value, dict) and isinstance(url := value.get("url"), str) and url:
            method = value.get("method")
            credentials = not {"username", "password", "basicAuth"}.isdisjoint(value)
            return cls(url, method if isinstance(method, str) else "POST", credentials)
        return None


@dataclass(frozen=True, slots=True)
class _Retries:
    """What the fragment of a hook's URL asks for: `#rc=2&rp=ct,5xx`."""

    count: int = 0
    policies: frozenset[str] = frozenset({"ct"})

    @classmethod
    def read(cls, fragment: str) -> _Retries:
        members = dict(parse_qsl(fragment))
        count = members.get("rc", "")
        policies = {policy.strip() for policy in members.get("rp", "ct").split(",")}
        return cls(min(int(count), MAX_RETRIES) if count.isdecimal() else 0, frozenset(policies))

    def cover(self, failure: str | int) -> bool:
        """Whether they hold for a kind of failure, or for a status.

        `rt` is meant for time-outs and never matches one in 0.9.8.
        """
        kind = f"{failure // 100}xx" if isinstance(failure, int) else failure
        return "all" in self.policies or (kind in ("ct", "4xx", "5xx") and kind in self.policies)


@dataclass(frozen=True, slots=True)
class _Request:
    """One request, which its retries repeat byte for byte, the time in the signature included."""

    name: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: Body
    content: bytes


class Requestor:
    """Sends the requests of one call, all with the credentials of the call hook.

    Args:
        most_hooks: after so many requests, retries not counted, the call is given up.
    """

    def __init__(self, application: Application, outside: Outside, *, trace_id: str, most_hooks: int) -> None:
        self._transport = outside.transport
        self._clock = outside.clock
        self._new_id = outside.new_id
        self._trace_id = trace_id
        self._most_hooks = most_hooks
        self._secret = application.webhook_secret
        self._authorization: str | None = basic_header_value(application.username, application.password)
        self._base = _base_of(application.call_hook)
        self._sent = 0
        self._told_of_credentials = False

    def request(self, name: str, hook: Hook, body: Body, *, traced: bool = True) -> Walk[JsonValue]:
        """Ask, again where the URL says so, and give the JSON of the answer; an empty text where jambonz reads none.

        Raises:
            RequestFailed: the answer is an error to jambonz.
            TooManyHooks: there were too many requests before.
        """
        self._sent += 1
        if self._sent > self._most_hooks:
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
        """Take a redirect's URL as the base of relative hooks; to another host jambonz sends no credentials."""
        if not _ABSOLUTE.match(hook.url) or _base_of(hook.url) == self._base:
            return None
        self._base = _base_of(hook.url)
        self._authorization = None
        return Noted(f"the redirect leads to another host: from here on no Authorization is sent, to {self._base}")

    def _resolve(self, name: str, hook: Hook) -> Walk[tuple[str, _Retries]]:
        if hook.has_credentials and not self._told_of_credentials:
            self._told_of_credentials = True
            yield Noted(f"{name}: its own credentials are ignored, those of the call hook are sent")
        if hook.url.startswith("/"):
            if "#" in hook.url:
                yield Noted(f"{name}: jambonz sends the fragment of a relative hook to the server, and does not retry")
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
        """One try: its step, the JSON of the answer, and what retries go by: the status, or `ct` or `rt`."""
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
            failure, kind = f"connection failed: {error}", "ct"
        except TimedOut:
            failure, kind = "Headers Timeout Error", "rt"
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
    """The URL without what must not be shown: user names, passwords, and parameters that look like secrets."""
    parts = _split(url)
    pairs = [
        f"{name}={'***' if _SECRET_NAME.search(name) else value}"
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    scheme = f"{parts.scheme}://" if parts.scheme else ""
    return scheme + _host(parts) + parts.path + (f"?{'&'.join(pairs)}" if pairs else "")


def span_id(new_id: Callable[[], str]) -> str:
    """The id of a span: 16 hexadecimal digits."""
    return new_id().replace("-", "")[:16]


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
