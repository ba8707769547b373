"""What a replay has still to publish, in a file: it goes on from there, whatever ended it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from callhooks_tools.stack.private_files import make_private_folder

_EVENTS = """
CREATE TABLE events (occurred_at TEXT, pk TEXT, sk TEXT, kind TEXT, PRIMARY KEY (occurred_at, pk, sk)) WITHOUT ROWID
"""
_REPLAY = "CREATE TABLE replay (told TEXT)"


class StateUnusable(Exception):
    """The file cannot be used; says why."""


@dataclass(frozen=True, slots=True, order=True)
class ReplayPosition:
    """Where an event lies, in time and in the table; they are replayed in this order."""

    occurred_at: str
    pk: str
    sk: str


@dataclass(frozen=True, slots=True)
class KindCount:
    """How many events of one kind a provider has sent."""

    provider: str
    kind: str
    events: int


class Order(BaseModel):
    """How a replay was asked for. The bus where there is no `url`; `rate` is in events a second."""

    model_config = ConfigDict(frozen=True)

    url: str | None
    rate: float
    events: int


class ReplayState:
    """Places of events in a file that one process at a time has open.

    It holds keys and times, so that neither memory nor the file grows with what was sent. Every method but the
    constructor raises `sqlite3.Error` where the disk is full or broken.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or begin an empty one, readable by its owner alone.

        Raises:
            StateUnusable: another process has it open, or it is no such file.
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
            raise StateUnusable(f"{path} is broken ({error}): remove it.") from error

    def close(self) -> None:
        """Let another process have the file; without anything ordered and left in it, it is removed."""
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")
        if self.ordered() is None or not self.left:
            self._path.unlink(missing_ok=True)
        self._database.close()

    def begin_collecting(self) -> None:
        """Forget what is there; nothing is written for good before `order`."""
        self._database.execute("BEGIN")
        self._database.execute("DELETE FROM events")
        self._database.execute("DELETE FROM replay")

    def add(self, places: Iterable[tuple[ReplayPosition, str]]) -> None:
        """Add events with their kinds; one that is there is there once."""
        rows = [(place.occurred_at, place.pk, place.sk, kind) for place, kind in places]
        self._database.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?)", rows)

    def order(self, *, url: str | None, rate: float) -> Order:
        """Write down what is asked for, of all that was added."""
        order = Order(url=url, rate=rate, events=self.left)
        self._database.execute("INSERT INTO replay VALUES (?)", (order.model_dump_json(),))
        self._database.execute("COMMIT")
        return order

    def ordered(self) -> Order | None:
        """What was asked for; `None` where nothing was.

        Raises:
            StateUnusable: another version has written it.
        """
        row = self._database.execute("SELECT told FROM replay").fetchone()
        try:
            return None if row is None else Order.model_validate_json(row[0])
        except ValidationError:
            raise StateUnusable(f"{self._path} was not written by this version: remove it.") from None

    @property
    def left(self) -> int:
        """How many events are left."""
        (number,) = self._database.execute("SELECT count(*) FROM events").fetchone()
        return int(number)

    def span(self) -> tuple[str, str]:
        """When the first and the last event happened of those that are left, of which there must be one."""
        first, last = self._database.execute("SELECT min(occurred_at), max(occurred_at) FROM events").fetchone()
        return str(first), str(last)

    def kinds(self) -> list[KindCount]:
        """What is left, by provider and kind."""
        rows = self._database.execute(
            "SELECT substr(pk, 1, instr(pk, '#') - 1) AS provider, kind, count(*) FROM events "
            "GROUP BY provider, kind ORDER BY provider, kind"
        )
        return [KindCount(*row) for row in rows]

    def next(self, most: int) -> list[ReplayPosition]:
        """The first so many events that are left."""
        rows = self._database.execute(
            "SELECT occurred_at, pk, sk FROM events ORDER BY occurred_at, pk, sk LIMIT ?", (most,)
        )
        return [ReplayPosition(*row) for row in rows]

    def taken(self, places: Sequence[ReplayPosition]) -> None:
        """Strike these off, for good."""
        rows = [(place.occurred_at, place.pk, place.sk) for place in places]
        self._database.execute("BEGIN")
        try:
            self._database.executemany("DELETE FROM events WHERE (occurred_at, pk, sk) = (?, ?, ?)", rows)
            self._database.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            raise
