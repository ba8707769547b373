"""The exceptions form one tree, which the docstring of `runtime/errors.py` shows."""

from __future__ import annotations

import importlib
import pkgutil
import re

import callhooks
from callhooks.runtime import errors
from callhooks.runtime.errors import CallhooksError

OF_BOTOCORE = {"CircuitOpenError"}


def exceptions_of_the_layer() -> set[type[BaseException]]:
    modules = [importlib.import_module(found.name) for found in pkgutil.walk_packages(callhooks.__path__, "callhooks.")]
    kinds = {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, BaseException) and kind.__module__ == module.__name__
    }
    assert len(kinds) > 10
    return kinds


def test_every_exception_of_the_layer_is_a_callhooks_error() -> None:
    assert {kind.__name__ for kind in exceptions_of_the_layer() if not issubclass(kind, CallhooksError)} == OF_BOTOCORE


def test_the_docstring_shows_every_exception_of_the_layer() -> None:
    drawn = re.findall(r"^    (?:│   )?(?:[├└]── )?(\w+)", errors.__doc__ or "", re.MULTILINE)
    assert sorted(kind.__name__ for kind in exceptions_of_the_layer() if kind.__name__ not in OF_BOTOCORE) == sorted(
        drawn
    )
