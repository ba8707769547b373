"""The event bus: every event with the call that it belongs to, for whoever subscribes."""

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
"""A target may take no more than the 256 KB either, and EventBridge adds members of its own."""
PAUSES = (0.2, 0.8, 3.2)
"""Seconds before what was refused is sent again."""

_PASSING = frozenset({"ThrottlingException", "InternalException", "InternalFailure", "ServiceUnavailable"})
_BYTES_OF_TIME = 14
_FIRST_CUT = 32 * 1024
_LAST_CUT = 64

logger = Logger(child=True)


class BusEvent(BaseModel):
    """One delivery of a provider, normalised, as subscribers get it."""

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
    """An event as EventBridge takes it; `pk` and `sk` are its key in the table."""

    pk: str
    sk: str
    request: PutEventsRequestEntryTypeDef

    @property
    def size(self) -> int:
        """The bytes that EventBridge counts for it."""
        texts = (self.request["Source"], self.request["DetailType"], self.request["Detail"])
        return _BYTES_OF_TIME + sum(len(text.encode("utf-8")) for text in texts)


def detail_of(event: CallEvent, call: Call | None, *, pk: str, sk: str) -> str:
    """The detail of an event on the bus, as JSON of at most 200 KB in UTF-8.

    What would be larger has its longest texts cut, and if need be its longest lists and maps, and says so: it is
    marked as `truncated`.
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
    told: dict[str, JsonValue] = {
        "event": normalised.model_dump(mode="json", by_alias=True),
        "call": None if call is None else call.model_dump(mode="json", by_alias=True),
    }
    head: dict[str, JsonValue] = {"id": f"{pk}/{sk.removeprefix(EVENT_PREFIX)}"}
    detail = _json(head | told)
    longest = _FIRST_CUT
    while len(detail.encode("utf-8")) > MAX_DETAIL_BYTES and longest >= _LAST_CUT:
        detail = _json({**head, **{name: _cut(part, longest) for name, part in told.items()}, "truncated": True})
        longest //= 2
    return detail


def _cut(value: JsonValue, longest: int) -> JsonValue:
    """The value with no text, name, list or map in it longer than this."""
    if isinstance(value, str):
        return value[:longest]
    if isinstance(value, list):
        return [_cut(entry, longest) for entry in value[:longest]]
    if isinstance(value, dict):
        return {name[:longest]: _cut(member, longest) for name, member in list(value.items())[:longest]}
    return value


def _json(document: Mapping[str, JsonValue]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def bus_entry(event: CallEvent, call: Call | None, *, pk: str, sk: str) -> BusEntry:
    """An event with its folded call; `call` is `None` for what belongs to no call."""
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
    """Puts entries onto an EventBridge bus.

    Args:
        client: EventBridge's.
        name: the bus's name or ARN.
        sleep: waits so many seconds.
        tell_refused: is told of each request that was not taken whole: how many entries were refused, by error code.
    """

    def __init__(
        self,
        client: EventBridgeClient,
        name: str,
        *,
        sleep: Callable[[float], None],
        tell_refused: Callable[[Mapping[str, int]], None] = log_refused,
    ) -> None:
        self._client = client
        self._name = name
        self._sleep = sleep
        self._tell_refused = tell_refused

    def publish(self, entries: Iterable[BusEntry], *, has_time: Callable[[], bool]) -> tuple[BusEntry, ...]:
        """Publish each entry, and return those that the bus has not taken.

        What is refused is sent again after growing pauses, as long as there is time.
        """
        waiting = self._send_all(_groups(entries), has_time)
        for pause in PAUSES:
            if not waiting or not has_time():
                break
            self._sleep(pause)
            waiting = self._send_all(waiting, has_time)
        return tuple(entry for group in waiting for entry in group)

    def _send_all(self, groups: Iterable[_Group], has_time: Callable[[], bool]) -> list[_Group]:
        return [refused for group in groups for refused in (self._send(group) if has_time() else [group])]

    def _send(self, group: _Group) -> list[_Group]:
        """Send one request, and return what it takes to send again."""
        try:
            reply = self._client.put_events(Entries=[{**entry.request, "EventBusName": self._name} for entry in group])
        except ClientError as error:
            code = error.response["Error"]["Code"]
            self._tell_refused({code: len(group)})
            # One entry that makes EventBridge refuse the request must not take the others along.
            return [[entry] for entry in group] if code not in _PASSING else [group]
        except BotoCoreError as error:
            self._tell_refused({type(error).__name__: len(group)})
            return [group]
        if not reply["FailedEntryCount"]:
            return []
        codes = [told.get("ErrorCode") for told in reply["Entries"]]
        self._tell_refused(Counter(code for code in codes if code))
        return [[entry for entry, code in zip(group, codes, strict=True) if code]]


def _groups(entries: Iterable[BusEntry]) -> Iterator[_Group]:
    """As few requests as hold the entries, each within the limits of PutEvents."""
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
