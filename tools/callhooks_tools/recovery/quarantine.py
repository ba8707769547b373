"""Quarantine as its operator sees it: what lies there, and what it becomes when the code of this clone reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError
from callhooks.events.call_event import Ignored
from callhooks.events.event_item import QUARANTINE, Item, answer_of, body_of_item, event_item
from callhooks.events.event_table import EventStore
from callhooks.providers.description import Parameters, Quarantined, Route
from callhooks.providers.registry import find_provider
from callhooks.runtime.errors import HttpProblem, describe_exception, is_permanent_rejection
from callhooks.runtime.http import Request, Sender

from callhooks_tools.recovery.workers import at_once

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MIN_HASH_LENGTH = 8

_LISTED = ("pk", "sk", "received_at", "route", "reason")


class StillNotUnderstood(Exception):
    """A delivery has to stay in quarantine; says why, without anything that was sent."""


@dataclass(frozen=True, slots=True)
class QuarantinedDelivery:
    """A delivery in quarantine as it is listed; `name` is as much of its key as tells it from the others."""

    name: str
    pk: str
    sk: str
    received_at: str
    route: str
    reason: str

    @property
    def key(self) -> Item:
        """Its key in the table."""
        return {"pk": {"S": self.pk}, "sk": {"S": self.sk}}


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The deliveries in quarantine. Every method raises what botocore raises."""

    client: DynamoDBClient
    table_name: str

    def find(self, providers: Iterable[str], days: Sequence[str]) -> list[QuarantinedDelivery]:
        """What the providers have sent on some days (`YYYY-MM-DD`), the newest first."""
        keys = [(provider, day) for provider in providers for day in days]
        kept = [one for found in at_once(lambda key: self._of_day(*key), keys) for one in found]
        return sorted(kept, key=lambda one: one.received_at, reverse=True)

    def named(self, name: str) -> list[QuarantinedDelivery]:
        """All that a name may mean: `<provider>/<day>/<first characters of the hash>`."""
        provider, _, rest = name.partition("/")
        day, _, start = rest.partition("/")
        return self._of_day(provider, day, start)

    def read(self, kept: QuarantinedDelivery) -> Item | None:
        """All that is kept of a delivery; `None` where it is there no more."""
        return self.client.get_item(TableName=self.table_name, Key=kept.key, ConsistentRead=True).get("Item")

    def remove(self, kept: QuarantinedDelivery) -> None:
        """Take a delivery out."""
        self.client.delete_item(TableName=self.table_name, Key=kept.key)

    def _of_day(self, provider: str, day: str, start: str = "") -> list[QuarantinedDelivery]:
        condition, values = "#pk = :pk", {":pk": {"S": f"{QUARANTINE}{provider}#{day}"}}
        if start:
            condition += " AND begins_with(#sk, :start)"
            values[":start"] = {"S": start}
        pages = self.client.get_paginator("query").paginate(
            TableName=self.table_name,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ProjectionExpression=", ".join(f"#{name}" for name in _LISTED),
            ExpressionAttributeNames={f"#{name}": name for name in _LISTED},
            ConsistentRead=True,
        )
        items = [{name: _text(item, name) for name in _LISTED} for page in pages for item in page["Items"]]
        shown = shortest([item["sk"] for item in items], at_least=max(MIN_HASH_LENGTH, len(start)))
        return [QuarantinedDelivery(name=f"{provider}/{day}/{shown[item['sk']]}", **item) for item in items]


def shortest(hashes: Iterable[str], *, at_least: int) -> Mapping[str, str]:
    """As much of each hash as tells it from all others."""
    found: dict[str, str] = {}
    for start, alike in groupby(sorted(hashes), lambda one: one[:at_least]):
        same = list(alike)
        found |= {same[0]: start} if len(same) == 1 else shortest(same, at_least=at_least + 1)
    return found


def read_again(item: Item, parameters: Parameters) -> Item | Ignored:
    """The item of the event that a delivery in quarantine is understood as now, on a stack with these parameters.

    What a webhook decides, it has decided when the delivery came. It is received when the delivery was, answered as
    that was, and kept as long as that would have been.

    Raises:
        StillNotUnderstood: with the reason.
    """
    try:
        request, answer = request_of(item), answer_of(item)
        received_at = datetime.fromisoformat(item["received_at"]["S"])
        event = _route_of(item, request).read(Quarantined(request, answer, received_at, parameters))
        if isinstance(event, Ignored):
            return event
        made = event_item(event, request, answer, retention_days=0)
    except HttpProblem as problem:
        raise StillNotUnderstood(problem.reason) from None
    except StillNotUnderstood:
        raise
    except Exception as error:
        raise StillNotUnderstood(f"It could not be processed: {describe_exception(error)}.") from error
    return {**made, "expires_at": item["expires_at"]} if "expires_at" in item else made


def store_event(store: EventStore, made: Item) -> bool:
    """Store an event; `False` where it is there already.

    Raises:
        StillNotUnderstood: the database will never take it.
        ClientError, BotoCoreError: the write failed.
    """
    try:
        return store.put(made)
    except ClientError as error:
        if is_permanent_rejection(error):
            raise StillNotUnderstood("The database refuses it.") from None
        raise


def request_of(item: Item) -> Request:
    """The request that a delivery in quarantine was, without what proved its sender.

    Raises:
        KeyError, ValueError: it is no such item.
    """
    route = _text(item, "route")
    return Request(
        method=_text(item, "method") or route.partition(" ")[0],
        path=_text(item, "path"),
        raw_query=_text(item, "query"),
        headers=_texts(item, "headers"),
        body=body_of_item(item),
        request_id=_text(item, "request_id"),
        route=route,
        path_parameters=_texts(item, "path_parameters"),
        sender=Sender(
            sent_at=datetime.fromisoformat(item["sent_at"]["S"]) if "sent_at" in item else None,
            mark=_text(item, "sender_mark"),
            call_id=_text(item, "signed_call") or None,
        ),
    )


def _route_of(item: Item, request: Request) -> Route:
    provider = find_provider(_text(item, "provider"))
    route = provider.route_of(request.route.partition(" ")[2]) if provider else None
    if route is None:
        raise StillNotUnderstood("No webhook has its route.")
    return route


def _text(item: Item, name: str) -> str:
    return item[name]["S"] if name in item else ""


def _texts(item: Item, name: str) -> dict[str, str]:
    members: Mapping[str, object] = item[name]["M"] if name in item else {}
    return {member: value["S"] for member, value in members.items() if isinstance(value, dict)}
