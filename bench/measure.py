"""Measures subjects side by side, in rounds, so that what the machine does besides falls on all of them alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, quantiles

from callhooks.http import HttpApiEvent
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
    time, `warm_online` the same over loopback.
    """

    model_config = ConfigDict(frozen=True)

    import_: Spread
    import_wall: Spread
    refusal: Spread | None
    boto3_for_refusal: bool | None
    import_uncompiled: Spread | None
    warm: Spread
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


def cold_starts(
    subjects: Sequence[Subject], rounds: int, done: Callable[[], None]
) -> tuple[dict[str, list[Measured]], dict[str, list[Measured]], dict[str, list[Measured]]]:
    """Fresh processes: as they are, with a refusal after the import, and without bytecode."""
    plain: dict[str, list[Measured]] = {subject.name: [] for subject in subjects}
    refusing: dict[str, list[Measured]] = {}
    uncompiled: dict[str, list[Measured]] = {}
    for _ in range(rounds):
        for subject in subjects:
            plain[subject.name].append(subject.process.run())
            if subject.refused is not None:
                measured = subject.process.run(first=[subject.refused])
                _held(measured, [401], subject.process)
                refusing.setdefault(subject.name, []).append(measured)
            if subject.uncompiled is not None:
                uncompiled.setdefault(subject.name, []).append(subject.uncompiled.run())
        done()
    return plain, refusing, uncompiled


class Warm(BaseModel):
    """Fresh deliveries to one warm container: seconds of processor time (the median's), bytes."""

    model_config = ConfigDict(frozen=True)

    cpu: float
    online_cpu: float
    log_bytes: float
    peak_bytes: int


def warm(subjects: Sequence[Subject], rounds: int, done: Callable[[], None], log: Path) -> dict[str, list[Warm]]:
    """Fresh deliveries to warm containers."""
    measured: dict[str, list[Warm]] = {subject.name: [] for subject in subjects}
    for _ in range(rounds):
        for subject in subjects:
            offline, online = (_warm(subject, log, offline=offline) for offline in (True, False))
            measured[subject.name].append(
                Warm(
                    cpu=median(offline.each_cpu),
                    online_cpu=median(online.each_cpu),
                    log_bytes=online.log_bytes / TIMED,
                    peak_bytes=online.peak_bytes,
                )
            )
        done()
    return measured


def _warm(subject: Subject, log: Path, *, offline: bool) -> Measured:
    events = subject.fresh(WARM_UP + TIMED)
    # An empty answer is none to a query.
    offline = offline and subject.name not in ASK_QUESTIONS
    one = subject.process.run(warm_up=events[:WARM_UP], timed=events[WARM_UP:], offline=offline, log=log)
    _held(one, [200] * len(events), subject.process)
    return one
