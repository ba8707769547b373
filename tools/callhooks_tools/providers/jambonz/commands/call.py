"""`callhooks call`: simulate a phone call to the running stack, from the keyboard or a script."""

from __future__ import annotations

import errno
import json
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, TextIO

import httpx
import typer
from callhooks.providers.jambonz.provider import PROVIDER as JAMBONZ
from callhooks.providers.jambonz.provider import RECORDING_SECRET, call_hook_url, call_status_url
from pydantic import JsonValue
from rich.text import Text

from callhooks_tools.providers.jambonz.phone import (
    Application,
    ConnectFailed,
    NewCall,
    Outside,
    Reply,
    SimulatedCall,
    TimedOut,
)
from callhooks_tools.providers.jambonz.phone.script import ScriptedCaller, ScriptProblem
from callhooks_tools.providers.jambonz.phone.steps import (
    CALL_STATUS,
    AgentEnded,
    AgentTalks,
    Answered,
    Asked,
    Choice,
    ConferenceOver,
    Conferencing,
    Did,
    Ended,
    HangUp,
    Heard,
    Joins,
    NotAnswered,
    Noted,
    Played,
    Pressed,
    Queued,
    QueueEnds,
    Rang,
    Recorded,
    Recording,
    Refused,
    Said,
    Sent,
    Side,
    Silence,
    SpeechFailed,
    Step,
    ToolCalled,
    Transcribing,
    Unanswered,
    Waits,
)
from callhooks_tools.providers.jambonz.plan.document import place_text
from callhooks_tools.providers.jambonz.plan.verb_profiles import Profile, verb_faults
from callhooks_tools.stack.secrets import read_credentials
from callhooks_tools.stack.selection import SelectedStack, running_stack, stack_in_aws, with_stack_options
from callhooks_tools.stack.terminal import JsonOutput, console, errors, fail, misuse, print_json

HEADERS_TIMEOUT_SECONDS = 10
CT_ERRORS = frozenset({errno.ECONNREFUSED, errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNABORTED})
"""System errors that jambonz's retry policy `ct` covers."""
MAX_AHEAD = timedelta(minutes=4)
SLOW_MILLISECONDS = 2000
STYLES: Mapping[type[Step], str] = {
    Heard: "bold green",
    Played: "bold green",
    Did: "",
    Noted: "yellow",
    Refused: "bold red",
    Ended: "bold",
}
QUESTION_STYLE = "cyan"
KEYS = re.compile(r"[0-9*#]+", re.ASCII)
SECONDS = re.compile(r"[0-9]{1,5}", re.ASCII)

PROFILES = "0.9|11"

To = Annotated[str, typer.Option(help="Called number or SIP user.")]
From = Annotated[str, typer.Option("--from", help="Calling number or SIP user.")]
Direction = Annotated[
    Literal["inbound", "outbound"],
    typer.Option(help="Direction of the call. outbound simulates a call created through jambonz's REST API."),
]
CallerName = Annotated[str, typer.Option(metavar="CALLER_NAME", help="Caller's name.")]
Headers = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Header of the INVITE; repeatable.")]
Trunk = Annotated[str, typer.Option(help="Name of the trunk; empty for a registered SIP user.")]
Variables = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help="Variable of the jambonz application; repeatable.")
]


def _errno_of(error: BaseException | None) -> int | None:
    """Return the error number of the system error that caused an exception; `None` if there is none."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        error = error.__cause__ or error.__context__
    return None


def parse_profile(text: str) -> Profile:
    """Return the version of jambonz that an option names. `10` is another name of 11."""
    try:
        return Profile(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(repr(one.value) for one in Profile)}") from None


class HttpTransport:
    """HTTP transport that behaves like jambonz's client: no redirects, no proxy, no extra headers."""

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        self._client = httpx.Client(
            transport=transport, timeout=HEADERS_TIMEOUT_SECONDS, follow_redirects=False, trust_env=False
        )
        for name in ("accept", "accept-encoding"):
            del self._client.headers[name]

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """Send one request without retries.

        Raises:
            ConnectFailed: the connection could not be made, or was lost.
            TimedOut: no response within 10 seconds.
        """
        try:
            response = self._client.request(method, url, headers=dict(headers), content=body)
        except httpx.ConnectTimeout:
            raise ConnectFailed("the connection timed out", is_ct=False) from None
        except httpx.TimeoutException:
            raise TimedOut from None
        except httpx.RemoteProtocolError:
            raise ConnectFailed("it was closed without a complete answer", is_ct=False) from None
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise ConnectFailed(type(error).__name__, is_ct=_errno_of(error) in CT_ERRORS) from None
        return Reply(response.status_code, response.headers, response.content)


