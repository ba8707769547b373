"""A synthetic day: whole calls of all providers, with repeats, disorder, nonsense, forgeries, and an outage.

`python -m tests.soak --deliveries 50000` (`make soak`) starts the application on this machine, has the day, and prints
what came of it; `tests/faults/test_soak.py` has a small one. What has to come of it is known from how the day was made.
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

from tests.faulty_proxy import Fault, FaultyProxy, lead_functions_through
from tests.placed_calls import SEQUENCES, PlacedCall, new_call_id, place, recorded_delivery
from tests.running_stack import RunningStack, start
from tests.stacks import PROVIDERS
from tests.support import EVENTS, ROOT

SEED = 4711
SENDERS = 8
JOINING = 12
"""After so many deliveries another sender joins: the engine starts a process for each one that is under way at once."""
HANGS_AFTER_SECONDS = 60
JAMBONZ_WAITS_SECONDS = 10
PATIENCE_SECONDS = 150
STOP_SECONDS = 120
"""The engine's folders of a busy day take their time to be removed."""
MAX_LAG = 6_000
"""How many deliveries later one comes at most: jambonz's signatures are valid for five minutes."""
EXAMPLES = 5


class Sort(StrEnum):
    """What a delivery is."""

    GENUINE = "genuine"
    REPEAT = "repeated"
    MALFORMED = "malformed"
    FORGED = "forged"


@dataclass(frozen=True)
class Truth:
    """What a sequence of recordings tells of its call; times in milliseconds of the recordings."""

    provider: str
    names: list[str]
    status: str
    outcome: str
    direction: str
    from_: str | None
    to: str
    starts_after: int
    rang: int
    talked: int | None = None


def _truth(provider: str, number: int, *told: Any, from_: str | None = None) -> Truth:
    status, outcome, direction, to, starts_after, rang, talked = told
    names = SEQUENCES[provider][number]
    return Truth(provider, names, status, outcome, direction, from_, to, starts_after, rang, talked)


TRUTHS = (
    _truth("jambonz", 0, "completed", "answered", "inbound", "+14155550123", 0, 4000, 4000),
    _truth("jambonz", 1, "no_answer", "cancelled", "inbound", "+14155550123", 0, 4000, None),
    _truth("jambonz", 2, "busy", "busy", "outbound", "+14155550199", 0, 2000, None),
    _truth("wavix", 0, "completed", "answered", "inbound", "14155550123", 118, 5671, 42498),
    _truth("wavix", 1, "cancelled", "cancelled", "inbound", "14155550123", 118, 19269, None),
    _truth("wavix", 2, "busy", "busy", "inbound", "14155550123", 118, 2882, None),
    _truth("bird", 0, "completed", "answered", "inbound", "+31201234567", 0, 4500, 42000),
    _truth("bird", 1, "cancelled", "cancelled", "outbound", "+31612345678", 0, 10500, None),
    _truth("voipstudio", 0, "completed", "answered", "inbound", "442079460123", 0, 5000, 42000,
           from_="447700900123"),
    _truth("voipstudio", 1, "missed", "missed", "inbound", "442079460123", 0, 29000, None,
           from_="447700900123"),
)  # fmt: skip
"""Read off the recordings, of which jambonz's are told at intervals of two seconds."""


@dataclass
class PlannedCall:
    """A call of the day; its deliveries are signed when the first of them is sent."""

    truth: Truth
    call_id: str
    number: int
    pace: int
    began: datetime | None = None
    _placed: PlacedCall | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def pk(self) -> str:
        return partition_key(self.truth.provider, self.call_id)

    def delivery(self, running: RunningStack, step: int) -> Delivery:
        with self._lock:
            if self._placed is None:
                self.began = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=60)
                self._placed = place(
                    running,
                    self.truth.provider,
                    self.truth.names,
                    self.number,
                    self.began,
                    pace=self.pace,
                    call_id=self.call_id,
                )
        return self._placed.deliveries[step]

    @property
    def record(self) -> dict[str, object]:
        """What the call's item has to say."""
        assert self.began is not None
        truth = self.truth
        return {
            "status": truth.status,
            "outcome": truth.outcome,
            "direction": truth.direction,
            "from": truth.from_ or f"+1212555{self.number:04}",
            "to": truth.to,
            "started_at": utc_text(self.began + timedelta(milliseconds=self.pace * truth.starts_after)),
            "ring_seconds": Decimal(self.pace * truth.rang) / 1000,
            "talk_seconds": None if truth.talked is None else Decimal(self.pace * truth.talked) / 1000,
            "event_count": Decimal(len(truth.names)),
        }


