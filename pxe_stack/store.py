"""The site's two SQLite files: the plans it serves, and the journal of what it saw.

plans.db    written by the agent alone; read by every serving process, changes seen at once
journal.db  written by all of them; the agent reports its rows and then forgets them
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final, Self
from uuid import UUID, uuid4

from models import observations
from models.bootplan import Access, BootPlan, opens, snapshot_digest
from models.observations import DURABLE, Observation, Seen
from models.phases import Phase, advance
from pxe_stack import moment, sqlite
from pxe_stack.bell import Bell
from pxe_stack.directory import Held, StoredFile
from pxe_stack.moment import Moment
from pxe_stack.tally import Tally

PLANS: Final = "plans.db"
JOURNAL: Final = "journal.db"
BELL: Final = "agent.sock"
"""Unix datagram socket of the agent: a byte there means that the journal has grown."""

MOST_LOST: Final = 1_000_000
"""More rows than a site writes in the seconds before the kernel has written them to the disk."""

DAMPED: Final = frozenset({Seen.DHCP_IGNORED, Seen.STRANGE_REQUEST, Seen.TFTP_FAILED})
"""Kinds that a stranger can cause at will: repetitions are counted, not written."""

_PLANS_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS plans (
    machine TEXT PRIMARY KEY, version INTEGER NOT NULL, stored_at REAL NOT NULL,
    mac TEXT, run TEXT, address TEXT, body TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS moments (
    machine TEXT PRIMARY KEY, boot TEXT NOT NULL, running REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS plans_mac ON plans (mac);
CREATE INDEX IF NOT EXISTS plans_run ON plans (run);
CREATE INDEX IF NOT EXISTS plans_address ON plans (address);
CREATE TABLE IF NOT EXISTS files (
    url_path TEXT PRIMARY KEY, location TEXT NOT NULL, sha256 TEXT NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, chunks TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS ranges (
    network TEXT NOT NULL, first TEXT NOT NULL, last TEXT NOT NULL, PRIMARY KEY (network, first)
) STRICT
"""
_PLANS: Final = (
    "SELECT machine, version, stored_at, coalesce(boot, ''), coalesce(running, 0.0), body"
    " FROM plans LEFT JOIN moments USING (machine) WHERE body IS NOT NULL"
)
_JOURNAL_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS observations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS runs (run TEXT PRIMARY KEY, phase TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS acks (mac TEXT PRIMARY KEY, at REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS ready (service TEXT PRIMARY KEY, pid INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS counters (label TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT
"""


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


class PlanStore:
    """The boot plans and the artifacts of this site.  One process writes, any number read."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite.Database(path, _PLANS_SCHEMA)
        self._found: dict[tuple[str, str], Held] = {}
        self._decoded: dict[str, Held] = {}

    def close(self) -> None:
        self._db.close()

    def put(self, plan: BootPlan, since: Moment | None = None) -> bool:
        """Keep *plan*; False when a version as high or higher is known.

        *since* is when it came, now by default: its time runs from there, and anew each time that
        control sends the same again.
        """
        since = since or moment.now()
        body = json.dumps(plan.encode(), separators=(",", ":"))
        run = None if plan.run is None else str(plan.run)
        row = (plan.mac, run, plan.addressing.address, body)
        machine = str(plan.machine)
        with self._db.writing() as connection:
            kept = connection.execute(
                "INSERT INTO plans (machine, version, stored_at, mac, run, address, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (machine) DO UPDATE SET"
                " version = excluded.version, stored_at = excluded.stored_at, mac = excluded.mac,"
                " run = excluded.run, address = excluded.address, body = excluded.body"
                " WHERE excluded.version > plans.version"
                " OR (excluded.version = plans.version AND plans.body IS NULL)",
                (machine, plan.version, since.wall, *row),
            ).rowcount
            held = connection.execute(
                "UPDATE plans SET stored_at = ? WHERE machine = ? AND version = ? AND body = ?",
                (since.wall, machine, plan.version, body),
            ).rowcount
            if held:
                times = (machine, since.boot, since.running)
                connection.execute("INSERT OR REPLACE INTO moments VALUES (?, ?, ?)", times)
            self._found.clear()
        return kept > 0

    def withdraw(self, machine: UUID) -> bool:
        """Forget the plan of *machine*, which a snapshot no longer names; False when there is none.

        Only a lower version is dropped after it: the snapshot may be older than the plan.
        """
        with self._db.writing() as connection:
            gone = connection.execute(
                "UPDATE plans SET mac = NULL, run = NULL, address = NULL, body = NULL"
                " WHERE machine = ? AND body IS NOT NULL",
                (str(machine),),
            ).rowcount
            self._found.clear()
        return gone > 0

    def by_mac(self, mac: str) -> Held | None:
        """Return the plan of the machine that boots from *mac* (aa:bb:cc:dd:ee:ff)."""
        return self._find("mac", mac)

    def by_run(self, run: UUID) -> Held | None:
        """Return the plan that *run* is the current run of."""
        return self._find("run", str(run))

    def by_address(self, address: str) -> Held | None:
        """Return the plan of the machine that has *address*."""
        return self._find("address", address)

    def by_machine(self, machine: UUID) -> Held | None:
        """Return the plan of *machine*."""
        return self._find("machine", str(machine))

    def all(self) -> tuple[BootPlan, ...]:
        """Return every plan, by machine."""
        with self._db.reading() as connection:
            rows = connection.execute(f"{_PLANS} ORDER BY machine").fetchall()
        return tuple(self._decode(row).plan for row in rows)

    def digest(self) -> str:
        """Return the digest of all plans, as the heartbeat carries it."""
        return snapshot_digest(self.all())

    def put_file(
        self, url_path: str, location: Path, *, sha256: str, size: int, chunks: str
    ) -> None:
        """Serve the verified file at *location* as /artifacts/*url_path*; *chunks* is its list.

        Raises OSError when it cannot be read.
        """
        values = (url_path, str(location), sha256, size, location.stat().st_mtime_ns, chunks)
        with self._db.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", values)

    def put_ranges(self, ranges: Iterable[Range]) -> None:
        """Make *ranges* all that this agent may lease from."""
        rows = [(str(each.network), str(each.first), str(each.last)) for each in ranges]
        with self._db.writing() as connection:
            connection.execute("DELETE FROM ranges")
            connection.executemany("INSERT INTO ranges VALUES (?, ?, ?)", rows)

    def ranges(self) -> tuple[Range, ...]:
        """Return what this agent may lease from."""
        with self._db.reading() as connection:
            rows = connection.execute(
                "SELECT network, first, last FROM ranges ORDER BY network, first"
            ).fetchall()
        return tuple(
            Range(UUID(network), IPv4Address(first), IPv4Address(last))
            for network, first, last in rows
        )

    def file(self, url_path: str) -> StoredFile | None:
        """Return the artifact that is served as /artifacts/*url_path*, or None."""
        with self._db.reading() as connection:
            row = connection.execute(
                "SELECT url_path, location, sha256, size, mtime_ns FROM files WHERE url_path = ?",
                (url_path,),
            ).fetchone()
        return None if row is None else StoredFile(row[0], Path(row[1]), *row[2:])

    def chunks(self, url_path: str) -> str | None:
        """Return the chunk list of the artifact served as /artifacts/*url_path*, or None."""
        with self._db.reading() as connection:
            text: str | None = sqlite.one(
                connection, "SELECT chunks FROM files WHERE url_path = ?", url_path
            )
        return text

    def _find(self, column: str, value: str) -> Held | None:
        with self._db.reading():  # held throughout, so that a stale row is never remembered
            if self._db.changed():
                self._found.clear()
            held = self._found.get((column, value)) or self._read(column, value)
            if held is not None:  # strangers are not remembered: there may be any number of them
                self._found[column, value] = held
        return held

    def _read(self, column: str, value: str) -> Held | None:
        with self._db.reading() as connection:
            row = connection.execute(
                f"{_PLANS} AND {column} = ? ORDER BY stored_at DESC LIMIT 1",
                (value,),
            ).fetchone()
        return None if row is None else self._decode(row)

    def _decode(self, row: tuple[str, int, float, str, float, str]) -> Held:
        machine, version, wall, boot, running, body = row
        since = Moment(wall, boot, running)
        known = self._decoded.get(machine)
        if known is None or (known.plan.version, known.since) != (version, since):
            known = Held(BootPlan.decode(json.loads(body)), since)
            self._decoded[machine] = known
        return known


class JournalStore:
    """What this site has seen: rows to report, and how far each run has come here."""

    def __init__(self, path: Path, boot: str = "") -> None:
        """Open the file at *path*; *boot* is a name of this run of the kernel, its own if empty."""
        self._db = sqlite.Database(path, _JOURNAL_SCHEMA)
        self._bell = Bell(path.parent / BELL)
        self._tally = Tally()
        with self._db.writing() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO meta VALUES ('incarnation', ?)", (str(uuid4()),)
            )
            self.incarnation = UUID(_meta(connection, "incarnation"))
            _skip_what_a_power_cut_lost(connection, boot)

    def close(self) -> None:
        self.flush()
        self._bell.close()
        self._db.close()

    def append(self, observation: Observation) -> int:
        """Write *observation* down, advance its run's phase, wake the agent; return its number.

        Kinds in DURABLE lie on the disk before this returns.  0 means that the like of it was
        written less than a minute ago, so that it was only counted.
        """
        if observation.kind in DAMPED:
            damped = self._tally.damped(observation, time.monotonic())
            if damped is None:
                return 0
            observation = damped
        with self._db.writing(durable=observation.kind in DURABLE) as connection:
            seq = self._insert(connection, observation)
        self._bell.ring()
        return seq

    def phase(self, run: UUID) -> Phase:
        """Return how far *run* has come, by what this site saw of it."""
        with self._db.reading() as connection:
            return _phase(connection, str(run))

    def acked_at(self, mac: str) -> float | None:
        """Return when DHCP last confirmed an address to *mac* (seconds since the epoch)."""
        with self._db.reading() as connection:
            at: float | None = sqlite.one(connection, "SELECT at FROM acks WHERE mac = ?", mac)
        return at

    def pending(self, after: int, limit: int) -> tuple[tuple[int, Observation], ...]:
        """Return up to *limit* numbered rows after number *after*, oldest first."""
        with self._db.reading() as connection:
            rows = connection.execute(
                "SELECT seq, body FROM observations WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, limit),
            ).fetchall()
        return tuple((seq, observations.decode(json.loads(body))) for seq, body in rows)

    def forget(self, upto: int) -> None:
        """Drop the rows up to and with number *upto*: control has applied them."""
        with self._db.writing(durable=False) as connection:
            connection.execute("DELETE FROM observations WHERE seq <= ?", (upto,))

    def mark_ready(self, service: str, pid: int | None = None) -> None:
        """Say that *service* serves now, in the process *pid* (this one by default)."""
        with self._db.writing(durable=False) as connection:
            connection.execute(
                "INSERT OR REPLACE INTO ready VALUES (?, ?)", (service, pid or os.getpid())
            )

    def ready_services(self) -> Mapping[str, int]:
        """Return the services that serve now, and their process ids."""
        with self._db.reading() as connection:
            rows = connection.execute("SELECT service, pid FROM ready").fetchall()
        return {service: pid for service, pid in rows if Path(f"/proc/{pid}").exists()}

    def clear_ready(self) -> None:
        """Forget who was ready: a supervisor's first act, since process ids come again."""
        with self._db.writing(durable=False) as connection:
            connection.execute("DELETE FROM ready")

    def counters(self) -> Mapping[str, int]:
        """Return how often each damped kind of thing was seen by all processes, up to flush."""
        with self._db.reading() as connection:
            return dict(connection.execute("SELECT label, n FROM counters").fetchall())

    def flush(self) -> None:
        """Add this process's counts to the file's."""
        counts = dict(self._tally.counts)
        if not counts:
            return
        self._tally.counts.subtract(counts)
        with self._db.writing(durable=False) as connection:
            connection.executemany(
                "INSERT INTO counters VALUES (?, ?)"
                " ON CONFLICT (label) DO UPDATE SET n = n + excluded.n",
                counts.items(),
            )

    def _insert(self, connection: sqlite3.Connection, seen: Observation) -> int:
        body = json.dumps(seen.encode(), separators=(",", ":"))
        cursor = connection.execute("INSERT INTO observations (body) VALUES (?)", (body,))
        if seen.run is not None:
            run = str(seen.run)
            phase = _after(_phase(connection, run), seen.kind)
            connection.execute("INSERT OR REPLACE INTO runs VALUES (?, ?)", (run, phase.value))
        if seen.kind is Seen.DHCP_ACKED and seen.mac is not None:
            connection.execute("INSERT OR REPLACE INTO acks VALUES (?, ?)", (seen.mac, seen.at))
        return cursor.lastrowid or 0


def _skip_what_a_power_cut_lost(connection: sqlite3.Connection, boot: str) -> None:
    """Number rows far beyond those that were sent and then lost with the page cache.

    Not every kind lies on the disk at once, and control drops a number that it has seen.
    """
    boot = boot or moment.this_boot()
    before = _meta(connection, "boot")
    if before == boot:
        return
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('boot', ?)", (boot,))
    if before is not None:
        connection.execute(
            "INSERT INTO observations (seq, body) SELECT 1 + ? + coalesce(max(seq), 0), ''"
            " FROM sqlite_sequence WHERE name = 'observations'",
            (MOST_LOST,),
        )
        connection.execute("DELETE FROM observations WHERE body = ''")


def _meta(connection: sqlite3.Connection, name: str) -> str | None:
    found: str | None = sqlite.one(connection, "SELECT value FROM meta WHERE name = ?", name)
    return found


def _phase(connection: sqlite3.Connection, run: str) -> Phase:
    value = sqlite.one(connection, "SELECT phase FROM runs WHERE run = ?", run)
    return Phase.PXE_READY if value is None else Phase(value)


def _after(phase: Phase, seen: Seen) -> Phase:
    # Here, at once: a machine that failed is not offered its installer again by this run.
    if seen is Seen.INSTALL_FAILED and opens(Access.SCRIPT, phase):
        return Phase.FAILED
    return advance(phase, seen)