class CommandClock:
    """Clock of a simulated call, which runs ahead of real time by the pauses that were skipped.

    Signatures carry its time, so the call log shows a call of realistic length. A receiver accepts signatures up to
    five minutes ahead; the clock runs at most four minutes ahead.
    """

    def __init__(self, *, real_time: bool = False) -> None:
        self._real_time = real_time
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Return the time of the call, in UTC."""
        return datetime.now(UTC) + min(self._ahead, MAX_AHEAD)

    def monotonic(self) -> float:
        """Return the seconds of a monotonic clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait before a request is retried."""
        time.sleep(seconds)

    def pass_call_time(self, seconds: float) -> None:
        """Let the time of a pause, of ringing or of talking pass."""
        if self._real_time:
            time.sleep(seconds)
        else:
            self._ahead += timedelta(seconds=seconds)


class TerminalCaller:
    """`Caller` whose decisions are typed at a terminal.

    Args:
        read_line: shows a prompt and returns the line that was typed; `EOFError` and Ctrl-C hang up.
    """

    def __init__(self, read_line: Callable[[str], str]) -> None:
        self._read_line = read_line

    def at_gather(self, _asked: Asked) -> Pressed | Said | Silence | SpeechFailed | HangUp:
        """Ask for keys, words, or nothing."""
        line = self._line("keys or words, Enter = nothing, ? words = mumbled, ! = the recogniser fails, h = hang up")
        if line in (None, "h"):
            return HangUp()
        if not line:
            return Silence()
        if line == "!":
            return SpeechFailed()
        if line.startswith("?"):
            return Said(line[1:].strip(), confident=False)
        return Pressed(line) if KEYS.fullmatch(line) else Said(line)

    def at_dial(self, _rang: Rang) -> Answered | NotAnswered | HangUp:
        """Ask for a key, one for each outcome."""
        outcomes = {
            "b": Unanswered.BUSY,
            "n": Unanswered.NO_ANSWER,
            "f": Unanswered.FAILED,
            "d": Unanswered.DECLINED,
            "t": Unanswered.TIMEOUT,
        }
        key, seconds = self._key(
            {"a": "answered (a 30: talks 30 s)"} | {key: outcome.value for key, outcome in outcomes.items()}
        )
        if key in outcomes:
            return NotAnswered(outcomes[key])
        return HangUp() if key == "h" else Answered(30 if seconds is None else seconds)

    def at_listen(self, recording: Recording) -> Recorded | HangUp:
        """Ask how long it takes, and whether the key ends it."""
        choices = {"s": "silence after a while (s 12: 12 s)"}
        if recording.finish_on_key:
            choices["k"] = f"key {recording.finish_on_key} (k 12)"
        key, seconds = self._key(choices)
        if key == "h":
            return HangUp()
        return Recorded(10 if seconds is None else seconds, recording.finish_on_key if key == "k" else None)

    def at_queue(self, _queued: Queued) -> Waits | QueueEnds | HangUp:
        """Ask whether to wait, be bridged, or fail."""
        key, seconds = self._key({"w": "keep waiting", "b": "bridged (b 30: talks 30 s)", "e": "error"})
        if key == "w":
            return Waits()
        return HangUp() if key == "h" else QueueEnds(key == "b", 30 if seconds is None else seconds)

    def at_conference(self, conferencing: Conferencing) -> Waits | Joins | ConferenceOver | HangUp:
        """Ask whether to wait or join; in the conference, when it ends."""
        if conferencing.waiting:
            key, _ = self._key({"w": "keep waiting", "j": "the moderator joins"})
            return HangUp() if key == "h" else Waits() if key == "w" else Joins()
        key, seconds = self._key({"o": "over (o 60: after 60 s)"})
        return HangUp() if key == "h" else ConferenceOver(60 if seconds is None else seconds)

    def at_transcribe(self, _transcribing: Transcribing) -> Said | HangUp:
        """Ask for words."""
        line = self._line("words, h = hang up")
        return HangUp() if line in (None, "", "h") else Said(line)

    def at_agent(self, _talks: AgentTalks) -> ToolCalled | AgentEnded | HangUp:
        """Ask for the end of the conversation, or a tool call."""
        while True:
            line = self._line("e = the conversation ends, tool NAME {arguments} = a tool call, h = hang up")
            if line in (None, "h"):
                return HangUp()
            if line == "e":
                return AgentEnded()
            try:
                decision = ScriptedCaller(f"llm {line}").at_agent(_talks)
            except ScriptProblem:
                continue
            return decision

    def at_choice(self, choice: Choice) -> str:
        """Ask for the number of an outcome, or Enter for the usual one."""
        numbered = ", ".join(f"{number} = {outcome}" for number, outcome in enumerate(choice.outcomes, 1))
        while True:
            line = self._line(f"{numbered}, Enter = {choice.outcomes[0]}")
            if not line:
                return choice.outcomes[0]
            if line.isdecimal() and 0 < int(line) <= len(choice.outcomes):
                return choice.outcomes[int(line) - 1]

    def while_heard(self, _side: Side, *, barge_in: bool) -> Pressed | Said | HangUp | None:
        """Ask for an interruption if barge-in is on."""
        if not barge_in:
            return None
        line = self._line("barge-in is on: keys or words, Enter = keep listening, h = hang up")
        if line == "":
            return None
        if line in (None, "h"):
            return HangUp()
        return Pressed(line) if KEYS.fullmatch(line) else Said(line)

    def _key(self, choices: Mapping[str, str]) -> tuple[str, float | None]:
        """Ask for one of the keys or `h`. Return it with the seconds typed after it."""
        prompt = ", ".join(f"{key} = {meaning}" for key, meaning in {**choices, "h": "hang up"}.items())
        while True:
            line = self._line(prompt)
            if line is None:
                return "h", None
            key, _, seconds = line.partition(" ")
            if key in {*choices, "h"} and (not seconds or SECONDS.fullmatch(seconds)):
                return key, float(seconds) if seconds else None

    def _line(self, prompt: str) -> str | None:
        try:
            return self._read_line(f"  [{prompt}] > ").strip()
        except (EOFError, KeyboardInterrupt):
            return None


@dataclass(slots=True)
class Verdict:
    """Result of a call: the number of errors, and how long the responses took."""

    rejected: int = 0
    slowest: Sent | None = None
    hooks: int = 0

    def add(self, step: Step) -> None:
        """Count a step."""
        if isinstance(step, Refused):
            self.rejected += 1
        elif isinstance(step, Sent):
            self.hooks += 1
            if self.slowest is None or step.milliseconds > self.slowest.milliseconds:
                self.slowest = step

    @property
    def is_good(self) -> bool:
        """True if jambonz would have accepted every response in time."""
        too_slow = self.slowest is not None and self.slowest.milliseconds > 1000 * HEADERS_TIMEOUT_SECONDS
        return not self.rejected and not too_slow


@with_stack_options
def call(  # noqa: PLR0913 - one parameter for each option
    *,
    to: To = "+14155550150",
    from_: From = "+12125550187",
    direction: Direction = "inbound",
    name: CallerName = "Jane Doe",
    header: Headers = None,
    trunk: Trunk = "example-carrier",
    env: Variables = None,
    script: Annotated[
        Path | None,
        typer.Option(
            help="Read the caller's actions (keys, speech, hang-up) from this file instead of the keyboard; see "
            "docs/phone.md."
        ),
    ] = None,
    selected: SelectedStack,
    status_events: Annotated[
        bool, typer.Option("--status-events/--no-status-events", help="Send call status events.")
    ] = True,
    real_time: Annotated[
        bool, typer.Option("--real-time", help="Wait in real time for ringing, talking and pauses.")
    ] = False,
    jambonz: Annotated[
        Profile,
        typer.Option(
            "--jambonz",
            parser=parse_profile,
            metavar=PROFILES,
            help="Version of jambonz whose rules apply to the verbs.",
        ),
    ] = Profile.OSS,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Save every step to this file, with bodies and responses.")
    ] = None,
    as_json: JsonOutput = False,
) -> None:
    """Simulate a call as jambonz 0.9.8 would make it, and report anything that jambonz would reject."""
    caller = scripted_caller(script) if script else TerminalCaller(_read_line)
    simulated = SimulatedCall(
        NewCall(
            to=to,
            from_=from_,
            direction=direction,
            caller_name=name,
            headers=headers_of(header),
            trunk=trunk or None,
            env_vars=env_vars_of(env),
        ),
        _application(selected, status_events=status_events),
        Outside(
            HttpTransport(), caller, check_for(jambonz), CommandClock(real_time=real_time), lambda: str(uuid.uuid4())
        ),
    )
    verdict = Verdict()
    output = errors if as_json else console
    members: list[Mapping[str, object]] = []
    output.print(f"call {simulated.call_sid}", style="bold")
    try:
        with _saved(save) as file:
            for step in simulated.run():
                verdict.add(step)
                output.print(shown(step))
                members.append(members_of(step))
                if file is not None:
                    file.write(json.dumps(members[-1], ensure_ascii=False) + "\n")
        if isinstance(caller, ScriptedCaller):
            caller.finish()
    except ScriptProblem as error:
        fail(f"{script}: {error}")
    if as_json:
        print_json(members)
    if verdict.slowest is not None:
        output.print(
            f"{verdict.hooks} requests; slowest response: {verdict.slowest.milliseconds} ms ({verdict.slowest.hook})"
        )
    if not verdict.is_good:
        fail("jambonz would reject a response in this call, or time out. See the errors above.")


def _read_line(prompt: str) -> str:
    """Read a line; the prompt goes to standard error if the output is not a terminal."""
    if sys.stdout.isatty():
        return input(prompt)
    errors.print(prompt, end="")
    return input()


def members_of(step: Step) -> Mapping[str, object]:
    """Return the members of a step in JSON."""
    return {"step": type(step).__name__, **asdict(step)}


def shown(step: Step) -> Text:
    """Return a step as a styled line for the terminal."""
    if not isinstance(step, Sent):
        return Text(str(step), style=STYLES.get(type(step), QUESTION_STYLE))
    slow = step.milliseconds > SLOW_MILLISECONDS
    style = "red" if step.failure else "yellow" if slow else "dim"
    note = "  slow: the caller hears silence" if slow and step.hook != CALL_STATUS else ""
    return Text(f"{step}{note}", style=style)


def check_for(profile: Profile) -> Callable[[Sequence[Mapping[str, JsonValue]]], list[str]]:
    """Return a check that lists the errors a version of jambonz would find in an array of verbs."""

    def check(verbs: Sequence[Mapping[str, JsonValue]]) -> list[str]:
        return [
            f"{place_text(('verbs', number, *fault.location))}: {fault.message}"
            for number, verb in enumerate(verbs)
            for fault in verb_faults(verb, profile)
        ]

    return check


def _application(selected: SelectedStack, *, status_events: bool) -> Application:
    if selected.name is None:
        stack, credentials = running_stack()
        base_url = stack.base_url
    else:
        session, outputs = stack_in_aws(selected)
        base_url, credentials = outputs.base_url, read_credentials(session, outputs)
    access = credentials.of(JAMBONZ)
    return Application(
        call_hook=call_hook_url(base_url),
        username=access["username"],
        password=access["password"],
        webhook_secret=access.get("webhook_secret") or RECORDING_SECRET,
        call_status_hook=call_status_url(base_url) if status_events else None,
    )


def headers_of(options: Sequence[str] | None) -> dict[str, str]:
    """Return the headers of the INVITE from the options `--header`."""
    return dict(_pair(text, "--header") for text in options or [])


def env_vars_of(options: Sequence[str] | None) -> dict[str, JsonValue]:
    """Return the variables of the jambonz application from the options `--env`."""
    return {variable: _typed(value) for variable, value in (_pair(text, "--env") for text in options or [])}


def scripted_caller(path: Path | None, lines: Sequence[str] = ()) -> ScriptedCaller:
    """Return a caller who follows `lines`, then the lines of a file. Ends the command if they are not valid."""
    try:
        return ScriptedCaller("\n".join([*lines, path.read_text("utf-8") if path else ""]))
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    except (ScriptProblem, UnicodeDecodeError) as error:
        fail(f"{path or 'the decisions'}: {error}")


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        misuse(f"Invalid value for {option}: {text}. Use the form NAME=VALUE")
    return name, value


def _typed(value: str) -> JsonValue:
    """Convert numbers, `true` and `false` to JSON, as jambonz sends them. Other text stays text."""
    try:
        read: JsonValue = json.loads(value)
    except ValueError:
        return value
    return read if isinstance(read, bool | int | float) else value


@contextmanager
def _saved(path: Path | None) -> Iterator[TextIO | None]:
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    with file:
        yield file
