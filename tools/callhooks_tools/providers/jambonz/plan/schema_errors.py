"""Messages for errors of jsonschema, for people who write verbs. They never contain a value: it may be a secret."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

Location = tuple[int | str, ...]

UnknownMember = Callable[[Location, Collection[str]], str]
"""Returns the message for an unknown member, from its place and the members known there."""

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


EMPTY = "is empty"


class Description(NamedTuple):
    """A fault: its place, a message, and whether it is a member that the schema does not know."""

    location: Location
    message: str
    is_unknown_member: bool = False


class SchemaError(Protocol):
    """The part of jsonschema's ValidationError that is used here; jsonschema has no types."""

    validator: str
    validator_value: Any
    instance: Any
    schema: dict[str, Any]
    context: Sequence[SchemaError]
    absolute_path: Collection[int | str]
    relative_path: Collection[int | str]
    relative_schema_path: Sequence[int | str]


def describe_errors(errors: Iterable[SchemaError], unknown: UnknownMember) -> Iterator[Description]:
    """Yield the place and message of each fault; a place may occur more than once."""
    for error in errors:
        yield from _describe_error(error, tuple(error.absolute_path), unknown)


def _describe_error(error: SchemaError, location: Location, unknown: UnknownMember) -> Iterator[Description]:
    match error.validator:
        case "additionalProperties":
            known = error.schema["properties"]
            for member in error.instance:
                if member not in known:
                    place = (*location, member)
                    yield Description(place, unknown(place, known), is_unknown_member=True)
        case "required":
            for member in error.validator_value:
                if member not in error.instance:
                    yield Description((*location, member), "field required")
        case "anyOf" | "oneOf":
            yield from _describe_union(error, location, unknown)
        case "type" | "enum" | "const":
            yield Description(location, _misfit(error))
        case "minLength" if error.validator_value == 1:
            yield Description(location, EMPTY)
        case keyword:
            message = LIMITS.get(keyword, "does not match jambonz's schema")
            yield Description(location, message.format(error.validator_value))


def _describe_union(error: SchemaError, location: Location, unknown: UnknownMember) -> Iterator[Description]:
    """Yield one message for all branches, or the faults of a branch if the value is clearly meant for it."""
    branches: dict[int | str, list[SchemaError]] = {}
    for inner in error.context:
        branches.setdefault(inner.relative_schema_path[0], []).append(inner)
    meant = [errors for errors in branches.values() if not any(map(_is_of_another_kind, errors))]
    described = [list(describe_errors(errors, unknown)) for errors in meant]
    only_unknown = [faults for faults in described if all(fault.is_unknown_member for fault in faults)]
    missing = [inner.validator_value for inner in error.context if inner.validator == "required"]
    if len(meant) == 1:
        yield from described[0]
    elif only_unknown:
        yield from min(only_unknown, key=len)
    elif not branches:
        # `oneOf` rejects a value that matches two branches, such as text as the confirmHook of a target in the SDK.
        yield Description(location, "must be a mapping; text is ambiguous in jambonz's own schema")
    elif len(missing) == len(error.context):
        yield Description(location, f"must have {_listed([name for names in missing for name in names])}")
    else:
        yield Description(location, _misfit(error))


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
