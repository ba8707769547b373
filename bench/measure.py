"""Measures subjects side by side, in rounds, so that what the machine does besides falls on all of them alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median, quantiles

from callhooks.runtime.http import HttpApiEvent
from pydantic import BaseModel, ConfigDict

from bench.aws_double import AwsDouble
from bench.process import Measured, Process, ProcessFailed
from bench.subjects import Subject

CALLS_OF = 10
WARM_UP = 40
TIMED = 200
ASK_QUESTIONS = ("call_log", "call_projector")
READS_A_SECRET = "GetSecretValue"


class Spread(BaseModel):
    """Several measurements: their median, and between what the middle half of them lies."""

    model_config = ConfigDict(frozen=True)

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least two values."""
        low, _, high = quantiles(values, n=4, method="inclusive")
        return cls(median=median(values), low=low, high=high)


class Calls(BaseModel):
    """Requests to AWS for each delivery, and once for each cold start (secrets).

    `None` is for what does not apply: there are no repeats of a batch, and no senders to be refused.
    """

    model_config = ConfigDict(frozen=True)

    fresh: float
    cold_start: int
    repeated_elsewhere: float | None = None
    repeated: float | None = None
    refused: float | None = None
    forged: float | None = None


class Result(BaseModel):
    """What came of one subject: seconds of processor time, bytes.

    `import_` is that of the function in a fresh process, `refusal` the import and the refusal of a delivery without
    credentials. `boto3_for_refusal` says whether that took boto3. `import_uncompiled` is without bytecode, as
    `sam build` packs what pip installs. `warm` is one fresh delivery to a warm container, with a network that takes no
    time, `warm_online` the same over loopback. A ratio is to the floor, which ran right before: what the machine does
    besides falls on both. `warm_event_ratio` is to the floor that does as much as an event is.
    """

    model_config = ConfigDict(frozen=True)

    import_: Spread
    import_ratio: Spread
    import_wall: Spread
    refusal: Spread | None
    refusal_ratio: Spread | None
    boto3_for_refusal: bool
    import_uncompiled: Spread | None
    uncompiled_ratio: Spread | None
    warm: Spread
    warm_ratio: Spread
    warm_event_ratio: Spread
    warm_online: Spread
    calls: Calls
    log_bytes: float
    peak_bytes: int


def calls_of(subject: Subject, double: AwsDouble) -> Calls:
    """Count the requests that deliveries cost."""
    events = subject.fresh(CALLS_OF)
    fresh = _counted(subject.process, double, first=events)
    cold_start = fresh.pop(READS_A_SECRET, 0)
    counted = Calls(fresh=fresh.total() / CALLS_OF, cold_start=cold_start)
    if subject.refused is None or subject.forged is None:
        return counted
    elsewhere = _counted(subject.process, double, first=events)
    elsewhere.pop(READS_A_SECRET, None)
    (one,) = subject.fresh(1)
    _counted(subject.process, double, first=[one])
    # What a container costs that starts with a delivery of yesterday, to be taken off.
    start = _counted(subject.process, double, first=[one]).total()

    def each(event: HttpApiEvent, status: int) -> float:
        counted = _counted(subject.process, double, first=[one], then=[event] * CALLS_OF, status=status)
        return (counted.total() - start) / CALLS_OF

    return counted.model_copy(
        update={
            "repeated_elsewhere": elsewhere.total() / CALLS_OF,
            "repeated": each(one, 200),
            "refused": each(subject.refused, 401),
            "forged": each(subject.forged, 401),
        }
    )


def _counted(
    process: Process,
    double: AwsDouble,
    *,
    first: Sequence[HttpApiEvent],
    then: Sequence[HttpApiEvent] = (),
    status: int = 200,
) -> Counter[str]:
    before = double.calls.copy()
    measured = process.run(first=first, warm_up=then)
    _held(measured, [200] * len(first) + [status] * len(then), process)
    return double.calls - before


def _held(measured: Measured, expected: Sequence[int], process: Process) -> None:
    """A function that answers something else is quick at the wrong thing."""
    answered = [status for status in measured.statuses if status is not None]
    if answered and answered != list(expected):
        raise ProcessFailed(f"{process.path[0]}: answered {Counter(answered)} and not {Counter(expected)}")


