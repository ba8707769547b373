"""`make bench`: builds everything, measures it in one run, prints a table, and writes `.local/bench.json`."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Annotated

import typer
from callhooks_tools.layer_files import Size, size_of, version_of
from callhooks_tools.stack import ROOT
from callhooks_tools.terminal import console, errors
from pydantic import BaseModel, ConfigDict
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.artifacts import Builder, BuildFailed, functions_python
from bench.measure import Result, Spread, calls_of, cold_starts, warm
from bench.process import Measured, ProcessFailed
from bench.subjects import FLOOR, IMPORT_FLOOR, PEERS, Subject, new_double, subjects

FOLDER = ROOT / ".local" / "bench"
REPORT = ROOT / ".local" / "bench.json"


class Report(BaseModel):
    """A whole run. `targets` has for each its figure, its limit, and whether it was met."""

    model_config = ConfigDict(frozen=True)

    measured_at: datetime
    python: str
    machine: str
    rounds: int
    layer: Size
    sizes: Mapping[str, Size]
    results: Mapping[str, Result]
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
    only: Annotated[list[str] | None, typer.Option(help="Measure these alone, and the two floors.")] = None,
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
            chosen = [
                subject
                for subject in subjects(builder, python, double)
                if not only or subject.name in {*only, FLOOR, IMPORT_FLOOR}
            ]
            sizes = {subject.name: size_of(*subject.package.folders) for subject in chosen}
            layer = size_of(FOLDER / "build" / "CallhooksLayer")
            progress.advance(building)
            counting = progress.add_task("Counting requests", total=len(chosen))
            calls = {}
            for subject in chosen:
                calls[subject.name] = calls_of(subject, double)
                progress.advance(counting)
            starting = progress.add_task("Starting cold", total=rounds)
            plain, refusing, uncompiled = cold_starts(chosen, rounds, lambda: progress.advance(starting))
            delivering = progress.add_task("Delivering", total=max(2, rounds // 3))
            warmed = warm(chosen, max(2, rounds // 3), lambda: progress.advance(delivering), FOLDER / "log")
    except (BuildFailed, ProcessFailed) as error:
        errors.print(f"callhooks: {error}")
        raise typer.Exit(1) from None
    results = {
        subject.name: Result(
            import_=Spread.of([one.import_cpu for one in plain[subject.name]]),
            import_wall=Spread.of([one.import_wall for one in plain[subject.name]]),
            refusal=_refusal(refusing.get(subject.name)),
            boto3_for_refusal=_needs_boto3(refusing.get(subject.name)),
            import_uncompiled=_import(uncompiled.get(subject.name)),
            warm=Spread.of([one.cpu for one in warmed[subject.name]]),
            warm_online=Spread.of([one.online_cpu for one in warmed[subject.name]]),
            calls=calls[subject.name],
            log_bytes=median(one.log_bytes for one in warmed[subject.name]),
            peak_bytes=round(median(one.peak_bytes for one in warmed[subject.name])),
        )
        for subject in chosen
    }
    report = Report(
        measured_at=datetime.now(UTC),
        python=version_of(python),
        machine=platform.machine(),
        rounds=rounds,
        layer=layer,
        sizes=sizes,
        results=results,
        targets=targets_of(results),
    )
    REPORT.write_text(report.model_dump_json(indent=2, by_alias=True) + "\n", "utf-8")
    show(report, chosen)
    console.print(f"\nWritten to {REPORT.relative_to(ROOT)}")


def _refusal(measured: Sequence[Measured] | None) -> Spread | None:
    return Spread.of([one.import_cpu + one.first_cpu for one in measured]) if measured else None


def _import(measured: Sequence[Measured] | None) -> Spread | None:
    return Spread.of([one.import_cpu for one in measured]) if measured else None


def _needs_boto3(measured: Sequence[Measured] | None) -> bool | None:
    return any("boto3" in one.modules or "botocore.session" in one.modules for one in measured) if measured else None


EVENT_FUNCTIONS = ("jambonz_event", "wavix_call", "bird_voice", "voipstudio_event")


def targets_of(results: Mapping[str, Result]) -> list[Target]:
    """The targets that can be told of what was measured."""
    floor, import_floor = results[FLOOR], results[IMPORT_FLOOR]
    targets: list[Target] = []
    if new_call := results.get("jambonz_new_call"):
        targets.append(
            Target(
                what="cold import of jambonz_new_call, to the floor with a model",
                measured=new_call.import_.median / import_floor.import_.median,
                at_most=1.15,
            )
        )
    for name in EVENT_FUNCTIONS:
        if (result := results.get(name)) and result.refusal:
            targets += [
                Target(
                    what=f"cold {name} up to a refusal without credentials, to the floor with a model",
                    measured=result.refusal.median / import_floor.import_.median,
                    at_most=0.6,
                ),
                Target(
                    what=f"boto3 is imported for that refusal by {name}",
                    measured=float(bool(result.boto3_for_refusal)),
                    at_most=0,
                ),
                Target(
                    what=f"warm fresh delivery to {name}, to the bare put",
                    measured=result.warm.median / floor.warm.median,
                    at_most=1.5,
                ),
            ]
            calls = result.calls
            for what, counted, most in (
                ("a fresh delivery", calls.fresh, 1.0),
                ("a repeat", calls.repeated_elsewhere, 1.0),
                ("a repeat in the same container", calls.repeated, 0.0),
                ("a refusal without credentials", calls.refused, 0.0),
                ("a refusal of wrong credentials", calls.forged, 0.0),
            ):
                if counted is not None:
                    targets.append(Target(what=f"requests to AWS for {what}, {name}", measured=counted, at_most=most))
    ours = results.get("jambonz_event")
    for name, warmer, colder in (("powertools", 2.5, 1.3), ("fastapi", 2.0, 1.3)):
        if ours and (peer := results.get(name)):
            targets += [
                Target(
                    what=f"warm fresh delivery, {PEERS[name]}, to jambonz_event",
                    measured=peer.warm.median / ours.warm.median,
                    at_least=warmer,
                ),
                Target(
                    what=f"cold import, {PEERS[name]}, to jambonz_event",
                    measured=peer.import_.median / ours.import_.median,
                    at_least=colder,
                ),
            ]
    return targets


def show(report: Report, chosen: Sequence[Subject]) -> None:
    """Print it: milliseconds of processor time, and ratios to the floors."""
    results = report.results
    floor, import_floor = results[FLOOR], results[IMPORT_FLOOR]
    console.print(
        f"Python {report.python} on {report.machine}, {report.rounds} fresh processes of each; medians, with the middle"
        " half in brackets. Processor time, boto3 as in Lambda's image."
    )
    cold = Table("cold", "import ms", "to floor", "refused ms", "to floor", "no bytecode ms", "MB", "zipped MB")
    hot = Table(
        "warm", "delivery ms", "to floor", "fresh", "repeat", "same container", "refused", "forged", "log B", "peak MB"
    )
    for subject in chosen:
        name, one = subject.name, results[subject.name]
        size = report.sizes[name]
        cold.add_row(
            name,
            _milliseconds(one.import_),
            f"{one.import_.median / import_floor.import_.median:.2f}",
            _milliseconds(one.refusal),
            f"{one.refusal.median / import_floor.import_.median:.2f}" if one.refusal else "",
            _milliseconds(one.import_uncompiled),
            f"{size.unzipped / 1e6:.1f}",
            f"{size.zipped / 1e6:.1f}",
        )
        calls = one.calls
        counted = (calls.fresh, calls.repeated_elsewhere, calls.repeated, calls.refused, calls.forged)
        hot.add_row(
            name,
            _milliseconds(one.warm),
            f"{one.warm.median / floor.warm.median:.2f}",
            *("" if number is None else f"{number:g}" for number in counted),
            f"{one.log_bytes:.0f}",
            f"{one.peak_bytes / 1e6:.0f}",
        )
    console.print(cold)
    console.print(hot)
    console.print(f"The layer: {report.layer.unzipped / 1e6:.1f} MB, zipped {report.layer.zipped / 1e6:.1f} MB.")
    promises = Table("target", "measured", "limit", "")
    for target in report.targets:
        limit = f"at most {target.at_most:g}" if target.at_most is not None else f"at least {target.at_least:g}"
        promises.add_row(target.what, f"{target.measured:.2f}", limit, "" if target.met else "MISSED")
    console.print(promises)


def _milliseconds(spread: Spread | None) -> str:
    if spread is None:
        return ""
    return f"{1000 * spread.median:.2f} [{1000 * spread.low:.2f} {1000 * spread.high:.2f}]"


if __name__ == "__main__":
    typer.run(main)
