"""The agent's own SQLite file: what it accepted, so that an acknowledged message is never lost.

Every write lies on the disk before the call returns.
"""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from models.bootplan import BootPlan
from pxe_stack import moment, sqlite
from pxe_stack.moment import Moment

AGENT: Final = "agent.db"
KEPT_S: Final = 7 * 24 * 3600
"""How long an ended task is remembered, so that a late copy of its message does nothing."""

KEPT_PARTS: Final = 256
"""How many parts of snapshots that were never whole are kept."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS inbox (
    machine TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS urls (sha256 TEXT PRIMARY KEY, url TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS origins (sha256 TEXT PRIMARY KEY, url TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS tasks (
    task TEXT NOT NULL, epoch INTEGER NOT NULL, state TEXT NOT NULL,
    accepted_at REAL NOT NULL, body TEXT NOT NULL, PRIMARY KEY (task, epoch)
) STRICT;
CREATE INDEX IF NOT EXISTS tasks_state ON tasks (state, accepted_at);
CREATE TABLE IF NOT EXISTS fences (machine TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS intents (
    n INTEGER PRIMARY KEY AUTOINCREMENT, task TEXT NOT NULL, epoch INTEGER NOT NULL,
    method TEXT NOT NULL, url TEXT NOT NULL, at REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS outcomes (
    intent INTEGER PRIMARY KEY, status INTEGER NOT NULL, at REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS parts (
    snapshot TEXT NOT NULL, part INTEGER NOT NULL, machines TEXT NOT NULL,
    PRIMARY KEY (snapshot, part)
) STRICT;
CREATE TABLE IF NOT EXISTS hashes (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL, sha256 TEXT NOT NULL, chunks TEXT NOT NULL
) STRICT
"""


_KEEP_LINKS: Final = (
    "INSERT OR REPLACE INTO urls VALUES (?, ?)",
    "INSERT OR REPLACE INTO origins VALUES (?, ?)",
)


class State(StrEnum):
    """How far an accepted task is; STARTED without an end means that its outcome is unknown."""

    ACCEPTED = "accepted"
    STARTED = "started"
    ENDED = "ended"


