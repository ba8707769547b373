"""For any verb, the two profiles agree with jambonz's own checks and with each other."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from callhooks_tools.providers.jambonz.plan.verb_profiles import Profile, check_verb, verb_faults, verbs_of
from hypothesis import assume, given
from hypothesis import strategies as st
from jambonz_sdk._models._registry import all_verb_models
from jambonz_sdk.validator import JambonzValidator
from pydantic import BaseModel, ValidationError

Verb = dict[str, Any]
Schema = dict[str, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]

VALIDATOR = JambonzValidator()
MODELS: dict[str, type[BaseModel]] = all_verb_models()
# The schemas of the SDK are newer than its models, which lack these (and the verb nova_s2s).
NEWER_THAN_THE_MODELS = {"mistralOptions", "noResponseMaxPrompts", "noiseIsolation", "speak", "speechCleanup"}

VENDORS = ("openai", "microsoft", "google", "elevenlabs", "deepgram", "voiceagent", "ultravox")
SCALARS = st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2)
ANY_JSON = st.recursive(
    st.none() | SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner), max_leaves=5
)
# Values for members where the schemas are looser than the check.
SOUND: dict[str, st.SearchStrategy[Any]] = {
    "say": st.just({"text": "Hello"}),
    "play": st.just({"url": "/hello.wav"}),
    "listen": st.just({"url": "wss://example.com"}),
    "stream": st.just({"url": "wss://example.com"}),
    "transcribe": st.just({"transcriptionHook": "/x"}),
    "actions": st.just([{"verb": "say", "text": "One moment"}, {"play": {"url": "/wait.wav"}}]),
    "giveUpActions": st.just([{"verb": "hangup"}]),
    "target": st.lists(
        st.sampled_from(
            [
                {"type": "phone", "number": "+14155550100"},
                {"type": "sip", "sipUri": "sip:a@example.com", "headers": {"X-A": "b"}, "confirmHook": {"url": "/x"}},
                {"type": "user", "name": "a@example.com", "auth": {"username": "a", "password": "b"}},
            ]
        ),
        min_size=1,
        max_size=3,
    ),
    "status": st.sampled_from([403, 486, 603]),
}


def values(schema: Schema, name: str = "") -> st.SearchStrategy[Any]:
    """Return values that match a schema, apart from conditions between members."""
    if "const" in schema or "enum" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    if "properties" in schema:
        return members(schema)
    if branches := [*schema.get("oneOf", ()), *schema.get("anyOf", ())]:
        rest = {keyword: value for keyword, value in schema.items() if keyword not in ("oneOf", "anyOf")}
        return st.one_of([values({**rest, **branch}, name) for branch in branches])
    if isinstance(kinds := schema.get("type"), list):
        return st.one_of([values({"type": kind}) for kind in kinds])
    if name in SOUND and schema.get("type") in ("object", "array", "number"):
        return SOUND[name]
    return of_one_kind(schema)


def of_one_kind(schema: Schema) -> st.SearchStrategy[Any]:
    match schema.get("type"):
        case "string":
            return st.text("ab", min_size=schema.get("minLength", 1), max_size=3)
        case "integer" | "number" as kind:
            return numbers(schema, is_integer=kind == "integer")
        case "boolean":
            return st.booleans()
        case "array":
            return st.lists(values(schema.get("items", {})), min_size=1, max_size=2)
        case "object":
            of_values = schema.get("additionalProperties")
            inside = values(of_values) if isinstance(of_values, dict) else SCALARS
            return st.dictionaries(st.text("ab", min_size=1, max_size=3), inside, max_size=2)
    return SCALARS


def numbers(schema: Schema, *, is_integer: bool) -> st.SearchStrategy[int | float]:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if is_integer:
        return st.integers(low if low is None else low + ("exclusiveMinimum" in schema), high)
    any_number = st.floats(
        low,
        high,
        exclude_min="exclusiveMinimum" in schema,
        exclude_max="exclusiveMaximum" in schema,
        allow_nan=False,
        allow_infinity=False,
    )
    return any_number | st.integers(1, 9) if low is None and high is None else any_number


@st.composite
def members(draw: Draw, schema: Schema) -> Verb:
    known = {name: member for name, member in schema["properties"].items() if "not" not in member}
    optional = sorted(known.keys() - {"verb", *schema.get("required", ())})
    chosen = draw(st.lists(st.sampled_from(optional), unique=True, max_size=4)) if optional else []
    written = {name: draw(values(known[name], name)) for name in (*schema.get("required", ()), *chosen)}
    if "closeStreamOnEmpty" in known:
        written["text"] = draw(st.text("ab", max_size=3))
    if "minDigits" in written or "maxDigits" in written:
        written |= {"minDigits": 1, "maxDigits": 4}
        written.pop("numDigits", None)
    if "enable" in written and "url" in known:
        written |= {"url": "wss://example.com"}
    if written.get("model") == "cx":
        written |= {"agent": "a"}
    if written.get("action") in ("playOnTrack", "sayOnTrack"):
        written |= {"play": "/music.wav", "say": "Hello"}
    return written


def verbs(profile: Profile) -> st.SearchStrategy[Verb]:
    def written(name: str) -> st.SearchStrategy[Verb]:
        if profile is Profile.OSS and name in ("llm", "s2s"):
            return st.sampled_from(VENDORS).flatmap(lambda vendor: of(f"{vendor}_s2s", verb=name, vendor=vendor))
        return of(name, verb=name)

    def of(schema: str, **own: str) -> st.SearchStrategy[Verb]:
        return members(verbs_of(profile)[schema]).map(lambda verb: json.loads(json.dumps({**own, **verb, **own})))

    return st.sampled_from(sorted(verbs_of(profile))).flatmap(written)


def mappings(value: Any, schema: Schema, place: tuple[int | str, ...] = ()) -> Iterator[tuple[int | str, ...]]:
    """Yield the places of mappings that are closed to unknown members."""
    for branch in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        yield from mappings(value, branch, place)
    if isinstance(value, dict) and "properties" in schema:
        if schema.get("additionalProperties") is False:
            yield place
        for name, member in value.items():
            yield from mappings(member, schema["properties"].get(name, {}), (*place, name))
    for number, entry in enumerate(value if isinstance(value, list) else ()):
        yield from mappings(entry, schema.get("items", {}), (*place, number))


def places(value: Any, place: tuple[int | str, ...] = ()) -> Iterator[tuple[int | str, ...]]:
    """Yield the places of all values inside a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
    for part, member in inside:
        yield (*place, part)
        yield from places(member, (*place, part))


