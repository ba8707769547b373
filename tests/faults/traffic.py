"""Calls of all four providers before, while and after something is broken, and what must be true of them."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import httpx
from callhooks.events.event_item import body_of_item
from callhooks.runtime.aws_clients import OPEN_SECONDS
from callhooks_tools.stack.recordings import Delivery

from tests.faulty_proxy import Breakage, Fault, FaultyProxy, lead_functions_through
from tests.placed_calls import SEQUENCES, PlacedCall, place, record_of
from tests.running_stack import RunningStack
from tests.stacks import PROVIDERS

SETTLED_WITHIN_SECONDS = 120
JAMBONZ_WAITS_SECONDS = 10.0
SENDERS = 8
SILENT = (Fault.HANG, Fault.UNREACHABLE, Fault.LOSE_REPLY)
"""After these a function asks the database nothing for a while."""
NEW_CALL_PATH = "/webhooks/call"
ValueT = TypeVar("ValueT")


def eventually(look: Callable[[], ValueT], so: Callable[[ValueT], bool] = bool) -> ValueT:
    """What is seen as soon as it is so.

    Raises:
        AssertionError: it never was.
    """
    deadline = time.monotonic() + SETTLED_WITHIN_SECONDS
    while not so(seen := look()):
        assert time.monotonic() < deadline, f"not within {SETTLED_WITHIN_SECONDS} seconds; seen at last: {seen!r}"
        time.sleep(0.1)
    return seen


@dataclass(frozen=True)
class Sent:
    """A delivery and its answer; `seconds` is how long the sender has waited."""

    call: PlacedCall
    delivery: Delivery
    status: int
    text: str
    is_replayed: bool
    seconds: float

    @property
    def body(self) -> bytes:
        return self.delivery.request.body

    @property
    def is_accepted(self) -> bool:
        return 200 <= self.status < 300

    @property
    def waits_for_verbs(self) -> bool:
        """Whether this is a call: jambonz asks what to do next."""
        path = self.delivery.request.path
        return path == NEW_CALL_PATH or path.startswith(f"{NEW_CALL_PATH}/flows/")

    @property
    def verbs(self) -> list[str]:
        return [verb["verb"] for verb in json.loads(self.text)]

    @property
    def answer(self) -> tuple[int, str]:
        return self.status, self.text


@dataclass(frozen=True)
class Usual:
    """How calls are answered, and what their records are, with nothing broken."""

    sent: list[Sent]
    records: list[dict[str, Any]]


@dataclass
class Traffic:
    """Senders of the running stack."""

    running: RunningStack
    proxy: FaultyProxy
    client: httpx.Client = field(init=False)
    _quiet_until: float = 0

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.running.stack.base_url, timeout=30, trust_env=False)

    def place(self, began: datetime | None = None) -> list[PlacedCall]:
        """A call of each provider that was not seen before."""
        return [
            place(self.running, provider, SEQUENCES[provider][0], number, began or a_minute_ago())
            for number, provider in enumerate(PROVIDERS)
        ]

    def place_twins(self) -> tuple[list[PlacedCall], Usual]:
        """Calls to be sent, and what is usual for them: their likes, sent with nothing broken."""
        self.await_database()
        began = a_minute_ago()
        calls, likes = self.place(began), self.place(began)
        sent = self.send(likes)
        assert {one.status for one in sent} == {200}
        return calls, Usual(sent, self.records_of(likes))

    def await_database(self) -> None:
        """Return when every function asks the database again, after it gave them no answer."""
        time.sleep(max(0, self._quiet_until - time.monotonic()))

    @contextmanager
    def outage(self, fault: Fault, what: str, *, every: int = 1, having: str = "") -> Iterator[Breakage]:
        """Break something by the proxy, and remember that functions may ask the database nothing after it."""
        try:
            with self.proxy.broken(fault, what, every=every, having=having) as breakage:
                yield breakage
        finally:
            if fault in SILENT:
                self._quiet_until = time.monotonic() + OPEN_SECONDS

    def send(self, calls: Iterable[PlacedCall]) -> list[Sent]:
        """Send calls side by side, the deliveries of each one after the other."""
        with ThreadPoolExecutor(SENDERS) as pool:
            return [sent for call in pool.map(self._send_call, calls) for sent in call]

    def _send_call(self, call: PlacedCall) -> list[Sent]:
        return [self.post(call, delivery) for delivery in call.deliveries]

    def post(self, call: PlacedCall, delivery: Delivery) -> Sent:
        request, began = delivery.request, time.monotonic()
        reply = self.client.request(
            request.method,
            request.path,
            params=request.query,
            headers=delivery.headers_to_send,
            content=request.body,
        )
        replayed = reply.headers.get("idempotent-replayed") == "true"
        return Sent(call, delivery, reply.status_code, reply.text, replayed, time.monotonic() - began)

    def insist(self, call: PlacedCall, delivery: Delivery) -> Sent:
        """Send a delivery until it is taken, as providers do: a function that starts may get its secrets too late."""
        return eventually(lambda: self.post(call, delivery), lambda sent: sent.is_accepted)

    def warm_up(self) -> None:
        """Have every function started, one after the other."""
        for call in self.place():
            for delivery in call.deliveries:
                self.insist(call, delivery)

    def items_of(self, call: PlacedCall) -> list[dict[str, Any]]:
        """All that the table has of a call: its events, and its own item."""
        reply = self.running.client("dynamodb").query(
            TableName=self.running.stack.events_table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": call.pk}},
            ConsistentRead=True,
        )
        items: list[dict[str, Any]] = reply["Items"]
        return items

    def events_of(self, call: PlacedCall) -> list[dict[str, Any]]:
        return [item for item in self.items_of(call) if item["sk"]["S"] != "call"]

    def records_of(self, calls: Iterable[PlacedCall]) -> list[dict[str, Any]]:
        """The records of calls as soon as all of their events went into them."""
        found = [eventually(partial(self._whole_record, call)) for call in calls]
        return [record_of(item) for item in found if item]

    def _whole_record(self, call: PlacedCall) -> dict[str, Any] | None:
        own = [item for item in self.items_of(call) if item["sk"]["S"] == "call"]
        return next((item for item in own if int(item["event_count"]["N"]) == len(call.deliveries)), None)

    def new_containers(self) -> None:
        """Have every function start anew: none knows a secret or remembers an outage."""
        lead_functions_through(self.running, self.proxy)

    def waiting(self, queue: str) -> int:
        """How many messages a queue of the stack's outputs holds, given out or not."""
        names = [f"ApproximateNumberOfMessages{state}" for state in ("", "Delayed", "NotVisible")]
        reply = self.running.client("sqs").get_queue_attributes(QueueUrl=self.output(queue), AttributeNames=names)
        return sum(int(reply["Attributes"][name]) for name in names)

    def output(self, name: str) -> str:
        """An output of the stack."""
        (stack,) = self.running.client("cloudformation").describe_stacks(StackName=self.running.stack.stack_name)[
            "Stacks"
        ]
        outputs: dict[str, str] = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        return outputs[name]

    def assert_kept_once(self, sent: Sequence[Sent]) -> None:
        """Everything that was sent of these calls is in the table exactly once, with the answer that was accepted."""
        items = [item for call in calls_of(sent) for item in self.events_of(call)]
        assert Counter(body_of_item(item) for item in items) == Counter({one.body for one in sent})
        kept = {body_of_item(item): (int(item["answer_status"]["N"]), item["answer"]["S"]) for item in items}
        assert all(one.answer == kept[one.body] for one in sent if one.is_accepted)

    def assert_repeats_get_the_first_answers(self, sent: Sequence[Sent]) -> None:
        """Whatever is sent again is answered as it was at first, and says so."""
        again = self.send(calls_of(sent))
        assert [one.answer for one in again] == [one.answer for one in sent]
        assert all(one.is_replayed for one in again)


def a_minute_ago() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=60)


def calls_of(sent: Iterable[Sent]) -> list[PlacedCall]:
    """The calls of these deliveries, each once."""
    return list({one.call.pk: one.call for one in sent}.values())


def assert_answered_as(usual: Usual, sent: Sequence[Sent]) -> None:
    """Every sender got what it would have got with nothing broken; calls the same verbs, and at least one."""
    assert {one.status for one in (*sent, *usual.sent)} == {200}
    assert [one.text for one in sent if not one.waits_for_verbs] == [
        one.text for one in usual.sent if not one.waits_for_verbs
    ]
    assert not any(one.is_replayed for one in sent)
    verbs = [one.verbs for one in sent if one.waits_for_verbs]
    assert verbs == [one.verbs for one in usual.sent if one.waits_for_verbs]
    assert all(verbs)
