"""The warehouse's own database: how many of each article are left, and who holds them.

Every worker of the system opens the same file. Reserving happens in one
transaction, so two workers never give away the same piece, and a worker that is
killed in the middle leaves nothing half done.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock

#: What lies on the shelf at first: a fixed number for each article, different between articles.
SHELF_LEAST = 200
SHELF_SPREAD = 900
#: Another worker's transaction takes milliseconds.
WAIT_SECONDS = 5.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS shelf (sku TEXT PRIMARY KEY, remaining INTEGER NOT NULL CHECK (remaining >= 0)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservation (
    key TEXT PRIMARY KEY, -- the step's idempotency key
    order_id TEXT NOT NULL,
    pieces INTEGER NOT NULL
) WITHOUT ROWID;
"""


class Short(Exception):
    """Not everything is there. Names the first article that is short, in the order they were asked for."""

    def __init__(self, sku: str, requested: int, available: int) -> None:
        super().__init__(f"{requested} pieces of {sku} were asked for, {available} are left")
        self.sku, self.requested, self.available = sku, requested, available


class Stock:
    """The stock in the file `path`, which is made when first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made = False
        # SQLite lets one writer in and the others poll; within a process they queue here instead.
        self._one_at_a_time = Lock()

    def reserve(self, key: str, order_id: str, wanted: Mapping[str, int]) -> str:
        """Takes all of `wanted` from the shelves and returns the reservation's id.

        With a key that has reserved before, nothing is taken and the id is the same.
        Raises `Short`, and takes nothing, if any article is short.
        """
        reservation = f"res_{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        with self._transaction() as database:
            if database.execute("SELECT 1 FROM reservation WHERE key = ?", (key,)).fetchone():
                return reservation
            for sku, quantity in wanted.items():
                available = self._left(database, sku)
                if available < quantity:
                    raise Short(sku, quantity, available)
                database.execute("INSERT OR REPLACE INTO shelf VALUES (?, ?)", (sku, available - quantity))
            database.execute("INSERT INTO reservation VALUES (?, ?, ?)", (key, order_id, sum(wanted.values())))
        return reservation

    def left(self, sku: str) -> int:
        """How many pieces nobody has reserved."""
        with self._transaction() as database:
            return self._left(database, sku)

    @staticmethod
    def _left(database: sqlite3.Connection, sku: str) -> int:
        row = database.execute("SELECT remaining FROM shelf WHERE sku = ?", (sku,)).fetchone()
        return int(row[0]) if row else on_the_shelf(sku)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        # A connection for each call, because handlers run in threads.
        with self._one_at_a_time, closing(sqlite3.connect(self._path, timeout=WAIT_SECONDS, isolation_level=None)) as database:
            if not self._made:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                database.execute("PRAGMA journal_mode = WAL")
                database.executescript(SCHEMA)
                self._made = True
            # A power cut may lose the last reservations of a demo; a killed process loses none.
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")


def on_the_shelf(sku: str) -> int:
    """How many pieces there were before the first order."""
    return SHELF_LEAST + int.from_bytes(hashlib.sha256(sku.encode()).digest()[:4], "big") % SHELF_SPREAD
