"""A machine's record after it was made: changed, or deleted where nothing depends on it."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from models import audit, urls
from models import differences as rules
from models.audit import Caller
from models.commands import conflicts, discoveries, events
from models.commands.inventory import NewInterface, macs_of
from models.commands.moves import announce, locked, noted, now
from models.commands.records import demand_version, locked_site, recorded
from models.errors import IllegalTransition, NotFound
from models.lifecycle import WORKING, State
from models.observations import Seen
from models.tables import (
    ActionExecution,
    Allocation,
    Discovery,
    Interface,
    Machine,
    Observation,
    Plan,
    Run,
    Task,
    Workflow,
)

DELETABLE: Final = (State.REGISTERED, State.RETIRED)

_COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "labels": "labels",
        "memory_mib": "memoryMib",
        "disk_bytes": "diskBytes",
        "bmc": "bmc",
        "root_disk": "rootDisk",
        "loaders": "loaders",
    }
)
"""What may be changed, and what it is called in a body."""

_AT_REST_ONLY: Final = ("bmc", "root_disk", "interfaces")
"""What a workflow that runs depends on."""


def differences(machine: Machine) -> list[dict[str, Any]]:
    """Return where what was entered and what was found of *machine* do not agree."""
    rows = list(Interface.select().where(Interface.machine_id == machine.id))
    entered = rules.Entered(
        architecture=machine.architecture,
        macs=tuple(row.mac for row in rows),
        pxe_macs=tuple(row.mac for row in rows if row.pxe_enabled),
        memory_mib=machine.memory_mib,
        disk_bytes=machine.disk_bytes,
        root_disk=machine.root_disk,
    )
    return rules.differences(entered, machine.facts or {})


def update_machine(
    caller: Caller, machine_id: UUID, changes: Mapping[str, Any], *, version: int | None = None
) -> None:
    """Change the columns that *changes* names, `interfaces` whole, if it is still at *version*.

    Raises NotFound, Stale, Invalid, Taken or IllegalTransition.
    """
    with recorded():
        machine = _at(machine_id, version)
        _may_change(machine, changes)
        if changes.get("bmc"):
            urls.board(changes["bmc"])
        before = {name: getattr(machine, name) for name in _COLUMNS if name in changes}
        for name in before:
            setattr(machine, name, changes[name])
        told: dict[str, Sequence[Any]] = {
            _COLUMNS[name]: (was, changes[name]) for name, was in before.items()
        }
        if "interfaces" in changes:
            told["interfaces"] = _changed_interfaces(caller, machine, changes["interfaces"])
        if any(was != became for was, became in told.values()):
            _saved(caller, machine, {n: each for n, each in told.items() if each[0] != each[1]})


def _at(machine_id: UUID, version: int | None) -> Machine:
    machine = locked(machine_id)
    demand_version(machine, version, f"machine {machine.hostname}")
    return machine


def _may_change(machine: Machine, changes: Mapping[str, Any]) -> None:
    state = State(machine.state)
    if state is State.RETIRED:
        raise IllegalTransition("a machine that is retired stays as it was")
    held = [name for name in _AT_REST_ONLY if name in changes]
    if state in WORKING and held:
        raise IllegalTransition(
            f"{held[0]} stays while the machine is {state}",
            field=f"/{_COLUMNS.get(held[0], held[0])}",
            hint="Wait for its workflow, or cancel it.",
        )


def _saved(caller: Caller, machine: Machine, told: Mapping[str, Sequence[Any]]) -> None:
    machine.differences = differences(machine)
    machine.version += 1
    machine.updated_at = now()
    machine.save()
    before, after = ({name: each[side] for name, each in told.items()} for side in (0, 1))
    audit.record(
        caller,
        "machine.update",
        kind="machine",
        id=machine.id,
        site=machine.site_id,
        machine=machine.id,
        data={"before": before, "after": after},
    )
    noted(machine, Seen.ASKED, {"verb": "update", "by": caller.name, "reason": ", ".join(told)})
    changed = {"changed": sorted(told), "by": caller.name}
    events.tell(machine, "updated", changed, request_id=caller.request_id)
    announce(machine.id)


def _changed_interfaces(
    caller: Caller, machine: Machine, wanted: Sequence[NewInterface]
) -> tuple[list[Any], list[Any]]:
    """Make the machine's interfaces what is *wanted*; a MAC that stays keeps its address."""
    macs = macs_of(wanted)
    rows = {row.mac: row for row in Interface.select().where(Interface.machine_id == machine.id)}
    before = [_shown(row.name, row.mac, row.pxe_enabled, row.network_name) for row in rows.values()]
    for mac in set(rows) - set(macs):
        _dropped(rows[mac])
    for mac in set(rows) & set(macs):  # two may swap their names
        Interface.update(name=f"~{mac}").where(Interface.id == rows[mac].id).execute()
    new = {mac: number for number, mac in enumerate(macs) if mac not in rows}
    conflicts.demand_free_macs(caller, new)
    for each, mac in zip(wanted, macs, strict=True):
        columns = {
            "name": each.name,
            "pxe_enabled": each.pxe_enabled,
            "network_name": each.network_name,
        }
        if mac in rows:
            Interface.update(columns).where(Interface.id == rows[mac].id).execute()
            continue
        Interface.create(machine_id=machine.id, mac=mac, **columns)
    discoveries.claimed(caller, machine, list(new))
    after = [
        _shown(each.name, mac, each.pxe_enabled, each.network_name)
        for each, mac in zip(wanted, macs, strict=True)
    ]
    return sorted(before, key=_by_mac), sorted(after, key=_by_mac)


