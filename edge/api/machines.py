"""Machines: what is known of them, and what they wait for."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final
from uuid import UUID

from flask import Response

from edge import access, auth
from edge.api.contract import answered, operation, resource
from edge.api.machine_forms import (
    Machine,
    MachineFilter,
    MachineRef,
    Machines,
    NewInterface,
    NewMachine,
    TimelineFilter,
    Why,
)
from edge.api.workflows import Observation, Observations
from edge.errors import Fault, Unreadable
from models import names, queries
from models.commands import inventory
from models.errors import Invalid
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
    made = Machine.of(queries.machine(machine_id))
    return answered(made, HTTPStatus.CREATED, location=f"/v1/machines/{machine_id}")


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
    """List machines, by host name; `next` is the cursor of the following page."""
    found = queries.machines(
        among=access.visible_sites(),
        site_id=None if query.site_id is None else queries.site(query.site_id).id,
        state=query.state,
        search=query.search,
        after=_place(query.cursor),
        limit=query.limit + 1,
    )
    shown = found[: query.limit]
    more = len(found) > query.limit
    return answered(
        Machines(items=[Machine.of(view) for view in shown], next=_cursor(shown) if more else None)
    )


@operation(
    api, "get", "/v1/machines/<machine>", "getMachine", answer=Machine, action="machine.read"
)
def show(path: MachineRef) -> Response:
    """Show one machine."""
    return answered(Machine.of(queries.machine(path.machine)))


@operation(
    api,
    "get",
    "/v1/machines/<machine>/timeline",
    "listMachineTimeline",
    answer=Observations,
    action="machine.read",
)
def timeline(path: MachineRef, query: TimelineFilter) -> Response:
    """List what was seen of a machine, in order: the newest rows after the id `after`."""
    machine = queries.machine(path.machine)
    found = queries.timeline(machine.id, after=query.after, limit=query.limit)
    return answered(Observations(items=[Observation.of(view) for view in found]))


@operation(
    api, "get", "/v1/machines/<machine>/why", "explainMachine", answer=Why, action="machine.read"
)
def why(path: MachineRef) -> Response:
    """Say what a machine waits for, until when, and from whom."""
    machine = queries.machine(path.machine)
    agents = queries.agents(machine.site_id)
    seen = queries.timeline(machine.id, limit=100)
    return answered(Why.of(judged(machine, agents, seen, datetime.now(UTC))))


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


def _cursor(shown: Sequence[MachineView]) -> str:
    last = shown[-1]
    return urlsafe_b64encode(json.dumps([last.hostname, str(last.id)]).encode()).decode()


def _place(cursor: str) -> tuple[str, UUID] | None:
    """Return the (hostname, id) that *cursor* stands for.  Raises Unreadable."""
    if not cursor:
        return None
    try:
        hostname, machine_id = json.loads(urlsafe_b64decode(cursor))
        return names.hostname(hostname, field="/cursor"), UUID(machine_id)
    except (ValueError, TypeError, AttributeError, Invalid):
        fault = Fault("/cursor", "this is no cursor", "Give `next` of the page before.")
        raise Unreadable("the cursor is not one of ours", [fault]) from None
