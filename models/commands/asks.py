"""What an operator wants done with a machine: judged, recorded and promised in one transaction."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from models import audit, facts
from models.audit import Caller
from models.commands import agents, begin, runs, tasks, walks
from models.commands.moves import locked
from models.database import database
from models.errors import IllegalTransition, Invalid, NotFound, NotReady, Unknown
from models.lifecycle import Event, State, next_state
from models.tables import Image, Machine, Profile, Workflow
from models.workflows import LIFECYCLE, Kind, Progress

BOOT_SOURCES: Final = ("pxe", "disk", "cd", "http", "bios")


def commission(caller: Caller, machine_id: UUID, *, reason: str = "") -> UUID:
    """Ask for the BMC's inventory; leads to available.  Raises DomainError."""
    with database.atomic():
        machine = locked(machine_id)
        _judge(machine, Event.COMMISSION)
        return _begin(machine, Kind.COMMISSION, caller, reason=reason)


def provision(
    caller: Caller,
    machine_id: UUID,
    *,
    image_ref: str,
    profile_ref: str,
    network_id: UUID | None = None,
    reason: str = "",
) -> UUID:
    """Ask for an operating system on the machine's disk.  Raises DomainError."""
    with database.atomic():
        machine = locked(machine_id)
        _judge(machine, Event.PROVISION)
        image = _image(image_ref, machine)
        profile: Profile | None = Profile.get_or_none(Profile.ref == profile_ref)
        if profile is None:
            raise Unknown(
                f"no profile {profile_ref}",
                field="/profileRef",
                hint="List them with: sprout profiles list",
            )
        runs.pxe_interface(machine)
        network = runs.provisioning_network(machine, network_id)
        disk = facts.root_disk(machine.root_disk, machine.facts)
        runs.owner(machine)
        params = {
            "image_id": str(image.id),
            "profile_id": str(profile.id),
            "network_id": str(network.id),
            "image": image.ref,
            "profile": profile.ref,
            "network": network.name,
            "disk": disk,
        }
        return _begin(machine, Kind.PROVISION, caller, reason=reason, params=params)


def _image(ref: str, machine: Machine) -> Image:
    image: Image | None = Image.get_or_none(Image.ref == ref)
    if image is None:
        raise Unknown(
            f"no image {ref}", field="/imageRef", hint="List them with: sprout images list"
        )
    if image.architecture != machine.architecture:
        raise Invalid(
            f"image {ref} is for {image.architecture}, and the machine is {machine.architecture}",
            field="/imageRef",
            hint="Choose an image of the machine's architecture.",
        )
    return image


def power(caller: Caller, machine_id: UUID, kind: Kind, *, reason: str = "") -> UUID:
    """Ask for power on, power off or a reboot.  Raises DomainError."""
    with database.atomic():
        machine = locked(machine_id)
        _reachable(machine)
        _undisturbed(machine)
        return _begin(machine, kind, caller, reason=reason)


def boot_source(
    caller: Caller, machine_id: UUID, source: str, *, persistent: bool = False, reason: str = ""
) -> UUID:
    """Ask the BMC to boot from *source* next, or always.  Raises DomainError."""
    if source not in BOOT_SOURCES:
        raise Invalid(
            f"{source!r} is no boot source",
            field="/bootSource",
            hint=f"Choose one of {', '.join(BOOT_SOURCES)}.",
        )
    params = {"source": source, "persistent": persistent}
    with database.atomic():
        machine = locked(machine_id)
        _reachable(machine)
        _undisturbed(machine)
        return _begin(machine, Kind.BOOT_SOURCE, caller, reason=reason, params=params)


def cancel(caller: Caller, workflow_id: UUID, *, reason: str = "") -> None:
    """End a running workflow; its machine becomes failed, late reports move nothing."""
    with database.atomic():
        known: Workflow | None = Workflow.get_or_none(Workflow.id == workflow_id)
        if known is None:
            raise NotFound(f"no workflow {workflow_id}")
        machine = locked(known.machine_id)
        flow = Workflow.get_by_id(workflow_id)
        if flow.state != Progress.RUNNING.value:
            raise IllegalTransition(
                f"the workflow has {flow.state}; only a running one is cancelled"
            )
        audit.record(
            caller,
            "workflow.cancel",
            kind="workflow",
            id=flow.id,
            site=flow.site_id,
            machine=machine.id,
            reason=reason,
        )
        detail = f"cancelled by {caller.name}" + (f": {reason}" if reason else "")
        walks.end(machine, flow, Progress.CANCELLED, Event.CANCEL, caller, detail=detail)


def _judge(machine: Machine, event: Event) -> None:
    """Refuse now what the move would refuse, before anything is written."""
    commissioned = machine.commissioned_at is not None
    next_state(State(machine.state), event, commissioned=commissioned)
    _reachable(machine)


def _reachable(machine: Machine) -> None:
    if not machine.bmc:
        raise NotReady(
            f"{machine.hostname} has no BMC",
            field="/bmc",
            hint="Give the machine a BMC with its address and a reference to its password.",
        )
    agents.newest_live(machine.site_id, tasks.REDFISH)


def _undisturbed(machine: Machine) -> None:
    running: Workflow | None = Workflow.get_or_none(
        (Workflow.machine_id == machine.id) & (Workflow.state == "running") & Workflow.lifecycle
    )
    if running is not None:
        raise IllegalTransition(
            f"the machine is in the middle of {running.kind}",
            hint=f"Wait for it, or cancel it: sprout workflows cancel {running.id}",
        )


def _begin(
    machine: Machine,
    kind: Kind,
    caller: Caller,
    *,
    reason: str,
    params: Mapping[str, Any] | None = None,
) -> UUID:
    if kind in LIFECYCLE:
        _supersede(machine, kind, caller)
    flow = begin.begun(machine, kind, caller, reason=reason, params=params)
    return UUID(str(flow.id))


def _supersede(machine: Machine, kind: Kind, caller: Caller) -> None:
    """End what else is done to the machine: a late power-off must not meet an installation."""
    running = Workflow.select().where(
        (Workflow.machine_id == machine.id)
        & (Workflow.state == Progress.RUNNING.value)
        & ~Workflow.lifecycle
    )
    for flow in list(running):
        detail = f"superseded by {kind.value}"
        walks.end(machine, flow, Progress.CANCELLED, Event.CANCEL, caller, detail=detail)
