"""Calls for the page: recordings as the functions store them, and a day of generated calls."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from types import MappingProxyType
from typing import Any

from callhooks.calls.call import Call, CallSummary, Outcome, position
from callhooks.events.call_event import CallEvent, Detail, Kind, utc_text
from callhooks.events.event_item import Item, body_of_item, event_of_item, partition_key
from callhooks.providers.jambonz.action import ActionWebhook
from callhooks.providers.jambonz.authentication import DEFAULT_SIGNATURE_HEADER
from callhooks.providers.jambonz.events import EventWebhook
from callhooks.providers.jambonz.new_call import NewCallWebhook
from callhooks.providers.jambonz.plan.loader import read_plan
from callhooks.providers.jambonz.plan.plan import Plan
from callhooks.webhooks.pipeline import Receiver
from callhooks_tools.providers.jambonz.plan.builder import read_plan_file

from tests.calls import fold
from tests.senders import SENDERS, document_of
from tests.support import (
    PUBLIC_URL,
    ROOT,
    Clock,
    FakeDynamoDB,
    FakeQueue,
    FakeSecrets,
    body_of,
    credential_store,
    get_writer_of,
    recorded,
    signed_event,
)

DAY = datetime(2026, 11, 21, tzinfo=UTC)
RECORDED_AT = "2026-11-21{}06:30:"
DIALLED_LEG = "7bb8d1d6-8d5c-4c53-8b0b-2dd7ab9e5a43"
ANSWERED_CALL = "d2515c3b-b79a-41a2-971a-445e769c823c"


@dataclass(frozen=True)
class StoredEvent:
    """Event in the table, with its raw body and the response to it."""

    event: CallEvent
    body: str | None = "{}"
    answer: object = field(default_factory=lambda: {"status": "stored"})
    query: str | None = None

    @classmethod
    def of_item(cls, item: Item) -> StoredEvent:
        query = item["query"]["S"] if "query" in item else None
        return cls(event_of_item(item), body_of_item(item).decode(), json.loads(item["answer"]["S"]), query)

    @property
    def entry(self) -> dict[str, Any]:
        """Return the event as a `TimelineEvent` of the API."""
        event = self.event
        return {
            "key": event.dedupe_key,
            "kind": event.kind.value,
            "name": event.name,
            "status": event.status,
            "direction": event.direction,
            "from": event.from_,
            "to": event.to,
            "occurred_at": utc_text(event.occurred_at),
            "received_at": utc_text(event.received_at),
            "details": {name: str(one) if isinstance(one, Decimal) else one for name, one in event.details.items()},
            "body": self.body,
            "body_is_base64": False,
            "query": self.query,
            "answer": self.answer,
            "answer_status": 200,
        }


@dataclass(frozen=True)
class StoredCall:
    """Call made of stored events."""

    events: tuple[StoredEvent, ...]

    @property
    def call(self) -> Call:
        return fold(stored.event for stored in self.events)

    @property
    def path(self) -> str:
        call = self.call
        return "/calls/" + partition_key(call.provider, call.call_id).replace("#", "/", 1)

    @property
    def summary(self) -> dict[str, Any]:
        call = self.call.model_dump(mode="json", by_alias=True)
        members = [field.alias or name for name, field in CallSummary.model_fields.items()]
        return {**{name: call[name] for name in members}, "path": self.path}

    @property
    def document(self) -> dict[str, Any]:
        """Return the API's response for the call, without its legs."""
        timeline = sorted(self.events, key=lambda stored: position(stored.event))
        call = {**self.call.model_dump(mode="json", by_alias=True), "path": self.path}
        return {"call": call, "timeline": [stored.entry for stored in timeline], "legs": [], "omitted_events": 0}

    def with_event(self, *more: StoredEvent) -> StoredCall:
        return StoredCall((*self.events, *more))


def call_of(stored: Iterable[StoredEvent]) -> StoredCall:
    return StoredCall(tuple(stored))


def recorded_call(
    provider: str, names: Sequence[str], *, at: str = "06:30", changes: Mapping[str, str] = MappingProxyType({})
) -> StoredCall:
    """Return recordings of Wavix, Bird or VoIPstudio as their function stores them; `at` is the time of the call."""
    sender = SENDERS[provider]()
    for name in names:
        text = json.dumps(document_of(provider, name))
        shift = {RECORDED_AT.format(between): f"2026-11-21{between}{at}:" for between in ("T", " ")}
        for old, new in {**shift, **changes}.items():
            text = text.replace(old, new)
        sender.clock.advance(1)
        assert sender.send(text).statusCode == 200
    return call_of(StoredEvent.of_item(item) for item in sender.items)


WAVIX = (
    "call_setup", "ringing", "early_media", "answered", "on_call_event_audio_started", "on_call_event_audio_completed",
    "on_call_event_collect_started", "on_call_event_collect_completed", "completed",
)  # fmt: skip
BIRD = ("voice_inbound_starting", "voice_inbound_ringing", "voice_inbound_ongoing", "voice_inbound_completed")
VOIPSTUDIO = (
    "call_initial", "call_ringing", "call_connected", "call_dtmf", "call_hold", "call_unhold", "call_hangup",
    "queue_wrapup_start", "queue_wrapup_end",
)  # fmt: skip


