"""What becomes of an item that is to be kept, as far as whoever answers for it has to know."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from callhooks.runtime.http import HttpPayload

if TYPE_CHECKING:
    from callhooks.events.event_item import Item


class WriteOutcome(StrEnum):
    """What became of an item."""

    STORED = "stored"
    REPLAYED = "replayed"
    SPILLED = "spilled"
    REFUSED = "refused by the database"
    LOGGED = "in the log alone"


class WriteResult(NamedTuple):
    """What became of an item, and the answer: that of the item which was there first."""

    fate: WriteOutcome
    payload: HttpPayload


class ItemWriter(Protocol):
    """Keeps each item once."""

    def keep(self, item: Item, seconds_left: Callable[[], float]) -> WriteResult:
        """Keep an item, in a place that can be reached in the time that is left.

        What the database will never take is `REFUSED` and kept nowhere: the caller may have another form of it.
        """
        ...

    def log(self, item: Item, failure: str) -> None:
        """Write all of an item to the log, packed, for `callhooks recover`: the last place there is."""
        ...