class Cold(BaseModel):
    """One round of fresh processes of one subject, in seconds, beside one of the floor that ran right before.

    `refusal` is the import and the refusal of a delivery without credentials, `uncompiled` the import without bytecode.
    """

    model_config = ConfigDict(frozen=True)

    floor: float
    import_: float
    import_wall: float
    refusal: float | None = None
    boto3_for_refusal: bool = False
    uncompiled: float | None = None


def cold_start(subject: Subject, floor: Subject) -> Cold:
    """Start one of each afresh."""
    before = floor.process.run()
    plain = subject.process.run()
    refusal, boto3_for_refusal = None, False
    if subject.refused is not None:
        refused = subject.process.run(first=[subject.refused])
        _held(refused, [401], subject.process)
        refusal = refused.import_cpu + refused.first_cpu
        boto3_for_refusal = bool({"boto3", "botocore.session"} & refused.modules)
    return Cold(
        floor=before.import_cpu,
        import_=plain.import_cpu,
        import_wall=plain.import_wall,
        refusal=refusal,
        boto3_for_refusal=boto3_for_refusal,
        uncompiled=subject.uncompiled.run().import_cpu if subject.uncompiled else None,
    )


class Warm(BaseModel):
    """Fresh deliveries to one warm container: seconds of processor time (the median's), bytes.

    `floor_cpu` and `event_floor_cpu` are those of the two floors, which ran right before.
    """

    model_config = ConfigDict(frozen=True)

    floor_cpu: float
    event_floor_cpu: float
    cpu: float
    online_cpu: float
    log_bytes: float
    peak_bytes: int


def warm(subject: Subject, floor: Subject, event_floor: Subject, log: Path) -> Warm:
    """Deliver to one container of each."""
    before, before_event = (_warm(one, log, offline=True) for one in (floor, event_floor))
    offline = _warm(subject, log, offline=True)
    online = _warm(subject, log, offline=False)
    return Warm(
        floor_cpu=median(before.each_cpu),
        event_floor_cpu=median(before_event.each_cpu),
        cpu=median(offline.each_cpu),
        online_cpu=median(online.each_cpu),
        log_bytes=online.log_bytes / TIMED,
        peak_bytes=online.peak_bytes,
    )


def _warm(subject: Subject, log: Path, *, offline: bool) -> Measured:
    events = subject.fresh(WARM_UP + TIMED)
    # An empty answer is none to a query.
    offline = offline and subject.name not in ASK_QUESTIONS
    one = subject.process.run(warm_up=events[:WARM_UP], timed=events[WARM_UP:], offline=offline, log=log)
    _held(one, [200] * len(events), subject.process)
    return one


def result_of(calls: Calls, cold: Sequence[Cold], warmed: Sequence[Warm]) -> Result:
    """What came of the rounds of one subject."""

    def told(values: Iterable[float | None]) -> Spread | None:
        known = [value for value in values if value is not None]
        return Spread.of(known) if known else None

    return Result(
        import_=Spread.of([one.import_ for one in cold]),
        import_ratio=Spread.of([one.import_ / one.floor for one in cold]),
        import_wall=Spread.of([one.import_wall for one in cold]),
        refusal=told(one.refusal for one in cold),
        refusal_ratio=told(one.refusal and one.refusal / one.floor for one in cold),
        boto3_for_refusal=any(one.boto3_for_refusal for one in cold),
        import_uncompiled=told(one.uncompiled for one in cold),
        uncompiled_ratio=told(one.uncompiled and one.uncompiled / one.floor for one in cold),
        warm=Spread.of([one.cpu for one in warmed]),
        warm_ratio=Spread.of([one.cpu / one.floor_cpu for one in warmed]),
        warm_event_ratio=Spread.of([one.cpu / one.event_floor_cpu for one in warmed]),
        warm_online=Spread.of([one.online_cpu for one in warmed]),
        calls=calls,
        log_bytes=median(one.log_bytes for one in warmed),
        peak_bytes=round(median(one.peak_bytes for one in warmed)),
    )