@cache
def default_plan() -> Plan:
    return read_plan(read_plan_file(ROOT / "layers" / "call_plan" / "call_plan.yaml"))


def jambonz_calls(at: datetime, *, caller_name: str = '"Jane Doe"', until: float = 99) -> dict[str, StoredCall]:
    """Return a recorded call through the default plan's menu and the leg that it dialled, up to `until` seconds.

    Returns:
        The calls by their call SIDs.
    """
    database, clock = FakeDynamoDB(), Clock()
    plan = default_plan()
    webhooks: Mapping[str, Any] = {
        "new": NewCallWebhook(plan, signature_header=DEFAULT_SIGNATURE_HEADER, public_url=PUBLIC_URL),
        "action": ActionWebhook(
            plan, load_initial_webhook=lambda _: None, signature_header=DEFAULT_SIGNATURE_HEADER, public_url=PUBLIC_URL
        ),
        "event": EventWebhook(signature_header=DEFAULT_SIGNATURE_HEADER),
    }
    receivers = {
        name: Receiver(
            webhook,
            credentials=credential_store(FakeSecrets(), clock),
            get_writer=get_writer_of(database, FakeQueue()),
            clock=clock,
            retention_days=90,
        )
        for name, webhook in webhooks.items()
    }
    script: Sequence[tuple[float, str, str, Mapping[str, str]]] = (
        (0.0, "new", "new_call", {"to": "+14155550150", "caller_name": caller_name}),
        (0.42, "event", "call_status_inbound_in_progress", {}),
        (7.3, "action", "action_gather_digits", {}),
        (10.1, "event", "call_status_dial_leg_trying", {}),
        (10.9, "event", "call_status_dial_leg_ringing", {}),
        (11.2, "event", "call_status_dial_leg_early_media", {}),
        (15.6, "event", "call_status_dial_leg_in_progress", {}),
        (24.0, "event", "sip_request_hold", {}),
        (31.5, "event", "sip_request_unhold", {}),
        (187.8, "event", "call_status_dial_leg_completed", {}),
        (188.0, "action", "action_dial_completed", {}),
        (188.3, "event", "call_status_inbound_completed", {}),
    )
    for seconds, receiver, name, changes in script:
        if seconds > until and until != 99:
            continue
        clock.now = at + timedelta(seconds=seconds)
        body = {**body_of(name), **changes}
        event = recorded(name)
        signed = signed_event(body, now=clock.now, path=event["rawPath"], query=event["rawQueryString"])
        context = {**signed["requestContext"], "requestId": f"request-{seconds}"}
        parameters = event.get("pathParameters", {})
        answer = receivers[receiver].receive({**signed, "requestContext": context, "pathParameters": parameters})
        assert answer["statusCode"] == 200, answer
    stored = [StoredEvent.of_item(item) for item in database.items.values()]
    sids = {one.event.call_id or "" for one in stored}
    return {sid: call_of(one for one in stored if one.event.call_id == sid) for sid in sids}


def event(
    kind: Kind,
    at: datetime,
    details: Mapping[str, Detail] = MappingProxyType({}),
    *,
    provider: str = "wavix",
    call_id: str = "a-call",
    direction: str = "inbound",
    from_: str | None = "+12125550187",
    to: str | None = "+14155550123",
    name: str = "",
    status: str | None = None,
) -> CallEvent:
    return CallEvent(
        provider=provider,
        call_id=call_id,
        dedupe_key=f"{kind.value}-{at.isoformat()}",
        kind=kind,
        name=name or kind.value,
        received_at=at + timedelta(milliseconds=180),
        sent_at=at,
        status=status,
        direction=direction,
        from_=from_,
        to=to,
        details=details,
    )


RING_GROUP = ("+14155550100", "+14155550101", "+14155550102")


