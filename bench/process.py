"""Runs a Lambda function in a separate process, as a container does: its folder, its layers, and boto3."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from callhooks.runtime.http import HttpApiEvent
from pydantic import BaseModel, ConfigDict, TypeAdapter

PROBE = Path(__file__).with_name("probe.py")
MAX_SECONDS = 120


class Measured(BaseModel):
    """Measurements of one process: seconds of processor time and of wall time, and bytes.

    `first_cpu` is the total time of the first events, `each_cpu` the time of each timed event. `modules` are the
    modules that were loaded after the first events.
    """

    model_config = ConfigDict(frozen=True)

    import_wall: float
    import_cpu: float
    first_cpu: float
    modules: frozenset[str]
    statuses: tuple[int | None, ...]
    each_cpu: tuple[float, ...]
    log_bytes: int
    peak_bytes: int


class ProcessFailed(Exception):
    """A function could not be measured. The message contains its error output."""


@dataclass(frozen=True)
class Process:
    """Interpreter, import path and environment of a function."""

    python: Path
    path: Sequence[Path]
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(
        self,
        *,
        first: Sequence[HttpApiEvent] = (),
        warm_up: Sequence[HttpApiEvent] = (),
        timed: Sequence[HttpApiEvent] = (),
        offline: bool = False,
        log: Path | None = None,
    ) -> Measured:
        """Start the function, and pass it events. With `offline`, AWS requests of timed events get an empty reply.

        Raises:
            ProcessFailed: the function raised an exception, or took too long.
        """
        spec: dict[str, object] = {
            "path": [str(folder) for folder in self.path],
            "first": list(first),
            "warm_up": list(warm_up),
            "timed": list(timed),
            "offline": offline,
            "log": None if log is None else str(log),
        }
        return Measured.model_validate_json(self.run_probe(PROBE, spec))

    def run_probe(self, probe: Path, spec: Mapping[str, object]) -> bytes:
        """Run a script with `spec` on its standard input and without this process's environment. Return its output.

        Raises:
            ProcessFailed: the function raised an exception, or took too long.
        """
        try:
            done = subprocess.run(  # noqa: S603 - the interpreter comes from this environment
                # No site packages, and no bytecode for the function's own code: /var/task is read-only.
                [str(self.python), "-P", "-S", "-B", str(probe)],
                input=_SPEC.dump_json(dict(spec)),
                capture_output=True,
                timeout=MAX_SECONDS,
                check=False,
                env={"PATH": os.defpath, **self.environment},
            )
        except subprocess.TimeoutExpired as error:
            raise ProcessFailed(f"{self.path[0]}: took longer than {MAX_SECONDS} s") from error
        if done.returncode != 0:
            raise ProcessFailed(f"{self.path[0]}: {done.stderr.decode('utf-8', 'replace')[-2000:]}")
        return done.stdout


_SPEC = TypeAdapter(dict[str, object])
