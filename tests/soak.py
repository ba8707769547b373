"""A synthetic day: calls of all providers with duplicates, late, malformed and forged deliveries, and an outage.

`python -m tests.soak --deliveries 50000` (`make soak`) starts the local stack, sends the deliveries of a day and prints
the results. `tests/faults/test_soak.py` runs a short day. The expected results follow from the plan of the day.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from random import Random
from statistics import quantiles
from typing import Annotated, Any

import httpx
import typer
from callhooks.events.call_event import utc_text
from callhooks.events.event_item import body_of_item, partition_key
from callhooks_tools.stack.recordings import Delivery, as_sent_by
from callhooks_tools.stack.terminal import console, errors
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.faulty_proxy import Fault, FaultyProxy, route_functions_through
from tests.placed_calls import SEQUENCES, PlacedCall, new_call_id, place, recorded_delivery
from tests.running_stack import RunningStack, start
from tests.stacks import PROVIDERS
from tests.support import EVENTS, ROOT

SEED = 4711
SENDERS = 8
RAMP_UP_DELIVERIES = 12
"""A sender joins after each such number of deliveries: the engine starts a process for each concurrent request."""
CLIENT_TIMEOUT_SECONDS = 60
JAMBONZ_TIMEOUT_SECONDS = 10
SETTLE_TIMEOUT_SECONDS = 150
STOP_SECONDS = 120
"""After a busy day, the engine takes long to remove its folders."""
MAX_LAG = 6_000
"""Maximum delay of a late delivery, in deliveries: jambonz's signatures expire after five minutes."""
MAX_EXAMPLES = 5


class Category(StrEnum):
    """Category of a delivery."""

    GENUINE = "genuine"
    DUPLICATE = "duplicate"
    MALFORMED = "malformed"
    FORGED = "forged"


@dataclass(frozen=True)
class ExpectedCall:
    """Expected record of the call of a sequence of recordings; times in milliseconds of the recordings."""

    provider: str
    names: list[str]
    status: str
    outcome: str
    direction: str
    from_: str | None
    to: str
    start_offset: int
    ring_time: int
    talk_time: int | None = None


def _expected(provider: str, number: int, *values: Any, from_: str | None = None) -> ExpectedCall:
    status, outcome, direction, to, start_offset, ring_time, talk_time = values
    names = SEQUENCES[provider][number]
    return ExpectedCall(provider, names, status, outcome, direction, from_, to, start_offset, ring_time, talk_time)


EXPECTED_CALLS = (
    _expected("jambonz", 0, "completed", "answered", "inbound", "+14155550123", 0, 4000, 4000),
    _expected("jambonz", 1, "no_answer", "cancelled", "inbound", "+14155550123", 0, 4000, None),
    _expected("jambonz", 2, "busy", "busy", "outbound", "+14155550199", 0, 2000, None),
    _expected("wavix", 0, "completed", "answered", "inbound", "14155550123", 118, 5671, 42498),
    _expected("wavix", 1, "cancelled", "cancelled", "inbound", "14155550123", 118, 19269, None),
    _expected("wavix", 2, "busy", "busy", "inbound", "14155550123", 118, 2882, None),
    _expected("bird", 0, "completed", "answered", "inbound", "+31201234567", 0, 4500, 42000),
    _expected("bird", 1, "cancelled", "cancelled", "outbound", "+31612345678", 0, 10500, None),
    _expected("voipstudio", 0, "completed", "answered", "inbound", "442079460123", 0, 5000, 42000,
           from_="447700900123"),
    _expected("voipstudio", 1, "missed", "missed", "inbound", "442079460123", 0, 29000, None,
           from_="447700900123"),
)  # fmt: skip
"""Derived from the recordings; those of jambonz are sent at intervals of two seconds."""


