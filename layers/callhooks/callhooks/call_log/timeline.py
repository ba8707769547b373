"""A call with everything that was sent and answered: folded from its events at the moment of the question."""

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

BYTES_WITH_BODIES = 4 * 1024 * 1024
BYTES_OF_EVENTS = 5 * 1024 * 1024
"""Lambda hands on 6 MB at most; the rest is for the call itself and its legs."""


class TimelineEvent(BaseModel):
    """One delivery: what it told, as it was sent, and what it was answered."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    key: str = Field(description="What tells the event from the call's others")
    kind: Kind
    name: str = Field(description="The provider's own word for what happened")
    status: str | None
    direction: str | None
    from_: str | None = Field(alias="from")
    to: str | None
    occurred_at: Moment = Field(description="By the provider's clock; without one, when it was received")
    received_at: Moment
    details: Mapping[str, str | bool | int | Decimal] = Field(
        description="What else was understood; a number with decimals is a string"
    )
    body: str | None = Field(description="The raw body, as text or as base64")
    body_is_base64: bool = Field(description="Whether the body is base64, because it is not UTF-8")
    body_omitted: bool = Field(description="Whether the body was left out, because the answer would be too large")
    query: str | None = Field(description="The query of the URL, as it was sent")
    answer: JsonValue = Field(description="What the sender was answered, such as verbs")
    answer_status: int


class FullCall(Call):
    """A call, and where it is."""

    path: str = Field(description="Where it is read; its id, or a hash of it where the id has odd characters")


class CallAnswer(BaseModel):
    """A call, its events in the order in which they happened, and the other calls of its conversation."""

    model_config = ConfigDict(frozen=True)

    call: FullCall
    timeline: tuple[TimelineEvent, ...]
    legs: tuple[ListedCall, ...] = Field(description="The legs of the call; of a leg, its parent and siblings")
    omitted_events: int = Field(
        description="How many events at the end of the timeline were left out, because the answer would be too large"
    )


def call_of(items: Iterable[Item], hints_for: HintsLookup) -> tuple[Call, list[tuple[CallEvent, Item]]]:
    """The call of these items of events, and the events in their order, each with its item.

    Raises:
        ValueError: there is none, or one is no event.
        KeyError: one is no event.
    """
    told = sorted(((event_of_item(item), item) for item in items), key=lambda pair: position(pair[0]))
    if not told:
        raise ValueError("a call has at least one event")
    return fold((event for event, _ in told), hints_for(told[0][0].provider)), told


def call_answer(
    pk: str, call: Call, told: Sequence[tuple[CallEvent, Item]], legs: tuple[ListedCall, ...]
) -> CallAnswer:
    """The answer about a call, no larger than Lambda hands on.

    Bodies are left out from the first one that would make it larger than `BYTES_WITH_BODIES`, events from the first one
    that would make it larger than `BYTES_OF_EVENTS`.
    """
    timeline: list[TimelineEvent] = []
    used, with_bodies = 0, True
    for event, item in told:
        entry = _timeline_event(event, item)
        size = _sent_bytes(entry)
        if not with_bodies or used + size > BYTES_WITH_BODIES:
            with_bodies = False
            entry = entry.model_copy(update={"body": None, "body_is_base64": False, "body_omitted": True})
            size = _sent_bytes(entry)
        if used + size > BYTES_OF_EVENTS:
            break
        used += size
        timeline.append(entry)
    return CallAnswer(
        call=FullCall.model_validate({**call.model_dump(by_alias=True), "path": call_path(pk)}),
        timeline=tuple(timeline),
        legs=legs,
        omitted_events=len(told) - len(timeline),
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
        document: JsonValue = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text or None
    return document


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"JSON has no {constant}")


def _sent_bytes(entry: TimelineEvent) -> int:
    """What an entry takes of Lambda's answer, in which the JSON text is a member of another one."""
    return len(json.dumps(json.dumps(entry.model_dump(mode="json", by_alias=True))))
