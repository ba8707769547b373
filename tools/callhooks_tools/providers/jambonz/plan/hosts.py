"""Warnings about members of verbs that point to another host, with the data that jambonz sends there.

jambonz 0.9 uses one HTTP client for all hooks of a call. It sends every host the user name and password of the call
hook, and ignores credentials in the hook itself. Requests for files, and websockets, carry no credentials.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from callhooks.providers.jambonz.plan.placeholders import (
    HEADERS,
    OWN_DATA,
    TextContext,
    Value,
    fill_in,
    placeholders_in,
)
from callhooks.providers.jambonz.plan.plan import HOOK, Plan, Variable

from callhooks_tools.providers.jambonz.plan.document import PlanPath, PlanProblem
from callhooks_tools.providers.jambonz.plan.flows import chooses_the_host
from callhooks_tools.providers.jambonz.plan.server_rules import HOOK_NAME, WITHOUT_HOOKS

_WITHOUT = "without your call hook's user name and password"


class SentData(StrEnum):
    """Data that jambonz sends to the host of a member."""

    CREDENTIALS = "jambonz 0.9 sends it the user name and password of your call hook, and the data of the call"
    SOCKET = f"jambonz opens a websocket to it and sends the data of the call, {_WITHOUT}"
    REDIRECT = (
        f"jambonz 0.9 sends it the data of the call, {_WITHOUT}, and leaves them out of all later hooks of this call, "
        "so callhooks rejects those"
    )
    STATUS = f"jambonz 0.9 sends it the later statuses of the call, {_WITHOUT}"
    CALL = f"jambonz sends it the audio and the data of the call, {_WITHOUT}"
    AUDIO = f"jambonz sends it the audio of the call, {_WITHOUT}"
    WORDS = f"jambonz sends it the caller's words, {_WITHOUT}"
    TOOLS = f"jambonz sends it the model's tool calls, {_WITHOUT}"
    FETCHED = f"jambonz requests the file from it, {_WITHOUT}"
    OTHER = f"jambonz sends it the data that this member is for, {_WITHOUT}"
    PATH = "jambonz 0.9 treats it as a path on your own host, but another version may not: write the whole URL"


_BY_MEMBER: Mapping[str, SentData] = {
    "listen.url": SentData.CALL,
    "stream.url": SentData.CALL,
    "rasa.url": SentData.WORDS,
    "mcpServers.url": SentData.TOOLS,
    "play.url": SentData.FETCHED,
    "fillerNoise.url": SentData.FETCHED,
    "play": SentData.FETCHED,
    "dialMusic": SentData.FETCHED,
    "onHoldMusic": SentData.FETCHED,
    "thinkingMusic": SentData.FETCHED,
    "media": SentData.FETCHED,
}
_SPEECH_SERVERS = re.compile(
    r"siprecServerURL|azureServiceEndpoint|audioEndpoint|kryptonEndpoint|rivaUri|serverUri|[a-z]+SttUri"
    r"|customOptions\.uri|(speechmaticsOptions|connectOptions)\.host"
)
"""Members whose value may be a host without a scheme."""
_TEXTS = frozenset({"body", "instructions", "message", "prompt", "reason", "say", "text", "welcomeMessage"})
"""Members that are spoken or shown, so a URL in them is only text."""
_RELATIVE_TO_THE_CALL_HOOK = (SentData.CREDENTIALS, SentData.REDIRECT, SentData.STATUS, SentData.CALL)
_URL = re.compile(r"\s*(?:(?P<scheme>https?|wss?):[/\\]*|[/\\]{2})(?P<host>[^/?#\\\s]+)", re.IGNORECASE)
_BARE = re.compile(r"\s*(?:sips?:|[a-z][a-z0-9+.-]*://)?(?P<host>[^/?#;\\\s]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Values:
    """Values of placeholders: the defaults of variables, and a constant for facts, which cannot choose a host."""

    variables: Mapping[str, Variable]

    def variable(self, name: str) -> Value | None:
        variable = self.variables.get(name)
        return None if variable is None else variable.default

    def fact(self, name: str) -> str | None:  # noqa: ARG002
        return "1"


def warnings_on(plan: Plan) -> Iterator[PlanProblem]:
    """Yield a warning for each hook and each other address in a verb that points to another host.

    The application's own address is unknown here, so every hook that is a whole URL counts as another host.
    """
    for name, flow in plan.flows.items():
        for number, verb in enumerate(flow.verbs):
            for names, place, text in _texts_in(verb, (), ("flows", name, number)):
                sent = _sent(names)
                if sent is None:
                    continue
                message = _message(text, sent, plan.variables)
                if message is not None:
                    yield PlanProblem(message, place)


def _texts_in(
    value: object, names: tuple[str, ...], place: PlanPath
) -> Iterator[tuple[tuple[str, ...], PlanPath, str]]:
    """Yield every text of a verb: the path of names from its verb, its place in the plan, and the text."""
    if isinstance(value, str):
        yield names, place, value
    elif isinstance(value, dict) and HOOK not in value:
        inner = (value["verb"],) if isinstance(value.get("verb"), str) else names
        for name, member in value.items():
            if name != "verb":
                yield from _texts_in(member, (*inner, name), (*place, name))
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from _texts_in(member, names, (*place, number))


def _sent(names: tuple[str, ...]) -> SentData | None:
    """Return the data that jambonz sends to the host of a member; `None` if the member is not an address."""
    own_data = OWN_DATA | HEADERS
    if own_data & set(names[1:]) or names[-1] in _TEXTS:
        return None
    if names[-1] == "url" and HOOK_NAME.fullmatch(names[-2]):
        names = names[:-1]
    parent, name = names[-2:]
    if HOOK_NAME.fullmatch(name) and not WITHOUT_HOOKS & set(names):
        return (
            {"actionHook": SentData.REDIRECT, "statusHook": SentData.STATUS}[name]
            if parent == "redirect"
            else SentData.CREDENTIALS
        )
    if _SPEECH_SERVERS.fullmatch(name) or _SPEECH_SERVERS.fullmatch(f"{parent}.{name}"):
        return SentData.AUDIO
    return _BY_MEMBER.get(f"{parent}.{name}") or _BY_MEMBER.get(name) or SentData.OTHER


def _message(text: str, sent: SentData, variables: Mapping[str, Variable]) -> str | None:
    choosing = [one.name for one in placeholders_in(text) if one.name in variables and chooses_the_host(text, one)]
    pattern = _BARE if sent is SentData.AUDIO else _URL
    values = [_Values(variables), *(_Values(other) for name in choosing for other in _chosen(name, variables))]
    found = [match for one in values if (match := pattern.match(str(fill_in(text, TextContext.ADDRESS, one))))]
    # The part before the @ is a user name and password.
    hosts = list(dict.fromkeys(match["host"].rpartition("@")[2].lower() for match in found))
    is_free_text = sent is SentData.OTHER and (
        not hosts or any(not match["scheme"] or " " in match.string for match in found)
    )
    if is_free_text or (not hosts and all(variables[name].default for name in choosing)):
        return None
    by = f"the variable {' and '.join(choosing)}"
    if not hosts:
        return f"points to the host that {by} names: {sent}"
    schemes = {(match["scheme"] or "").lower() for match in found} if pattern is _URL else set()
    if schemes == {""}:
        if sent not in _RELATIVE_TO_THE_CALL_HOOK:
            return None
        sent = SentData.PATH
    elif sent is SentData.CREDENTIALS and schemes <= {"ws", "wss"}:
        sent = SentData.SOCKET
    return f"points to another host, {' or '.join(hosts)}{f', which {by} names' if choosing else ''}: {sent}"


def _chosen(name: str, variables: Mapping[str, Variable]) -> Iterator[Mapping[str, Variable]]:
    """Yield the variables once for each choice of one of them."""
    choices = variables[name].schema.get("enum")
    for choice in choices if isinstance(choices, list) else ():
        yield {**variables, name: variables[name]._replace(default=choice)}
