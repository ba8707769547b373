"""JSON documents as providers really send them.

A member of an unexpected type is read as absent, and unknown members are kept; the raw body is stored beside, so that
nothing is lost.
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

EARLIEST_YEAR = 1971

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def not_blank(value: str) -> str:
    """The value itself.

    Raises:
        ValueError: there is nothing in it.
    """
    if not value.strip(" \t\r\n"):
        raise ValueError("blank")
    return value


def _no_flag(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a flag is no number")  # noqa: TRY004 - Pydantic understands no TypeError
    return value


def _as_utc(moment: datetime) -> datetime:
    if moment.year < EARLIEST_YEAR:
        raise ValueError("a zero date")
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("out of range") from None


OptionalStr: TypeAlias = str | None
Identifier: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=False), AfterValidator(not_blank)] | None
"""As it was sent, since what differs must stay apart; a number becomes its digits."""
OptionalInt: TypeAlias = Annotated[int, BeforeValidator(_no_flag)] | None
Number: TypeAlias = Annotated[Decimal, BeforeValidator(_no_flag)] | None
IntegerOrText: TypeAlias = Annotated[int | str, Field(union_mode="left_to_right"), BeforeValidator(_no_flag)] | None
Flag: TypeAlias = bool | None
Moment: TypeAlias = Annotated[datetime, AfterValidator(_as_utc)] | None
"""Aware UTC; a moment without a zone is UTC, the zero dates of Go and MySQL are absent."""
JsonObject: TypeAlias = dict[str, object] | None


class Document(BaseModel):
    """A JSON object of a provider, of which every member that is not as it should be is read as absent."""

    model_config = ConfigDict(frozen=True, extra="allow", coerce_numbers_to_str=True, str_strip_whitespace=True)

    @model_validator(mode="wrap")
    @classmethod
    def _without_what_is_invalid(cls, document: object, validate: ModelWrapValidatorHandler[Self]) -> Self:
        # One validator for the whole document: one around each member would make models slow to build.
        while True:
            try:
                return validate(document)
            except ValidationError as error:
                told = error.errors(include_url=False, include_context=False, include_input=False)
                members = document if isinstance(document, dict) else {}
                invalid = members.keys() & {where for one in told for where in one["loc"][:1]}
                if not invalid:
                    raise
                # Another one of a member's names may come into its own now.
                document = {name: value for name, value in members.items() if name not in invalid}


def json_object(body: bytes, *, parse_float: Callable[[str], object] = str) -> dict[str, object]:
    """The JSON object in a body; a number that is no whole one, or a very long one, stays the text that was sent.

    `parse_float` makes something else of numbers that are no whole ones. A member that is `NaN` or infinite is absent.

    Raises:
        BadRequest: it is not UTF-8, not JSON, or not an object.
    """
    document = json_value(body, parse_float=parse_float)
    if not isinstance(document, dict):
        raise BadRequest("The body is not a JSON object.")
    return document


def json_value(body: bytes, *, parse_float: Callable[[str], object] = str) -> object:
    """Whatever JSON is in a body, with numbers as `json_object` has them.

    Raises:
        BadRequest: it is not UTF-8 or not JSON.
    """
    try:
        text = body.decode("utf-8-sig")
        document = read_json(text, parse_float=parse_float)
        if "\\ud" in text.lower():
            # A name cut within an emoji leaves half a surrogate pair, which neither Pydantic nor DynamoDB takes.
            pairs_joined = json.dumps(document, ensure_ascii=False)
            document = json.loads(_LONE_SURROGATE.sub(lambda half: rf"\\u{ord(half[0]):04x}", pairs_joined))
    except UnicodeDecodeError:
        raise BadRequest("The body is not valid UTF-8.") from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    except ValueError:
        raise BadRequest("The body is not JSON.") from None
    return document
