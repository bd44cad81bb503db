"""The site's journal: what it saw, until control has it, and how far each run has come here.

journal.db is written by all of the site's processes; the agent reports its rows and then forgets
them.
"""

import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from models import observations
from models.bootplan import Access, opens
from models.observations import DURABLE, URGENT, Observation, Seen
from models.phases import ORDER, Phase, advance
from pxe_stack import moment, sqlite
from pxe_stack.allowance import Allowance
from pxe_stack.bell import Bell
from pxe_stack.tally import Tally

JOURNAL: Final = "journal.db"
BELL: Final = "agent.sock"
"""Unix datagram socket of the agent: a byte there means that the journal has grown."""

MOST_LOST: Final = 1_000_000
"""More rows than a site writes in the seconds before the kernel has written them to the disk."""

DAMPED: Final = frozenset(
    {
        Seen.BOOT_FAILED,
        Seen.BOOT_TROUBLE,
        Seen.DHCP_IGNORED,
        Seen.STRANGE_REQUEST,
        Seen.TFTP_FAILED,
    }
)
"""Kinds that a stranger can cause at will: repetitions are counted, not written."""
SERVED: Final = frozenset(
    {
        Seen.DHCP_HEARD,
        Seen.ARTIFACT_SERVED,
        Seen.LOCAL_BOOT_SERVED,
        Seen.SCRIPT_SERVED,
        Seen.SEED_SERVED,
        Seen.TFTP_SENT,
    }
)
"""Kinds that whoever asks again and again causes again and again: so many are written, the rest
is counted."""
SERVED_S: Final = 60.0
MOST_SERVED: Final = 60
"""Rows of one kind and machine, or stranger's address, in SERVED_S."""
MOST_STRANGERS: Final = 600
"""Rows of all strangers together in that time: they come under any address."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS observations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL, incarnation TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS runs (run TEXT PRIMARY KEY, phase TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS acks (mac TEXT PRIMARY KEY, at REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS heard (mac TEXT PRIMARY KEY, address TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS heard_address ON heard (address);
CREATE TABLE IF NOT EXISTS ready (service TEXT PRIMARY KEY, pid INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS counters (label TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT
"""


_FAILED: Final = frozenset({Seen.INSTALL_FAILED, Seen.DEPLOY_FAILED, Seen.ANSWER_REPEATED})
_BOOTING: Final = frozenset(ORDER[: ORDER.index(Phase.INSTALLING)])
_ROWS: Final = "SELECT seq, coalesce(incarnation, ?), body FROM observations WHERE seq > ?"
_URGENT: Final = " OR ".join(f"""body LIKE '{{"kind":"{kind}",%'""" for kind in sorted(URGENT))


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it is reported; *body* is an observation's JSON form, of whichever version."""

    seq: int
    incarnation: str
    body: Mapping[str, Any]


