"""Settings and fixtures of all tests."""

from __future__ import annotations

import gc
import io
import logging
import os
from collections.abc import Iterator

import pytest

# As the template sets it; loggers read it when they are made.
os.environ["POWERTOOLS_SERVICE_NAME"] = "callhooks"

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from tests.properties import register_profiles

register_profiles()


def pytest_collection_finish() -> None:
    """Have garbage collected seldom, and not looked for in what all tests share: a third of the time goes there."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000)
    gc.enable()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that callhooks logs, as CloudWatch gets it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LambdaPowertoolsFormatter())
    logger = logging.getLogger("callhooks")
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)