_by_mac: Final = itemgetter("macAddress")


def _shown(name: str, mac: str, pxe: bool, network: str | None) -> dict[str, Any]:  # noqa: FBT001 - a column
    return {"name": name, "macAddress": mac, "pxeEnabled": pxe, "networkName": network}


def _dropped(row: Interface) -> None:
    held = (Allocation.interface_id == row.id) & (Allocation.state != "released")
    if Allocation.select().where(held).exists():
        raise IllegalTransition(
            f"the interface {row.name} with MAC {row.mac} has an address",
            field="/interfaces",
            hint="Keep the interface, or release the machine first.",
        )
    Allocation.delete().where(Allocation.interface_id == row.id).execute()
    row.delete_instance()


def delete_machine(caller: Caller, machine_id: UUID, *, version: int | None = None) -> None:
    """Forget a machine that was never used, or is retired; audit, decisions and approvals stay.

    Raises NotFound, Stale or IllegalTransition.
    """
    with recorded():
        known: Machine | None = Machine.get_or_none(Machine.id == machine_id)
        if known is None:
            raise NotFound(f"no machine {machine_id}", hint="List them with: sprout machines list")
        locked_site(known.site_id, "")
        machine = _at(machine_id, version)
        _may_go(machine)
        audit.record(
            caller,
            "machine.delete",
            kind="machine",
            id=machine.id,
            site=machine.site_id,
            machine=machine.id,
            data={"before": {"hostname": machine.hostname, "state": machine.state}},
        )
        told = {"by": caller.name, "hostname": machine.hostname}
        events.tell(machine, "deleted", told, request_id=caller.request_id)
        announce(machine.id)
        _forgotten(machine)


def _may_go(machine: Machine) -> None:
    if State(machine.state) not in DELETABLE:
        raise IllegalTransition(
            f"a machine that is {machine.state} cannot be deleted",
            hint="Retire it first: sprout machines retire MACHINE",
        )
    running = (Workflow.machine_id == machine.id) & (Workflow.state == "running")
    if Workflow.select().where(running).exists():
        raise IllegalTransition("a workflow of the machine still runs", hint="Wait for its end.")
    held = (Allocation.machine_id == machine.id) & (Allocation.state != "released")
    if Allocation.select().where(held).exists():
        raise IllegalTransition(
            "an agent may still serve the machine's address",
            hint="Ask again in a minute: it is free when no agent of the site holds it.",
        )


def _forgotten(machine: Machine) -> None:
    Discovery.delete().where(Discovery.machine_id == machine.id).execute()
    Workflow.update(parent_id=None).where(Workflow.machine_id == machine.id).execute()
    for table in (
        ActionExecution,
        Observation,
        Task,
        Plan,
        Run,
        Workflow,
        Allocation,
        Interface,
    ):
        table.delete().where(table.machine_id == machine.id).execute()
    machine.delete_instance()
