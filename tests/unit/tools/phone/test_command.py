"""The simulated phone at a terminal and over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from callhooks.providers.jambonz.authentication import TOLERANCE_SECONDS
from callhooks_tools.providers.jambonz.commands.call import CommandClock, HttpTransport, TerminalCaller, Verdict, shown
from callhooks_tools.providers.jambonz.phone import ConnectFailed, NewCall, TimedOut
from callhooks_tools.providers.jambonz.phone.steps import Noted, Refused, Sent, Step
from pydantic import JsonValue

from tests.phone import BASE, CALL_HOOK, Answers, MadeCall, Verbs, endlessly, make_call

GATHER = {"verb": "gather", "input": ["digits", "speech"], "numDigits": 1, "actionHook": f"{BASE}/menu"}
DIAL = {"verb": "dial", "target": [{"type": "user", "name": "jane"}], "actionHook": f"{BASE}/menu"}
LISTEN = {"verb": "listen", "url": "wss://a.example.com", "finishOnKey": "#", "actionHook": f"{BASE}/menu"}
ENQUEUE = {"verb": "enqueue", "name": "support", "waitHook": f"{BASE}/wait", "actionHook": f"{BASE}/menu"}
CONFERENCE = {"verb": "conference", "name": "standup", "startConferenceOnEnter": False, "actionHook": f"{BASE}/menu"}
LLM = {"verb": "llm", "vendor": "ultravox", "toolHook": f"{BASE}/tool", "actionHook": f"{BASE}/menu"}
MESSAGE = {"verb": "message", "to": "1", "from": "2", "actionHook": f"{BASE}/menu"}
ANSWERS: Answers = {"/menu": [], "/wait": endlessly([{"verb": "say", "text": "Please wait"}]), "/tool": {"result": 1}}


def typed(*lines: str) -> Callable[[str], str]:
    """Return an input function that types these lines, then Ctrl-D."""
    rest = list(lines)

    def ask(_prompt: str) -> str:
        if not rest:
            raise EOFError
        return rest.pop(0)

    return ask


def by_hand(verb: dict[str, Any], *lines: str) -> MadeCall:
    return make_call({**ANSWERS, CALL_HOOK: [verb]}, TerminalCaller(typed(*lines)))


@pytest.mark.parametrize(
    ("verb", "lines", "expected"),
    [
        (GATHER, ["1"], {"digits": "1"}),
        (GATHER, ["sales please"], {"reason": "speechDetected"}),
        (GATHER, ["? sales"], {"reason": "stt-low-confidence"}),
        (GATHER, ["!"], {"reason": "error"}),
        (GATHER, [""], {"reason": "timeout"}),
        (DIAL, ["a 12"], {"dial_call_status": "completed"}),
        (DIAL, ["x", "a x", "b"], {"dial_call_status": "busy"}),
        (DIAL, ["t"], {"dial_call_status": "ringing"}),
        (DIAL, ["h"], {"dial_call_status": "ringing", "call_status": "completed"}),
        (LISTEN, ["s 12"], {"dial_call_duration": 12}),
        (LISTEN, ["k 7"], {"dial_call_duration": 7, "digits": "#"}),
        (ENQUEUE, ["w", "b 5"], {"queue_result": "bridged"}),
        (ENQUEUE, ["e"], {"queue_result": "error"}),
        (ENQUEUE, ["h"], {"queue_result": "hangup"}),
        (CONFERENCE, ["w", "j", "o 60"], {"call_status": "in-progress"}),
        (CONFERENCE, ["j", "h"], {"call_status": "completed"}),
        (LLM, ["tool x {", 'tool x {"a": 1}', "e"], {"completion_reason": "normal conversation end"}),
        (MESSAGE, [""], {"message_status": "success"}),
        (MESSAGE, ["9", "2"], {"message_status": "failure"}),
    ],
)
def test_each_key_selects_an_outcome(verb: dict[str, Any], lines: list[str], expected: dict[str, object]) -> None:
    assert expected.items() <= by_hand(verb, *lines).body("/menu").items()


@pytest.mark.parametrize("verb", [GATHER, DIAL, LISTEN, ENQUEUE, CONFERENCE, LLM])
def test_the_end_of_input_hangs_up(verb: dict[str, Any]) -> None:
    assert by_hand(verb).ended.by == "caller"


@pytest.mark.parametrize(("lines", "heard"), [([""], 2), (["1"], 1), (["h"], 1)])
def test_a_prompt_can_be_interrupted_while_barge_in_is_on(lines: list[str], heard: int) -> None:
    barge_in = {"enable": True, "input": ["digits"], "numDigits": 1, "actionHook": f"{BASE}/barged"}
    verbs: Verbs = [
        {"verb": "config", "bargeIn": barge_in},
        {"verb": "say", "text": "One"},
        {"verb": "say", "text": "Two"},
    ]
    answers: Answers = {CALL_HOOK: verbs, "/barged": [{"verb": "tag", "data": {}}]}
    made = make_call(answers, TerminalCaller(typed(*lines, "")))
    assert sum("hears" in str(step) for step in made.steps) == heard


@pytest.mark.parametrize(
    ("hook", "body", "shown"),
    [
        ("call status", {"call_status": "ringing"}, "  call status ringing (first leg)   POST u  200  5 ms"),
        (
            "call status",
            {"call_status": "busy", "parent_call_sid": "1", "to": "+14155550100"},
            "  call status busy (leg to +14155550100)   POST u  200  5 ms",
        ),
        ("gather.actionHook", {"call_status": "in-progress"}, "  gather.actionHook   POST u  200  5 ms"),
    ],
)
def test_a_call_status_is_shown_with_its_status_and_leg(hook: str, body: dict[str, JsonValue], shown: str) -> None:
    assert str(Sent(hook, "POST", "u", 1, 200, 5, None, body, None)) == shown


def test_every_step_is_one_line() -> None:
    script = "press 1\ndial answered\nlisten 2\nqueue bridged\nconference joins\nconference over\nllm ends"
    call = NewCall(to="+14155550123", from_="+12125550187")
    verbs: Verbs = [GATHER, DIAL, LISTEN, ENQUEUE, CONFERENCE, LLM, MESSAGE, {"verb": "play", "url": "a.wav"}]
    made = make_call({**ANSWERS, CALL_HOOK: verbs}, script, call=call)
    lines = [shown(step).plain for step in made.steps]
    assert "gather   waits up to 15 s for 1 digit or speech from the caller" in lines
    assert "dial   rings jane for 60 s" in lines
    assert "enqueue   waits in support, requests to the wait hook: 1" in lines
    assert "conference   waits for the moderator of standup" in lines
    assert "caller hears   (plays a.wav)" in lines
    assert lines[0] == f"  new call   POST {BASE}{CALL_HOOK}  200  0 ms"
    assert lines[-1].startswith("call ended by jambonz after")
    assert all("\n" not in line for line in lines)


def sent(milliseconds: int, failure: str | None = None) -> Sent:
    return Sent("new call", "POST", BASE, 1, 200, milliseconds, failure, {}, [])


@pytest.mark.parametrize(
    ("steps", "is_good"),
    [
        ([sent(20)], True),
        ([sent(9_000), Noted("odd")], True),
        ([sent(10_001)], False),
        ([sent(20), Refused("menu", "no")], False),
        # A failure that a retry repaired did not harm the call.
        ([sent(20, "Unexpected HTTP Response (503)"), sent(30)], True),
    ],
)
def test_a_call_is_good_if_jambonz_rejects_nothing_and_waits_for_all(steps: list[Step], is_good: bool) -> None:
    verdict = Verdict()
    for step in steps:
        verdict.add(step)
    assert verdict.is_good == is_good
    assert verdict.slowest is not None


@pytest.mark.parametrize(("milliseconds", "style"), [(20, "dim"), (2_001, "yellow")])
def test_a_slow_response_is_marked(milliseconds: int, style: str) -> None:
    line = shown(sent(milliseconds))
    assert (line.style, "caller hears silence" in line.plain) == (style, milliseconds > 2000)


def answering(handler: Callable[[httpx.Request], httpx.Response]) -> HttpTransport:
    return HttpTransport(httpx.MockTransport(handler))


def test_http_requests_have_the_headers_of_jambonz_and_no_others() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(302, headers={"location": "/else"}, text="elsewhere")

    reply = answering(handler).send("POST", f"{BASE}/x", {"user-agent": "jambonz", "b3": "1"}, b"{}")
    assert (reply.status, reply.body, reply.header("Location")) == (302, b"elsewhere", "/else")
    [request] = seen
    assert set(request.headers) == {"host", "connection", "content-length", "user-agent", "b3"}
    assert (request.headers["user-agent"], request.content) == ("jambonz", b"{}")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx.ConnectError("refused"), ConnectFailed),
        (httpx.ConnectTimeout("late"), ConnectFailed),
        (httpx.ReadError("reset"), ConnectFailed),
        (httpx.RemoteProtocolError("closed"), ConnectFailed),
        (httpx.ReadTimeout("late"), TimedOut),
    ],
)
def test_http_errors_become_the_errors_that_jambonz_distinguishes(error: Exception, expected: type[Exception]) -> None:
    # tests/integration/tools/test_phone_retries.py shows which of them `ct` covers.
    def handler(_request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(expected):
        answering(handler).send("POST", f"{BASE}/x", {}, b"{}")


def test_the_time_of_a_call_advances_at_once_within_the_tolerance_of_signatures() -> None:
    clock, began = CommandClock(), datetime.now(UTC)
    clock.pass_call_time(30)
    assert timedelta(seconds=30) <= clock.now() - began < timedelta(seconds=60)
    clock.pass_call_time(3600)
    assert clock.now() - datetime.now(UTC) < timedelta(seconds=TOLERANCE_SECONDS)
    clock = CommandClock(real_time=True)
    clock.pass_call_time(0.01)
    assert clock.now() - datetime.now(UTC) <= timedelta()
