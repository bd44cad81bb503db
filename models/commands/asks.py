"""What an operator wants done with a machine: judged, recorded and promised in one transaction."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from models import audit, installers
from models.actions import ACTIONS
from models.answering import Hardware
from models.audit import Caller
from models.commands import (
    catalogue,
    fetching,
    handing_out,
    inventories,
    network_source,
    reaching,
    releasing,
    remote,
    runs,
    verbs,
    walks,
)
from models.commands.inventories import How
from models.commands.moves import locked, noted
from models.commands.policy import Order
from models.database import database
from models.errors import IllegalTransition, Invalid, NotFound, NotReady, Unknown
from models.installers import Installer
from models.kinds import Kind, Progress
from models.lifecycle import Event, State, next_state
from models.observations import Seen
from models.tables import Image, Machine, Profile, Workflow
from models.workflows import AT_ONCE, TABLES

BOOT_SOURCES: Final = ("pxe", "disk", "cd", "http", "bios", "none")
HTTP_SOURCE: Final = "http"
MEDIA_SOURCE: Final = "virtual-media"


def commission(
    caller: Caller,
    machine_id: UUID,
    *,
    inventory: How | None = None,
    reason: str = "",
    approval_id: UUID | None = None,
) -> UUID:
    """Ask for what is in the machine, of its BMC and of itself; leads to available.

    *inventory* is auto where it is None.  Raises DomainError.
    """
    asked = {} if inventory is None else {"inventory": inventory.value}
    order = Order(reason=reason, approval_id=approval_id, parameters=asked)
    with database.atomic():
        machine = locked(machine_id)
        _judge(machine, Kind.COMMISSION)
        params = inventories.chosen(machine, inventory or How.AUTO)
        return verbs.begun(caller, machine, Kind.COMMISSION, order, params)


def provision(
    caller: Caller,
    machine_id: UUID,
    *,
    image_ref: str,
    profile_ref: str,
    network_id: UUID | None = None,
    hardware: Hardware | None = None,
    reason: str = "",
    approval_id: UUID | None = None,
) -> UUID:
    """Ask for an operating system on the machine's disk; of an active one, that is to reprovision.

    *hardware* is what a server type says, for an installer that is told.  Raises DomainError.
    """
    asked = {
        "imageRef": image_ref,
        "profileRef": profile_ref,
        "networkId": None if network_id is None else str(network_id),
    }
    order = Order(reason=reason, approval_id=approval_id, parameters=asked)
    with database.atomic():
        machine = locked(machine_id)
        return _provisioned(caller, machine, order, hardware)


def reprovision(
    caller: Caller,
    machine_id: UUID,
    *,
    image_ref: str | None = None,
    profile_ref: str | None = None,
    network_id: UUID | None = None,
    reason: str = "",
    approval_id: UUID | None = None,
) -> UUID:
    """Provision an active machine anew: with what it has, where nothing else is said.

    Raises DomainError.
    """
    with database.atomic():
        machine = locked(machine_id)
        _in_state(machine, Kind.REPROVISION)
        image = image_ref or Image.get_by_id(machine.image_id).ref
        profile = profile_ref or Profile.get_by_id(machine.profile_id).ref
        network = network_id or machine.network_id
        asked = {"imageRef": image, "profileRef": profile, "networkId": str(network)}
        order = Order(reason=reason, approval_id=approval_id, parameters=asked)
        return _provisioned(caller, machine, order)


def _provisioned(
    caller: Caller, machine: Machine, order: Order, hardware: Hardware | None = None
) -> UUID:
    _judge(machine, Kind.PROVISION)
    handing_out.demand_agreed(machine)
    asked = order.parameters
    image = _image(asked["imageRef"], machine)
    profile: Profile | None = catalogue.referred(Profile, asked["profileRef"])
    if profile is None:
        raise Unknown(
            f"no profile {asked['profileRef']}",
            field="/profileRef",
            hint="List them with: sprout profiles list",
        )
    runs.pxe_interface(machine)
    named = asked.get("networkId")
    network = runs.provisioning_network(machine, None if named is None else UUID(named))
    network_source.demand_there(network)
    disk = installers.disk(image.installer, machine.root_disk, machine.facts)
    _fits(image, machine)
    runs.owner(machine)
    params = {
        "installer": image.installer,
        "image_id": str(image.id),
        "profile_id": str(profile.id),
        "network_id": str(network.id),
        "image": image.ref,
        "profile": profile.ref,
        "network": network.name,
        "disk": disk,
        **({} if hardware is None else {"hardware": hardware.stated()}),
    }
    kind = Kind.REPROVISION if machine.state == State.ACTIVE.value else Kind.PROVISION
    return verbs.begun(caller, machine, kind, order, params)


def _image(ref: str, machine: Machine) -> Image:
    image: Image | None = catalogue.referred(Image, ref)
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
    row = installers.INSTALLERS[Installer(image.installer)]
    if not all(getattr(image, column) for column in row.files.values()):
        raise NotReady(
            f"image {ref} does not name {row.called} yet",
            field="/imageRef",
            hint="Give it that, imageBytes and checksums: sprout images update IMAGE …",
        )
    return image


def _fits(image: Image, machine: Machine) -> None:
    """Raise NotReady where the machine is known to have less memory than its installer takes."""
    need = installers.memory_mib(
        image.installer, medium_bytes=image.image_bytes, initrd_bytes=image.initrd_bytes
    )
    # What was found counts more than what somebody entered.
    known = machine.found_memory_mib or machine.memory_mib
    installers.demand_memory(image.ref, need, known)


def power(
    caller: Caller,
    machine_id: UUID,
    kind: Kind,
    *,
    reason: str = "",
    approval_id: UUID | None = None,
) -> UUID:
    """Ask for power on, power off or a reboot.  Raises DomainError."""
    return _beside(caller, machine_id, kind, Order(reason=reason, approval_id=approval_id))


def boot_source(
    caller: Caller,
    machine_id: UUID,
    source: str,
    *,
    persistent: bool = False,
    http_boot_uri: str = "",
    reason: str = "",
    approval_id: UUID | None = None,
) -> UUID:
    """Ask the BMC to boot from *source* next, or always.  Raises DomainError.

    *none* takes an override back.  *http_boot_uri* is what UEFI fetches, where DHCP is not to say.
    """
    if source not in BOOT_SOURCES:
        raise Invalid(
            f"{source!r} is no boot source",
            field="/bootSource",
            hint=f"Choose one of {', '.join(BOOT_SOURCES)}.",
        )
    asked = {"bootSource": source, "persistent": persistent}
    params = {"source": source, "persistent": persistent}
    if http_boot_uri:
        _fetchable(machine_id, http_boot_uri, source)
        asked["httpBootUri"] = params["http_boot_uri"] = http_boot_uri
    order = Order(reason=reason, approval_id=approval_id, parameters=asked)
    return _beside(caller, machine_id, Kind.BOOT_SOURCE, order, params)


def _fetchable(machine_id: UUID, uri: str, source: str) -> None:
    field = "/httpBootUri"
    if source != HTTP_SOURCE:
        raise Invalid(
            f"a URI is booted from {HTTP_SOURCE}, not from {source}",
            field=field,
            hint=f"Leave it out, or ask for {HTTP_SOURCE}.",
        )
    fetching.demand(machine_id, uri, field=field)


def media(
    caller: Caller,
    machine_id: UUID,
    url: str,
    *,
    source: str = MEDIA_SOURCE,
    reason: str = "",
    approval_id: UUID | None = None,
) -> UUID:
    """Ask the BMC to insert the image at *url*, and to boot from it next.  Raises DomainError."""
    if source != MEDIA_SOURCE:
        raise Invalid(
            f"an image is booted from {MEDIA_SOURCE}, not from {source!r}", field="/bootSource"
        )
    fetching.demand(machine_id, url, field="/mediaUrl")
    asked = {"mediaUrl": url, "bootSource": source}
    order = Order(reason=reason, approval_id=approval_id, parameters=asked)
    return _beside(caller, machine_id, Kind.IMAGE, order, {"url": url})


def eject(
    caller: Caller, machine_id: UUID, *, reason: str = "", approval_id: UUID | None = None
) -> UUID:
    """Ask the BMC to take out what is inserted; it may be nothing.  Raises DomainError."""
    asked = {"eject": True}
    order = Order(reason=reason, approval_id=approval_id, parameters=asked)
    return _beside(caller, machine_id, Kind.IMAGE, order, asked)


def remote_task(
    caller: Caller,
    machine_id: UUID,
    command: str,
    *,
    limit_s: int | None = None,
    reason: str = "",
    approval_id: UUID | None = None,
) -> UUID:
    """Ask for *command* to be run on the machine's system, in *limit_s* seconds at most.

    Raises DomainError; NotListed where the site's list does not hold it.
    """
    asked = {"command": command, "timeLimitS": limit_s}
    order = Order(reason=reason, approval_id=approval_id, parameters=asked)
    with database.atomic():
        machine = locked(machine_id)
        _in_state(machine, Kind.REMOTE_TASK)
        _undisturbed(machine)
        params = remote.judged(machine, command, limit_s)
        return verbs.begun(caller, machine, Kind.REMOTE_TASK, order, params)


def release(
    caller: Caller,
    machine_id: UUID,
    *,
    wipe: str | None = None,
    disks: str | None = None,
    reason: str = "",
    approval_id: UUID | None = None,
) -> UUID:
    """Ask for the machine back, wiped as `releasing.params` says.  Raises DomainError."""
    asked = {"wipe": wipe, "disks": disks}
    order = Order(reason=reason, approval_id=approval_id, parameters=asked)
    with database.atomic():
        machine = locked(machine_id)
        _judge(machine, Kind.RELEASE)
        params = releasing.params(machine, wipe or releasing.WIPES[0], disks or releasing.DISKS[0])
        return verbs.begun(caller, machine, Kind.RELEASE, order, params)


def moved(
    caller: Caller,
    machine_id: UUID,
    kind: Kind,
    *,
    reason: str = "",
    approval_id: UUID | None = None,
) -> UUID:
    """Ask for what only moves the machine's state: one of AT_ONCE; its workflow has ended."""
    order = Order(reason=reason, approval_id=approval_id)
    event = TABLES[kind].begins
    assert kind in AT_ONCE and event is not None  # noqa: S101, PT018 - for the type checker
    with database.atomic():
        machine = locked(machine_id)
        _legal(machine, event)
        return verbs.begun(caller, machine, kind, order)


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
        noted(machine, Seen.CANCELLED, {"by": caller.name, "reason": reason}, flow=flow)
        detail = f"cancelled by {caller.name}" + (f": {reason}" if reason else "")
        walks.end(machine, flow, Progress.CANCELLED, Event.CANCEL, caller, detail=detail)


