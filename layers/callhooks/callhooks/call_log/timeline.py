"""One call with its deliveries and responses, folded from its events when it is requested."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NoReturn

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from callhooks.call_log.listing import ListedCall, call_path
from callhooks.calls.call import Call, HintsLookup, Moment, fold, position
from callhooks.events.call_event import CallEvent, Kind
from callhooks.events.event_item import Item, body_of_item, event_of_item

MAX_BYTES_WITH_BODIES = 4 * 1024 * 1024
MAX_EVENT_BYTES = 5 * 1024 * 1024
"""Lambda responses are limited to 6 MB; the remainder is for the call and its legs."""


class TimelineEvent(BaseModel):
    """One delivery: its event, its raw body and the response to it."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    key: str = Field(description="Identifies the event within its call")
    kind: Kind
    name: str = Field(description="The provider's name for the event")
    status: str | None
    direction: str | None
    from_: str | None = Field(alias="from")
    to: str | None
    occurred_at: Moment = Field(
        description="Time by the provider's clock, or the time of receipt if the provider sends none"
    )
    received_at: Moment
    details: Mapping[str, str | bool | int | Decimal] = Field(
        description="Further values of the delivery; numbers with decimals are strings"
    )
    body: str | None = Field(description="Raw body, as text or base64")
    body_is_base64: bool = Field(description="true if the body is not UTF-8 and therefore sent as base64")
    body_omitted: bool = Field(description="true if the body was left out to keep the response within its size limit")
    query: str | None = Field(description="Raw query string of the URL")
    answer: JsonValue = Field(description="The response to the delivery, such as verbs")
    answer_status: int


class FullCall(Call):
    """Call with its path in the API."""

    path: str = Field(description="Path of the call. Contains its id, or a hash of an id with special characters")


class CallAnswer(BaseModel):
    """Call, its events in the order in which they happened, and the other calls of its conversation."""

    model_config = ConfigDict(frozen=True)

    call: FullCall
    timeline: tuple[TimelineEvent, ...]
    legs: tuple[ListedCall, ...] = Field(description="Legs of the call; for a leg, its parent and siblings")
    omitted_events: int = Field(
        description="Number of events left out at the end of the timeline to keep the response within its size limit"
    )


def call_from_items(items: Iterable[Item], hints_for: HintsLookup) -> tuple[Call, list[tuple[CallEvent, Item]]]:
    """Fold the call from the items of its events; return it with the events in order, each with its item.

    Raises:
        ValueError: there are no items, or one is not an event.
        KeyError: an item is not an event.
    """
    event_items = sorted(((event_of_item(item), item) for item in items), key=lambda pair: position(pair[0]))
    if not event_items:
        raise ValueError("a call needs at least one event")
    return fold((event for event, _ in event_items), hints_for(event_items[0][0].provider)), event_items


def call_answer(
    pk: str, call: Call, event_items: Sequence[tuple[CallEvent, Item]], legs: tuple[ListedCall, ...]
) -> CallAnswer:
    """Return the API's representation of a call, within Lambda's limit for responses.

    Leave out bodies once the size would exceed `MAX_BYTES_WITH_BODIES`, and events once it would exceed
    `MAX_EVENT_BYTES`.
    """
    timeline: list[TimelineEvent] = []
    used, with_bodies = 0, True
    for event, item in event_items:
        entry = _timeline_event(event, item)
        size = _payload_bytes(entry)
        if not with_bodies or used + size > MAX_BYTES_WITH_BODIES:
            with_bodies = False
            entry = entry.model_copy(update={"body": None, "body_is_base64": False, "body_omitted": True})
            size = _payload_bytes(entry)
        if used + size > MAX_EVENT_BYTES:
            break
        used += size
        timeline.append(entry)
    return CallAnswer(
        call=FullCall.model_validate({**call.model_dump(by_alias=True), "path": call_path(pk)}),
        timeline=tuple(timeline),
        legs=legs,
        omitted_events=len(event_items) - len(timeline),
    )


def _timeline_event(event: CallEvent, item: Item) -> TimelineEvent:
    body = body_of_item(item)
    try:
        text, is_base64 = body.decode("utf-8"), False
    except UnicodeDecodeError:
        text, is_base64 = base64.b64encode(body).decode("ascii"), True
    return TimelineEvent(
        key=event.dedupe_key,
        kind=event.kind,
        name=event.name,
        status=event.status,
        direction=event.direction,
        from_=event.from_,
        to=event.to,
        occurred_at=event.occurred_at,
        received_at=event.received_at,
        details=event.details,
        body=text,
        body_is_base64=is_base64,
        body_omitted=False,
        query=item["query"]["S"] if "query" in item else None,
        answer=_answer(item["answer"]["S"]),
        answer_status=int(item["answer_status"]["N"]),
    )


def _answer(text: str) -> JsonValue:
    try:
        document: JsonValue = json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        return text or None
    return document


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not valid JSON")


def _payload_bytes(entry: TimelineEvent) -> int:
    """Return the size of an entry in Lambda's response, where the JSON text is a string in another JSON document."""
    return len(json.dumps(json.dumps(entry.model_dump(mode="json", by_alias=True))))
