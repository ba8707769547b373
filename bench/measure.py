"""Measures subjects in alternating rounds, so that other load on the machine affects all of them equally."""

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

COUNTED_DELIVERIES = 10
WARM_UP = 40
TIMED = 200
NEED_REAL_REPLIES = ("call_log", "call_projector")
READS_A_SECRET = "GetSecretValue"


class Spread(BaseModel):
    """Median and interquartile range of several measurements."""

    model_config = ConfigDict(frozen=True)

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least two values."""
        low, _, high = quantiles(values, n=4, method="inclusive")
        return cls(median=median(values), low=low, high=high)


class Calls(BaseModel):
    """Requests to AWS per delivery, and per cold start (secrets).

    `None` means that it does not apply: a batch has no duplicates, and no sender that could be rejected.
    """

    model_config = ConfigDict(frozen=True)

    fresh: float
    cold_start: int
    duplicate_elsewhere: float | None = None
    duplicate: float | None = None
    rejected: float | None = None
    forged: float | None = None


class Result(BaseModel):
    """Results of one subject, in seconds of processor time and bytes.

    `import_` is the import of the function in a fresh process. `rejection` is the import and the rejection of a
    delivery without credentials, and `boto3_for_rejection` says whether that imported boto3. `import_uncompiled` is the
    import without bytecode, as `sam build` packs it. `warm` is one fresh delivery to a warm container with a network
    that takes no time, and `warm_online` the same over loopback. Ratios compare with the baseline, which ran right
    before, so other load on the machine affects both. `warm_event_ratio` compares with the baseline that stores as much
    as an event.
    """

    model_config = ConfigDict(frozen=True)

    import_: Spread
    import_ratio: Spread
    import_wall: Spread
    rejection: Spread | None
    rejection_ratio: Spread | None
    boto3_for_rejection: bool
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
    """Count the requests to AWS that deliveries cause."""
    events = subject.fresh(COUNTED_DELIVERIES)
    fresh = _counted(subject.process, double, first=events)
    cold_start = fresh.pop(READS_A_SECRET, 0)
    counted = Calls(fresh=fresh.total() / COUNTED_DELIVERIES, cold_start=cold_start)
    if subject.rejected is None or subject.forged is None:
        return counted
    elsewhere = _counted(subject.process, double, first=events)
    elsewhere.pop(READS_A_SECRET, None)
    (one,) = subject.fresh(1)
    _counted(subject.process, double, first=[one])
    # Requests of a cold start with a known delivery, subtracted below.
    start = _counted(subject.process, double, first=[one]).total()

    def each(event: HttpApiEvent, status: int) -> float:
        counted = _counted(subject.process, double, first=[one], then=[event] * COUNTED_DELIVERIES, status=status)
        return (counted.total() - start) / COUNTED_DELIVERIES

    return counted.model_copy(
        update={
            "duplicate_elsewhere": elsewhere.total() / COUNTED_DELIVERIES,
            "duplicate": each(one, 200),
            "rejected": each(subject.rejected, 401),
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
    _check_statuses(measured, [200] * len(first) + [status] * len(then), process)
    return double.calls - before


def _check_statuses(measured: Measured, expected: Sequence[int], process: Process) -> None:
    """Raise `ProcessFailed` if the function answered something else: its times would be meaningless."""
    answered = [status for status in measured.statuses if status is not None]
    if answered and answered != list(expected):
        raise ProcessFailed(f"{process.path[0]}: answered {Counter(answered)} instead of {Counter(expected)}")


class Cold(BaseModel):
    """One round of fresh processes of a subject, in seconds, and of the baseline that ran right before.

    `rejection` is the import and the rejection of a delivery without credentials, `uncompiled` the import without
    bytecode.
    """

    model_config = ConfigDict(frozen=True)

    baseline: float
    import_: float
    import_wall: float
    rejection: float | None = None
    boto3_for_rejection: bool = False
    uncompiled: float | None = None


def cold_start(subject: Subject, baseline: Subject) -> Cold:
    """Start fresh processes of the baseline and of the subject."""
    before = baseline.process.run()
    plain = subject.process.run()
    rejection, boto3_for_rejection = None, False
    if subject.rejected is not None:
        rejected = subject.process.run(first=[subject.rejected])
        _check_statuses(rejected, [401], subject.process)
        rejection = rejected.import_cpu + rejected.first_cpu
        boto3_for_rejection = bool({"boto3", "botocore.session"} & rejected.modules)
    return Cold(
        baseline=before.import_cpu,
        import_=plain.import_cpu,
        import_wall=plain.import_wall,
        rejection=rejection,
        boto3_for_rejection=boto3_for_rejection,
        uncompiled=subject.uncompiled.run().import_cpu if subject.uncompiled else None,
    )


class Warm(BaseModel):
    """Fresh deliveries to one warm container: median seconds of processor time, and bytes.

    `baseline_cpu` and `event_baseline_cpu` belong to the two baselines, which ran right before.
    """

    model_config = ConfigDict(frozen=True)

    baseline_cpu: float
    event_baseline_cpu: float
    cpu: float
    online_cpu: float
    log_bytes: float
    peak_bytes: int


def warm(subject: Subject, baseline: Subject, event_baseline: Subject, log: Path) -> Warm:
    """Deliver to one warm container of each baseline and of the subject."""
    before, before_event = (_warm(one, log, offline=True) for one in (baseline, event_baseline))
    offline = _warm(subject, log, offline=True)
    online = _warm(subject, log, offline=False)
    return Warm(
        baseline_cpu=median(before.each_cpu),
        event_baseline_cpu=median(before_event.each_cpu),
        cpu=median(offline.each_cpu),
        online_cpu=median(online.each_cpu),
        log_bytes=online.log_bytes / TIMED,
        peak_bytes=online.peak_bytes,
    )


def _warm(subject: Subject, log: Path, *, offline: bool) -> Measured:
    events = subject.fresh(WARM_UP + TIMED)
    # These functions need real replies to their queries, not empty ones.
    offline = offline and subject.name not in NEED_REAL_REPLIES
    one = subject.process.run(warm_up=events[:WARM_UP], timed=events[WARM_UP:], offline=offline, log=log)
    _check_statuses(one, [200] * len(events), subject.process)
    return one


def result_of(calls: Calls, cold: Sequence[Cold], warmed: Sequence[Warm]) -> Result:
    """Return the results of all rounds of a subject."""

    def spread(values: Iterable[float | None]) -> Spread | None:
        known = [value for value in values if value is not None]
        return Spread.of(known) if known else None

    return Result(
        import_=Spread.of([one.import_ for one in cold]),
        import_ratio=Spread.of([one.import_ / one.baseline for one in cold]),
        import_wall=Spread.of([one.import_wall for one in cold]),
        rejection=spread(one.rejection for one in cold),
        rejection_ratio=spread(one.rejection and one.rejection / one.baseline for one in cold),
        boto3_for_rejection=any(one.boto3_for_rejection for one in cold),
        import_uncompiled=spread(one.uncompiled for one in cold),
        uncompiled_ratio=spread(one.uncompiled and one.uncompiled / one.baseline for one in cold),
        warm=Spread.of([one.cpu for one in warmed]),
        warm_ratio=Spread.of([one.cpu / one.baseline_cpu for one in warmed]),
        warm_event_ratio=Spread.of([one.cpu / one.event_baseline_cpu for one in warmed]),
        warm_online=Spread.of([one.online_cpu for one in warmed]),
        calls=calls,
        log_bytes=median(one.log_bytes for one in warmed),
        peak_bytes=round(median(one.peak_bytes for one in warmed)),
    )
