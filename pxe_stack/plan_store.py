"""The plans and artifacts of this site, in plans.db beside its networks.

The agent alone writes the file; every serving process reads it, and sees changes at once.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from uuid import UUID

from models.bootplan import BootPlan, snapshot_digest
from models.installer_calls import Caller
from pxe_stack import caller_index, moment, net_store, sqlite
from pxe_stack.directory import Held, StoredFile
from pxe_stack.moment import Moment
from pxe_stack.net_store import NetStore

PLANS: Final = "plans.db"

_SCHEMA: Final = """
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
) STRICT
"""
_PLANS: Final = (
    "SELECT machine, version, stored_at, coalesce(boot, ''), coalesce(running, 0.0), body"
    " FROM plans LEFT JOIN moments USING (machine) WHERE body IS NOT NULL"
)


class PlanStore(NetStore):
    """The boot plans, networks and artifacts of this site.  One process writes, any number read."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            sqlite.Database(path, f"{_SCHEMA}; {caller_index.SCHEMA}; {net_store.SCHEMA}")
        )
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
            if kept:
                caller_index.keep(connection, plan)
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
            caller_index.forget(connection, machine)
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

    def by_caller(self, caller: Caller) -> Held | None:
        """Return the plan of the one machine that *caller* is."""
        with self._db.reading() as connection:
            machine = caller_index.find(connection, caller)
        return None if machine is None else self._find("machine", machine)

    def highest(self, machine: UUID) -> int:
        """Return the highest version of *machine*'s plan that was ever here, 0 for none."""
        with self._db.reading() as connection:
            sql = "SELECT version FROM plans WHERE machine = ?"
            return int(sqlite.one(connection, sql, str(machine)) or 0)

    def reservations(self) -> Mapping[str, str]:
        """Return the address that each machine's plan gives it, by the MAC that it boots from."""
        with self._db.reading() as connection:
            rows = connection.execute(
                "SELECT mac, address FROM plans WHERE body IS NOT NULL ORDER BY stored_at"
            ).fetchall()
        return dict(rows)

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