class JournalStore:
    """What this site has seen: rows to report, and how far each run has come here."""

    def __init__(self, path: Path, boot: str = "") -> None:
        """Open the file at *path*; *boot* is a name of this run of the kernel, its own if empty."""
        self._db = sqlite.Database(path, _SCHEMA)
        self._bell = Bell(path.parent / BELL)
        self._tally = Tally()
        self._machines = Allowance(MOST_SERVED, sys.maxsize, SERVED_S)
        self._strangers = Allowance(MOST_SERVED, MOST_STRANGERS, SERVED_S)
        self._together = False
        with self._db.writing() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO meta VALUES ('incarnation', ?)", (str(uuid4()),)
            )
            self.incarnation = UUID(_meta(connection, "incarnation"))
            _know_incarnations(connection)
            _skip_what_a_power_cut_lost(connection, boot)

    def close(self) -> None:
        self.flush()
        self._bell.close()
        self._db.close()

    def append(self, observation: Observation) -> int:
        """Write *observation* down, advance its run's phase, wake the agent; return its number.

        Kinds in DURABLE lie on the disk before this returns.  0 means that the like of it was
        written less than a minute ago, or very often, so that it was only counted.
        """
        due = self._due(observation, time.monotonic())
        if due is None:
            return 0
        observation = due
        with self._db.writing(durable=observation.kind in DURABLE) as connection:
            seq = self._insert(connection, observation)
        if not self._together:  # what is not committed yet, the agent would not find
            self._bell.ring()
        return seq

    @contextmanager
    def together(self, *, durable: bool) -> Iterator[None]:
        """One transaction for every append within; when *durable*, on the disk before it is left.

        Nobody may be answered by what was appended until then.
        """
        with self._db.writing(durable=durable):
            self._together = True
            try:
                yield
            finally:
                self._together = False
        self._bell.ring()

    def append_all(self, seen: Sequence[Observation]) -> None:
        """Write *seen* down in one transaction, each as :meth:`append` does."""
        now = time.monotonic()
        rows = [self._due(each, now) for each in seen]
        kept = [row for row in rows if row is not None]
        if not kept:
            return
        with self._db.writing(durable=any(row.kind in DURABLE for row in kept)) as connection:
            for row in kept:
                self._insert(connection, row)
        self._bell.ring()

    def phase(self, run: UUID) -> Phase:
        """Return how far *run* has come, by what this site saw of it."""
        with self._db.reading() as connection:
            return _phase(connection, str(run))

    def acked_at(self, mac: str) -> float | None:
        """Return when DHCP last confirmed an address to *mac* (seconds since the epoch)."""
        with self._db.reading() as connection:
            at: float | None = sqlite.one(connection, "SELECT at FROM acks WHERE mac = ?", mac)
        return at

    def heard_of(self, mac: str) -> str | None:
        """Return the address that *mac* took last of a server beside the site's own proxy."""
        with self._db.reading() as connection:
            found: str | None = sqlite.one(
                connection, "SELECT address FROM heard WHERE mac = ?", mac
            )
        return found

    def heard_at(self, address: str) -> str | None:
        """Return the MAC that took *address* last of such a server."""
        with self._db.reading() as connection:
            found: str | None = sqlite.one(
                connection, "SELECT mac FROM heard WHERE address = ?", address
            )
        return found

    def pending(self, after: int, limit: int) -> tuple[tuple[int, Observation], ...]:
        """Return up to *limit* numbered rows after number *after*, oldest first."""
        return tuple((row.seq, observations.read(row.body)) for row in self.rows(after, limit))

    def rows(self, after: int, limit: int) -> tuple[Row, ...]:
        """Return up to *limit* rows after number *after*, oldest first, as they were written."""
        sql = f"{_ROWS} ORDER BY seq LIMIT ?"
        with self._db.reading() as connection:
            rows = connection.execute(sql, (str(self.incarnation), after, limit)).fetchall()
        return tuple(Row(seq, incarnation, _body(text)) for seq, incarnation, text in rows)

    def urgent(self, after: int, limit: int) -> tuple[tuple[Row, ...], int]:
        """Return up to *limit* rows of URGENT kinds after *after*, and how far that was looked."""
        sql = f"{_ROWS} AND seq <= ? AND ({_URGENT}) ORDER BY seq LIMIT ?"
        with self._db.reading() as connection:
            last = sqlite.one(connection, "SELECT max(seq) FROM observations") or after
            values = (str(self.incarnation), after, last, limit)
            found = connection.execute(sql, values).fetchall()
        rows = tuple(Row(seq, incarnation, _body(text)) for seq, incarnation, text in found)
        return rows, rows[-1].seq if len(rows) == limit else max(after, last)

    def begin(self) -> None:
        """Begin another incarnation: a supervisor's first act, with nobody else in the file.

        It may be an older copy of the file, and control drops a number that it has seen of the
        same incarnation.  What waits to be sent keeps its own.
        """
        before, self.incarnation = self.incarnation, uuid4()
        with self._db.writing() as connection:
            connection.execute(
                "UPDATE observations SET incarnation = ? WHERE incarnation IS NULL", (str(before),)
            )
            connection.execute(
                "INSERT OR REPLACE INTO meta VALUES ('incarnation', ?)", (str(self.incarnation),)
            )
            connection.execute("DELETE FROM ready")  # process ids come again

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

    def counters(self) -> Mapping[str, int]:
        """Return how often each damped kind of thing was seen by all processes, up to flush."""
        with self._db.reading() as connection:
            return dict(connection.execute("SELECT label, n FROM counters").fetchall())

    def count(self, counts: Mapping[str, int]) -> None:
        """Add *counts* of what makes no rows to this process's; flush writes them down."""
        self._tally.counts.update(counts)

    def flush(self) -> None:
        """Add this process's counts to the file's."""
        counts = dict(self._tally.counts)
        if not counts:
            return
        with self._db.writing(durable=False) as connection:
            connection.executemany(
                "INSERT INTO counters VALUES (?, ?)"
                " ON CONFLICT (label) DO UPDATE SET n = n + excluded.n",
                counts.items(),
            )
        self._tally.counts.subtract(counts)

    def _due(self, seen: Observation, now: float) -> Observation | None:
        """Count *seen*, if anybody can cause it; return what is to be written of it."""
        if seen.kind in DAMPED:
            return self._tally.damped(seen, now)
        if seen.kind not in SERVED:
            return seen
        self._tally.counts[seen.kind.value] += 1
        allowance = self._strangers if seen.machine is None else self._machines
        who = seen.mac or seen.data.get("client")
        return seen if allowance.take(f"{seen.kind.value} {who}", now) else None

    def _insert(self, connection: sqlite3.Connection, seen: Observation) -> int:
        body = json.dumps(seen.encode(), separators=(",", ":"))
        cursor = connection.execute("INSERT INTO observations (body) VALUES (?)", (body,))
        if seen.run is not None:
            run = str(seen.run)
            before = _phase(connection, run)
            if (phase := _after(before, seen.kind)) is not before:
                connection.execute("INSERT OR REPLACE INTO runs VALUES (?, ?)", (run, phase.value))
        if seen.kind in {Seen.DHCP_ACKED, Seen.DHCP_HEARD} and seen.mac is not None:
            connection.execute("INSERT OR REPLACE INTO acks VALUES (?, ?)", (seen.mac, seen.at))
        if seen.kind is Seen.DHCP_HEARD:
            address = seen.data["address"]
            connection.execute("DELETE FROM heard WHERE address = ?", (address,))
            connection.execute("INSERT OR REPLACE INTO heard VALUES (?, ?)", (seen.mac, address))
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


