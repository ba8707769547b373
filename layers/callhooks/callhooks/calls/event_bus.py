"""The event bus, which carries each event with its call to subscribers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from callhooks.calls.call import Call, Moment
from callhooks.events.call_event import CallEvent, Detail, Kind
from callhooks.events.event_item import EVENT_PREFIX

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

SOURCE_PREFIX = "callhooks."
MAX_REQUEST_BYTES = 256 * 1024 - 1
MAX_ENTRIES = 10
MAX_DETAIL_BYTES = 200 * 1024
"""Targets may also be limited to 256 KB, and EventBridge adds members."""
PAUSES = (0.2, 0.8, 3.2)
"""Seconds before each retry of refused entries."""

_TRANSIENT_CODES = frozenset({"ThrottlingException", "InternalException", "InternalFailure", "ServiceUnavailable"})
_TIME_BYTES = 14
_FIRST_LIMIT = 32 * 1024
_LAST_LIMIT = 64

logger = Logger(child=True)


class BusEvent(BaseModel):
    """An event in the common vocabulary, as sent to subscribers."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    provider: str
    call_id: str | None
    kind: Kind
    name: str
    status: str | None
    direction: str | None
    from_: str | None = Field(alias="from")
    to: str | None
    occurred_at: Moment
    received_at: Moment
    details: Mapping[str, Detail]


@dataclass(frozen=True, slots=True)
class BusEntry:
    """An entry of a PutEvents request; `pk` and `sk` are the event's key in the table."""

    pk: str
    sk: str
    request: PutEventsRequestEntryTypeDef

    @property
    def size(self) -> int:
        """Return the size in bytes as EventBridge counts it."""
        texts = (self.request["Source"], self.request["DetailType"], self.request["Detail"])
        return _TIME_BYTES + sum(len(text.encode("utf-8")) for text in texts)


def detail_of(event: CallEvent, call: Call | None, *, pk: str, sk: str) -> str:
    """Return the detail of an event on the bus, as JSON of at most 200 KB in UTF-8.

    A larger detail is marked as `truncated`, and its longest strings, lists and maps are cut.
    """
    normalised = BusEvent(
        provider=event.provider,
        call_id=event.call_id,
        kind=event.kind,
        name=event.name,
        status=event.status,
        direction=event.direction,
        from_=event.from_,
        to=event.to,
        occurred_at=event.occurred_at,
        received_at=event.received_at,
        details=event.details,
    )
    parts: dict[str, JsonValue] = {
        "event": normalised.model_dump(mode="json", by_alias=True),
        "call": None if call is None else call.model_dump(mode="json", by_alias=True),
    }
    head: dict[str, JsonValue] = {"id": f"{pk}/{sk.removeprefix(EVENT_PREFIX)}"}
    detail = _json(head | parts)
    limit = _FIRST_LIMIT
    while len(detail.encode("utf-8")) > MAX_DETAIL_BYTES and limit >= _LAST_LIMIT:
        detail = _json({**head, **{name: _cut(part, limit) for name, part in parts.items()}, "truncated": True})
        limit //= 2
    return detail


def _cut(value: JsonValue, limit: int) -> JsonValue:
    """Return the value with each text, name, list and map cut to this length."""
    if isinstance(value, str):
        return value[:limit]
    if isinstance(value, list):
        return [_cut(entry, limit) for entry in value[:limit]]
    if isinstance(value, dict):
        return {name[:limit]: _cut(member, limit) for name, member in list(value.items())[:limit]}
    return value


def _json(document: Mapping[str, JsonValue]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def bus_entry(event: CallEvent, call: Call | None, *, pk: str, sk: str) -> BusEntry:
    """Return the bus entry of an event and its call; `call` is `None` for an event without a call."""
    return BusEntry(
        pk,
        sk,
        {
            "Source": f"{SOURCE_PREFIX}{event.provider}",
            "DetailType": event.kind.value,
            "Time": event.occurred_at,
            "Detail": detail_of(event, call, pk=pk, sk=sk),
        },
    )


_Group: TypeAlias = Sequence[BusEntry]


def log_refused(codes: Mapping[str, int]) -> None:
    """Log how many entries were refused, by error code."""
    logger.warning("refused by the bus", extra={"entries_by_code": dict(codes)})


class EventBus:
    """Publishes entries to an EventBridge bus.

    Args:
        client: an EventBridge client.
        name: the bus's name or ARN.
        sleep: waits for a number of seconds.
        on_refused: called after each request with refused entries: their number by error code.
    """

    def __init__(
        self,
        client: EventBridgeClient,
        name: str,
        *,
        sleep: Callable[[float], None],
        on_refused: Callable[[Mapping[str, int]], None] = log_refused,
    ) -> None:
        self._client = client
        self._name = name
        self._sleep = sleep
        self._on_refused = on_refused

    def publish(self, entries: Iterable[BusEntry], *, has_time: Callable[[], bool]) -> tuple[BusEntry, ...]:
        """Publish all entries, and return the entries that the bus refused.

        Refused entries are retried after growing pauses while there is time.
        """
        pending = self._send_all(_groups(entries), has_time)
        for pause in PAUSES:
            if not pending or not has_time():
                break
            self._sleep(pause)
            pending = self._send_all(pending, has_time)
        return tuple(entry for group in pending for entry in group)

    def _send_all(self, groups: Iterable[_Group], has_time: Callable[[], bool]) -> list[_Group]:
        return [refused for group in groups for refused in (self._send(group) if has_time() else [group])]

    def _send(self, group: _Group) -> list[_Group]:
        """Send one request, and return the groups to retry."""
        try:
            reply = self._client.put_events(Entries=[{**entry.request, "EventBusName": self._name} for entry in group])
        except ClientError as error:
            code = error.response["Error"]["Code"]
            self._on_refused({code: len(group)})
            # If one entry makes EventBridge refuse the request, the others must still be sent.
            return [[entry] for entry in group] if code not in _TRANSIENT_CODES else [group]
        except BotoCoreError as error:
            self._on_refused({type(error).__name__: len(group)})
            return [group]
        if not reply["FailedEntryCount"]:
            return []
        codes = [result.get("ErrorCode") for result in reply["Entries"]]
        self._on_refused(Counter(code for code in codes if code))
        return [[entry for entry, code in zip(group, codes, strict=True) if code]]


def _groups(entries: Iterable[BusEntry]) -> Iterator[_Group]:
    """Yield the entries in as few requests as the limits of PutEvents allow."""
    group: list[BusEntry] = []
    room = MAX_REQUEST_BYTES
    for entry in entries:
        size = entry.size
        if group and (len(group) == MAX_ENTRIES or size > room):
            yield group
            group, room = [], MAX_REQUEST_BYTES
        group.append(entry)
        room -= size
    if group:
        yield group
