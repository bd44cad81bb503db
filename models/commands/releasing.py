"""A machine is given back: what says that something lies on its disks is taken away first.

Only partition tables and signatures are; what is recorded says that this is no full wipe.
"""

from typing import Any, Final

from models import audit, facts
from models.audit import ENGINE, Caller
from models.bootplan import Action
from models.commands import letting_go, runs
from models.commands.runs import Boot, Render
from models.errors import DomainError, Invalid, NotReady
from models.installers import Installer
from models.kinds import Kind, Progress
from models.observations import Seen
from models.tables import Image, Machine, Network, Observation, Workflow
from models.tables import Task as TaskRow

SIGNATURES: Final = "signatures"
WIPES: Final = (SIGNATURES, "none")
DISKS: Final = ("all", "root")

_EXTENT: Final = "partition tables and signatures; this is no full wipe"
_HINT: Final = "Mend it, or have nothing wiped: sprout machines release {name} --wipe none."


def params(machine: Machine, wipe: str, disks: str) -> dict[str, Any]:
    """Return what a release keeps; *wipe* is of WIPES and *disks* of DISKS.

    Raises Invalid, and NotReady where the machine cannot be booted to be wiped.
    """
    if wipe not in WIPES:
        raise Invalid(f"{wipe!r} is no extent", field="/wipe", hint=f"Choose {' or '.join(WIPES)}.")
    if disks not in DISKS:
        raise Invalid(f"{disks!r} is no choice", field="/disks", hint="Choose all or root.")
    if wipe != SIGNATURES:
        return {"wipe": wipe, **_left(machine)}
    try:
        boot = {**_boot(machine), "disk": _root(machine, disks)}
    except DomainError as exc:
        told = f"{machine.hostname} cannot be booted to be wiped: {exc}"
        raise NotReady(told, field="/wipe", hint=_HINT.format(name=machine.hostname)) from exc
    return {"wipe": wipe, "disks": disks, **boot, **_left(machine)}


def _boot(machine: Machine) -> dict[str, Any]:
    runs.pxe_interface(machine)
    runs.owner(machine)
    network = runs.provisioning_network(machine, machine.network_id)
    return {"image_id": str(deploys(machine).id), "network_id": str(network.id)}


def deploys(machine: Machine) -> Image:
    """Return an image with our deploy system for *machine*: its own, else the newest.

    Raises NotReady.
    """
    ours = (Image.installer == Installer.IMAGE.value) & (Image.image_path != "")
    fits = (Image.architecture == machine.architecture) & ours
    found: Image | None = (
        Image.select()
        .where(fits)
        .order_by((Image.id == machine.image_id).desc(), Image.created_at.desc())
        .first()
    )
    if found is None:
        raise NotReady(f"no image holds the deploy system for {machine.architecture}")
    return found


def _root(machine: Machine, disks: str) -> dict[str, Any]:
    """Return the disk that must be seen before anything is written, {} where none is known."""
    try:
        return facts.root_disk(machine.root_disk, machine.facts)
    except NotReady:
        if disks == "root":
            raise
        return {}


def prepare(machine: Machine, flow: Workflow, render: Render) -> None:
    """Give the machine a run and a plan that wipes, and send the plan to its site."""
    boot = Boot(
        action=Action.WIPE,
        image=Image.get_by_id(flow.params["image_id"]),
        network=Network.get_by_id(flow.params["network_id"]),
        disk=flow.params["disk"] | {"disks": flow.params["disks"]},
    )
    plan = runs.opened(machine, flow, boot, render)
    runs.publish(machine, plan, request_id=flow.request_id)


def record(machine: Machine, flow: Workflow) -> None:
    """Write down, for good, what was overwritten, and that it is no full wipe."""
    row: Observation = (
        Observation.select()
        .where((Observation.run_id == flow.run_id) & (Observation.kind == Seen.WIPED.value))
        .order_by(Observation.id)
        .get()
    )
    machine.power = "unknown"  # it switches itself off, and nobody sees it
    machine.save()
    audit.record(
        ENGINE,
        "machine.wiped",
        kind="machine",
        id=machine.id,
        site=machine.site_id,
        machine=machine.id,
        data={"extent": _EXTENT, "full": False, "run": str(flow.run_id), "told": dict(row.data)},
    )


def let_go(machine: Machine, flow: Workflow) -> None:
    """Have the site boot the machine from its own disk, then take back what it was given."""
    if flow.run_id is not None:
        runs.withdraw(machine, request_id=flow.request_id)
    letting_go.all_of(machine)
    if flow.kind == Kind.RETIRE.value and machine.bmc:
        _forget_board(machine, flow)


def _forget_board(machine: Machine, flow: Workflow) -> None:
    """Where its BMC was, and where the password lies, only the audit says from now on."""
    audit.record(
        Caller(name=flow.requested_by, request_id=flow.request_id),
        "machine.forget-bmc",
        kind="machine",
        id=machine.id,
        site=machine.site_id,
        machine=machine.id,
        reason=flow.reason,
        data={"bmc": machine.bmc},
    )
    machine.bmc = None
    machine.save()


def _left(machine: Machine) -> dict[str, Any]:
    """Return what a release undoes beside: an image that was inserted and not taken out.

    A workflow that no agent was asked for did neither.
    """
    tried = TaskRow.select(TaskRow.workflow_id).where(TaskRow.machine_id == machine.id)
    of_media = (Workflow.kind == Kind.IMAGE.value) & Workflow.id.in_(tried)
    last: Workflow | None = (
        Workflow.select()
        .where((Workflow.machine_id == machine.id) & of_media)
        .order_by(Workflow.created_at.desc())
        .first()
    )
    out = last is None or (last.params.get("eject") and last.state == Progress.SUCCEEDED.value)
    return {} if out else {"eject": True}