@dataclass
class PlannedCall:
    """Call of the day. Its deliveries are signed when the first one is sent."""

    expected: ExpectedCall
    call_id: str
    number: int
    pace: int
    began: datetime | None = None
    _placed: PlacedCall | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def pk(self) -> str:
        return partition_key(self.expected.provider, self.call_id)

    def delivery(self, running: RunningStack, step: int) -> Delivery:
        with self._lock:
            if self._placed is None:
                self.began = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=60)
                self._placed = place(
                    running,
                    self.expected.provider,
                    self.expected.names,
                    self.number,
                    self.began,
                    pace=self.pace,
                    call_id=self.call_id,
                )
        return self._placed.deliveries[step]

    @property
    def record(self) -> dict[str, object]:
        """Return the expected attributes of the call's item."""
        assert self.began is not None
        expected = self.expected
        return {
            "status": expected.status,
            "outcome": expected.outcome,
            "direction": expected.direction,
            "from": expected.from_ or f"+1212555{self.number:04}",
            "to": expected.to,
            "started_at": utc_text(self.began + timedelta(milliseconds=self.pace * expected.start_offset)),
            "ring_seconds": Decimal(self.pace * expected.ring_time) / 1000,
            "talk_seconds": None if expected.talk_time is None else Decimal(self.pace * expected.talk_time) / 1000,
            "event_count": Decimal(len(expected.names)),
        }


@dataclass(frozen=True)
class Job:
    """One delivery and its position in the day. `variant` selects the error in a malformed or forged delivery."""

    position: float
    category: Category
    call: PlannedCall
    step: int
    variant: int = 0

    def delivery(self, running: RunningStack) -> Delivery:
        match self.category:
            case Category.MALFORMED:
                return malformed(running, self)
            case Category.FORGED:
                return forged(running, self)
        return self.call.delivery(running, self.step)


@dataclass(frozen=True)
class Day:
    """Deliveries in the order of sending, and their calls."""

    seed: int
    jobs: list[Job]
    calls: list[PlannedCall]
    reordered: int


