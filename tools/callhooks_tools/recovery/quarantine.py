"""Quarantine as its operator sees it: what lies there, and what it becomes when the code of this clone reads it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from botocore.exceptions import ClientError
from callhooks.events.call_event import CallEvent, Ignored
from callhooks.events.event_item import QUARANTINE, Item, answer_of, body_of_item, event_item
from callhooks.events.event_table import EventStore
from callhooks.providers import bird, voipstudio, wavix
from callhooks.providers.bird import SubscriptionFilter
from callhooks.providers.jambonz import action, client_auth, events, new_call, tool_hook
from callhooks.providers.jambonz.authentication import unverified_time
from callhooks.providers.jambonz.sip_clients import Client
from callhooks.runtime.errors import HttpProblem, describe_exception, is_refused_for_good
from callhooks.runtime.http import Request, Response, Sender

from callhooks_tools.recovery.workers import at_once
from callhooks_tools.stack.stack import Provider

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SHORTEST_HASH = 8

MessageT = TypeVar("MessageT")
Reading: TypeAlias = Callable[[Request, Response, datetime], CallEvent | Ignored]
"""What a delivery tells, by its request, the answer that it was given, and when it was received.

Raises whatever parsing and normalising raise: `HttpProblem` for what is not understood.
"""

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

    def find(self, providers: Iterable[Provider], days: Sequence[str]) -> list[QuarantinedDelivery]:
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
        shown = shortest([item["sk"] for item in items], at_least=max(SHORTEST_HASH, len(start)))
        return [QuarantinedDelivery(name=f"{provider}/{day}/{shown[item['sk']]}", **item) for item in items]


def shortest(hashes: Iterable[str], *, at_least: int) -> Mapping[str, str]:
    """As much of each hash as tells it from all others."""
    found: dict[str, str] = {}
    for start, alike in groupby(sorted(hashes), lambda one: one[:at_least]):
        same = list(alike)
        found |= {same[0]: start} if len(same) == 1 else shortest(same, at_least=at_least + 1)
    return found


def readings(*, signature_header: str, wanted: SubscriptionFilter) -> Mapping[str, Reading]:
    """How each webhook reads its deliveries, by the path of its route.

    What a webhook decides, it has decided when the delivery came: no client is checked here, and no tool is run.

    Args:
        signature_header: the name of the header with jambonz's signature, which earlier versions have kept.
        wanted: the events of Bird that are kept.
    """
    jambonz_event = _jambonz(events.parse_event, events.normalise, signature_header)
    of_bird = _reading(
        bird.parse_event, lambda event, request, now: bird.normalise(event, _sent_by_bird(request), now, wanted=wanted)
    )
    of_wavix = _reading(wavix.parse_event, wavix.normalise)
    of_voipstudio = _reading(voipstudio.parse_event, voipstudio.normalise)
    return {
        "/webhooks/call": _jambonz(new_call.parse_call_hook, new_call.normalise, signature_header),
        "/webhooks/call/flows/{flow}/{step}": _jambonz(action.parse_action_hook, action.normalise, signature_header),
        "/webhooks/call/events": jambonz_event,
        "/adulting": jambonz_event,
        "/streaming-event": jambonz_event,
        "/tokens-result": jambonz_event,
        "/webhooks/client-auth": _client_auth(signature_header),
        "/webhooks/tool/{vendor}": _jambonz(tool_hook.parse_tool_hook, tool_hook.normalise, signature_header),
        "/webhooks/wavix": of_wavix,
        "/webhooks/wavix/{token}": of_wavix,
        "/webhooks/bird": of_bird,
        "/webhooks/bird/{channel_id}": of_bird,
        "/webhooks/voipstudio": of_voipstudio,
        "/webhooks/voipstudio/{token}": of_voipstudio,
    }


def read_again(item: Item, how: Mapping[str, Reading]) -> Item | Ignored:
    """The item of the event that a delivery in quarantine is understood as now.

    It is received when the delivery was, answered as that was, and kept as long as that would have been.

    Raises:
        StillNotUnderstood: with the reason.
    """
    try:
        request, answer = request_of(item), answer_of(item)
        event = _reading_of(request.route, how)(request, answer, datetime.fromisoformat(item["received_at"]["S"]))
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


def keep_event(store: EventStore, made: Item) -> bool:
    """Store an event; `False` where it is there already.

    Raises:
        StillNotUnderstood: the database will never take it.
        ClientError, BotoCoreError: the write failed.
    """
    try:
        return store.put(made)
    except ClientError as error:
        if is_refused_for_good(error):
            raise StillNotUnderstood("The database refuses it.") from None
        raise


def request_of(item: Item) -> Request:
    """The request that a delivery in quarantine was, without what proved its sender.

    Raises:
        KeyError, ValueError: it is no such item.
        StillNotUnderstood: an earlier version has kept too little of it.
    """
    route = _text(item, "route")
    if _text(item, "provider") == Provider.JAMBONZ and "path" not in item:
        # Hooks are told apart by their path and their signature.
        raise StillNotUnderstood("An earlier version has kept it without its path and its signature.")
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


def _reading_of(route: str, how: Mapping[str, Reading]) -> Reading:
    reading = how.get(route.partition(" ")[2])
    if reading is None:
        raise StillNotUnderstood("No webhook has its route.")
    return reading


def _reading(
    parse: Callable[[Request], MessageT],
    normalise: Callable[[MessageT, Request, datetime], CallEvent | Ignored],
) -> Reading:
    return lambda request, _answer, received_at: normalise(parse(request), request, received_at)


def _jambonz(
    parse: Callable[[Request], MessageT],
    normalise: Callable[[MessageT, Request, datetime], CallEvent],
    signature_header: str,
) -> Reading:
    def read(request: Request, _answer: Response, received_at: datetime) -> CallEvent:
        request = _sent_by_jambonz(request, received_at, signature_header)
        return normalise(parse(request), request, received_at)

    return read


def _sent_by_jambonz(request: Request, received_at: datetime, signature_header: str) -> Request:
    """Return the request with the sender that an earlier version has kept as the header alone.

    That version took the call from the URL of a verified sender as it was.
    """
    header = request.header(signature_header)
    if header is None:
        return request
    call_id = dict(request.query).get("call")
    return request._replace(sender=Sender(unverified_time(header, received_at), header, call_id))


def _sent_by_bird(request: Request) -> Request:
    """Return the request with the time that an earlier version has kept as the header alone."""
    return request if request.sender.mark else request._replace(sender=Sender(bird.sent_at(request)))


def _client_auth(signature_header: str) -> Reading:
    def read(request: Request, answer: Response, received_at: datetime) -> CallEvent:
        request = _sent_by_jambonz(request, received_at, signature_header)
        auth = client_auth.parse_client_auth(request)
        # Whom nobody has checked was refused; the answer tells the one case in which somebody was let in.
        if json.loads(answer.body)["status"] == "ok":
            auth = replace(auth, outcome=Client(auth.attempt.username, auth.attempt.realm, ha1=""))
        return client_auth.normalise(auth, request, received_at)

    return read


def _text(item: Item, name: str) -> str:
    return item[name]["S"] if name in item else ""


def _texts(item: Item, name: str) -> dict[str, str]:
    members: Mapping[str, object] = item[name]["M"] if name in item else {}
    return {member: value["S"] for member, value in members.items() if isinstance(value, dict)}
