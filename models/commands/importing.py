"""Machines brought from another system's inventory: upserted by site and primary MAC.

Rule 1: nothing is deleted; what a row does not name stays as it is.
Rule 2: each row stands for itself: one that conflicts is told of, and the others go on.
Rule 3: a dry run judges as the run would, and writes nothing.
Rule 4: imports of a site take turns, batch by batch, and lock the site before its machines, these
        by their ids, as everybody does who locks several.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from models.audit import Caller
from models.commands import inventory, machines
from models.commands.inventory import NewInterface, NewMachine
from models.commands.records import locked_site
from models.database import database, in_turn
from models.errors import DomainError
from models.import_form import Fault, Row
from models.lifecycle import WORKING, State
from models.tables import Interface, Machine

SHOWN: Final = 1000
"""Rows that a result tells of one by one; all are counted."""

SHOWN_BYTES: Final = 1 << 20
"""Size of these rows, as JSON, from which on they are only counted too."""

BATCH: Final = 250
"""Rows of one transaction."""

_LOCK: Final = "FOR NO KEY UPDATE"

_FIELDS: Final = {
    "labels": "labels",
    "memory_mib": "memoryMib",
    "disk_bytes": "diskBytes",
    "bmc": "bmc",
    "root_disk": "rootDisk",
}


@dataclass(slots=True)
class Tally:
    """What came of a document so far: counts by word, and what was other than unchanged."""

    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("created", "changed", "unchanged", "conflicting", "invalid"), 0
        )
    )
    rows: list[dict[str, Any]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    shown_bytes: int = 0

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def add(self, what: str, pointer: str, **told: Any) -> None:
        self.counts[what] += 1
        if what != "unchanged" and len(self.rows) < SHOWN and self.shown_bytes < SHOWN_BYTES:
            row = {"what": what, "pointer": pointer, **told}
            self.shown_bytes += len(json.dumps(row))
            self.rows.append(row)

    def fault(self, page: int, fault: Fault) -> None:
        self.add("invalid", f"page {page}: {fault.pointer}", why=fault.why)

    def result(self, *, dry_run: bool) -> dict[str, Any]:
        shown = len(self.rows)
        more = self.total - self.counts["unchanged"] - shown
        return {"counts": self.counts, "rows": self.rows, "more": more, "dryRun": dry_run}


@dataclass(frozen=True, slots=True)
class Known:
    """Machines of this site and others that rows may mean, by MAC and by host name."""

    by_mac: Mapping[str, Machine]
    by_name: Mapping[str, Machine]
    interfaces: Mapping[UUID, list[Interface]]

    @classmethod
    def of(cls, site: UUID, rows: Sequence[Row], *, locked: bool = False) -> "Known":
        macs, names = [mac for row in rows for mac in row.macs], [row.hostname for row in rows]
        owners = Interface.select(Interface.machine_id).where(Interface.mac.in_(macs))
        named = (Machine.site_id == site) & Machine.hostname.in_(names)
        found = Machine.select().where(
            Machine.id.in_(owners) | (named & (Machine.state != State.RETIRED.value))
        )
        found = found.order_by(Machine.id)
        if locked:
            found = found.for_update(_LOCK)  # type: ignore[arg-type] # or a clause
        by_id = {machine.id: machine for machine in found}
        interfaces: dict[UUID, list[Interface]] = {each: [] for each in by_id}
        by_mac = {}
        for nic in Interface.select().where(Interface.machine_id.in_(list(by_id))):
            interfaces[nic.machine_id].append(nic)
            by_mac[nic.mac] = by_id[nic.machine_id]
        by_name = {each.hostname: each for each in by_id.values() if each.site_id == site}
        return cls(by_mac, by_name, interfaces)


@dataclass(frozen=True, slots=True)
class Import:
    """An import under way: whose it is, where to, and whether it writes."""

    caller: Caller
    site: UUID
    dry_run: bool
    tally: Tally = field(default_factory=Tally)

    def take(self, page: int, rows: Sequence[tuple[int, Row]]) -> None:
        """Take in one batch of a page's rows, each with its number, in one transaction."""
        with database.atomic():
            known = self._known([row for _, row in rows])
            new: list[tuple[str, Row]] = []
            for number, row in rows:
                pointer = f"page {page}: /machines/{number}"
                if self._one(pointer, row, known):
                    new.append((pointer, row))
            self._create(new)

    def _known(self, rows: Sequence[Row]) -> Known:
        if not self.dry_run:
            in_turn(f"sprout import {self.site}")
            locked_site(self.site, "", shared=True)
        return Known.of(self.site, rows, locked=not self.dry_run)

    def _create(self, rows: Sequence[tuple[str, Row]]) -> None:
        """Record *rows*, which nothing is against as far as was seen; together if that goes."""
        if self.dry_run or not rows:
            return self._add("created", rows)
        news = [_new(self.site, row) for _, row in rows]
        try:
            inventory.create_machines(self.caller, self.site, news)
        except DomainError:  # somebody recorded one of them meanwhile: each for itself
            for each, new in zip(rows, news, strict=True):
                self._create_alone(each, new)
        else:
            self._add("created", rows)
        return None

    def _create_alone(self, each: tuple[str, Row], new: NewMachine) -> None:
        try:
            inventory.create_machine(self.caller, new)
        except DomainError as exc:
            pointer, row = each
            self._conflicts(pointer, row, exc)
        else:
            self._add("created", [each])

    def _add(self, what: str, rows: Sequence[tuple[str, Row]]) -> None:
        for pointer, row in rows:
            self.tally.add(what, pointer, hostname=row.hostname, mac=row.primary)

    def _conflicts(self, pointer: str, row: Row, exc: DomainError) -> None:
        told = {"why": str(exc)[:300], "hostname": row.hostname, "mac": row.primary}
        self.tally.add("conflicting", pointer + exc.field, **told)

    def _one(self, pointer: str, row: Row, known: Known) -> bool:
        """Do what *row* wants of a machine that is there; whether it wants a new one."""
        try:
            # What writes has a savepoint of its own, and all that is judged comes before it.
            self._demand_first(row)
            machine = known.by_mac.get(row.primary)
            if machine is None:
                self._demand_free(row, known)
                return True
            what, fields = self._judged(row, machine, known)
        except DomainError as exc:
            self._conflicts(pointer, row, exc)
            return False
        told = {"fields": fields} if fields else {}
        self.tally.add(what, pointer, hostname=row.hostname, mac=row.primary, **told)
        return False

    def _judged(self, row: Row, machine: Machine, known: Known) -> tuple[str, dict[str, Any]]:
        """Do what *row* wants, and return what that was.  Raises DomainError."""
        _demand_same(row, machine, self.site, known)
        changes = _changes(row, machine, known.interfaces[machine.id])
        if not changes:
            return "unchanged", {}
        self._demand_at_rest(machine, changes)
        if not self.dry_run:
            wanted = {name: after for name, (_, after) in changes.items()}
            if "interfaces" in wanted:
                wanted["interfaces"] = _nics(row)
            machines.update_machine(self.caller, machine.id, wanted)
        return "changed", {
            _FIELDS.get(name, name): {"before": before, "after": after}
            for name, (before, after) in changes.items()
        }

    def _demand_first(self, row: Row) -> None:
        """Raise DomainError where an earlier row of the document has what this one has."""
        for mark, what in [(mac, "MAC") for mac in row.macs] + [(row.hostname, "host name")]:
            if mark in self.tally.seen:
                raise _Conflict(f"an earlier row has the {what} {mark}")
        self.tally.seen.update((*row.macs, row.hostname))

    def _demand_free(self, row: Row, known: Known) -> None:
        for number, mac in enumerate(row.macs):
            if mac in known.by_mac:
                raise _Conflict(
                    f"another machine has the MAC {mac}", field=f"/interfaces/{number}/macAddress"
                )
        if row.hostname in known.by_name:
            raise _Conflict("another machine of the site has this host name", field="/hostname")

    def _demand_at_rest(self, machine: Machine, changes: Mapping[str, Any]) -> None:
        held = sorted({"bmc", "root_disk", "interfaces"} & set(changes))
        state = State(machine.state)
        if state is State.RETIRED or (state in WORKING and held):
            raise _Conflict(f"the machine is {state}, and stays as it is until that is over")


