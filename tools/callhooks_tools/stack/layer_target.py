"""The Python version and the processor of functions, and of the layers that are built for them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

ARCHITECTURES = {"aarch64-linux-gnu": "arm64", "x86_64-linux-gnu": "x86_64"}
"""Lambda's names for the platforms in the names of extension modules."""
PLATFORMS = {"arm64": "aarch64-manylinux2014", "x86_64": "x86_64-manylinux2014"}
"""The layer's platform (`LAYER_PLATFORM`) for each architecture of a function."""

_EXTENSION_MODULE = re.compile(r"\.cpython-3(\d+)-([\w-]+)\.so$", re.ASCII)


@dataclass(frozen=True, slots=True)
class LayerTarget:
    """A Python version such as `3.13`, and an architecture as Lambda names it."""

    python: str
    architecture: str

    @classmethod
    def of_function(cls, runtime: str, architecture: str) -> Self:
        """Return the target of a function with this runtime, such as `python3.13`."""
        return cls(runtime.removeprefix("python"), architecture)

    @property
    def runtime(self) -> str:
        """Return Lambda's name of the Python version."""
        return f"python{self.python}"

    def __str__(self) -> str:
        return f"Python {self.python} on {self.architecture}"


def targets_in(names: Iterable[str]) -> set[LayerTarget]:
    """Return the targets of extension modules, from the names of files. No target: the files run everywhere."""
    found = (_EXTENSION_MODULE.search(name) for name in names)
    return {LayerTarget(f"3.{one[1]}", ARCHITECTURES.get(one[2], one[2])) for one in found if one is not None}
