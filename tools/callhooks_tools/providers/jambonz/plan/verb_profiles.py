"""Faults in verbs for which jambonz would reject them, for the open-source 0.9 and for the commercial 11.

For 0.9, the table `verbs_0_9.yaml` decides: the server rejects a whole list of verbs for one unknown member. For 11,
the schemas of jambonz's Python SDK decide. That server is newer than its schemas and accepts other members, so these
are warnings. Both accept some verbs on which the server then fails, or which it ignores; these are faults here too.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, partial
from typing import Any

from pydantic import JsonValue

from callhooks_tools.providers.jambonz.plan.document import did_you_mean
from callhooks_tools.providers.jambonz.plan.schema_errors import Location, describe_errors
from callhooks_tools.providers.jambonz.plan.server_rules import ignored_members, server_faults, task_faults
from callhooks_tools.providers.jambonz.plan.verb_schemas import Schema, verbs_of_0_9, verbs_of_the_sdk

NO_VERB = "has no verb; write it as jambonz does: {verb: say, text: Hello}"
NESTED_VERBS = ("say", "play", "listen", "stream", "transcribe")
"""Members that hold the verb of the same name, except in `config`."""


class Profile(StrEnum):
    """Version of jambonz that a verb is for."""

    OSS = "0.9"
    V11 = "11"

    @classmethod
    def _missing_(cls, value: object) -> Profile | None:
        """Accept `10`, the version before 11, which has the same schemas."""
        return cls.V11 if value == "10" else None


@dataclass(frozen=True, slots=True)
class VerbFault:
    """A fault at a place in a verb; `()` is the verb itself. jambonz accepts a verb with a warning."""

    location: Location
    message: str
    is_warning: bool = False


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
    """Return the faults of a verb in its long form, in the order of its members, without warnings.

    jambonz rejects a whole list of verbs if one of them has a fault.
    """
    return [fault for fault in check_verb(verb, profile) if not fault.is_warning]


def check_verb(verb: Mapping[str, JsonValue], profile: Profile) -> list[VerbFault]:
    """Return the faults of a verb in its long form, and warnings, in the order of its members."""
    faults: dict[Location, VerbFault] = {}
    for fault in sorted(_faults(dict(verb), profile), key=lambda fault: fault.is_warning):
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
    yield from (VerbFault(*fault) for fault in server_faults(verb))
    if profile is Profile.OSS:
        yield from (VerbFault(*fault) for fault in task_faults(verb))
        yield from (VerbFault(*fault, is_warning=True) for fault in ignored_members(verb))
    ruled = _with_rules_of_its_vendor(verb, profile)
    unknown = partial(_unknown_member, verb=name, profile=profile)
    for fault in describe_errors(_validator(ruled["verb"], profile).iter_errors(ruled), unknown):
        is_warning = fault.is_unknown_member and profile is Profile.V11
        yield VerbFault(fault.location, fault.message, is_warning)
    yield from _faults_of_nested(verb, profile)


def _with_rules_of_its_vendor(verb: dict[str, Any], profile: Profile) -> dict[str, Any]:
    """Return a verb of any vendor as the verb of its vendor, which has more rules: in 0.9, both are the same task."""
    own = f"{verb.get('vendor')}_s2s"
    is_of_any = profile is Profile.OSS and verb["verb"] in ("llm", "s2s") and own in verbs_of(profile)
    return {**verb, "verb": own} if is_of_any else verb


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


def _faults_of_nested(verb: Mapping[str, Any], profile: Profile) -> Iterator[VerbFault]:
    for location, nested in _nested_verbs(verb):
        for fault in _faults(nested, profile):
            yield replace(fault, location=(*location, *fault.location))
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
                yield replace(fault, location=(*inside, *fault.location))
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
    if place[-1] in ("username", "password") and "basicAuth" in known:
        return "unknown member; write basicAuth: {username: ..., password: ...}"
    if tuple(part for part in place if isinstance(part, str)) in _places(verb, other):
        return f"unknown member; only jambonz {other} accepts it"
    return f"unknown member{did_you_mean(str(place[-1]), known)}"


def _other(profile: Profile) -> Profile:
    return Profile.V11 if profile is Profile.OSS else Profile.OSS


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