class Verdict(StrEnum):
    """What came of a task that control sent."""

    ACCEPTED = "accepted"
    KNOWN = "known"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A task as it was accepted: *at* is in seconds since the epoch."""

    body: dict[str, Any]
    state: State
    at: float


@dataclass(frozen=True, slots=True)
class Intent:
    """A write to a BMC that was about to be sent; *status* None: nobody knows what came of it."""

    task: UUID
    epoch: int
    method: str
    url: str
    status: int | None


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


@dataclass(frozen=True, slots=True)
class Links:
    """Where files can be fetched, by SHA-256: at the edge for a while, or elsewhere."""

    edge: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict)


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

    def receive(self, plans: Iterable[BootPlan], links: Links) -> None:
        """Keep *plans* until the desk has settled them; the highest version of each stays.

        *links* tells where their files can be fetched.
        """
        since = {"since": astuple(moment.now())}
        rows = [(str(p.machine), p.version, json.dumps(p.encode() | since)) for p in plans]
        with self._db.writing() as connection:
            connection.executemany(
                "INSERT INTO inbox VALUES (?, ?, ?) ON CONFLICT (machine) DO UPDATE SET"
                " version = excluded.version, body = excluded.body"
                " WHERE excluded.version >= inbox.version",
                rows,
            )
            for sql, found in zip(_KEEP_LINKS, (links.edge, links.elsewhere), strict=True):
                connection.executemany(sql, [(each.lower(), url) for each, url in found.items()])

    def keep(self, name: str, value: Any) -> None:
        """Write down *value*, plain JSON, as *name*."""
        with self._db.writing() as connection:
            row = (name, json.dumps(value))
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", row)

    def kept(self, name: str) -> Any:
        """Return what was written down as *name*, None for nothing."""
        with self._db.reading() as connection:
            text = sqlite.one(connection, "SELECT value FROM meta WHERE name = ?", name)
        return None if text is None else json.loads(text)

    def received(self) -> tuple[BootPlan, ...]:
        """Return the plans that wait to be settled, in the order they came."""
        return tuple(plan for plan, _ in self.waiting())

    def waiting(self) -> tuple[tuple[BootPlan, Moment], ...]:
        """Return the plans that wait to be settled, and when each came, in that order."""
        with self._db.reading() as connection:
            rows = connection.execute("SELECT body FROM inbox ORDER BY rowid").fetchall()
        bodies = [json.loads(body) for (body,) in rows]
        return tuple((BootPlan.decode(each), _since(each)) for each in bodies)

    def settle(self, plan: BootPlan) -> None:
        """Drop *plan* from what waits, unless a higher version has come meanwhile."""
        with self._db.writing() as connection:
            connection.execute(
                "DELETE FROM inbox WHERE machine = ? AND version <= ?",
                (str(plan.machine), plan.version),
            )
            if sqlite.one(connection, "SELECT 1 FROM inbox") is None:
                connection.execute("DELETE FROM urls")
                connection.execute("DELETE FROM origins")

    def links(self) -> Links:
        """Return where files of the plans that wait can be fetched."""
        with self._db.reading() as connection:
            edge = connection.execute("SELECT sha256, url FROM urls").fetchall()
            elsewhere = connection.execute("SELECT sha256, url FROM origins").fetchall()
        return Links(dict(edge), dict(elsewhere))

    def accept(self, task: UUID, machine: UUID, epoch: int, body: dict[str, Any]) -> Verdict:
        """Keep a task, unless it is known, or its machine had a task of a higher epoch."""
        with self._db.writing() as connection:
            known = sqlite.one(connection, "SELECT max(epoch) FROM tasks WHERE task = ?", str(task))
            if known is not None and known >= epoch:
                return Verdict.KNOWN
            fence = sqlite.one(
                connection, "SELECT epoch FROM fences WHERE machine = ?", str(machine)
            )
            if fence is not None and fence >= epoch:
                return Verdict.SUPERSEDED
            connection.execute("INSERT OR REPLACE INTO fences VALUES (?, ?)", (str(machine), epoch))
            connection.execute(
                "INSERT INTO tasks VALUES (?, ?, ?, ?, ?)",
                (str(task), epoch, State.ACCEPTED.value, time.time(), json.dumps(body)),
            )
        return Verdict.ACCEPTED

    def fence(self, machine: UUID) -> int:
        """Return the highest epoch of a task of *machine* that was here, 0 for none."""
        with self._db.reading() as connection:
            sql = "SELECT epoch FROM fences WHERE machine = ?"
            return int(sqlite.one(connection, sql, str(machine)) or 0)

    def overtaken(self, machine: UUID, epoch: int) -> tuple[tuple[UUID, int], ...]:
        """Return the machine's tasks of a lower epoch that have not ended, and their epochs."""
        with self._db.reading() as connection:
            rows = connection.execute(
                "SELECT task, epoch FROM tasks WHERE state <> ? AND epoch < ?"
                " AND json_extract(body, '$.machine') = ?",
                (State.ENDED.value, epoch, str(machine)),
            ).fetchall()
        return tuple((UUID(task), epoch) for task, epoch in rows)

    def intend(self, task: UUID, epoch: int, method: str, url: str) -> int:
        """Write down a side effect that is about to be tried; return its number."""
        with self._db.writing() as connection:
            cursor = connection.execute(
                "INSERT INTO intents (task, epoch, method, url, at) VALUES (?, ?, ?, ?, ?)",
                (str(task), epoch, method, url, time.time()),
            )
        return cursor.lastrowid or 0

    def conclude(self, intent: int, status: int) -> None:
        """Write down what came of a side effect: an HTTP status."""
        with self._db.writing() as connection:
            row = (intent, status, time.time())
            connection.execute("INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?)", row)

    def intents(self) -> tuple[Intent, ...]:
        """Return every side effect that was tried lately, in order."""
        with self._db.reading() as connection:
            rows = connection.execute(
                "SELECT task, epoch, method, url, status FROM intents"
                " LEFT JOIN outcomes ON intent = n ORDER BY n"
            ).fetchall()
        return tuple(Intent(UUID(task), *rest) for task, *rest in rows)

    def collect(
        self, snapshot: str, part: int, parts: int, machines: Iterable[UUID]
    ) -> frozenset[UUID] | None:
        """Keep which machines a part of a snapshot names; return all once every part came."""
        named = json.dumps([str(machine) for machine in machines])
        with self._db.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", (snapshot, part, named)
            )
            rows = connection.execute(
                "SELECT machines FROM parts WHERE snapshot = ?", (snapshot,)
            ).fetchall()
            if len(rows) < parts:
                return None
            connection.execute("DELETE FROM parts WHERE snapshot = ?", (snapshot,))
            connection.execute(
                "DELETE FROM parts WHERE rowid <= (SELECT max(rowid) FROM parts) - ?", (KEPT_PARTS,)
            )
        return frozenset(UUID(each) for (row,) in rows for each in json.loads(row))

    def move(self, task: UUID, epoch: int, state: State) -> None:
        """Write down how far a task is."""
        with self._db.writing() as connection:
            connection.execute(
                "UPDATE tasks SET state = ? WHERE task = ? AND epoch = ?",
                (state.value, str(task), epoch),
            )

    def forget(self) -> None:
        """Drop what ended long ago."""
        long_ago = time.time() - KEPT_S
        with self._db.writing() as connection:
            connection.execute(
                "DELETE FROM tasks WHERE state = ? AND accepted_at < ?",
                (State.ENDED.value, long_ago),
            )
            connection.execute("DELETE FROM intents WHERE at < ?", (long_ago,))
            connection.execute("DELETE FROM outcomes WHERE at < ?", (long_ago,))

    def unfinished(self) -> tuple[Accepted, ...]:
        """Return the tasks that have not ended, oldest first."""
        with self._db.reading() as connection:
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


def _since(body: Mapping[str, Any]) -> Moment:
    wall, boot, running = body.get("since", (0.0, "", 0.0))
    return Moment(wall, boot, running)
