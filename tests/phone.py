"""A tiny application for the simulated phone, and the requests that it received."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from callhooks.providers.jambonz.authentication import JambonzCredentials, verify
from callhooks.runtime.http import Request
from callhooks_tools.providers.jambonz.phone import (
    Application,
    Caller,
    ConnectFailed,
    NewCall,
    Outside,
    Reply,
    SimulatedCall,
    SimulatedClock,
    Step,
    TimedOut,
)
from callhooks_tools.providers.jambonz.phone.script import ScriptedCaller
from callhooks_tools.providers.jambonz.phone.steps import Ended, Noted, Refused, Sent
from pydantic import JsonValue

from tests.support import NOW, WEBHOOK_SECRET

BASE = "https://app.example.com"
CALL_HOOK = "/webhooks/call"
STATUS_HOOK = "/webhooks/call/events"
KNOWN_VERBS = frozenset(
    [
        "alert",
        "answer",
        "conference",
        "config",
        "dequeue",
        "dial",
        "dtmf",
        "dub",
        "enqueue",
        "gather",
        "hangup",
        "leave",
        "listen",
        "llm",
        "message",
        "openai_s2s",
        "pause",
        "play",
        "rasa",
        "redirect",
        "say",
        "sip:decline",
        "sip:refer",
        "sip:request",
        "stream",
        "tag",
        "transcribe",
    ]
)
CREDENTIALS = JambonzCredentials("jambonz", ("s3cr3t",), (WEBHOOK_SECRET,))

Verbs: TypeAlias = list[dict[str, Any]]
Answer: TypeAlias = "Verbs | Reply | Exception | JsonValue"
Answers: TypeAlias = "Mapping[str, Answer | Callable[[Received], Answer]]"


@dataclass(frozen=True)
class Received:
    """A request that the application received."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | None

    @property
    def path(self) -> str:
        """Return the path without the query."""
        return self.url.partition(BASE)[2].partition("?")[0]

    @property
    def body(self) -> dict[str, Any]:
        """Return the JSON object."""
        document: dict[str, Any] = json.loads(self.content or b"{}")
        return document


def answer(document: object) -> Reply:
    """Return a response with status 200 and JSON."""
    return Reply(200, {"content-type": "application/json"}, json.dumps(document).encode())


def in_turn(*answers: Answer) -> Callable[[Received], Answer]:
    """Return a function that gives one answer after the other, and repeats the last one."""
    rest = list(answers)
    return lambda _: rest.pop(0) if len(rest) > 1 else rest[0]


def endlessly(verbs: Verbs) -> Callable[[Received], Answer]:
    """Return a function that gives the same answer each time."""
    return lambda _: verbs


class RecordingClock(SimulatedClock):
    """Clock that records the delays between retries."""

    def __init__(self) -> None:
        super().__init__(NOW)
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Record a delay before a retry."""
        self.slept.append(seconds)
        super().sleep(seconds)


@dataclass
class FakeApplication:
    """Application that answers by path, and verifies signatures and credentials."""

    answers: Answers
    requests: list[Received] = field(default_factory=list)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        received = Received(method, url, headers, body)
        self.requests.append(received)
        if method == "POST" and "Authorization" in headers:
            lower = {name.lower(): value for name, value in headers.items()}
            signed_at = int(lower["jambonz-signature"].removeprefix("t=").partition(",")[0])
            request = Request("POST", received.path, headers=lower, body=body or b"")
            verify(request, CREDENTIALS, NOW.fromtimestamp(signed_at, NOW.tzinfo))
        reply = self.answers.get(received.path, [] if received.path == STATUS_HOOK else Reply(404, {}, b""))
        if callable(reply):
            reply = reply(received)
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, Reply) else answer(reply)

    def at(self, path: str) -> list[Received]:
        """Return the requests to a path."""
        return [request for request in self.requests if request.path == path]

    @property
    def statuses(self) -> list[dict[str, Any]]:
        """Return the status events."""
        return [request.body for request in self.at(STATUS_HOOK)]


@dataclass
class MadeCall:
    """A simulated call after its end."""

    steps: list[Step]
    application: FakeApplication
    slept: list[float]

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the steps of one class."""
        return [step for step in self.steps if isinstance(step, kind)]

    @property
    def refused(self) -> list[str]:
        """Return the reasons of all rejections."""
        return [step.reason for step in self.of(Refused)]

    @property
    def notes(self) -> str:
        """Return all notes."""
        return "\n".join(step.what for step in self.of(Noted))

    @property
    def ended(self) -> Ended:
        """Return the last step."""
        [ended] = self.of(Ended)
        assert self.steps[-1] is ended
        assert isinstance(ended, Ended)
        return ended

    @property
    def tries(self) -> list[tuple[str, int, int | None]]:
        """Return hook, attempt and status of all requests except status events."""
        return [(sent.hook, sent.attempt, sent.status) for sent in self.of(Sent) if sent.hook != "call status"]

    def body(self, path: str) -> dict[str, Any]:
        """Return the body of the only request to a path."""
        [request] = self.application.at(path)
        return request.body

    def statuses(self, leg: str = "") -> list[str]:
        """Return the statuses of the caller's leg, or of dialled legs."""
        call_sid = self.application.requests[0].body["call_sid"]
        return [
            status["call_status"]
            for status in self.application.statuses
            if (status["call_sid"] != call_sid) == bool(leg)
        ]


def unknown_verbs(verbs: Sequence[Mapping[str, JsonValue]]) -> list[str]:
    """Check verbs by their name, and for the member `wrong`."""
    faults = [f"invalid instruction: {verb['verb']}" for verb in verbs if verb["verb"] not in KNOWN_VERBS]
    return faults + [f"{verb['verb']}: unknown property wrong" for verb in verbs if "wrong" in verb]


def make_call(
    answers: Answers | Verbs,
    script: str | Caller = "",
    *,
    call: NewCall | None = None,
    call_hook: str = BASE + CALL_HOOK,
    status_events: bool = True,
    max_hooks: int = 200,
) -> MadeCall:
    """Make a call; a list of verbs is the response to the new call."""
    application = FakeApplication({CALL_HOOK: answers} if isinstance(answers, list) else answers)
    caller = ScriptedCaller(script) if isinstance(script, str) else script
    clock = RecordingClock()
    simulated = SimulatedCall(
        call or NewCall(to="+14155550123", from_="+12125550187", caller_name="Jane Doe"),
        Application(
            call_hook,
            CREDENTIALS.username,
            CREDENTIALS.passwords[0],
            WEBHOOK_SECRET,
            BASE + STATUS_HOOK if status_events else None,
        ),
        Outside(application, caller, unknown_verbs, clock, ids()),
        max_hooks=max_hooks,
    )
    steps = list(simulated.run())
    if isinstance(caller, ScriptedCaller):
        caller.finish()
    return MadeCall(steps, application, clock.slept)


def ids() -> Callable[[], str]:
    """Return a source of UUIDs, the same in every test."""
    numbers: Iterator[int] = itertools.count(1)
    return lambda: str(uuid.uuid5(uuid.NAMESPACE_OID, str(next(numbers))))


REFUSED_CONNECTION = ConnectFailed("refused", is_ct=True)
CLOSED_CONNECTION = ConnectFailed("closed", is_ct=False)
TIMED_OUT = TimedOut()