@dataclass(frozen=True)
class Job:
    """One delivery at its place in the day. `chance` says what is wrong with one that is malformed or forged."""

    place: float
    sort: Sort
    call: PlannedCall
    step: int
    chance: int = 0

    def delivery(self, running: RunningStack) -> Delivery:
        match self.sort:
            case Sort.MALFORMED:
                return malformed(running, self)
            case Sort.FORGED:
                return forged(running, self)
        return self.call.delivery(running, self.step)


@dataclass(frozen=True)
class Day:
    """The deliveries in the order in which they are sent, and the calls that they tell of."""

    seed: int
    jobs: list[Job]
    calls: list[PlannedCall]
    reordered: int


def plan_day(seed: int, deliveries: int) -> Day:
    """A day of at least so many deliveries: 10 % repeats, 2 % malformed, 1 % forged, 10 % of the rest out of order."""
    chance = Random(seed)  # noqa: S311 - a day of tests, and no secret
    lag = min(MAX_LAG, deliveries // 8)
    genuine: list[Job] = []
    calls: list[PlannedCall] = []
    reordered = 0
    while len(genuine) < deliveries * 87 // 100:
        call = _planned(chance)
        begins = chance.uniform(0, deliveries)
        gap = chance.uniform(5, 50)
        for step in range(len(call.truth.names)):
            late = chance.random() < 0.1
            reordered += late
            later = chance.uniform(gap, gap + lag) if late else 0
            genuine.append(Job(begins + step * gap + later, Sort.GENUINE, call, step))
        calls.append(call)
    repeated = [
        replace(one, sort=Sort.REPEAT, place=one.place + (chance.uniform(1, lag) if number % 2 else 0))
        for number, one in enumerate(chance.choices(genuine, k=deliveries // 10))
    ]
    others = [
        Job(chance.uniform(0, deliveries), sort, _planned(chance), 0, chance.getrandbits(128))
        for sort, number in ((Sort.MALFORMED, deliveries // 50), (Sort.FORGED, deliveries // 100))
        for _ in range(number)
    ]
    jobs = sorted([*genuine, *repeated, *others], key=lambda job: job.place)
    return Day(seed, jobs, calls, reordered)


def _planned(chance: Random) -> PlannedCall:
    truth = chance.choice(TRUTHS)
    call_id = new_call_id(truth.provider, chance.getrandbits(128))
    return PlannedCall(truth, call_id, chance.randrange(10_000), chance.randint(1, 9))


def malformed(running: RunningStack, job: Job) -> Delivery:
    """What a proven sender sends and nobody understands; each has a body of its own."""
    provider, mark = job.call.truth.provider, f"{job.chance:032x}".encode()
    recorded = _recording(job)
    bodies = [b'{"cut": "' + mark, b'["' + mark + b'"]', b"\xff\xfe" + mark, b'{"a": ' + b"[" * 20_000 + mark]
    if provider != "jambonz":
        # jambonz's hooks may tell anything, even nothing of a call.
        bodies.append(b'{"unrelated": "' + mark + b'"}')
    return _signed(running, _with_body(recorded, bodies[job.chance % len(bodies)]))


def forged(running: RunningStack, job: Job) -> Delivery:
    """A delivery that would be understood, of somebody who does not know the secrets, or who has changed the body."""
    provider = job.call.truth.provider
    access = running.stack.credentials.of(provider)
    genuine = job.call.delivery(running, 0)
    if job.chance % 2 and provider in ("jambonz", "bird"):
        return _with_body(genuine, genuine.request.body + b" ")
    wrong = {
        name: f"{value[:-1]}{'x' if value[-1] != 'x' else 'y'}" for name, value in access.items() if name != "username"
    }
    return _signed(running, genuine, {**access, **dict([chosen(sorted(wrong.items()), job.chance)])})


def chosen(values: Sequence[Any], chance: int) -> Any:
    return values[(chance >> 8) % len(values)]


def _recording(job: Job) -> Delivery:
    truth = job.call.truth
    return recorded_delivery(EVENTS / truth.provider / f"{chosen(truth.names, job.chance)}.json")


def _with_body(delivery: Delivery, body: bytes) -> Delivery:
    return Delivery({**delivery.event, "body": base64.b64encode(body).decode("ascii"), "isBase64Encoded": True})


def _signed(running: RunningStack, delivery: Delivery, access: Mapping[str, str] | None = None) -> Delivery:
    provider = delivery.provider
    access = access or running.stack.credentials.of(provider)
    return as_sent_by(provider, delivery, access, datetime.now(UTC), base_url=running.stack.base_url)


@dataclass(frozen=True)
class Sent:
    """A delivery that was made: what came back, how long it took in seconds, and whether the database was there.

    A status of 0 says that nothing came back, for the reason in `text`.
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
        return f"{job.sort} {job.call.pk} step {job.step}, {self.path}: {self.status} {self.text[:100]}"


class Traffic:
    """Sends the deliveries of a day, some at once, and notes what came back."""

    def __init__(self, running: RunningStack, proxy: FaultyProxy) -> None:
        self._running = running
        self._proxy = proxy
        self._in_outage = False
        self._room = threading.Semaphore(1)
        self._joining = threading.Lock()
        self._joined = 1
        self.sent: list[Sent] = []

    def run(self, day: Day, *, outage_seconds: float, progress: Progress) -> float:
        """Send a whole day, with no database for a while in its middle, and return how many seconds it took."""
        task = progress.add_task("Sending", total=len(day.jobs))
        limits = httpx.Limits(max_connections=SENDERS, max_keepalive_connections=SENDERS)
        over = threading.Event()
        began = time.perf_counter()
        with (
            httpx.Client(
                base_url=self._running.stack.base_url, timeout=HANGS_AFTER_SECONDS, trust_env=False, limits=limits
            ) as client,
            ThreadPoolExecutor(SENDERS + 1) as pool,
        ):
            outage = pool.submit(self._take_the_database_away, len(day.jobs) * 2 // 5, outage_seconds, over)
            try:
                for sending in [pool.submit(self._send, client, job) for job in day.jobs]:
                    sending.result()
                    progress.advance(task)
            finally:
                over.set()
            outage.result()
        return time.perf_counter() - began

    def _take_the_database_away(self, after: int, seconds: float, over: threading.Event) -> None:
        while len(self.sent) < after and not over.wait(0.05):
            pass
        for fault in (Fault.HANG, Fault.UNREACHABLE):
            with self._proxy.broken(fault, "DynamoDB"):
                self._in_outage = True
                over.wait(seconds / 2)
        self._in_outage = False

    def _send(self, client: httpx.Client, job: Job) -> None:
        with self._room:
            self._send_now(client, job)
        with self._joining:
            if self._joined < SENDERS and len(self.sent) >= self._joined * JOINING:
                self._joined += 1
                self._room.release()

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
    """What came of a day. `checks` has for each promise how often it was broken, with some examples."""

    day: Day
    seconds: float
    sent: list[Sent]
    seconds_until_settled: float = 0
    checks: dict[str, list[str]] = field(default_factory=dict)

    @property
    def broken(self) -> dict[str, list[str]]:
        """The promises that were broken, each with some examples."""
        return {promise: found[:EXAMPLES] for promise, found in self.checks.items() if found}

    def show(self) -> None:
        """Print it."""
        sorts = ", ".join(f"{number} {sort}" for sort, number in Counter(one.job.sort for one in self.sent).items())
        console.print(
            f"{len(self.sent)} deliveries of {len(self.day.calls)} calls: {sorts}; {self.day.reordered} late."
        )
        console.print(f"{len(self.sent) / self.seconds:.0f} a second for {self.seconds:.0f} s. Seed {self.day.seed}.")
        console.print(f"All calls and queues had settled {self.seconds_until_settled:.0f} s later.")
        times = Table("milliseconds", "deliveries", "median", "p95", "p99", "longest")
        for title, group in self._groups():
            if len(group) > 1:
                cuts = quantiles((1000 * one.seconds for one in group), n=100, method="inclusive")
                longest = max(1000 * one.seconds for one in group)
                times.add_row(
                    title, str(len(group)), *(f"{number:.0f}" for number in (cuts[49], cuts[94], cuts[98], longest))
                )
        console.print(times)
        promises = Table("promise", "broken")
        for promise, found in self.checks.items():
            promises.add_row(promise, str(len(found)))
        console.print(promises)
        for promise, examples in self.broken.items():
            console.print(f"BROKEN: {promise}")
            for example in examples:
                console.print(f"  {example}")

    def _groups(self) -> Iterator[tuple[str, list[Sent]]]:
        for title, in_outage in (("with the database", False), ("without the database", True)):
            of_time = [one for one in self.sent if one.in_outage is in_outage]
            yield title, of_time
            for provider in PROVIDERS:
                yield f"  {provider}", [one for one in of_time if one.job.call.truth.provider == provider]


def soak(
    running: RunningStack, proxy: FaultyProxy, *, deliveries: int, outage_seconds: float, seed: int = SEED
) -> Report:
    """Have a day, wait until everything has settled, and hold it to what is known of it."""
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
        **answers_checked(traffic.sent),
        **aftermath.table_checked(traffic.sent),
        "the call's record is what was made": wrong_records(day, records),
        "nothing is left in a queue": aftermath.left_in_queues(),
    }
    return report


def answers_checked(sent: Sequence[Sent]) -> dict[str, list[str]]:
    """What the answers alone tell."""
    genuine = [one for one in sent if one.job.sort in (Sort.GENUINE, Sort.REPEAT)]
    answers: defaultdict[tuple[str, int], set[tuple[int, str]]] = defaultdict(set)
    for one in genuine:
        answers[one.job.call.pk, one.job.step].add((one.status, one.text))
    return {
        "no 5xx to jambonz": [str(one) for one in sent if not 0 < one.status < 500 and _is_jambonz(one)],
        "no 5xx to anybody else": [str(one) for one in sent if not 0 < one.status < 500 and not _is_jambonz(one)],
        "what is genuine is accepted": [str(one) for one in genuine if one.status != 200],
        "a repeat gets the first answer": [f"{key}: {found}" for key, found in answers.items() if len(found) > 1],
        "a new call gets verbs": [str(one) for one in genuine if one.path == "/webhooks/call" and not _has_verbs(one)],
        "what is forged is refused": [str(one) for one in sent if one.job.sort is Sort.FORGED and one.status != 401],
        "what is malformed is answered as documented": [
            str(one) for one in sent if one.job.sort is Sort.MALFORMED and one.status != _status_of_malformed(one)
        ],
    }


def too_late(sent: Sequence[Sent]) -> list[str]:
    """The answers that jambonz has not waited for: only a machine that does nothing else can be held to that."""
    late = [one for one in sent if one.seconds > JAMBONZ_WAITS_SECONDS and _is_jambonz(one)]
    return [f"{one} after {one.seconds:.1f} s" for one in late]


def _is_jambonz(sent: Sent) -> bool:
    return sent.job.call.truth.provider == "jambonz"


def _has_verbs(sent: Sent) -> bool:
    try:
        verbs = json.loads(sent.text)
    except ValueError:
        return False
    return isinstance(verbs, list) and bool(verbs) and all(isinstance(verb, dict) and "verb" in verb for verb in verbs)


def _status_of_malformed(sent: Sent) -> int:
    return 400 if sent.path == "/webhooks/call" else 202


class Aftermath:
    """What the table and the queues hold after a day; what was there before is not looked at."""

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
        self._before = self._waiting()

    def settle(self, progress: Progress) -> dict[str, dict[str, Any]]:
        """Wait until every call's item has all of its events and the queues are empty; the items by their keys.

        When nothing has come for longer than an outage's retries take, what is missing is left to the checks.
        """
        # In the order in which they began: where none of a hundred is complete, the later ones need not be asked for.
        missing = {job.call.pk: len(job.call.truth.names) for job in self._day.jobs if job.sort is Sort.GENUINE}
        task = progress.add_task("Settling", total=len(missing))
        records: dict[str, dict[str, Any]] = {}
        deadline = time.monotonic() + PATIENCE_SECONDS
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
                deadline = time.monotonic() + PATIENCE_SECONDS
            progress.update(task, completed=len(self._day.calls) - len(missing))
        keys = list(missing)
        for first in range(0, len(keys), 100):
            records |= {item["pk"]["S"]: item for item in self._items(keys[first : first + 100])}
        return records

    def _items(self, keys: Sequence[str]) -> list[dict[str, Any]]:
        asked = {self._table: {"Keys": [{"pk": {"S": pk}, "sk": {"S": "call"}} for pk in keys]}}
        found: list[dict[str, Any]] = self._dynamodb.batch_get_item(RequestItems=asked)["Responses"][self._table]
        return found

    def left_in_queues(self) -> list[str]:
        """What waits in the queues and did not before."""
        return [f"{name}: {number}" for name, number in self._waiting().items() if number > self._before[name]]

    def _waiting(self) -> dict[str, int]:
        names = [f"ApproximateNumberOfMessages{state}" for state in ("", "Delayed", "NotVisible")]
        waiting = {}
        for queue, url in self._queues.items():
            told = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            waiting[queue] = sum(int(told[name]) for name in names)
        return waiting

    def table_checked(self, sent: Sequence[Sent]) -> dict[str, list[str]]:
        """What the table holds, against what was accepted."""
        kept = self._bodies()
        genuine = {
            (one.job.call.pk, _hash(one.body)): one for one in sent if one.job.sort in (Sort.GENUINE, Sort.REPEAT)
        }
        accepted = {key for key, one in genuine.items() if one.accepted}
        own = {call.pk for call in self._day.calls}
        in_quarantine = Counter(body for pk, body in kept.elements() if pk.startswith("quarantine#"))
        everywhere = {body for _, body in kept}
        malformed = [one for one in sent if one.job.sort is Sort.MALFORMED]
        return {
            "what was accepted is not lost": [str(genuine[key]) for key in accepted if key not in kept],
            "nothing is stored twice": [
                f"{pk}: {number} times" for (pk, body), number in kept.items() if pk in own and number > 1
            ],
            "nothing is stored that was not sent": [
                f"{pk}: {body}" for pk, body in kept if pk in own and (pk, body) not in genuine
            ],
            "what is forged is kept nowhere": [
                str(one) for one in sent if one.job.sort is Sort.FORGED and _hash(one.body) in everywhere
            ],
            "what is malformed is in quarantine once, but for a call's hook": [
                str(one)
                for one in malformed
                if in_quarantine[_hash(one.body)] != (0 if one.path == "/webhooks/call" else 1)
            ],
        }

    def _bodies(self) -> Counter[tuple[str, str]]:
        """How often each body is kept, by partition key and its hash."""
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
    """The calls whose item says anything else than how the call was made."""
    wrong = []
    for call in day.calls:
        item = records.get(call.pk, {})
        differing = []
        for name, expected in call.record.items():
            told = next(iter(item[name].values())) if name in item else None
            if (Decimal(told) if isinstance(expected, Decimal) and told is not None else told) != expected:
                differing.append(f"{name} is {told} and not {expected}")
        if differing:
            wrong.append(f"{call.pk}: {', '.join(differing)}")
    return wrong


def main(
    deliveries: Annotated[int, typer.Option(min=100, help="How many there are at least.")] = 50_000,
    seed: Annotated[int, typer.Option(help="Makes the same day again.")] = SEED,
    outage: Annotated[float, typer.Option(help="For how many seconds there is no database.")] = 20,
) -> None:
    """Have a synthetic day on this machine, and hold what comes of it to what was promised."""
    running = start(ROOT / ".local" / "soak")
    with ExitStack() as after:
        after.callback(running.stop, seconds=STOP_SECONDS)
        proxy = FaultyProxy(running.stack.aws_endpoint_url)
        proxy.start()
        after.callback(proxy.stop)
        lead_functions_through(running, proxy)
        report = soak(running, proxy, deliveries=deliveries, outage_seconds=outage, seed=seed)
        report.checks["jambonz gets its answer in time"] = too_late(report.sent)
        report.show()
    raise typer.Exit(bool(report.broken))


if __name__ == "__main__":
    typer.run(main)
