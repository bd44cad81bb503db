"""What can be asked of a machine: each verb is judged, recorded and promised, then answers 202."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from flask import Response

from edge import auth, preflight, refusals
from edge.api.contract import answered, operation, resource
from edge.api.machine_forms import Machine, MachineRef, Machines
from edge.api.verb_forms import (
    Ask,
    BootImage,
    BootSource,
    Commission,
    Provision,
    Release,
    RemoteTask,
    Reprovision,
    WantedMachines,
)
from edge.api.workflows import Workflow
from models import queries, whereabouts
from models.commands import allocating, asks
from models.commands.inventories import How
from models.kinds import Kind

api: Final = resource("machine verbs", "What is asked of a machine; a workflow does it.")

REFUSES: Final = (
    "illegal-transition",
    "not-ready",
    "invalid",
    "denied",
    "unknown-reference",
    "policy-denied",
    "approval-needed",
    "approval-unfit",
)


def _verb(kind: Kind, name: str) -> Callable[..., Any]:
    return operation(
        api,
        "post",
        f"/v1/machines/<machine>/{kind.value}",
        name,
        answer=Workflow,
        status=HTTPStatus.ACCEPTED,
        refuses=REFUSES,
        action=f"machine.{kind.value}",
    )


@_verb(Kind.COMMISSION, "commissionMachine")
def commission(path: MachineRef, body: Commission) -> Response:
    """Take inventory of the machine, by its BMC and where possible by itself; leads to available.

    By the inventory image it is powered off and on; no disk is written to.  Ends failed where what
    is found differs critically from what was entered, or a test of the hardware fails.
    """
    how = None if body.inventory is None else How(body.inventory)
    return _begun(asks.commission(auth.caller(), _asked_of(path), inventory=how, **_why(body)))


@_verb(Kind.PROVISION, "provisionMachine")
def provision(path: MachineRef, body: Provision) -> Response:
    """Write an image to the machine's disk and boot it; leads to active.  Wipes that disk.

    Of a machine that is active this is the action `reprovision`.
    """
    machine = _asked_of(path)
    preflight.demand_fit(machine, body.image_ref, body.profile_ref)
    return _begun(
        asks.provision(
            auth.caller(),
            machine,
            image_ref=body.image_ref,
            profile_ref=body.profile_ref,
            network_id=body.network_id,
            **_why(body),
        )
    )


@_verb(Kind.REPROVISION, "reprovisionMachine")
def reprovision(path: MachineRef, body: Reprovision) -> Response:
    """Provision a machine that is active anew.  Wipes its disk."""
    machine = _asked_of(path)
    preflight.demand_fit(machine, body.image_ref, body.profile_ref)
    return _begun(
        asks.reprovision(
            auth.caller(),
            machine,
            image_ref=body.image_ref,
            profile_ref=body.profile_ref,
            network_id=body.network_id,
            **_why(body),
        )
    )


@_verb(Kind.IMAGE, "bootMachineImage")
def image(path: MachineRef, body: BootImage) -> Response:
    """Insert an image as virtual media, and have the machine boot from it next; or eject it.

    Ends failed where no agent of the site can insert media.
    """
    machine = _asked_of(path)
    if body.media_url is None:
        return _begun(asks.eject(auth.caller(), machine, **_why(body)))
    return _begun(asks.media(auth.caller(), machine, body.media_url, **_why(body)))


@_verb(Kind.POWER_ON, "powerOnMachine")
def power_on(path: MachineRef, body: Ask) -> Response:
    """Switch the machine on."""
    return _power(Kind.POWER_ON, path, body)


@_verb(Kind.POWER_OFF, "powerOffMachine")
def power_off(path: MachineRef, body: Ask) -> Response:
    """Switch the machine off."""
    return _power(Kind.POWER_OFF, path, body)


@_verb(Kind.REBOOT, "rebootMachine")
def reboot(path: MachineRef, body: Ask) -> Response:
    """Switch the machine off, then on."""
    return _power(Kind.REBOOT, path, body)


@_verb(Kind.BOOT_SOURCE, "setMachineBootSource")
def boot_source(path: MachineRef, body: BootSource) -> Response:
    """Choose what the machine boots from next, or always."""
    return _begun(
        asks.boot_source(
            auth.caller(),
            _asked_of(path),
            body.boot_source,
            persistent=body.persistent,
            http_boot_uri=body.http_boot_uri or "",
            **_why(body),
        )
    )


@_verb(Kind.REMOTE_TASK, "runMachineTask")
def remote_task(path: MachineRef, body: RemoteTask) -> Response:
    """Run a command on the machine's system, as root over SSH; its output becomes evidence.

    Only a command of the site's list is run (`remote-tasks` in the policy file): words, no shell's
    text.  One that ends with another status than 0 ends the workflow failed.
    """
    return _begun(
        asks.remote_task(
            auth.caller(),
            _asked_of(path),
            body.command,
            limit_s=body.time_limit_s,
            **_why(body),
        )
    )


@_verb(Kind.RELEASE, "releaseMachine")
def release(path: MachineRef, body: Release) -> Response:
    """Wipe the machine's disks, switch it off and give its address back; leads to available.

    Partition tables and signatures are overwritten by the deploy system, which the machine boots;
    that is no full wipe.  Where it fails, the machine fails and keeps its address.
    """
    machine = _asked_of(path)
    flow = asks.release(auth.caller(), machine, wipe=body.wipe, disks=body.disks, **_why(body))
    return _begun(flow)


@_verb(Kind.RETIRE, "retireMachine")
def retire(path: MachineRef, body: Ask) -> Response:
    """Take the machine out of use for good.  Release it first.

    One that failed with an address is refused until it is known to be off.
    """
    return _moved(Kind.RETIRE, path, body)


@_verb(Kind.MAINTENANCE, "maintainMachine")
def maintenance(path: MachineRef, body: Ask) -> Response:
    """Put the machine into maintenance."""
    return _moved(Kind.MAINTENANCE, path, body)


@_verb(Kind.RESUME, "resumeMachine")
def resume(path: MachineRef, body: Ask) -> Response:
    """Bring the machine back from maintenance to where it came from."""
    return _moved(Kind.RESUME, path, body)


@_verb(Kind.CLEAR, "clearMachine")
def clear(path: MachineRef, body: Ask) -> Response:
    """Say that what failed is mended: the machine is available, or registered, again.

    One on whose disks something was installed is refused, and so is its commissioning: release it.
    """
    return _moved(Kind.CLEAR, path, body)


@_verb(Kind.DEALLOCATE, "deallocateMachine")
def deallocate(path: MachineRef, body: Ask) -> Response:
    """Give an allocated machine back."""
    return _moved(Kind.DEALLOCATE, path, body)


@operation(
    api,
    "post",
    "/v1/machines/allocate",
    "allocateMachines",
    answer=Machines,
    refuses=("unknown-reference", "exhausted", "policy-denied", "approval-needed"),
    action="machine.allocate",
)
def allocate(body: WantedMachines) -> Response:
    """Hand out as many free machines as are asked for, or none; those first that are available.

    An external allocator is asked afterwards: until it agrees nothing is installed on them, and if
    it refuses one, all are given back.
    """
    wanted = allocating.Wanted(
        site_id=body.site_id,
        count=body.count,
        labels=body.labels,
        architecture=body.architecture,
        min_memory_mib=body.min_memory_mib,
        min_disk_bytes=body.min_disk_bytes,
    )
    found = allocating.allocate(auth.caller(), wanted, reason=body.reason)
    return answered(Machines(items=[Machine.of(view) for view in queries.machines_of(found)]))


def _why(body: Ask) -> dict[str, Any]:
    return {"reason": body.reason, "approval_id": body.approval_id}


def _power(kind: Kind, path: MachineRef, body: Ask) -> Response:
    return _begun(asks.power(auth.caller(), _asked_of(path), kind, **_why(body)))


def _moved(kind: Kind, path: MachineRef, body: Ask) -> Response:
    return _begun(asks.moved(auth.caller(), _asked_of(path), kind, **_why(body)))


def _asked_of(path: MachineRef) -> UUID:
    machine, site = whereabouts.found("machine", path.machine, None)
    refusals.concerns(machine, site)
    return machine


def _begun(workflow_id: UUID) -> Response:
    flow = Workflow.of(queries.workflow(workflow_id))
    return answered(flow, HTTPStatus.ACCEPTED, location=f"/v1/workflows/{workflow_id}")
