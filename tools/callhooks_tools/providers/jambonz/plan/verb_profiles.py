"""Faults in verbs for which jambonz would reject them, for the open-source 0.9 and for jambonz 10.

For 0.9, the table `verbs_0_9.yaml` decides: its validator rejects a whole list of verbs for one unknown member. For 10,
the schemas of jambonz's Python SDK decide, closed to unknown members. Both accept some verbs on which the server then
fails, or which it ignores; these are faults here too.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, partial
from typing import Any

from pydantic import JsonValue

from callhooks_tools.providers.jambonz.plan.document import did_you_mean
from callhooks_tools.providers.jambonz.plan.schema_errors import Location, describe_errors
from callhooks_tools.providers.jambonz.plan.verb_schemas import Schema, verbs_of_0_9, verbs_of_the_sdk

NO_VERB = "has no verb; write it as jambonz does: {verb: say, text: Hello}"
MAX_TARGETS = 10
"""jambonz rings this many targets at once and drops the others."""
REQUIRED_BY_TARGET = {"phone": "number", "sip": "sipUri", "user": "name", "teams": "number"}
NESTED_VERBS = ("say", "play", "listen", "stream", "transcribe")
"""Members that hold the verb of the same name, except in `config`."""


class Profile(StrEnum):
    """Version of jambonz that a verb is for."""

    OSS = "0.9"
    V10 = "10"


@dataclass(frozen=True, slots=True)
class VerbFault:
    """A fault at a place in a verb; `()` is the verb itself."""

    location: Location
    message: str


def verbs_of(profile: Profile) -> Mapping[str, Schema]:
    """Return the verbs of a profile, each with the JSON Schema of its long form."""
    return verbs_of_0_9() if profile is Profile.OSS else verbs_of_the_sdk()


def long_form(item: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Convert a verb to the long form: `{say: {text: Hello}}` to `{verb: say, text: Hello}`.

    Raises:
        ValueError: the verb is in neither form.
    """
    if "verb" in item:
        return dict(item)
    if len(item) != 1:
        raise ValueError(NO_VERB)
    ((name, members),) = item.items()
    if not isinstance(members, dict):
        raise ValueError(NO_VERB)  # noqa: TRY004 - an item is wrong, not the type of an argument
    if "verb" in members:
        raise ValueError(f"names its verb twice; leave out `verb` inside {name!r}")
    return {"verb": name, **members}


def verb_faults(verb: Mapping[str, JsonValue], profile: Profile) -> list[VerbFault]:
    """Return the faults of a verb in its long form, in the order of its members.

    jambonz rejects a whole list of verbs if one of them has a fault.
    """
    faults: dict[Location, VerbFault] = {}
    for fault in _faults(dict(verb), profile):
        faults.setdefault(fault.location, fault)
    return sorted(faults.values(), key=lambda fault: _position(verb, fault.location))


def _faults(verb: dict[str, Any], profile: Profile) -> Iterator[VerbFault]:
    name = verb.get("verb")
    if not isinstance(name, str):
        yield VerbFault((), NO_VERB)
        return
    if name not in verbs_of(profile):
        yield VerbFault((), _unknown_verb(name, profile))
        return
    if no_json := list(_no_json(verb, ())):
        yield from no_json
        return
    yield from _server_faults(verb)
    unknown = partial(_unknown_member, verb=name, profile=profile)
    for location, message in describe_errors(_validator(name, profile).iter_errors(verb), unknown):
        yield VerbFault(location, message)
    yield from _faults_of_nested(verb, profile)


@cache
def _validator(name: str, profile: Profile) -> Any:
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - the import takes 0.25 s, which only a check should pay

    return Draft202012Validator(verbs_of(profile)[name])


def _no_json(value: object, location: Location) -> Iterator[VerbFault]:
    """Yield a fault for each value that YAML can hold and JSON cannot."""
    if isinstance(value, dict):
        for name, member in value.items():
            if isinstance(name, str):
                yield from _no_json(member, (*location, name))
            else:
                yield VerbFault(location, f"the name {name!r} must be in quotes")
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            yield from _no_json(entry, (*location, number))
    elif isinstance(value, float) and not math.isfinite(value):
        yield VerbFault(location, "must be a finite number")
    elif value is not None and not isinstance(value, (str, int, float)):
        yield VerbFault(location, "must be text; put it in quotes")


def _server_faults(verb: Mapping[str, Any]) -> Iterator[VerbFault]:
    """Yield faults that pass validation, but on which the server fails or which it silently ignores."""
    match verb["verb"]:
        case "say" if "text" not in verb and verb.get("stream") is not True:
            yield VerbFault(("text",), "field required, unless stream is true")
        case "gather":
            yield from _gather_faults(verb)
        case "dial" | "transfer":
            yield from _target_faults(verb.get("target"), ("target",))
        case "sip:decline":
            status = verb.get("status")
            if isinstance(status, (int, float)) and status not in range(400, 700):
                yield VerbFault(("status",), "must be a SIP status from 400 to 699")
        case "dub":
            required = {"playOnTrack": "play", "sayOnTrack": "say"}.get(str(verb.get("action")))
            if required and required not in verb:
                yield VerbFault((required,), f"field required for {verb['action']}")
    if isinstance(handoff := verb.get("handoff"), dict):
        yield from _target_faults(handoff.get("target"), ("handoff", "target"))


