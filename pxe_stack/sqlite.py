"""One SQLite file of a site: made once, written by several processes, read by all of them.

Write-ahead logging lets readers go on while somebody writes.  A connection is shared by the
threads of its process under one lock, and never crosses a fork.
"""

import fcntl
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

BUSY_S: Final = 10.0
"""How long a writer waits for another process's transaction."""

_OWN_BITS: Final = 40
"""More rows than one connection ever writes fit into them."""


class Database:
    """A file with *schema*; every use of it is inside :meth:`reading` or :meth:`writing`."""

    def __init__(self, path: Path, schema: str) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.RLock()
        with _alone(path):
            self._connection = _open(path, schema)
        self._seen = self._data_version()
        self._durable: bool | None = None

    def close(self) -> None:
        """Close the connection; nothing may be used after it."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for statements that only read."""
        with self._lock:
            yield self._connection

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """One transaction; when *durable*, it lies on the disk before the block is left.

        Inside another of the same thread it is a part of that one, and as durable as that.
        Raises sqlite3.OperationalError when the file stays locked for BUSY_S seconds.
        """
        with self._lock:
            if self._connection.in_transaction:
                begin, undo, end = "SAVEPOINT part", "ROLLBACK TO part", "RELEASE part"
            else:
                self._sync(durable=durable)
                begin, undo, end = "BEGIN IMMEDIATE", "ROLLBACK", "COMMIT"
            self._connection.execute(begin)
            try:
                yield self._connection
                self._connection.execute(end)
            except BaseException:
                if self._connection.in_transaction:  # a full disk may have ended it already
                    self._connection.execute(undo)
                raise

    def _sync(self, *, durable: bool) -> None:
        if durable is not self._durable:
            self._connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._durable = durable

    def changed(self) -> bool:
        """Whether another connection has committed since this was asked last."""
        with self._lock:
            now = self._data_version()
            changed, self._seen = now != self._seen, now
            return changed

    def version(self) -> int:
        """Return a number that is another, and higher, after every commit here or elsewhere.

        Of this connection alone.  PRAGMA data_version counts what others commit, total_changes
        what this one writes.
        """
        with self._lock:
            return (self._data_version() << _OWN_BITS) + self._connection.total_changes

    def _data_version(self) -> int:
        row: tuple[int] = self._connection.execute("PRAGMA data_version").fetchone()
        return row[0]


def _open(path: Path, schema: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    path.chmod(0o600)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA wal_autocheckpoint=1000")
    connection.executescript(f"BEGIN IMMEDIATE; {schema}; COMMIT;")
    return connection


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    # Turning on write-ahead logging does not wait for others: two first openers would collide.
    with path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def one(connection: sqlite3.Connection, sql: str, *values: Any) -> Any:
    """Return the first column of the first row, or None."""
    row = connection.execute(sql, values).fetchone()
    return None if row is None else row[0]
