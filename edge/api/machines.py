"""Machines: what is known of them, and what they wait for."""

from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

from flask import Response

from edge import access, auth, conditions, refusals
from edge.api import machine_forms
from edge.api.contract import answered, operation, resource, written
from edge.api.machine_forms import (
    ChangedMachine,
    Machine,
    MachineFilter,
    MachineRef,
    Machines,
    NewInterface,
    NewMachine,
    Why,
)
from edge.api.workflows import Observations, SeenFilter
from models import documents, lists, queries
from models.commands import handing_out, inventory
from models.commands import machines as commands
from models.paging import Part
from models.views import MachineView
from models.why import why as judged

api: Final = resource("machines", "Physical machines, from registration to retirement.")


@operation(
    api,
    "post",
    "/v1/machines",
    "createMachine",
    answer=Machine,
    status=HTTPStatus.CREATED,
    refuses=("invalid", "unknown-reference", "taken"),
    action="machine.create",
)
def create(body: NewMachine) -> Response:
    """Register a machine."""
    machine_id = inventory.create_machine(
        auth.caller(),
        inventory.NewMachine(
            site_id=body.site_id,
            hostname=body.hostname,
            architecture=body.architecture,
            interfaces=_interfaces(body.interfaces),
            labels=body.labels,
            memory_mib=body.memory_mib,
            disk_bytes=body.disk_bytes,
            bmc=None if body.bmc is None else body.bmc.stored(),
            root_disk=None if body.root_disk is None else body.root_disk.model_dump(by_alias=True),
        ),
    )
    made = machine_forms.written(documents.machine(machine_id))
    return written(made, HTTPStatus.CREATED, location=f"/v1/machines/{machine_id}")


@operation(
    api,
    "get",
    "/v1/machines",
    "listMachines",
    answer=Machines,
    refuses=("not-found",),
    action="machine.read",
)
def index(query: MachineFilter) -> Response:
    """List machines."""
    part = lists.machine_documents(_wanted(query), query.ask())
    return written({"next": part.next, "items": list(map(machine_forms.written, part))})


def found(query: MachineFilter) -> Part[MachineView]:
    """Return the machines that *query* asks for, of those that the caller sees."""
    return lists.machines(_wanted(query), query.ask())


def _wanted(query: MachineFilter) -> lists.Wanted:
    return lists.Wanted(
        among=access.visible_sites(),
        site_id=queries.site_id(query.site_id),
        state=query.state,
        architecture=query.architecture,
        labels=query.labels,
        search=query.search,
    )


@operation(
    api, "get", "/v1/machines/<machine>", "getMachine", answer=Machine, action="machine.read"
)
def show(path: MachineRef) -> Response:
    """Show one machine."""
    return written(machine_forms.written(documents.machine(path.machine)))


@operation(
    api,
    "patch",
    "/v1/machines/<machine>",
    "updateMachine",
    answer=Machine,
    refuses=("invalid", "taken", "illegal-transition"),
    action="machine.update",
)
def update(path: MachineRef, body: ChangedMachine) -> Response:
    """Change what was entered of a machine; what its BMC told wins, and `differences` shows it."""
    machine = queries.machine(path.machine)
    refusals.concerns(machine.id, machine.site_id)
    changes = body.asked()
    if "interfaces" in changes:
        changes["interfaces"] = _interfaces(body.interfaces)
    version = conditions.expected(body.version, demanded=False)
    commands.update_machine(auth.caller(), machine.id, changes, version=version)
    return written(machine_forms.written(documents.machine(machine.id)))


@operation(
    api,
    "delete",
    "/v1/machines/<machine>",
    "deleteMachine",
    answer=Machine,
    refuses=("illegal-transition",),
    action="machine.delete",
)
def delete(path: MachineRef) -> Response:
    """Forget a machine that was never used, or is retired; answers what it was."""
    machine = queries.machine(path.machine)
    refusals.concerns(machine.id, machine.site_id)
    version = conditions.expected(None, demanded=False)
    commands.delete_machine(auth.caller(), machine.id, version=version)
    return answered(Machine.of(machine))


@operation(
    api,
    "get",
    "/v1/machines/<machine>/timeline",
    "listMachineTimeline",
    answer=Observations,
    action="machine.read",
)
def timeline(path: MachineRef, query: SeenFilter) -> Response:
    """List what was seen of a machine, in order unless told."""
    machine = queries.machine(path.machine)
    found = lists.observations(
        machine_id=machine.id, kind=query.kind, above=query.after, ask=query.ask()
    )
    return answered(Observations.showing(found))


@operation(
    api, "get", "/v1/machines/<machine>/why", "explainMachine", answer=Why, action="machine.read"
)
def why(path: MachineRef) -> Response:
    """Say what a machine waits for, until when, and from whom."""
    machine = queries.machine(path.machine)
    agents = queries.agents(machine.site_id)
    seen = queries.timeline(machine.id, limit=100)
    allocator = handing_out.words(machine.id, machine.state)
    told = judged(machine, agents, seen, datetime.now(UTC), allocator=allocator)
    return answered(Why.of(told))


def _interfaces(given: Sequence[NewInterface]) -> list[inventory.NewInterface]:
    return [
        inventory.NewInterface(
            name=each.name or each.id or "",
            mac=each.mac_address,
            pxe_enabled=each.pxe_enabled,
            network_name=each.network_name,
        )
        for each in given
    ]