def ring_group(at: datetime, *, answered: bool = True, until: float = 999) -> list[StoredCall]:
    """Return a jambonz call that rings three phones: one answers (or none), one is busy, one loses.

    jambonz does not report the end of a leg that lost, or whose caller hung up. Times are whole seconds.

    Returns:
        The call, then its legs.
    """
    parent: dict[str, Any] = {"provider": "jambonz", "call_id": "group", "to": "+14155550150"}
    legs: list[dict[str, Any]] = [
        {"provider": "jambonz", "call_id": f"group-{n}", "direction": "outbound", "from_": "+12125550187", "to": number}
        for n, number in enumerate(RING_GROUP)
    ]
    dial = [{"verb": "say", "text": "We are connecting you to sales."},
            {"verb": "dial", "target": [{"type": "phone", "number": number} for number in RING_GROUP]}]  # fmt: skip
    steps: list[tuple[float, Kind, dict[str, Any], Mapping[str, Detail], object]] = [
        (0, Kind.INITIATED, parent, {"caller_name": '"Jane Doe"', "flow": "sales"}, dial),
        (1, Kind.ANSWERED, parent, {}, []),
    ]
    for leg in legs:
        steps.append((4, Kind.INITIATED, leg, {"parent_call_sid": "group"}, []))
        steps.append((6, Kind.RINGING, leg, {}, []))
    steps.append((9, Kind.BUSY, legs[2], {"sip_status": 486, "sip_reason": "Busy Here"}, []))
    if answered:
        steps += [
            (19, Kind.ANSWERED, legs[0], {}, []),
            (101, Kind.COMPLETED, legs[0], {"call_termination_by": "caller"}, []),
            (101, Kind.VERB, parent, {"dial_call_status": "completed", "flow": "sales"}, [{"verb": "hangup"}]),
        ]
    steps.append((102 if answered else 24, Kind.COMPLETED, parent, {"call_termination_by": "caller"}, []))
    stored = [
        StoredEvent(event(kind, at + timedelta(seconds=seconds), details, **call), answer=answer)
        for seconds, kind, call, details, answer in steps
        if seconds <= until
    ]
    return [call_of(one for one in stored if one.event.call_id == call["call_id"]) for call in (parent, *legs)]


_ENDS: Mapping[Outcome, tuple[Kind, Mapping[str, Detail]]] = {
    Outcome.ANSWERED: (Kind.COMPLETED, {}),
    Outcome.MISSED: (Kind.MISSED, {"reason": "No Answer"}),
    Outcome.NO_ANSWER: (Kind.NO_ANSWER, {"cause_code": 19, "sip_status": 480}),
    Outcome.BUSY: (Kind.BUSY, {"cause_code": 17, "sip_status": 486}),
    Outcome.REJECTED: (Kind.REJECTED, {"cause_code": 21, "sip_status": 603}),
    Outcome.CANCELLED: (Kind.CANCELLED, {"sip_status": 487}),
    Outcome.FAILED: (Kind.FAILED, {"cause_code": 38, "sip_status": 503, "reason": "Network out of order"}),
}  # fmt: skip


def made_call(
    number: int,
    at: datetime,
    outcome: Outcome | None,
    *,
    provider: str = "wavix",
    direction: str = "inbound",
    ring: float = 6,
    talk: float = 90,
    **parties: Any,
) -> StoredCall:
    """Return a generated call with an outcome; without one, the call is answered and still under way."""
    members: dict[str, Any] = {"provider": provider, "direction": direction, "call_id": f"made-{number:04}", **parties}
    if outcome is Outcome.MISSED:
        members["provider"] = "voipstudio"
    events = [event(Kind.INITIATED, at, **members), event(Kind.RINGING, at + timedelta(seconds=0.6), **members)]
    end = at + timedelta(seconds=ring)
    if outcome in (Outcome.ANSWERED, None):
        events.append(event(Kind.ANSWERED, end, **members))
        end += timedelta(seconds=talk)
    if outcome is not None:
        kind, details = _ENDS[outcome]
        events.append(event(kind, end, details, **members))
    return call_of(StoredEvent(one, json.dumps({"event": one.name, "call": one.call_id})) for one in events)


def day_of_calls(count: int = 200, *, until: datetime, seed: int = 7) -> list[StoredCall]:
    """Return generated calls of all providers with every outcome, distributed like a working day."""
    chance = random.Random(seed)  # noqa: S311
    outcomes = list(Outcome)
    hours = [0, 0, 0, 0, 1, 2, 4, 9, 16, 20, 22, 18, 12, 17, 21, 20, 18, 12, 6, 4, 2, 1, 1, 0]
    calls = []
    for number in range(count):
        at = until
        while at >= until:
            (hour,) = chance.choices(range(24), hours)
            at = DAY + timedelta(hours=hour, seconds=chance.random() * 3600)
        (outcome,) = chance.choices(outcomes, [70, 4, 9, 6, 3, 5, 3])
        direction = chance.choice(["inbound", "inbound", "inbound", "outbound"])
        customer = f"+1{chance.choice((212, 415, 646))}555{chance.randrange(100, 200):04}"
        ours = chance.choice(["+14155550123", "+14155550150", "+442079460123"])
        from_, to = (customer, ours) if direction == "inbound" else (ours, customer)
        calls.append(
            made_call(
                number,
                at,
                outcome,
                provider=chance.choice(["jambonz", "jambonz", "wavix", "bird", "voipstudio"]),
                direction=direction,
                ring=chance.uniform(2, 28),
                talk=chance.lognormvariate(4.6, 1),
                from_=from_,
                to=to,
            )
        )
    return calls


def renamed(call: StoredCall, call_id: str, **changes: Any) -> StoredCall:
    """Return the same call with another id."""
    return StoredCall(
        tuple(replace(stored, event=replace(stored.event, call_id=call_id, **changes)) for stored in call.events)
    )
