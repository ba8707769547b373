"""Rules of a jambonz server that no schema holds: verbs on which it fails, members that it ignores, texts in SSML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.parsers import expat

from callhooks.providers.jambonz.plan.placeholders import MARKUP

from callhooks_tools.providers.jambonz.plan.schema_errors import EMPTY, Location

MAX_TARGETS = 10
"""jambonz rings this many targets at once and drops the others."""
REQUIRED_BY_TARGET = {"phone": "number", "sip": "sipUri", "user": "name", "teams": "number"}
HOOK_NAME = re.compile(r"[a-z][A-Za-z]*Hook")
WITHOUT_HOOKS = frozenset({"llmOptions", "headers", "metadata", "data", "options"})
"""Members that jambonz passes on unchanged, so no name in them is a hook."""
CREDENTIALS_IGNORED = (
    "jambonz 0.9 accepts it and ignores it: it sends every hook the user name and password of your call hook"
)

_BARE_AMPERSAND = re.compile(r"&(?!#?\w+;)")

Fault = tuple[Location, str]


def server_faults(verb: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield faults that pass validation, but on which the server fails or which it silently ignores."""
    match verb["verb"]:
        case "say" if "text" not in verb and verb.get("stream") is not True:
            yield ("text",), "field required, unless stream is true"
        case "gather":
            yield from _gather_faults(verb)
        case "dial" | "transfer":
            yield from _target_faults(verb.get("target"), ("target",))
        case "sip:decline":
            status = verb.get("status")
            if isinstance(status, (int, float)) and status not in range(400, 700):
                yield ("status",), "must be a SIP status from 400 to 699"
        case "dub":
            required = {"playOnTrack": "play", "sayOnTrack": "say"}.get(str(verb.get("action")))
            if required and required not in verb:
                yield (required,), f"field required for {verb['action']}"
    if isinstance(handoff := verb.get("handoff"), dict):
        yield from _target_faults(handoff.get("target"), ("handoff", "target"))


def task_faults(verb: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield faults for which a task of feature-server 0.9.8 fails, and that depend on two members."""
    if verb["verb"] == "dialogflow" and verb.get("model") == "cx" and not verb.get("agent"):
        yield ("agent",), EMPTY if "agent" in verb else "field required for the model cx"
    for name in ("listen", "stream") if verb["verb"] == "config" else ():
        listen = verb.get(name)
        if isinstance(listen, dict) and listen.get("enable") is True and not listen.get("url"):
            yield (name, "url"), "field required if enable is true"
    urls = verb.get("url")
    if verb["verb"] == "play" and isinstance(urls, list) and "?" in urls:
        yield ("url", urls.index("?")), "must be a URL"


def ignored_members(verb: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield members that feature-server 0.9.8 accepts in a verb, and ignores."""
    if verb["verb"] == "say" and "closeStreamOnEmpty" in verb:
        yield ("closeStreamOnEmpty",), "has no effect in jambonz 0.9"
    for name, member in verb.items():
        yield from _ignored_credentials(member, (name,))


def _ignored_credentials(value: object, location: Location) -> Iterator[Fault]:
    if isinstance(value, dict) and location[-1] not in WITHOUT_HOOKS:
        ignored: tuple[str, ...] = ()
        if HOOK_NAME.fullmatch(str(location[-1])):
            is_websocket = str(value.get("url")).startswith("ws")
            ignored = ("basicAuth",) if is_websocket else ("basicAuth", "username", "password")
        for name, member in value.items():
            if name in ignored:
                yield (*location, name), CREDENTIALS_IGNORED
            else:
                yield from _ignored_credentials(member, (*location, name))
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            yield from _ignored_credentials(entry, (*location, number))


def markup_fault(text: str) -> str | None:
    """Return why a text is not well-formed SSML; `None` if it is, or if it does not begin with `<speak>`."""
    if MARKUP.match(text) is None:
        return None
    if "<!DOCTYPE" in text:
        return "must not have a DOCTYPE"
    # Without a namespace separator, the parser accepts prefixes without a declaration, as vendors of speech do.
    parser = expat.ParserCreate("utf-8")
    try:
        parser.Parse(text.strip().encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        hint = "; write &amp; for &" if _BARE_AMPERSAND.search(text) else ""
        reason = expat.ErrorString(error.code)
        place = f"line {error.lineno}, column {error.offset + 1} of the text"
        return f"begins with <speak> but is not well-formed XML: {reason} at {place}{hint}"
    return None


def _gather_faults(verb: Mapping[str, Any]) -> Iterator[Fault]:
    if verb.get("input") == []:
        yield ("input",), "is empty; write digits, speech or both"
    minimum, maximum = verb.get("minDigits"), verb.get("maxDigits")
    if "numDigits" in verb and ("minDigits" in verb or "maxDigits" in verb):
        yield ("numDigits",), "cannot be combined with minDigits or maxDigits"
    if isinstance(minimum, (int, float)) and isinstance(maximum, (int, float)) and minimum > maximum:
        yield ("minDigits",), "must not be more than maxDigits"


def _target_faults(targets: object, location: Location) -> Iterator[Fault]:
    if not isinstance(targets, list):
        return
    if not targets:
        yield location, "is empty; write at least one target"
    if len(targets) > MAX_TARGETS:
        yield location, f"has {len(targets)} targets; jambonz calls {MAX_TARGETS} at most"
    for number, target in enumerate(targets):
        kind = target.get("type") if isinstance(target, dict) else None
        required = REQUIRED_BY_TARGET.get(kind) if isinstance(kind, str) else None
        if required and target.get(required, "") == "":
            yield (*location, number, required), f"field required for the type {kind!r}"
