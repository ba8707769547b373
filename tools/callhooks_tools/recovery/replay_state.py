"""File with the events that a replay still has to publish, so that it can resume after any interruption."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from callhooks_tools.stack.private_files import make_private_folder

_EVENTS = """
CREATE TABLE events (occurred_at TEXT, pk TEXT, sk TEXT, kind TEXT, PRIMARY KEY (occurred_at, pk, sk)) WITHOUT ROWID
"""
_REPLAY = "CREATE TABLE replay (parameters TEXT)"


class StateUnusable(Exception):
    """The file cannot be used; the text has the cause."""


@dataclass(frozen=True, slots=True, order=True)
class ReplayPosition:
    """Time and key of an event. Events are replayed in this order."""

    occurred_at: str
    pk: str
    sk: str


class Order(BaseModel):
    """Destination and rate of a replay. Without a `url` it publishes on the bus; `rate` is in events a second."""

    model_config = ConfigDict(frozen=True)

    url: str | None
    rate: float
    events: int


class ReplayState:
    """Positions of events in a file that only one process can open at a time.

    The file has only keys and times, so that its size does not depend on the size of the events. All methods except
    the constructor raise `sqlite3.Error` if the disk is full or broken.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or create an empty one that only its owner can read.

        Raises:
            StateUnusable: another process has it open, or it is not a state file.
        """
        make_private_folder(path.parent)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._path = path
        self._database = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("BEGIN EXCLUSIVE")
            if self._database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                self._database.execute(_EVENTS)
                self._database.execute(_REPLAY)
            self._database.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._database.close()
            raise StateUnusable(f"Another replay of this stack is running ({error}).") from error
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise StateUnusable(f"{path} is damaged ({error}). Delete it and start the replay again.") from error

    def close(self) -> None:
        """Release the file, and remove it if no replay is in progress."""
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")
        if self.ordered() is None or not self.left:
            self._path.unlink(missing_ok=True)
        self._database.close()

    def begin_collecting(self) -> None:
        """Discard the previous replay; nothing is committed before `order`."""
        self._database.execute("BEGIN")
        self._database.execute("DELETE FROM events")
        self._database.execute("DELETE FROM replay")

    def add(self, events: Iterable[tuple[ReplayPosition, str]]) -> None:
        """Add events with their kinds; an event is added only once."""
        rows = [(position.occurred_at, position.pk, position.sk, kind) for position, kind in events]
        self._database.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?)", rows)

    def order(self, *, url: str | None, rate: float) -> Order:
        """Commit the added events with the destination and the rate."""
        order = Order(url=url, rate=rate, events=self.left)
        self._database.execute("INSERT INTO replay VALUES (?)", (order.model_dump_json(),))
        self._database.execute("COMMIT")
        return order

    def ordered(self) -> Order | None:
        """Return the replay in progress, or `None`.

        Raises:
            StateUnusable: another version has written the file.
        """
        row = self._database.execute("SELECT * FROM replay").fetchone()
        try:
            return None if row is None else Order.model_validate_json(row[0])
        except ValidationError:
            raise StateUnusable(
                f"{self._path} was written by another version. Delete it and start the replay again."
            ) from None

    @property
    def left(self) -> int:
        """Return the number of events that are left."""
        (number,) = self._database.execute("SELECT count(*) FROM events").fetchone()
        return int(number)

    def span(self) -> tuple[str, str]:
        """Return the times of the first and the last event that are left; at least one must be."""
        first, last = self._database.execute("SELECT min(occurred_at), max(occurred_at) FROM events").fetchone()
        return str(first), str(last)

    def kinds(self) -> Iterable[tuple[str, str, int]]:
        """Return the providers and kinds of the events that are left, with the number of each."""
        return self._database.execute(
            "SELECT substr(pk, 1, instr(pk, '#') - 1) AS provider, kind, count(*) FROM events "
            "GROUP BY provider, kind ORDER BY provider, kind"
        )

    def next(self, limit: int) -> list[ReplayPosition]:
        """Return the first events that are left, at most `limit`."""
        rows = self._database.execute(
            "SELECT occurred_at, pk, sk FROM events ORDER BY occurred_at, pk, sk LIMIT ?", (limit,)
        )
        return [ReplayPosition(*row) for row in rows]

    def remove(self, positions: Sequence[ReplayPosition]) -> None:
        """Remove events that were published."""
        rows = [(position.occurred_at, position.pk, position.sk) for position in positions]
        # Commits at the end of the block, or rolls back.
        with self._database:
            self._database.execute("BEGIN")
            self._database.executemany("DELETE FROM events WHERE (occurred_at, pk, sk) = (?, ?, ?)", rows)
