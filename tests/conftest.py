"""Settings and fixtures of all tests."""

from __future__ import annotations

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
