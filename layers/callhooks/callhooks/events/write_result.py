"""What became of an item that was to be stored. A module of its own, so that a refusal imports no botocore."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from callhooks.runtime.http import HttpPayload


class WriteOutcome(StrEnum):
    """What became of an item."""

    STORED = "stored"
    REPLAYED = "replayed"
    SPILLED = "spilled"
    REFUSED = "refused by the database"
    LOGGED = "in the log alone"


class WriteResult(NamedTuple):
    """What became of an item, and the answer: for a repeat, that of the item which was stored first."""

    outcome: WriteOutcome
    payload: HttpPayload