def _gather_faults(verb: Mapping[str, Any]) -> Iterator[VerbFault]:
    if verb.get("input") == []:
        yield VerbFault(("input",), "is empty; write digits, speech or both")
    minimum, maximum = verb.get("minDigits"), verb.get("maxDigits")
    if "numDigits" in verb and ("minDigits" in verb or "maxDigits" in verb):
        yield VerbFault(("numDigits",), "cannot be combined with minDigits or maxDigits")
    if isinstance(minimum, (int, float)) and isinstance(maximum, (int, float)) and minimum > maximum:
        yield VerbFault(("minDigits",), "must not be more than maxDigits")


def _target_faults(targets: object, location: Location) -> Iterator[VerbFault]:
    if not isinstance(targets, list):
        return
    if not targets:
        yield VerbFault(location, "is empty; write at least one target")
    if len(targets) > MAX_TARGETS:
        yield VerbFault(location, f"has {len(targets)} targets; jambonz calls {MAX_TARGETS} at most")
    for number, target in enumerate(targets):
        kind = target.get("type") if isinstance(target, dict) else None
        required = REQUIRED_BY_TARGET.get(kind) if isinstance(kind, str) else None
        if required and target.get(required, "") == "":
            yield VerbFault((*location, number, required), f"field required for the type {kind!r}")


def _faults_of_nested(verb: Mapping[str, Any], profile: Profile) -> Iterator[VerbFault]:
    for location, nested in _nested_verbs(verb):
        for fault in _faults(nested, profile):
            yield VerbFault((*location, *fault.location), fault.message)
    delay = verb.get("actionHookDelayAction")
    for member in ("actions", "giveUpActions"):
        items = delay.get(member) if isinstance(delay, dict) else None
        for number, item in enumerate(items if isinstance(items, list) else ()):
            place: Location = ("actionHookDelayAction", member, number)
            try:
                action = long_form(item if isinstance(item, dict) else {})
            except ValueError as error:
                yield VerbFault(place, str(error))
                continue
            inside = place if "verb" in item else (*place, str(action["verb"]))
            for fault in _faults(action, profile):
                yield VerbFault((*inside, *fault.location), fault.message)
            if member == "actions" and action["verb"] not in ("say", "play"):
                yield VerbFault(inside, "must be a say or a play")


def _nested_verbs(verb: Mapping[str, Any]) -> Iterator[tuple[Location, dict[str, Any]]]:
    for name in NESTED_VERBS if verb["verb"] != "config" else ():
        if isinstance(members := verb.get(name), dict):
            yield (name,), {**members, "verb": name}
    dubs = verb.get("dub")
    for number, dub in enumerate(dubs if isinstance(dubs, list) else ()):
        if isinstance(dub, dict):
            yield ("dub", number), {**dub, "verb": "dub"}


def _unknown_verb(name: str, profile: Profile) -> str:
    other = _other(profile)
    if name in verbs_of(other):
        return f"unknown verb {name!r}; only jambonz {other} has it"
    return f"unknown verb {name!r}{did_you_mean(name, verbs_of(profile))}"


def _unknown_member(place: Location, known: Collection[str], verb: str, profile: Profile) -> str:
    other = _other(profile)
    if tuple(part for part in place if isinstance(part, str)) in _places(verb, other):
        return f"unknown member; only jambonz {other} accepts it"
    return f"unknown member{did_you_mean(str(place[-1]), known)}"


def _other(profile: Profile) -> Profile:
    return Profile.V10 if profile is Profile.OSS else Profile.OSS


@cache
def _places(verb: str, profile: Profile) -> frozenset[tuple[str, ...]]:
    """Return every member of a verb at any depth; empty if the profile does not have the verb."""

    def places(schema: Schema, place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, member in schema.get("properties", {}).items():
            yield (*place, name)
            yield from places(member, (*place, name))
        entries = [schema["items"]] if "items" in schema else []
        for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *entries):
            yield from places(part, place)

    return frozenset(places(verbs_of(profile).get(verb, {}), ()))


def _position(verb: Mapping[str, JsonValue], location: Location) -> list[int]:
    """Return the position of a place in the written verb, to sort by; a missing member comes last."""
    position: list[int] = []
    value: JsonValue | Mapping[str, JsonValue] = verb
    for part in location:
        if isinstance(value, Mapping) and part in value:
            position.append(list(value).index(str(part)))
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int):
            position.append(part)
            value = value[part]
        else:
            position.append(len(value) if isinstance(value, (Mapping, list)) else 0)
            value = None
    return position
