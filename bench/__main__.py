"""`make bench`: build everything, measure it in one run, print tables, and write `.local/bench.json`."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import typer
from callhooks_tools.packaging.layer_build import Size, size_of, version_of
from callhooks_tools.stack.stack import ROOT
from callhooks_tools.stack.terminal import console, errors
from pydantic import BaseModel, ConfigDict
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import cost, steps
from bench.artifacts import FOLDER, Builder, BuildFailed, functions_python
from bench.measure import Cold, Result, Spread, Warm, calls_of, cold_start, result_of, warm
from bench.process import ProcessFailed
from bench.subjects import BASELINE, EVENT_BASELINE, IMPORT_BASELINE, PEERS, Subject, new_double, subjects

REPORT = ROOT / ".local" / "bench.json"


class Report(BaseModel):
    """Results of a run. `steps` are in microseconds."""

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
    """Target with its limits and the measured value."""

    model_config = ConfigDict(frozen=True)

    name: str
    measured: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool:
        """Return whether the measured value is within its limits."""
        return (self.at_most is None or self.measured <= self.at_most) and (
            self.at_least is None or self.measured >= self.at_least
        )


def main(
    rounds: Annotated[int, typer.Option(min=2, help="Number of fresh processes for each function.")] = 15,
    only: Annotated[list[str] | None, typer.Option(help="Measure only these functions and the baselines.")] = None,
) -> None:
    """Measure deliveries, cold and warm: time, requests to AWS, memory and bytes, compared with alternatives."""
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
                subject
                for subject in built
                if not only or subject.name in {*only, BASELINE, EVENT_BASELINE, IMPORT_BASELINE}
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
                    cold[name].append(cold_start(subject, by_name[IMPORT_BASELINE]))
                    progress.advance(starting)
            deliveries = max(3, rounds // 2)
            delivering = progress.add_task("Delivering", total=deliveries * len(chosen))
            warmed: dict[str, list[Warm]] = {name: [] for name in by_name}
            for _ in range(deliveries):
                for name, subject in by_name.items():
                    warmed[name].append(warm(subject, by_name[BASELINE], by_name[EVENT_BASELINE], FOLDER / "log"))
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
    """Return the targets for which there are results. If a target covers several functions, the worst one counts."""
    events = [results[name] for name in EVENT_FUNCTIONS if name in results]
    callers = [results[name] for name in ("jambonz_new_call",) if name in results]
    jambonz_event = [results[name] for name in ("jambonz_event",) if name in results]
    targets: list[Target] = []

    def add_target(
        name: str, measured: Sequence[float], *, at_most: float | None = None, at_least: float | None = None
    ) -> None:
        if measured:
            worst = max(measured) if at_least is None else min(measured)
            targets.append(Target(name=name, measured=worst, at_most=at_most, at_least=at_least))

    imports = [one.import_ratio.median for one in callers]
    add_target("cold import, jambonz_new_call / bare_pydantic", imports, at_most=1.15)
    rejections = [one.rejection_ratio.median for one in events if one.rejection_ratio]
    add_target("cold import and rejection, event functions / bare_pydantic", rejections, at_most=0.6)
    add_target(
        "event functions that import boto3 for a rejection", [sum(one.boto3_for_rejection for one in events)], at_most=0
    )
    add_target("warm fresh delivery, event functions / bare", [one.warm_ratio.median for one in events], at_most=1.5)
    for name, min_ratio in (("powertools", 2.5), ("fastapi", 2.0)):
        if peer := results.get(name):
            title = PEERS[name]
            ratios = [peer.warm_ratio.median / one.warm_ratio.median for one in jambonz_event]
            add_target(f"warm, {title} / jambonz_event", ratios, at_least=min_ratio)
            ratios = [peer.import_ratio.median / one.import_ratio.median for one in callers]
            add_target(f"cold import, {title} / jambonz_new_call", ratios, at_least=1.3)
            uncompiled = peer.uncompiled_ratio
            ratios = [uncompiled.median / one.import_ratio.median for one in callers if uncompiled]
            add_target(f"cold import, {title}, as sam build packs it / jambonz_new_call", ratios, at_least=1.3)
    calls_of_all = [one.calls for one in (*events, *callers)]
    for case, counted, limit in (
        ("fresh", [calls.fresh for calls in calls_of_all], 1),
        ("duplicate", [calls.duplicate_elsewhere or 0 for calls in calls_of_all], 1),
        ("duplicate in the same container", [calls.duplicate or 0 for calls in calls_of_all], 0),
        ("rejected", [max(calls.rejected or 0, calls.forged or 0) for calls in calls_of_all], 0),
    ):
        add_target(f"requests to AWS per delivery, {case}", counted, at_most=limit)
    return targets


def show(report: Report, chosen: Sequence[Subject]) -> None:
    """Print the report: milliseconds of processor time, and ratios to the baselines."""
    results = report.results
    console.print(
        f"Python {report.python} on {report.machine}, {report.rounds} fresh processes of each function."
        " Milliseconds of processor time: median ± half the interquartile range."
        " The size excludes boto3, which Lambda's image includes."
    )
    cold = Table(
        "cold start",
        "import",
        f"/ {IMPORT_BASELINE}",
        "import and rejection",
        f"/ {IMPORT_BASELINE}",
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
            _milliseconds(one.rejection, 0),
            f"{one.rejection_ratio.median:.2f}" if one.rejection_ratio else "",
            _milliseconds(one.import_uncompiled, 0),
            f"{size.unzipped / 1e6:.1f}",
            f"{size.zipped / 1e6:.1f}",
        )
    console.print(cold)
    warm = Table("warm", "fresh", f"/ {BASELINE}", f"/ {EVENT_BASELINE}", "over loopback", "peak MB", "log bytes")
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
        counted = (calls.fresh, calls.duplicate_elsewhere, calls.duplicate, calls.rejected, calls.forged)
        cells = ("" if number is None else f"{number:g}" for number in counted)
        requests.add_row(subject.name, str(calls.cold_start), *cells)
    console.print(requests)
    console.print(f"Size of the layer: {report.layer}.")
    steps.show(report.steps, report.python)
    cost.show(_pace(results), cost.Prices())
    targets = Table("target", "measured", "limit", "")
    for target in report.targets:
        limit = f"at most {target.at_most:g}" if target.at_most is not None else f"at least {target.at_least:g}"
        targets.add_row(target.name, f"{target.measured:.2f}", limit, "" if target.met else "missed")
    console.print(targets)


def _pace(results: Mapping[str, Result]) -> cost.Pace:
    """Return the pace for the cost model, with the measured size of the projector's log lines."""
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
