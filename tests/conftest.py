"""Settings and fixtures for all tests."""

from __future__ import annotations

import gc
import io
import logging
import os
from collections.abc import Iterator

import pytest

# Loggers read this when they are created. The template sets the same value.
os.environ["POWERTOOLS_SERVICE_NAME"] = "callhooks"
# Commands in tests must not use a real stack of the user.
os.environ.pop("CALLHOOKS_STACK", None)

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from tests.properties import register_profiles

register_profiles()


def pytest_collection_finish() -> None:
    """Collect garbage rarely, and skip the objects that all tests share. This saves a third of the run time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000)
    gc.enable()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Capture everything that callhooks logs, in the format that CloudWatch gets."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LambdaPowertoolsFormatter())
    logger = logging.getLogger("callhooks")
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)
