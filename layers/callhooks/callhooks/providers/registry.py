"""Registry of providers: every module or package in this folder that has a `describe` function.

`describe()` is in the provider's module, or in the module `provider` of its package. A module is imported only when its
provider is requested, so a function that folds calls loads only the providers of those calls.
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
    """Return all providers by name, sorted by name."""
    names = sorted(module.name for module in iter_modules(package.__path__))
    return {name: provider for name in names if (provider := find_provider(name))}


@cache
def find_provider(name: str) -> Provider | None:
    """Return the provider with this name, or `None` if no module describes it.

    Raises:
        TypeError: `describe` does not return a provider with the name of its module.
    """
    module = _module(name) if _NAME.fullmatch(name) else None
    describe = getattr(module, "describe", None)
    if describe is None:
        return None
    provider = describe()
    if not isinstance(provider, Provider) or provider.name != name:
        raise TypeError(f"describe() of {module!r} must return a Provider named {name!r}")
    return provider


def hints_for(name: str) -> FoldHints:
    """Return how to fold a provider's events into a call; the defaults if no module describes the provider."""
    provider = find_provider(name)
    return FoldHints() if provider is None else provider.fold_hints


def _module(name: str) -> ModuleType | None:
    spec = find_spec(f"{package.__name__}.{name}")
    if spec is None:
        return None
    return import_module(f"{spec.name}.provider" if spec.submodule_search_locations else spec.name)
