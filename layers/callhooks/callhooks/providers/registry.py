"""Providers, found by looking: each module or package of this folder that can describe one.

`describe()` stands in a provider's module, or in the module `provider` of its package. A module is imported when its
provider is asked for, by a function that folds calls only those whose calls it folds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from types import ModuleType

from callhooks import providers as package
from callhooks.calls.call import FoldHints
from callhooks.providers.description import Provider

_NAME = re.compile(r"[a-z]+", re.ASCII)


@cache
def providers() -> Mapping[str, Provider]:
    """All providers by their names, in the order of these."""
    names = sorted(module.name for module in iter_modules(package.__path__))
    return {name: provider for name in names if (provider := find_provider(name))}


@cache
def find_provider(name: str) -> Provider | None:
    """The provider of a name; `None` where no module describes it."""
    module = _module(name) if _NAME.fullmatch(name) else None
    describe = getattr(module, "describe", None)
    if describe is None:
        return None
    provider = describe()
    if not isinstance(provider, Provider) or provider.name != name:
        raise TypeError(f"{module!r} describes no provider of its own name")
    return provider


def hints_for(name: str) -> FoldHints:
    """How the events of a provider are read when they become a call; the common way, where no module describes it."""
    provider = find_provider(name)
    return FoldHints() if provider is None else provider.fold_hints


def _module(name: str) -> ModuleType | None:
    spec = find_spec(f"{package.__name__}.{name}")
    if spec is None:
        return None
    return import_module(f"{spec.name}.provider" if spec.submodule_search_locations else spec.name)
