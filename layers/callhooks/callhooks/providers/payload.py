"""Lenient parsing of the JSON documents that providers send.

A member of an unexpected type counts as absent, and unknown members are preserved. The raw body is stored with the
event, so no data is lost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    StringConstraints,
    ValidationError,
    model_validator,
)

from callhooks.runtime.errors import BadRequest
from callhooks.runtime.json_values import read_json

MIN_YEAR = 1971

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def not_blank(value: str) -> str:
    """Return the value unchanged.

    Raises:
        ValueError: it is empty or white space.
    """
    if not value.strip(" \t\r\n"):
        raise ValueError("blank")
    return value


def _reject_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a boolean is not a number")  # noqa: TRY004 - Pydantic does not handle TypeError
    return value


def _as_utc(moment: datetime) -> datetime:
    if moment.year < MIN_YEAR:
        raise ValueError("a zero date")
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("out of range") from None


OptionalStr: TypeAlias = str | None
Identifier: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=False), AfterValidator(not_blank)] | None
"""The exact text, so that different ids stay different; a number becomes its digits."""
OptionalInt: TypeAlias = Annotated[int, BeforeValidator(_reject_bool)] | None
Number: TypeAlias = Annotated[Decimal, BeforeValidator(_reject_bool)] | None
IntegerOrText: TypeAlias = Annotated[int | str, Field(union_mode="left_to_right"), BeforeValidator(_reject_bool)] | None
Flag: TypeAlias = bool | None
Moment: TypeAlias = Annotated[datetime, AfterValidator(_as_utc)] | None
"""Aware UTC. A time without a zone counts as UTC; the zero dates of Go and MySQL count as absent."""
JsonObject: TypeAlias = dict[str, object] | None


class Document(BaseModel):
    """JSON object from a provider. Invalid members count as absent."""

    model_config = ConfigDict(frozen=True, extra="allow", coerce_numbers_to_str=True, str_strip_whitespace=True)

    @model_validator(mode="wrap")
    @classmethod
    def _drop_invalid_members(cls, document: object, validate: ModelWrapValidatorHandler[Self]) -> Self:
        # One validator for the whole document: one for each member would make models slow to build.
        while True:
            try:
                return validate(document)
            except ValidationError as error:
                problems = error.errors(include_url=False, include_context=False, include_input=False)
                members = document if isinstance(document, dict) else {}
                invalid = members.keys() & {name for problem in problems for name in problem["loc"][:1]}
                if not invalid:
                    raise
                # Validate again: another alias of a dropped member may apply now.
                document = {name: value for name, value in members.items() if name not in invalid}


def json_object(body: bytes, *, parse_float: Callable[[str], object] = str) -> dict[str, object]:
    """Return the JSON object in a body.

    Fractions and very long integers stay the text that was sent; `parse_float` converts fractions differently. Members
    that are `NaN` or infinite count as absent.

    Raises:
        BadRequest: the body is not UTF-8, not JSON, or not an object.
    """
    document = json_value(body, parse_float=parse_float)
    if not isinstance(document, dict):
        raise BadRequest("The body is not a JSON object.")
    return document


def json_value(body: bytes, *, parse_float: Callable[[str], object] = str) -> object:
    """Return the JSON value in a body, with numbers as in `json_object`.

    Raises:
        BadRequest: the body is not UTF-8 or not JSON.
    """
    try:
        text = body.decode("utf-8-sig")
        document = read_json(text, parse_float=parse_float)
        if "\\ud" in text.lower():
            # A name cut inside an emoji leaves half a surrogate pair, which Pydantic and DynamoDB reject.
            pairs_joined = json.dumps(document, ensure_ascii=False)
            document = json.loads(_LONE_SURROGATE.sub(lambda half: rf"\\u{ord(half[0]):04x}", pairs_joined))
    except UnicodeDecodeError:
        raise BadRequest("The body is not valid UTF-8.") from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    except ValueError:
        raise BadRequest("The body is not JSON.") from None
    return document