class _Conflict(DomainError):
    """A row that does not fit to what is here."""


def _demand_same(row: Row, machine: Machine, site: UUID, known: Known) -> None:
    """Raise DomainError unless *row* means *machine*, and nothing that others have."""
    if machine.site_id != site:
        raise _Conflict("a machine of another site has this MAC", field="/interfaces")
    if machine.hostname != row.hostname:
        raise _Conflict(
            f"the machine is known as {machine.hostname}; its host name stays", field="/hostname"
        )
    if machine.architecture != row.architecture:
        raise _Conflict(f"the machine is recorded as {machine.architecture}", field="/architecture")
    for number, mac in enumerate(row.macs):
        if known.by_mac.get(mac, machine).id != machine.id:
            raise _Conflict(
                f"another machine has the MAC {mac}", field=f"/interfaces/{number}/macAddress"
            )


def _given(row: Row, names: Sequence[str]) -> dict[str, Any]:
    """Return which of the columns *names* the row names, in the form that is kept."""
    given = {name: getattr(row, name) for name in names if getattr(row, name) is not None}
    if row.bmc is not None and "bmc" in given:
        given["bmc"] = row.bmc.stored()
    if row.root_disk is not None and "root_disk" in given:
        given["root_disk"] = row.root_disk.model_dump(by_alias=True)
    return given


def _changes(
    row: Row, machine: Machine, interfaces: Sequence[Interface]
) -> dict[str, tuple[Any, Any]]:
    """Return by column what is now, and what *row* wants, where they differ."""
    wanted = _given(row, tuple(_FIELDS))
    changes = {
        name: (getattr(machine, name), value)
        for name, value in wanted.items()
        if getattr(machine, name) != value
    }
    now = sorted((n.mac, n.name, n.pxe_enabled, n.network_name) for n in interfaces)
    then = sorted((n.mac_address, n.name, n.pxe_enabled, n.network_name) for n in row.interfaces)
    if now != then:
        changes["interfaces"] = (list(map(list, now)), list(map(list, then)))
    return changes


def _new(site: UUID, row: Row) -> NewMachine:
    return NewMachine(
        site_id=site,
        hostname=row.hostname,
        architecture=row.architecture,
        interfaces=_nics(row),
        labels=row.labels or {},
        **_given(row, ("memory_mib", "disk_bytes", "bmc", "root_disk")),
    )


def _nics(row: Row) -> list[NewInterface]:
    return [
        NewInterface(
            name=nic.name,
            mac=nic.mac_address,
            pxe_enabled=nic.pxe_enabled,
            network_name=nic.network_name,
        )
        for nic in row.interfaces
    ]
