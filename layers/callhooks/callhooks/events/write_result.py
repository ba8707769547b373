"""The result of a write. A separate module, so that rejecting a request does not import botocore."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from callhooks.runtime.http import HttpPayload


class WriteOutcome(StrEnum):
    """Outcome of a write."""

    STORED = "stored"
    REPLAYED = "replayed"
    SPILLED = "spilled"
    REFUSED = "rejected by DynamoDB"
    LOGGED = "only in the log"


class WriteResult(NamedTuple):
    """The outcome of a write and the answer to send. A duplicate gets the answer of the first delivery."""

    outcome: WriteOutcome
    payload: HttpPayload
