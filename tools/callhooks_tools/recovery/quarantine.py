"""Deliveries in quarantine: find them, parse them again with the code in this checkout, and store their events."""

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

from callhooks_tools.recovery.workers import map_concurrently

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MIN_HASH_LENGTH = 8

_LISTED = ("pk", "sk", "received_at", "route", "reason")


class StillNotParsed(Exception):
    """A delivery must stay in quarantine; the text has the reason, and no data of the delivery."""


@dataclass(frozen=True, slots=True)
class QuarantinedDelivery:
    """Delivery in quarantine, as listed; `name` is the shortest unique form of its key."""

    name: str
    pk: str
    sk: str
    received_at: str
    route: str
    reason: str

    @property
    def key(self) -> Item:
        """Return its key in the table."""
        return {"pk": {"S": self.pk}, "sk": {"S": self.sk}}


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Deliveries in quarantine. Every method raises the exceptions of botocore."""

    client: DynamoDBClient
    table_name: str

    def find(self, providers: Iterable[str], days: Sequence[str]) -> list[QuarantinedDelivery]:
        """Return the deliveries of providers on certain days (`YYYY-MM-DD`), the newest first."""
        keys = [(provider, day) for provider in providers for day in days]
        deliveries = [one for found in map_concurrently(lambda key: self._of_day(*key), keys) for one in found]
        return sorted(deliveries, key=lambda one: one.received_at, reverse=True)

    def named(self, name: str) -> list[QuarantinedDelivery]:
        """Return all deliveries that match a name: `<provider>/<day>/<first characters of the hash>`."""
        provider, _, rest = name.partition("/")
        day, _, start = rest.partition("/")
        return self._of_day(provider, day, start)

    def read(self, delivery: QuarantinedDelivery) -> Item | None:
        """Return the complete item of a delivery, or `None` if it is gone."""
        return self.client.get_item(TableName=self.table_name, Key=delivery.key, ConsistentRead=True).get("Item")

    def remove(self, delivery: QuarantinedDelivery) -> None:
        """Remove a delivery from quarantine."""
        self.client.delete_item(TableName=self.table_name, Key=delivery.key)

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
        names = short_names([item["sk"] for item in items], min_length=max(MIN_HASH_LENGTH, len(start)))
        return [QuarantinedDelivery(name=f"{provider}/{day}/{names[item['sk']]}", **item) for item in items]


def short_names(hashes: Iterable[str], *, min_length: int) -> Mapping[str, str]:
    """Return the shortest unique prefix of each hash, with at least `min_length` characters."""
    prefixes: dict[str, str] = {}
    for prefix, group in groupby(sorted(hashes), lambda one: one[:min_length]):
        similar = list(group)
        prefixes |= {similar[0]: prefix} if len(similar) == 1 else short_names(similar, min_length=min_length + 1)
    return prefixes


def reparse(item: Item, parameters: Parameters) -> Item | Ignored:
    """Parse a delivery in quarantine on a stack with these parameters, and return the item of its event.

    The event has the delivery's time of receipt, answer and expiry. No decision of the webhook is made again.

    Raises:
        StillNotParsed: the delivery still cannot be processed.
    """
    try:
        request, answer = request_of(item), answer_of(item)
        received_at = datetime.fromisoformat(item["received_at"]["S"])
        event = _route_of(item, request).read(Quarantined(request, answer, received_at, parameters))
        if isinstance(event, Ignored):
            return event
        parsed = event_item(event, request, answer, retention_days=0)
    except HttpProblem as problem:
        raise StillNotParsed(problem.reason) from None
    except StillNotParsed:
        raise
    except Exception as error:
        raise StillNotParsed(f"It could not be processed: {describe_exception(error)}.") from error
    return {**parsed, "expires_at": item["expires_at"]} if "expires_at" in item else parsed


def store_event(store: EventStore, item: Item) -> bool:
    """Store an event; return `False` if it is already stored.

    Raises:
        StillNotParsed: the database permanently rejects it.
        ClientError, BotoCoreError: the write failed.
    """
    try:
        return store.put(item)
    except ClientError as error:
        if is_permanent_rejection(error):
            raise StillNotParsed("The database rejects it.") from None
        raise


def request_of(item: Item) -> Request:
    """Return the request of a delivery in quarantine, without its credentials.

    Raises:
        KeyError, ValueError: the item is not a delivery in quarantine.
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
        raise StillNotParsed("No webhook has this route.")
    return route


def _text(item: Item, name: str) -> str:
    return item[name]["S"] if name in item else ""


def _texts(item: Item, name: str) -> dict[str, str]:
    members: Mapping[str, object] = item[name]["M"] if name in item else {}
    return {member: value["S"] for member, value in members.items() if isinstance(value, dict)}