def _know_incarnations(connection: sqlite3.Connection) -> None:
    """Give the rows of an older version's file a place for their incarnation."""
    columns = connection.execute("SELECT name FROM pragma_table_info('observations')").fetchall()
    if ("incarnation",) not in columns:
        connection.execute("ALTER TABLE observations ADD COLUMN incarnation TEXT")


def _body(text: str) -> Mapping[str, Any]:
    """Return what a row says; what is no JSON object is told of, and holds nothing up."""
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {"kind": "no JSON", "data": {"text": text[:200]}}


def _meta(connection: sqlite3.Connection, name: str) -> str | None:
    found: str | None = sqlite.one(connection, "SELECT value FROM meta WHERE name = ?", name)
    return found


def _phase(connection: sqlite3.Connection, run: str) -> Phase:
    value = sqlite.one(connection, "SELECT phase FROM runs WHERE run = ?", run)
    return Phase.PXE_READY if value is None else Phase(value)


def _after(phase: Phase, seen: Seen) -> Phase:
    # Here, at once: a machine that failed is not offered its deploy system again by this run.
    if seen in _FAILED and opens(Access.SCRIPT, phase):
        return Phase.FAILED
    # A script may have given up after another boot of the same run got on.
    if seen is Seen.BOOT_FAILED and phase in _BOOTING:
        return Phase.FAILED
    return advance(phase, seen)
