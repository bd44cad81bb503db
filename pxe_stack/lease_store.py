"""Leases on the disk: one SQLite file for each DHCP process, written before its ACKs leave.

Each process reads the files of all when it starts, so that what another process gave is known when
they share the addresses in another way than before; each writes its own alone.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from pxe_stack import sqlite
from pxe_stack.leases import Lease, Share, State

LEASES: Final = "leases"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS leases (
    address INTEGER PRIMARY KEY, client BLOB NOT NULL, expires REAL NOT NULL,
    state INTEGER NOT NULL, made INTEGER NOT NULL
) STRICT
"""
_WRITE: Final = (
    "INSERT INTO leases VALUES (?, ?, ?, ?, ?) ON CONFLICT (address) DO UPDATE SET"
    " client = excluded.client, expires = excluded.expires, state = excluded.state,"
    " made = excluded.made"
)
_READ: Final = "SELECT address, client, expires, state, made FROM leases ORDER BY made"


def path(folder: Path, index: int) -> Path:
    """Return the file of the process with *index*."""
    return folder / (f"{LEASES}.db" if index == 0 else f"{LEASES}-{index}.db")


class LeaseStore:
    """The file of the process that has *share*."""

    def __init__(self, folder: Path, share: Share) -> None:
        self.share = share
        self._folder = folder
        self._own = path(folder, share.index)
        self._db = sqlite.Database(self._own, _SCHEMA)
        with self._db.reading() as connection:
            self._made = int(sqlite.one(connection, "SELECT max(made) FROM leases") or 0)

    def close(self) -> None:
        self._db.close()

    def write(self, leases: Iterable[Lease]) -> None:
        """Write *leases* in one transaction; they lie on the disk when this returns.

        Raises sqlite3.Error when they do not; none of them is written then.
        """
        rows = []
        for lease in leases:
            self._made += 1
            rows.append((lease.address, lease.client, lease.expires, lease.state, self._made))
        with self._db.writing() as connection:
            connection.executemany(_WRITE, rows)

    def read(self) -> Iterator[Lease]:
        """Yield what any process gave, the last use of each address, oldest first."""
        last: dict[int, tuple[float, bytes, int, int]] = {}
        for file in sorted(self._folder.glob(f"{LEASES}*.db")):
            for address, client, expires, state, made in _rows(file):
                row = (expires, client, state, made)
                if address not in last or last[address][0] <= expires:
                    last[address] = row
        for address, (expires, client, state, _) in sorted(
            last.items(), key=lambda item: item[1][3]
        ):
            yield Lease(address, client, expires, State(state))


def _rows(file: Path) -> list[tuple[int, bytes, float, int, int]]:
    other = sqlite.Database(file, _SCHEMA)
    try:
        with other.reading() as connection:
            return connection.execute(_READ).fetchall()
    finally:
        other.close()
