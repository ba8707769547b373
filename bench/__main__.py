"""`make bench`: builds everything, measures it in one run, prints a table, and writes `.local/bench.json`."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import typer
from callhooks_tools.local.layer_build import Size, size_of, version_of
from callhooks_tools.stack.stack import ROOT
from callhooks_tools.stack.terminal import console, errors
from pydantic import BaseModel, ConfigDict
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import cost, steps
from bench.artifacts import FOLDER, Builder, BuildFailed, functions_python
from bench.measure import Cold, Result, Spread, Warm, calls_of, cold_start, result_of, warm
from bench.process import ProcessFailed
from bench.subjects import EVENT_FLOOR, FLOOR, IMPORT_FLOOR, PEERS, Subject, new_double, subjects

REPORT = ROOT / ".local" / "bench.json"


class Report(BaseModel):
    """A whole run. `steps` has microseconds; `targets` has for each its figure, its limit, and whether it was met."""

    model_config = ConfigDict(frozen=True)

    measured_at: datetime
    python: str
    machine: str
    rounds: int
    layer: Size
    sizes: Mapping[str, Size]
    results: Mapping[str, Result]
    steps: Mapping[str, float]
    targets: Sequence[Target]


class Target(BaseModel):
    """A promise and what came of it."""

    model_config = ConfigDict(frozen=True)

    what: str
    measured: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool:
        """Whether the figure is within its limits."""
        return (self.at_most is None or self.measured <= self.at_most) and (
            self.at_least is None or self.measured >= self.at_least
        )


def main(
    rounds: Annotated[int, typer.Option(min=2, help="How many fresh processes there are of each function.")] = 15,
    only: Annotated[list[str] | None, typer.Option(help="Measure these alone, and the floors.")] = None,
) -> None:
    """Measure what a delivery costs: cold, warm, in requests to AWS, in memory and in bytes, beside its peers."""
    python = functions_python()
    double = new_double()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=errors, disable=not errors.is_terminal)
    try:
        with double.running(), progress:
            building = progress.add_task("Building", total=1)
            builder = Builder(FOLDER, python)
            built = subjects(builder, python, double)
            chosen = [
                subject for subject in built if not only or subject.name in {*only, FLOOR, EVENT_FLOOR, IMPORT_FLOOR}
            ]
            sizes = {subject.name: size_of(*subject.package.folders) for subject in chosen}
            layer = size_of(FOLDER / "build" / "CallhooksLayer")
            progress.advance(building)
            counting = progress.add_task("Counting requests", total=len(chosen))
            calls = {}
            for subject in chosen:
                calls[subject.name] = calls_of(subject, double)
                progress.advance(counting)
            by_name = {subject.name: subject for subject in chosen}
            starting = progress.add_task("Starting cold", total=rounds * len(chosen))
            cold: dict[str, list[Cold]] = {name: [] for name in by_name}
            for _ in range(rounds):
                for name, subject in by_name.items():
                    cold[name].append(cold_start(subject, by_name[IMPORT_FLOOR]))
                    progress.advance(starting)
            deliveries = max(3, rounds // 2)
            delivering = progress.add_task("Delivering", total=deliveries * len(chosen))
            warmed: dict[str, list[Warm]] = {name: [] for name in by_name}
            for _ in range(deliveries):
                for name, subject in by_name.items():
                    warmed[name].append(warm(subject, by_name[FLOOR], by_name[EVENT_FLOOR], FOLDER / "log"))
                    progress.advance(delivering)
            (event_function,) = [subject.process for subject in built if subject.name == "jambonz_event"]
            step_times = steps.steps(event_function)
    except (BuildFailed, ProcessFailed) as error:
        errors.print(f"callhooks: {error}")
        raise typer.Exit(1) from None
    results = {name: result_of(calls[name], cold[name], warmed[name]) for name in by_name}
    report = Report(
        measured_at=datetime.now(UTC),
        python=version_of(python),
        machine=platform.machine(),
        rounds=rounds,
        layer=layer,
        sizes=sizes,
        results=results,
        steps=step_times,
        targets=targets_of(results),
    )
    REPORT.write_text(report.model_dump_json(indent=2, by_alias=True) + "\n", "utf-8")
    show(report, chosen)
    console.print(f"\nWritten to {REPORT.relative_to(ROOT)}")


EVENT_FUNCTIONS = ("jambonz_event", "wavix_call", "bird_voice", "voipstudio_event")


def targets_of(results: Mapping[str, Result]) -> list[Target]:
    """The targets that can be told of what was measured; of several functions the worst counts."""
    events = [results[name] for name in EVENT_FUNCTIONS if name in results]
    callers = [results[name] for name in ("jambonz_new_call",) if name in results]
    mine = [results[name] for name in ("jambonz_event",) if name in results]
    targets: list[Target] = []

    def hold(what: str, measured: Sequence[float], *, most: float | None = None, least: float | None = None) -> None:
        if measured:
            worst = max(measured) if least is None else min(measured)
            targets.append(Target(what=what, measured=worst, at_most=most, at_least=least))

    imports = [one.import_ratio.median for one in callers]
    hold("cold import, jambonz_new_call / bare_pydantic", imports, most=1.15)
    refusals = [one.refusal_ratio.median for one in events if one.refusal_ratio]
    hold("cold import and rejection, event functions / bare_pydantic", refusals, most=0.6)
    hold("event functions that import boto3 for a rejection", [sum(one.boto3_for_refusal for one in events)], most=0)
    hold("warm fresh delivery, event functions / bare", [one.warm_ratio.median for one in events], most=1.5)
    for name, warmer in (("powertools", 2.5), ("fastapi", 2.0)):
        if peer := results.get(name):
            title = PEERS[name]
            ratios = [peer.warm_ratio.median / one.warm_ratio.median for one in mine]
            hold(f"warm, {title} / jambonz_event", ratios, least=warmer)
            ratios = [peer.import_ratio.median / one.import_ratio.median for one in callers]
            hold(f"cold import, {title} / jambonz_new_call", ratios, least=1.3)
            packed = peer.uncompiled_ratio
            ratios = [packed.median / one.import_ratio.median for one in callers if packed]
            hold(f"cold import, {title}, as sam build packs it / jambonz_new_call", ratios, least=1.3)
    of_all = [one.calls for one in (*events, *callers)]
    for what, counted, most in (
        ("fresh", [calls.fresh for calls in of_all], 1),
        ("duplicate", [calls.repeated_elsewhere or 0 for calls in of_all], 1),
        ("duplicate in the same container", [calls.repeated or 0 for calls in of_all], 0),
        ("rejected", [max(calls.refused or 0, calls.forged or 0) for calls in of_all], 0),
    ):
        hold(f"requests to AWS per delivery, {what}", counted, most=most)
    return targets


def show(report: Report, chosen: Sequence[Subject]) -> None:
    """Print it: milliseconds of processor time, and ratios to the floors."""
    results = report.results
    console.print(
        f"Python {report.python} on {report.machine}, {report.rounds} fresh processes of each."
        " Milliseconds of processor time: median ± half the interquartile range."
        " boto3 is not in the layer: Lambda's image has it."
    )
    cold = Table(
        "cold start",
        "import",
        f"/ {IMPORT_FLOOR}",
        "import and rejection",
        f"/ {IMPORT_FLOOR}",
        "import without bytecode",
        "MB",
        "zipped",
    )
    for subject in chosen:
        one, size = results[subject.name], report.sizes[subject.name]
        cold.add_row(
            subject.name,
            _milliseconds(one.import_, 0),
            f"{one.import_ratio.median:.2f}",
            _milliseconds(one.refusal, 0),
            f"{one.refusal_ratio.median:.2f}" if one.refusal_ratio else "",
            _milliseconds(one.import_uncompiled, 0),
            f"{size.unzipped / 1e6:.1f}",
            f"{size.zipped / 1e6:.1f}",
        )
    console.print(cold)
    warm = Table("warm", "fresh", f"/ {FLOOR}", f"/ {EVENT_FLOOR}", "over loopback", "peak MB", "log bytes")
    for subject in chosen:
        one = results[subject.name]
        warm.add_row(
            subject.name,
            _milliseconds(one.warm, 2),
            f"{one.warm_ratio.median:.2f}",
            f"{one.warm_event_ratio.median:.2f}",
            _milliseconds(one.warm_online, 2),
            f"{one.peak_bytes / 1e6:.0f}",
            f"{one.log_bytes:.0f}",
        )
    console.print(warm)
    requests = Table(
        "requests to AWS", "once per container", "fresh", "duplicate", "duplicate, same container", "rejected", "forged"
    )
    for subject in chosen:
        calls = results[subject.name].calls
        counted = (calls.fresh, calls.repeated_elsewhere, calls.repeated, calls.refused, calls.forged)
        told = ("" if number is None else f"{number:g}" for number in counted)
        requests.add_row(subject.name, str(calls.cold_start), *told)
    console.print(requests)
    console.print(f"The layer has {report.layer}.")
    steps.show(report.steps, report.python)
    cost.show(_pace(results), cost.Prices())
    promises = Table("target", "measured", "limit", "")
    for target in report.targets:
        limit = f"at most {target.at_most:g}" if target.at_most is not None else f"at least {target.at_least:g}"
        promises.add_row(target.what, f"{target.measured:.2f}", limit, "" if target.met else "missed")
    console.print(promises)


def _pace(results: Mapping[str, Result]) -> cost.Pace:
    """The pace of the cost model, with the lines that were really logged."""
    pace = cost.Pace()
    if projector := results.get("call_projector"):
        pace = replace(pace, batch_log_bytes=projector.log_bytes)
    return pace


def _milliseconds(spread: Spread | None, digits: int) -> str:
    if spread is None:
        return ""
    return f"{1000 * spread.median:.{digits}f} ±{500 * (spread.high - spread.low):.{digits}f}"


if __name__ == "__main__":
    typer.run(main)