def plan_day(seed: int, deliveries: int) -> Day:
    """Plan a day of at least so many deliveries: 10 % duplicates, 2 % malformed, 1 % forged, 10 % of the rest late."""
    rng = Random(seed)  # noqa: S311 - not used for a secret
    lag = min(MAX_LAG, deliveries // 8)
    genuine: list[Job] = []
    calls: list[PlannedCall] = []
    reordered = 0
    while len(genuine) < deliveries * 87 // 100:
        call = _planned(rng)
        start = rng.uniform(0, deliveries)
        gap = rng.uniform(5, 50)
        for step in range(len(call.expected.names)):
            late = rng.random() < 0.1
            reordered += late
            delay = rng.uniform(gap, gap + lag) if late else 0
            genuine.append(Job(start + step * gap + delay, Category.GENUINE, call, step))
        calls.append(call)
    duplicates = [
        replace(one, category=Category.DUPLICATE, position=one.position + (rng.uniform(1, lag) if number % 2 else 0))
        for number, one in enumerate(rng.choices(genuine, k=deliveries // 10))
    ]
    others = [
        Job(rng.uniform(0, deliveries), category, _planned(rng), 0, rng.getrandbits(128))
        for category, number in ((Category.MALFORMED, deliveries // 50), (Category.FORGED, deliveries // 100))
        for _ in range(number)
    ]
    jobs = sorted([*genuine, *duplicates, *others], key=lambda job: job.position)
    return Day(seed, jobs, calls, reordered)


def _planned(rng: Random) -> PlannedCall:
    expected = rng.choice(EXPECTED_CALLS)
    call_id = new_call_id(expected.provider, rng.getrandbits(128))
    return PlannedCall(expected, call_id, rng.randrange(10_000), rng.randint(1, 9))


def malformed(running: RunningStack, job: Job) -> Delivery:
    """Return an authenticated delivery that cannot be parsed. Each one has a different body."""
    provider, mark = job.call.expected.provider, f"{job.variant:032x}".encode()
    recorded = _recording(job)
    bodies = [b'{"cut": "' + mark, b'["' + mark + b'"]', b"\xff\xfe" + mark, b'{"a": ' + b"[" * 20_000 + mark]
    if provider != "jambonz":
        # jambonz's hooks may contain any object, even one without a call.
        bodies.append(b'{"unrelated": "' + mark + b'"}')
    return _signed(running, _with_body(recorded, bodies[job.variant % len(bodies)]))


def forged(running: RunningStack, job: Job) -> Delivery:
    """Return a readable delivery with a wrong secret or with a body that was changed after signing."""
    provider = job.call.expected.provider
    access = running.stack.credentials.of(provider)
    genuine = job.call.delivery(running, 0)
    if job.variant % 2 and provider in ("jambonz", "bird"):
        return _with_body(genuine, genuine.request.body + b" ")
    wrong = {
        name: f"{value[:-1]}{'x' if value[-1] != 'x' else 'y'}" for name, value in access.items() if name != "username"
    }
    return _signed(running, genuine, {**access, **dict([pick(sorted(wrong.items()), job.variant)])})


def pick(values: Sequence[Any], variant: int) -> Any:
    return values[(variant >> 8) % len(values)]


def _recording(job: Job) -> Delivery:
    expected = job.call.expected
    return recorded_delivery(EVENTS / expected.provider / f"{pick(expected.names, job.variant)}.json")


def _with_body(delivery: Delivery, body: bytes) -> Delivery:
    return Delivery({**delivery.event, "body": base64.b64encode(body).decode("ascii"), "isBase64Encoded": True})


def _signed(running: RunningStack, delivery: Delivery, access: Mapping[str, str] | None = None) -> Delivery:
    provider = delivery.provider
    access = access or running.stack.credentials.of(provider)
    return as_sent_by(provider, delivery, access, datetime.now(UTC), base_url=running.stack.base_url)


@dataclass(frozen=True)
class Sent:
    """Delivery and its answer, with the duration in seconds and whether it overlapped the outage.

    A status of 0 means that there was no answer; `text` has the reason.
    """

    job: Job
    path: str
    body: bytes
    status: int
    text: str
    seconds: float
    in_outage: bool

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300

    def __str__(self) -> str:
        job = self.job
        return f"{job.category} {job.call.pk} step {job.step}, {self.path}: {self.status} {self.text[:100]}"


class Traffic:
    """Sends the deliveries of a day, some of them concurrently, and records the answers."""

    def __init__(self, running: RunningStack, proxy: FaultyProxy) -> None:
        self._running = running
        self._proxy = proxy
        self._in_outage = False
        self._slots = threading.Semaphore(1)
        self._joining = threading.Lock()
        self._joined = 1
        self.sent: list[Sent] = []

    def run(self, day: Day, *, outage_seconds: float, progress: Progress) -> float:
        """Send a whole day, with a database outage in its middle, and return its duration in seconds."""
        task = progress.add_task("Sending", total=len(day.jobs))
        limits = httpx.Limits(max_connections=SENDERS, max_keepalive_connections=SENDERS)
        over = threading.Event()
        began = time.perf_counter()
        with (
            httpx.Client(
                base_url=self._running.stack.base_url, timeout=CLIENT_TIMEOUT_SECONDS, trust_env=False, limits=limits
            ) as client,
            ThreadPoolExecutor(SENDERS + 1) as pool,
        ):
            outage = pool.submit(self._break_database, len(day.jobs) * 2 // 5, outage_seconds, over)
            try:
                for sending in [pool.submit(self._send, client, job) for job in day.jobs]:
                    sending.result()
                    progress.advance(task)
            finally:
                over.set()
            outage.result()
        return time.perf_counter() - began

    def _break_database(self, after: int, seconds: float, over: threading.Event) -> None:
        while len(self.sent) < after and not over.wait(0.05):
            pass
        for fault in (Fault.HANG, Fault.UNREACHABLE):
            with self._proxy.broken(fault, "DynamoDB"):
                self._in_outage = True
                over.wait(seconds / 2)
        self._in_outage = False

    def _send(self, client: httpx.Client, job: Job) -> None:
        with self._slots:
            self._send_now(client, job)
        with self._joining:
            if self._joined < SENDERS and len(self.sent) >= self._joined * RAMP_UP_DELIVERIES:
                self._joined += 1
                self._slots.release()

    def _send_now(self, client: httpx.Client, job: Job) -> None:
        delivery = job.delivery(self._running)
        request = delivery.request
        path = f"{request.path}{'?' if request.raw_query else ''}{request.raw_query}"
        in_outage, began = self._in_outage, time.perf_counter()
        try:
            reply = client.request(request.method, path, headers=delivery.headers_to_send, content=request.body)
            status, text = reply.status_code, reply.text
        except httpx.HTTPError as error:
            status, text = 0, type(error).__name__
        seconds = time.perf_counter() - began
        self.sent.append(Sent(job, delivery.route, request.body, status, text, seconds, in_outage or self._in_outage))


@dataclass
class Report:
    """Results of a day. `checks` lists the violations of each promise."""

    day: Day
    seconds: float
    sent: list[Sent]
    seconds_until_settled: float = 0
    checks: dict[str, list[str]] = field(default_factory=dict)

    @property
    def broken(self) -> dict[str, list[str]]:
        """Return the broken promises, each with some examples."""
        return {promise: found[:MAX_EXAMPLES] for promise, found in self.checks.items() if found}

    def show(self) -> None:
        """Print the report."""
        categories = ", ".join(
            f"{number} {category}" for category, number in Counter(one.job.category for one in self.sent).items()
        )
        console.print(
            f"{len(self.sent)} deliveries of {len(self.day.calls)} calls: {categories}; {self.day.reordered} late."
        )
        console.print(
            f"{len(self.sent) / self.seconds:.0f} deliveries a second for {self.seconds:.0f} s. Seed: {self.day.seed}."
        )
        console.print(f"All calls and queues settled {self.seconds_until_settled:.0f} s later.")
        times = Table("milliseconds", "deliveries", "median", "p95", "p99", "slowest")
        for title, group in self._groups():
            if len(group) > 1:
                cuts = quantiles((1000 * one.seconds for one in group), n=100, method="inclusive")
                slowest = max(1000 * one.seconds for one in group)
                times.add_row(
                    title, str(len(group)), *(f"{number:.0f}" for number in (cuts[49], cuts[94], cuts[98], slowest))
                )
        console.print(times)
        promises = Table("promise", "violations")
        for promise, found in self.checks.items():
            promises.add_row(promise, str(len(found)))
        console.print(promises)
        for promise, examples in self.broken.items():
            console.print(f"BROKEN: {promise}")
            for example in examples:
                console.print(f"  {example}")

    def _groups(self) -> Iterator[tuple[str, list[Sent]]]:
        for title, in_outage in (("database available", False), ("database outage", True)):
            group = [one for one in self.sent if one.in_outage is in_outage]
            yield title, group
            for provider in PROVIDERS:
                yield f"  {provider}", [one for one in group if one.job.call.expected.provider == provider]


def soak(
    running: RunningStack, proxy: FaultyProxy, *, deliveries: int, outage_seconds: float, seed: int = SEED
) -> Report:
    """Run a day, wait until calls and queues have settled, and check every promise."""
    day = plan_day(seed, deliveries)
    aftermath = Aftermath(running, day)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, disable=not errors.is_terminal) as progress:
        traffic = Traffic(running, proxy)
        seconds = traffic.run(day, outage_seconds=outage_seconds, progress=progress)
        report = Report(day, seconds, traffic.sent)
        began = time.perf_counter()
        records = aftermath.settle(progress)
        report.seconds_until_settled = time.perf_counter() - began
    report.checks = {
        **check_answers(traffic.sent),
        **aftermath.check_table(traffic.sent),
        "every call has the expected record": wrong_records(day, records),
        "no message is left in a queue": aftermath.left_in_queues(),
    }
    return report


def check_answers(sent: Sequence[Sent]) -> dict[str, list[str]]:
    """Check the promises that are visible in the answers."""
    genuine = [one for one in sent if one.job.category in (Category.GENUINE, Category.DUPLICATE)]
    answers: defaultdict[tuple[str, int], set[tuple[int, str]]] = defaultdict(set)
    for one in genuine:
        answers[one.job.call.pk, one.job.step].add((one.status, one.text))
    return {
        "no 5xx to jambonz": [str(one) for one in sent if not 0 < one.status < 500 and _is_jambonz(one)],
        "no 5xx to other providers": [str(one) for one in sent if not 0 < one.status < 500 and not _is_jambonz(one)],
        "genuine deliveries are accepted": [str(one) for one in genuine if one.status != 200],
        "a duplicate gets the first answer": [f"{key}: {found}" for key, found in answers.items() if len(found) > 1],
        "a new call gets verbs": [str(one) for one in genuine if one.path == "/webhooks/call" and not _has_verbs(one)],
        "forged deliveries are rejected": [
            str(one) for one in sent if one.job.category is Category.FORGED and one.status != 401
        ],
        "malformed deliveries get the documented status": [
            str(one)
            for one in sent
            if one.job.category is Category.MALFORMED and one.status != _status_of_malformed(one)
        ],
    }


def too_late(sent: Sequence[Sent]) -> list[str]:
    """Return the answers that came too late for jambonz. Only check this on a machine that is otherwise idle."""
    late = [one for one in sent if one.seconds > JAMBONZ_TIMEOUT_SECONDS and _is_jambonz(one)]
    return [f"{one} after {one.seconds:.1f} s" for one in late]


def _is_jambonz(sent: Sent) -> bool:
    return sent.job.call.expected.provider == "jambonz"


def _has_verbs(sent: Sent) -> bool:
    try:
        verbs = json.loads(sent.text)
    except ValueError:
        return False
    return isinstance(verbs, list) and bool(verbs) and all(isinstance(verb, dict) and "verb" in verb for verb in verbs)


def _status_of_malformed(sent: Sent) -> int:
    return 400 if sent.path == "/webhooks/call" else 202


class Aftermath:
    """Contents of the table and the queues after a day, without what they contained before."""

    def __init__(self, running: RunningStack, day: Day) -> None:
        self._table = running.stack.events_table
        self._dynamodb = running.client("dynamodb")
        self._sqs = running.client("sqs")
        (stack,) = running.client("cloudformation").describe_stacks(StackName=running.stack.stack_name)["Stacks"]
        self._queues = {
            output["OutputKey"]: output["OutputValue"]
            for output in stack["Outputs"]
            if output["OutputKey"].endswith("Queue")
        }
        self._day = day
        self._before = self._message_counts()

    def settle(self, progress: Progress) -> dict[str, dict[str, Any]]:
        """Wait until every call's item has all of its events and the queues are empty. Return the items by key.

        Give up when nothing changes for longer than the retries after an outage take. The checks report the rest.
        """
        # In the order of their start: if none of a hundred calls is complete, later ones are not either.
        missing = {
            job.call.pk: len(job.call.expected.names) for job in self._day.jobs if job.category is Category.GENUINE
        }
        task = progress.add_task("Settling", total=len(missing))
        records: dict[str, dict[str, Any]] = {}
        deadline = time.monotonic() + SETTLE_TIMEOUT_SECONDS
        while time.monotonic() < deadline and (missing or self.left_in_queues()):
            time.sleep(1)
            keys = list(missing)
            for first in range(0, len(keys), 100):
                before = len(missing)
                for item in self._items(keys[first : first + 100]):
                    pk = item["pk"]["S"]
                    records[pk] = item
                    if int(item["event_count"]["N"]) >= missing[pk]:
                        del missing[pk]
                if len(missing) == before:
                    break
                deadline = time.monotonic() + SETTLE_TIMEOUT_SECONDS
            progress.update(task, completed=len(self._day.calls) - len(missing))
        keys = list(missing)
        for first in range(0, len(keys), 100):
            records |= {item["pk"]["S"]: item for item in self._items(keys[first : first + 100])}
        return records

    def _items(self, keys: Sequence[str]) -> list[dict[str, Any]]:
        request = {self._table: {"Keys": [{"pk": {"S": pk}, "sk": {"S": "call"}} for pk in keys]}}
        found: list[dict[str, Any]] = self._dynamodb.batch_get_item(RequestItems=request)["Responses"][self._table]
        return found

    def left_in_queues(self) -> list[str]:
        """Return the queues that have more messages than before the day."""
        return [f"{name}: {number}" for name, number in self._message_counts().items() if number > self._before[name]]

    def _message_counts(self) -> dict[str, int]:
        names = [f"ApproximateNumberOfMessages{state}" for state in ("", "Delayed", "NotVisible")]
        counts = {}
        for queue, url in self._queues.items():
            attributes = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            counts[queue] = sum(int(attributes[name]) for name in names)
        return counts

    def check_table(self, sent: Sequence[Sent]) -> dict[str, list[str]]:
        """Compare the table with the accepted deliveries."""
        stored = self._bodies()
        genuine = {
            (one.job.call.pk, _hash(one.body)): one
            for one in sent
            if one.job.category in (Category.GENUINE, Category.DUPLICATE)
        }
        accepted = {key for key, one in genuine.items() if one.accepted}
        own = {call.pk for call in self._day.calls}
        in_quarantine = Counter(body for pk, body in stored.elements() if pk.startswith("quarantine#"))
        all_bodies = {body for _, body in stored}
        malformed = [one for one in sent if one.job.category is Category.MALFORMED]
        return {
            "accepted events are not lost": [str(genuine[key]) for key in accepted if key not in stored],
            "no event is stored twice": [
                f"{pk}: {number} times" for (pk, body), number in stored.items() if pk in own and number > 1
            ],
            "only sent deliveries are stored": [
                f"{pk}: {body}" for pk, body in stored if pk in own and (pk, body) not in genuine
            ],
            "forged deliveries are not stored": [
                str(one) for one in sent if one.job.category is Category.FORGED and _hash(one.body) in all_bodies
            ],
            "malformed deliveries are quarantined once, except call hooks": [
                str(one)
                for one in malformed
                if in_quarantine[_hash(one.body)] != (0 if one.path == "/webhooks/call" else 1)
            ],
        }

    def _bodies(self) -> Counter[tuple[str, str]]:
        """Count the stored bodies by partition key and hash."""
        pages = self._dynamodb.get_paginator("scan").paginate(
            TableName=self._table,
            ConsistentRead=True,
            FilterExpression="attribute_exists(body)",
            ProjectionExpression="pk, body, body_encoding",
        )
        return Counter((item["pk"]["S"], _hash(body_of_item(item))) for page in pages for item in page["Items"])


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def wrong_records(day: Day, records: dict[str, dict[str, Any]]) -> list[str]:
    """Return the calls whose item differs from the expected record."""
    wrong = []
    for call in day.calls:
        item = records.get(call.pk, {})
        differing = []
        for name, expected in call.record.items():
            actual = next(iter(item[name].values())) if name in item else None
            if (Decimal(actual) if isinstance(expected, Decimal) and actual is not None else actual) != expected:
                differing.append(f"{name} is {actual} instead of {expected}")
        if differing:
            wrong.append(f"{call.pk}: {', '.join(differing)}")
    return wrong


def main(
    deliveries: Annotated[int, typer.Option(min=100, help="Minimum number of deliveries.")] = 50_000,
    seed: Annotated[int, typer.Option(help="Seed of the day. The same seed gives the same day.")] = SEED,
    outage: Annotated[float, typer.Option(help="Duration of the database outage in seconds.")] = 20,
) -> None:
    """Run a synthetic day on this machine, and check every promise."""
    running = start(ROOT / ".local" / "soak")
    with ExitStack() as after:
        after.callback(running.stop, seconds=STOP_SECONDS)
        proxy = FaultyProxy(running.stack.aws_endpoint_url)
        proxy.start()
        after.callback(proxy.stop)
        route_functions_through(running, proxy)
        report = soak(running, proxy, deliveries=deliveries, outage_seconds=outage, seed=seed)
        report.checks["jambonz gets its answers in time"] = too_late(report.sent)
        report.show()
    raise typer.Exit(bool(report.broken))


if __name__ == "__main__":
    typer.run(main)
