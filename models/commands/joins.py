"""What a host's join is told, and its registration; what came of them is kept with the errand."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from models import facts, ssh_access
from models.commands import addresses
from models.database import database
from models.errors import NotReady
from models.tables import Allocation, Interface, Machine, Run, Workflow

LANE: Final = "cluster-join"
"""Joins are done one at a time: control knows one cluster."""

_JOINED: Final = """
SELECT w.machine_id, w.id, e.params, e.result
FROM errands e JOIN workflows w ON w.id = e.workflow_id
WHERE e.name = 'cluster-join' AND (e.state = 'done' OR e.result ->> 'cluster' <> '')
    AND w.machine_id IS DISTINCT FROM (SELECT machine_id FROM runs WHERE id = %s)
ORDER BY e.finished_at DESC LIMIT 256"""


def wanted(machine: Machine, flow: Workflow, _key: str) -> dict[str, Any]:
    """Return what the join of *machine* is told.  Raises NotReady."""
    return {"lane": LANE, **reached(machine, flow)}


def reached(machine: Machine, flow: Workflow) -> dict[str, Any]:
    """Return how *machine* is logged in to, by the key of which run.  Raises NotReady."""
    host = {"address": _address(machine, flow), "keys": _keys(machine)}
    if flow.run_id is None or not (host["address"] and host["keys"]):
        raise NotReady(f"{machine.hostname} has no address, or no host key, that is known")
    return {"node": node(machine), "run": str(flow.run_id), "host": host}


def node(machine: Machine) -> str:
    """Return what a cluster calls *machine*."""
    return machine.hostname.partition(".")[0]


def member(run_id: UUID) -> dict[str, Any]:
    """Return the node that joined or made the cluster last, but the host of a run; or nothing.

    Asked when the join begins: of hosts that are rebuilt at once none has joined when the joins are
    asked for.  One whose join failed when it was in the cluster already is a member too.
    """
    seen: set[UUID] = set()
    for machine_id, joined_by, params, result in database.execute_sql(_JOINED, (run_id,)):
        told = {**params["host"], **_of(result)}
        if machine_id not in seen and _still(machine_id, joined_by, told):
            return told
        seen.add(machine_id)
    return {}


def _of(result: Mapping[str, Any]) -> dict[str, Any]:
    return {key: result.get(key, "") for key in ("cluster", "fingerprint")}


def _run(flow: Workflow) -> Run | None:
    return None if flow.run_id is None else Run.get_or_none(Run.id == flow.run_id)


def _address(machine: Machine, flow: Workflow) -> str:
    """Return the address that the first boot told, else the one that *machine* was given."""
    if told := addresses.home(flow.run_id):
        return told
    row: Allocation | None = (
        Allocation.select(Allocation.address)
        .where((Allocation.machine_id == machine.id) & (Allocation.state != "released"))
        .order_by(Allocation.created_at.desc())
        .first()
    )
    return "" if row is None else str(row.address)


def _keys(machine: Machine) -> list[str]:
    found = map(ssh_access.public_key, machine.ssh_host_keys or ())
    return [key for key in found if key]


def _still(machine_id: UUID, joined_by: UUID, told: Mapping[str, Any]) -> bool:
    """Whether a machine is the member that it became by the workflow *joined_by*.

    Its host keys are those that it had then: a rebuilt one is no member any more.  It may not be
    ready yet, or never be, for what its workflow does after the join.
    """
    machine: Machine | None = Machine.get_or_none(Machine.id == machine_id)
    if machine is None or not (machine.state == "active" or joined_by == _newest(machine_id)):
        return False
    return bool(told["cluster"] and set(_keys(machine)) & set(told["keys"]))


def _newest(machine_id: UUID) -> UUID | None:
    """Return the workflow of *machine_id* that changed its state last."""
    flows = (Workflow.machine_id == machine_id) & Workflow.lifecycle
    row: Workflow | None = (
        Workflow.select(Workflow.id).where(flows).order_by(Workflow.created_at.desc()).first()
    )
    return None if row is None else UUID(str(row.id))


def joined(_machine: Machine, _flow: Workflow, _result: Mapping[str, Any]) -> None:
    """Keep nothing more: the errand's result says the cluster, and the new certificate."""


def to_register(machine: Machine, flow: Workflow, _key: str) -> dict[str, Any]:
    """Return what the Infrastructure service is told of *machine*."""
    return {
        "hostname": machine.hostname,
        "ip": _address(machine, flow),
        "hardware_id": _hardware_id(machine, flow),
        "server_type": machine.server_type or "",
    }


def _hardware_id(machine: Machine, flow: Workflow) -> str:
    """Return what the first boot told, else the UUID or serial number, or the first MAC."""
    run = _run(flow)
    if run is not None and run.hardware_id:
        return str(run.hardware_id)
    known = facts.identity(machine.facts or {})
    if found := known["uuid"] or known["serial"]:
        return found
    rows = Interface.select(Interface.mac).where(Interface.machine_id == machine.id)
    return min((str(row.mac) for row in rows), default="")


def registered(_machine: Machine, _flow: Workflow, _result: Mapping[str, Any]) -> None:
    """Keep nothing more: the errand's result says what was told."""
