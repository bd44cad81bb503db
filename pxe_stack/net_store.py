"""The networks of this site as control tells of them, and what this agent may lease from.

They lie in plans.db, beside the plans: the agent alone writes, every serving process reads.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, Final, Self
from uuid import UUID

from models.bootnet import BootNetwork
from pxe_stack import sqlite

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS ranges (
    network TEXT NOT NULL, first TEXT NOT NULL, last TEXT NOT NULL, PRIMARY KEY (network, first)
) STRICT;
CREATE TABLE IF NOT EXISTS networks (network TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS networks_version (
    only INTEGER PRIMARY KEY CHECK (only = 1), version INTEGER NOT NULL
) STRICT
"""
_RANGES: Final = "SELECT network, first, last FROM ranges ORDER BY network, first"
_NETWORKS: Final = "SELECT network, body FROM networks ORDER BY network"


@dataclass(frozen=True, slots=True)
class Range:
    """A slice of a network's pool that this agent alone may lease from; both ends included."""

    network: UUID
    first: IPv4Address
    last: IPv4Address

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the range that *body* is.  Raises KeyError, TypeError or ValueError."""
        first, last = IPv4Address(body["first"]), IPv4Address(body["last"])
        return cls(UUID(body["network"]), first, last)


class NetStore:
    """The networks and ranges in the open file *db*."""

    def __init__(self, db: sqlite.Database) -> None:
        self._db = db

    def version(self) -> int:
        """Return a number that is another after every change of plans, networks or ranges.

        Cheap (microseconds); of this connection alone, and never lower than before.  Ask it before
        the reads that it is to stand for: what changes between them shows in the next answer.
        """
        return self._db.version()

    def put_networks(
        self,
        networks: Iterable[BootNetwork],
        *,
        version: int = 0,
        ranges: Iterable[Range] | None = None,
    ) -> bool:
        """Make *networks* all that this site has, and with them *ranges*, where they are given.

        *version* grows with every change that control makes; False when a higher one is held,
        and nothing is changed then.
        """
        bodies = sorted((str(each.network), _body(each)) for each in networks)
        with self._db.writing() as connection:
            if version < _version(connection):
                return False
            connection.execute("INSERT OR REPLACE INTO networks_version VALUES (1, ?)", (version,))
            if bodies != connection.execute(_NETWORKS).fetchall():
                connection.execute("DELETE FROM networks")
                connection.executemany("INSERT INTO networks VALUES (?, ?)", bodies)
            if ranges is not None:
                _put_ranges(connection, ranges)
        return True

    def networks(self) -> tuple[BootNetwork, ...]:
        """Return the site's networks, by id; none until control has told of them."""
        with self._db.reading() as connection:
            rows = connection.execute(_NETWORKS).fetchall()
        return tuple(BootNetwork.decode(json.loads(body)) for _, body in rows)

    def networks_version(self) -> int:
        """Return the version of the networks that are held, 0 for none."""
        with self._db.reading() as connection:
            return _version(connection)

    def put_ranges(self, ranges: Iterable[Range]) -> None:
        """Make *ranges* all that this agent may lease from."""
        with self._db.writing() as connection:
            _put_ranges(connection, ranges)

    def ranges(self) -> tuple[Range, ...]:
        """Return what this agent may lease from."""
        with self._db.reading() as connection:
            rows = connection.execute(_RANGES).fetchall()
        return tuple(
            Range(UUID(network), IPv4Address(first), IPv4Address(last))
            for network, first, last in rows
        )


def _put_ranges(connection: sqlite3.Connection, ranges: Iterable[Range]) -> None:
    rows = sorted((str(each.network), str(each.first), str(each.last)) for each in ranges)
    if rows == connection.execute(_RANGES).fetchall():
        return
    connection.execute("DELETE FROM ranges")
    connection.executemany("INSERT INTO ranges VALUES (?, ?, ?)", rows)


def _version(connection: sqlite3.Connection) -> int:
    return int(sqlite.one(connection, "SELECT version FROM networks_version") or 0)


def _body(network: BootNetwork) -> str:
    return json.dumps(network.encode(), separators=(",", ":"))