def at(value: Any, place: tuple[int | str, ...]) -> Any:
    for part in place:
        value = value[part]
    return value


def without_aliases(verb: Verb) -> Verb:
    """Resolve the aliases that the SDK lacks."""
    for vendor in ("microsoft", "voiceagent"):
        if verb["verb"] == f"{vendor}_s2s":
            return {"vendor": vendor, **verb, "verb": "llm"}
    return verb


def is_newer_than_the_schemas(verb: Verb) -> bool:
    """Return whether an agent has what jambonz 11 accepts and no published schema has."""
    written = json.dumps(verb)
    return verb["verb"] == "agent" and (
        isinstance(verb.get("greeting"), str)
        or isinstance(verb.get("noiseIsolation"), str)
        or '"jambonz"' in written
        or '"vendorParams"' in written
    )


def is_rejected_by_sdk(verb: Verb) -> bool:
    """Return whether a strict model of the SDK, or its schema, rejects a verb."""
    verb = without_aliases(verb)
    if VALIDATOR.validate_verb(verb):
        return True
    if verb["verb"] not in MODELS or any(place[-1] in NEWER_THAN_THE_MODELS for place in places(verb)):
        return False
    model = MODELS[verb["verb"]]
    try:
        model.model_validate_json(json.dumps(verb), strict=True, by_alias=True, by_name=False)
        model.model_validate(verb, by_alias=True, by_name=False)  # also rejects the Python name of a member
    except ValidationError:
        return True
    return False


@given(verb=verbs(Profile.V11))
def test_the_sdk_accepts_every_verb_that_profile_11_accepts(verb: Verb) -> None:
    assume(check_verb(verb, Profile.V11) == [] and not is_newer_than_the_schemas(verb))
    assert not is_rejected_by_sdk(verb)


@given(
    data=st.data(),
    verb=verbs(Profile.V11),
    odd=st.sampled_from([None, True, 5, -0.5, "", "a", [], [None], {}, {"a": 1}]),
)
def test_profile_11_rejects_every_verb_that_the_sdk_rejects(data: st.DataObject, verb: Verb, odd: Any) -> None:
    place = data.draw(st.sampled_from([place for place in places(verb) if place != ("verb",)] or [("id",)]))
    at(verb, place[:-1])[place[-1]] = odd
    assert check_verb(verb, Profile.V11) or not is_rejected_by_sdk(verb) or is_newer_than_the_schemas(verb)


@given(verb=verbs(Profile.OSS))
def test_the_profiles_agree_on_members_that_both_versions_have(verb: Verb) -> None:
    assert verb_faults(verb, Profile.OSS) == []
    hints = (
        "only jambonz 0.9 accepts it",
        "only jambonz 0.9 has it",
        "write basicAuth: {username: ..., password: ...}",
    )
    for fault in check_verb(verb, Profile.V11):
        assert fault.message.endswith(hints)


@given(
    data=st.data(), verb=verbs(Profile.OSS), name=st.sampled_from(["xyz", "Timeout", "verb ", "action_hook", "a", "1"])
)
def test_an_unknown_member_is_rejected_at_any_depth_in_0_9(data: st.DataObject, verb: Verb, name: str) -> None:
    place = data.draw(st.sampled_from(list(mappings(verb, verbs_of(Profile.OSS)[verb["verb"]]))))
    at(verb, place)[name] = data.draw(SCALARS)
    faults = verb_faults(verb, Profile.OSS)
    assert [fault.location for fault in faults] == [(*place, name)]
    assert faults[0].message.startswith("unknown member")


@given(verb=verbs(Profile.OSS) | verbs(Profile.V11), profile=st.sampled_from(Profile), data=st.data())
def test_the_check_never_raises_or_changes_the_verb(verb: Verb, profile: Profile, data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(list(places(verb))))
    at(verb, place[:-1])[place[-1]] = data.draw(ANY_JSON)
    before = copy.deepcopy(verb)
    locations = [fault.location for fault in check_verb(verb, profile)]
    assert len(locations) == len(set(locations))
    assert verb == before