def _beside(
    caller: Caller,
    machine_id: UUID,
    kind: Kind,
    order: Order,
    params: Mapping[str, Any] | None = None,
) -> UUID:
    """Ask for what leaves the machine's state alone."""
    with database.atomic():
        machine = locked(machine_id)
        _in_state(machine, kind)
        reaching.demand(machine, kind)
        _undisturbed(machine)
        return verbs.begun(caller, machine, kind, order, params)


def _in_state(machine: Machine, kind: Kind) -> None:
    states = ACTIONS[kind.value].states
    if State(machine.state) not in states:
        _undisturbed(machine)  # what is under way says more than the state does
        raise IllegalTransition(
            f"a machine that is {machine.state} cannot {kind}",
            hint=f"It is for machines that are {', '.join(sorted(states))}.",
        )


def _legal(machine: Machine, event: Event) -> None:
    """Refuse now what the move would refuse, before anything is written."""
    came_from = None if machine.came_from is None else State(machine.came_from)
    commissioned = machine.commissioned_at is not None
    next_state(State(machine.state), event, came_from=came_from, commissioned=commissioned)


def _judge(machine: Machine, kind: Kind) -> None:
    event = TABLES[kind].begins
    assert event is not None  # noqa: S101 - for the type checker
    _legal(machine, event)
    reaching.demand(machine, kind)


def _undisturbed(machine: Machine) -> None:
    middle = "machine_id = %s AND state = 'running' AND lifecycle"
    running = Workflow.first_where(middle, str(machine.id))
    if running is not None:
        raise IllegalTransition(
            f"the machine is in the middle of {running.kind}",
            hint=f"Wait for it, or cancel it: sprout workflows cancel {running.id}",
        )
