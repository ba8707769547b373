"""Calls of all four providers before, during and after a fault, and assertions about them."""

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

from tests.faulty_proxy import Breakage, Fault, FaultyProxy, route_functions_through
from tests.placed_calls import SEQUENCES, PlacedCall, place, record_of
from tests.running_stack import RunningStack
from tests.stacks import PROVIDERS

SETTLED_WITHIN_SECONDS = 120
JAMBONZ_TIMEOUT_SECONDS = 10.0
SENDERS = 8
SILENT = (Fault.HANG, Fault.UNREACHABLE, Fault.LOSE_REPLY)
"""Faults that open the circuit breaker: functions send no requests to the database for a while."""
NEW_CALL_PATH = "/webhooks/call"
ValueT = TypeVar("ValueT")


def eventually(read: Callable[[], ValueT], is_expected: Callable[[ValueT], bool] = bool) -> ValueT:
    """Read until the value is as expected, and return it.

    Raises:
        AssertionError: the time ran out.
    """
    deadline = time.monotonic() + SETTLED_WITHIN_SECONDS
    while not is_expected(value := read()):
        assert time.monotonic() < deadline, f"not within {SETTLED_WITHIN_SECONDS} seconds; last value: {value!r}"
        time.sleep(0.1)
    return value


@dataclass(frozen=True)
class Sent:
    """Delivery and its answer; `seconds` is how long the sender waited."""

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
        """Return whether this is a call hook or an action hook: jambonz waits for verbs."""
        path = self.delivery.request.path
        return path == NEW_CALL_PATH or path.startswith(f"{NEW_CALL_PATH}/flows/")

    @property
    def verbs(self) -> list[str]:
        return [verb["verb"] for verb in json.loads(self.text)]

    @property
    def answer(self) -> tuple[int, str]:
        return self.status, self.text


@dataclass(frozen=True)
class Baseline:
    """Answers and records of calls that were sent with nothing broken."""

    sent: list[Sent]
    records: list[dict[str, Any]]


@dataclass
class Traffic:
    """Senders of the running stack."""

    running: RunningStack
    proxy: FaultyProxy
    client: httpx.Client = field(init=False)
    _circuits_open_until: float = 0

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.running.stack.base_url, timeout=30, trust_env=False)

    def place(self, began: datetime | None = None) -> list[PlacedCall]:
        """Return a new call of each provider."""
        return [
            place(self.running, provider, SEQUENCES[provider][0], number, began or a_minute_ago())
            for number, provider in enumerate(PROVIDERS)
        ]

    def place_twins(self) -> tuple[list[PlacedCall], Baseline]:
        """Return calls to send, and the baseline of their twins, which are sent now with nothing broken."""
        self.wait_for_closed_circuits()
        began = a_minute_ago()
        calls, twins = self.place(began), self.place(began)
        sent = self.send(twins)
        assert {one.status for one in sent} == {200}
        return calls, Baseline(sent, self.records_of(twins))

    def wait_for_closed_circuits(self) -> None:
        """Wait until the circuit breaker of every function is closed again."""
        time.sleep(max(0, self._circuits_open_until - time.monotonic()))

    @contextmanager
    def outage(self, fault: Fault, target: str, *, every: int = 1, having: str = "") -> Iterator[Breakage]:
        """Break a target with the proxy, and remember how long circuit breakers may stay open afterwards."""
        try:
            with self.proxy.broken(fault, target, every=every, having=having) as breakage:
                yield breakage
        finally:
            if fault in SILENT:
                self._circuits_open_until = time.monotonic() + OPEN_SECONDS

    def send(self, calls: Iterable[PlacedCall]) -> list[Sent]:
        """Send calls in parallel, and the deliveries of each call in order."""
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

    def send_until_accepted(self, call: PlacedCall, delivery: Delivery) -> Sent:
        """Retry a delivery until it is accepted, as providers do: a cold function may get its secrets too late."""
        return eventually(lambda: self.post(call, delivery), lambda sent: sent.is_accepted)

    def warm_up(self) -> None:
        """Start every function, one after the other."""
        for call in self.place():
            for delivery in call.deliveries:
                self.send_until_accepted(call, delivery)

    def items_of(self, call: PlacedCall) -> list[dict[str, Any]]:
        """Return all items of a call: its events and its own item."""
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
        """Return the records of calls as soon as they contain all events."""
        found = [eventually(partial(self._complete_record, call)) for call in calls]
        return [record_of(item) for item in found if item]

    def _complete_record(self, call: PlacedCall) -> dict[str, Any] | None:
        own = [item for item in self.items_of(call) if item["sk"]["S"] == "call"]
        return next((item for item in own if int(item["event_count"]["N"]) == len(call.deliveries)), None)

    def force_cold_starts(self) -> None:
        """Force a cold start of every function: no cached secrets, and closed circuit breakers."""
        route_functions_through(self.running, self.proxy)

    def message_count(self, queue: str) -> int:
        """Return the number of messages in a queue of the stack's outputs, including those in flight."""
        names = [f"ApproximateNumberOfMessages{state}" for state in ("", "Delayed", "NotVisible")]
        reply = self.running.client("sqs").get_queue_attributes(QueueUrl=self.output(queue), AttributeNames=names)
        return sum(int(reply["Attributes"][name]) for name in names)

    def output(self, name: str) -> str:
        """Return an output of the stack."""
        (stack,) = self.running.client("cloudformation").describe_stacks(StackName=self.running.stack.stack_name)[
            "Stacks"
        ]
        outputs: dict[str, str] = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        return outputs[name]

    def assert_stored_once(self, sent: Sequence[Sent]) -> None:
        """Assert that every delivery is in the table exactly once, with the answer that its sender got."""
        items = [item for call in calls_of(sent) for item in self.events_of(call)]
        assert Counter(body_of_item(item) for item in items) == Counter({one.body for one in sent})
        stored = {body_of_item(item): (int(item["answer_status"]["N"]), item["answer"]["S"]) for item in items}
        assert all(one.answer == stored[one.body] for one in sent if one.is_accepted)

    def assert_duplicates_get_the_first_answers(self, sent: Sequence[Sent]) -> None:
        """Assert that duplicates get the first answers and are marked as replayed."""
        duplicates = self.send(calls_of(sent))
        assert [one.answer for one in duplicates] == [one.answer for one in sent]
        assert all(one.is_replayed for one in duplicates)


def a_minute_ago() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=60)


def calls_of(sent: Iterable[Sent]) -> list[PlacedCall]:
    """Return the calls of these deliveries, each once."""
    return list({one.call.pk: one.call for one in sent}.values())


def assert_same_answers(baseline: Baseline, sent: Sequence[Sent]) -> None:
    """Assert that every sender got the same answer as its twin, and that calls got at least one verb."""
    assert {one.status for one in (*sent, *baseline.sent)} == {200}
    assert [one.text for one in sent if not one.waits_for_verbs] == [
        one.text for one in baseline.sent if not one.waits_for_verbs
    ]
    assert not any(one.is_replayed for one in sent)
    verbs = [one.verbs for one in sent if one.waits_for_verbs]
    assert verbs == [one.verbs for one in baseline.sent if one.waits_for_verbs]
    assert all(verbs)
