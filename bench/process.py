"""A Lambda function in a process of its own, as a container starts it: its folder, its layers, and AWS's boto3."""

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
    """What one process took: seconds of processor time and of the clock, bytes.

    `first_cpu` is what the first events took together, `each_cpu` what each of the timed ones took. `modules` are those
    that were there after the first events.
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
    """A function could not be measured; has what it printed."""


@dataclass(frozen=True)
class Process:
    """How a function is started: the interpreter, where it imports from, and its environment."""

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
        """Start it, and hand it events; `offline` has AWS answer the timed ones at once, from no network.

        Raises:
            ProcessFailed: it has raised, or takes minutes.
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
        """Return what a script prints that has a `spec` on its input, and nothing of this process's environment.

        Raises:
            ProcessFailed: it has raised, or takes minutes.
        """
        try:
            done = subprocess.run(  # noqa: S603 - the interpreter is the one that was found
                # No packages of the interpreter, and no bytecode of the function's own: /var/task can be read only.
                [str(self.python), "-P", "-S", "-B", str(probe)],
                input=_SPEC.dump_json(dict(spec)),
                capture_output=True,
                timeout=MAX_SECONDS,
                check=False,
                env={"PATH": os.defpath, **self.environment},
            )
        except subprocess.TimeoutExpired as error:
            raise ProcessFailed(f"{self.path[0]}: takes longer than {MAX_SECONDS} s") from error
        if done.returncode != 0:
            raise ProcessFailed(f"{self.path[0]}: {done.stderr.decode('utf-8', 'replace')[-2000:]}")
        return done.stdout


_SPEC = TypeAdapter(dict[str, object])
