"""The agent's own SQLite file: what it accepted, so that an acknowledged message is never lost.

Every write lies on the disk before the call returns.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from models.bootplan import BootPlan
from pxe_stack import sqlite

AGENT: Final = "agent.db"
KEPT_S: Final = 7 * 24 * 3600
"""How long an ended task is remembered, so that a late copy of its message does nothing."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS inbox (
    machine TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS tasks (
    task TEXT NOT NULL, epoch INTEGER NOT NULL, state TEXT NOT NULL,
    accepted_at REAL NOT NULL, body TEXT NOT NULL, PRIMARY KEY (task, epoch)
) STRICT;
CREATE TABLE IF NOT EXISTS hashes (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL, sha256 TEXT NOT NULL, chunks TEXT NOT NULL
) STRICT
"""


class State(StrEnum):
    """How far an accepted task is; STARTED without an end means that its outcome is unknown."""

    ACCEPTED = "accepted"
    STARTED = "started"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A task as it was accepted: *at* is in seconds since the epoch."""

    body: dict[str, Any]
    state: State
    at: float


@dataclass(frozen=True, slots=True)
class FileKey:
    """What tells that a file is still the one that was read."""

    path: str
    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Digest:
    """The SHA-256 of a file, and its chunk list as it is served."""

    sha256: str
    chunks: str


class AgentStore:
    """What only the agent reads and writes.  Safe to share between its threads."""

    def __init__(self, directory: Path) -> None:
        self._db = sqlite.Database(directory / AGENT, _SCHEMA)
        with self._db.writing() as connection:
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('agent', ?)", (str(uuid4()),))
            self.agent = UUID(
                sqlite.one(connection, "SELECT value FROM meta WHERE name = ?", "agent")
            )

    def close(self) -> None:
        self._db.close()

    def receive(self, plans: Iterable[BootPlan]) -> None:
        """Keep *plans* until the desk has settled them; the highest version of each stays."""
        rows = [(str(p.machine), p.version, json.dumps(p.encode())) for p in plans]
        with self._db.writing() as connection:
            connection.executemany(
                "INSERT INTO inbox VALUES (?, ?, ?) ON CONFLICT (machine) DO UPDATE SET"
                " version = excluded.version, body = excluded.body"
                " WHERE excluded.version > inbox.version",
                rows,
            )

    def received(self) -> tuple[BootPlan, ...]:
        """Return the plans that wait to be settled, in the order they came."""
        with self._db.reading() as connection:
            rows = connection.execute("SELECT body FROM inbox ORDER BY rowid").fetchall()
        return tuple(BootPlan.decode(json.loads(body)) for (body,) in rows)

    def settle(self, plan: BootPlan) -> None:
        """Drop *plan* from what waits, unless a higher version has come meanwhile."""
        with self._db.writing() as connection:
            connection.execute(
                "DELETE FROM inbox WHERE machine = ? AND version <= ?",
                (str(plan.machine), plan.version),
            )

    def accept(self, task: UUID, epoch: int, body: dict[str, Any]) -> bool:
        """Keep a task; False when it, or a later epoch of it, is known."""
        with self._db.writing() as connection:
            known = sqlite.one(connection, "SELECT max(epoch) FROM tasks WHERE task = ?", str(task))
            if known is not None and known >= epoch:
                return False
            connection.execute(
                "INSERT INTO tasks VALUES (?, ?, ?, ?, ?)",
                (str(task), epoch, State.ACCEPTED.value, time.time(), json.dumps(body)),
            )
        return True

    def move(self, task: UUID, epoch: int, state: State) -> None:
        """Write down how far a task is."""
        with self._db.writing() as connection:
            connection.execute(
                "UPDATE tasks SET state = ? WHERE task = ? AND epoch = ?",
                (state.value, str(task), epoch),
            )

    def unfinished(self) -> tuple[Accepted, ...]:
        """Return the tasks that have not ended, oldest first; forget those that ended long ago."""
        with self._db.writing() as connection:
            connection.execute(
                "DELETE FROM tasks WHERE state = ? AND accepted_at < ?",
                (State.ENDED.value, time.time() - KEPT_S),
            )
            rows = connection.execute(
                "SELECT body, state, accepted_at FROM tasks WHERE state <> ? ORDER BY rowid",
                (State.ENDED.value,),
            ).fetchall()
        return tuple(Accepted(json.loads(body), State(state), at) for body, state, at in rows)

    def digest(self, key: FileKey) -> Digest | None:
        """Return what reading the file gave, if it is still the same."""
        with self._db.reading() as connection:
            row = connection.execute(
                "SELECT sha256, chunks FROM hashes"
                " WHERE path = ? AND size = ? AND mtime_ns = ? AND inode = ?",
                (key.path, key.size, key.mtime_ns, key.inode),
            ).fetchone()
        return None if row is None else Digest(*row)

    def remember(self, key: FileKey, digest: Digest) -> None:
        """Keep what reading a file gave."""
        values = (key.path, key.size, key.mtime_ns, key.inode, digest.sha256, digest.chunks)
        with self._db.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?, ?)", values)
