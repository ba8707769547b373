"""Errors of jsonschema in words for those who write verbs. They never hold a value, which may be a secret."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Protocol

Location = tuple[int | str, ...]
Told = tuple[Location, str]

UnknownMember = Callable[[Location, Collection[str]], str]
"""What to say of an unknown member at a place, beside the members that are known there."""

KINDS = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
}
LIMITS = {
    "minimum": "must be {} or more",
    "maximum": "must be {} or less",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "minItems": "must hold {} or more",
    "maxItems": "must hold {} or less",
    "minLength": "must have {} characters or more",
    "pattern": "must match {}",
    "not": "must be left out",
}


class SchemaError(Protocol):
    """What is used of a ValidationError of jsonschema, which comes without types."""

    validator: str
    validator_value: Any
    instance: Any
    schema: dict[str, Any]
    context: Sequence[SchemaError]
    absolute_path: Collection[int | str]
    relative_path: Collection[int | str]
    relative_schema_path: Sequence[int | str]


def told(errors: Iterable[SchemaError], unknown: UnknownMember) -> Iterator[Told]:
    """The place and the message of each fault; a place may come more than once."""
    for error in errors:
        yield from _told(error, tuple(error.absolute_path), unknown)


def _told(error: SchemaError, location: Location, unknown: UnknownMember) -> Iterator[Told]:
    match error.validator:
        case "additionalProperties":
            known = error.schema["properties"]
            for member in error.instance:
                if member not in known:
                    yield (*location, member), unknown((*location, member), known)
        case "required":
            for member in error.validator_value:
                if member not in error.instance:
                    yield (*location, member), "field required"
        case "anyOf" | "oneOf":
            yield from _told_of_union(error, location, unknown)
        case "type" | "enum" | "const":
            yield location, _misfit(error)
        case keyword:
            yield location, LIMITS.get(keyword, "does not fit jambonz's schema").format(error.validator_value)


def _told_of_union(error: SchemaError, location: Location, unknown: UnknownMember) -> Iterator[Told]:
    """One message for all branches, unless the value is clearly meant for one of them: then what is wrong there."""
    branches: dict[int | str, list[SchemaError]] = {}
    for inner in error.context:
        branches.setdefault(inner.relative_schema_path[0], []).append(inner)
    meant = [errors for errors in branches.values() if not any(map(_is_of_another_kind, errors))]
    missing = [inner.validator_value for inner in error.context if inner.validator == "required"]
    if len(meant) == 1:
        yield from told(meant[0], unknown)
    elif not branches:
        # `oneOf` refuses what fits two branches: a text as the confirmHook of a target, in the schemas of the SDK.
        yield location, "must be a mapping; jambonz's own schema finds text ambiguous here"
    elif len(missing) == len(error.context):
        yield location, f"must have {_listed([name for names in missing for name in names])}"
    else:
        yield location, _misfit(error)


def _is_of_another_kind(error: SchemaError) -> bool:
    return not error.relative_path and error.validator in ("type", "enum", "const")


def _misfit(error: SchemaError) -> str:
    if error.instance is None:
        return "has no value"
    wanted = list(dict.fromkeys(_wanted(error.schema)))
    message = f"must be {_listed(wanted)}"
    if "text" in wanted and isinstance(error.instance, (int, float)):
        message += "; put it in quotes"
    elif wanted == ["a number"] and isinstance(error.instance, str):
        message += ", not text"
    reason = error.schema.get("$comment")
    return f"{message}; {reason}" if reason else message


def _wanted(schema: dict[str, Any]) -> Iterator[str]:
    if "const" in schema or "enum" in schema:
        yield from map(repr, schema.get("enum", [schema.get("const")]))
    elif kinds := schema.get("type"):
        yield from (KINDS[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds))
    for branch in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _wanted(branch)


def _listed(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
