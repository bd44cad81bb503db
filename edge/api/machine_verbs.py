"""What can be asked of a machine: each verb is judged, recorded and promised, then answers 202."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, Literal
from uuid import UUID

from flask import Response
from pydantic import ConfigDict, Field

from edge import auth, refusals
from edge.api.contract import answered, operation, resource
from edge.api.fields import Body, Reason, Ref, example
from edge.api.machine_forms import MachineRef
from edge.api.workflows import Workflow
from models import queries
from models.commands import asks
from models.views import MachineView
from models.workflows import Kind

api: Final = resource("machine verbs", "What is asked of a machine; a workflow does it.")

_REFUSES: Final = ("illegal-transition", "not-ready", "invalid", "denied")


class Ask(Body):
    model_config = ConfigDict(json_schema_extra=example({"reason": "rack 4 is new"}))

    reason: Reason = ""


class Provision(Body):
    model_config = ConfigDict(
        json_schema_extra=example(
            {"imageRef": "debian-12", "profileRef": "base", "networkId": None, "reason": ""}
        )
    )

    image_ref: Ref
    profile_ref: Ref
    network_id: UUID | None = Field(
        default=None, description="Left out: the site's only network for provisioning."
    )
    reason: Reason = ""


class BootSource(Body):
    model_config = ConfigDict(
        json_schema_extra=example({"bootSource": "pxe", "persistent": False, "reason": ""})
    )

    boot_source: Literal["pxe", "disk", "cd", "http", "bios"]
    persistent: bool = Field(default=False, description="Always, instead of at the next boot.")
    reason: Reason = ""


def _verb(kind: Kind, name: str, *refuses: str) -> Callable[..., Any]:
    return operation(
        api,
        "post",
        f"/v1/machines/<machine>/{kind.value}",
        name,
        answer=Workflow,
        status=HTTPStatus.ACCEPTED,
        refuses=(*_REFUSES, *refuses),
        action=f"machine.{kind.value}",
    )


@_verb(Kind.COMMISSION, "commissionMachine")
def commission(path: MachineRef, body: Ask) -> Response:
    """Read the machine's inventory from its BMC; leads to available."""
    machine = _asked_of(path)
    return _begun(asks.commission(auth.caller(), machine.id, reason=body.reason))


@_verb(Kind.PROVISION, "provisionMachine", "unknown-reference")
def provision(path: MachineRef, body: Provision) -> Response:
    """Write an image to the machine's disk and boot it; leads to active.  Wipes that disk."""
    machine = _asked_of(path)
    return _begun(
        asks.provision(
            auth.caller(),
            machine.id,
            image_ref=body.image_ref,
            profile_ref=body.profile_ref,
            network_id=body.network_id,
            reason=body.reason,
        )
    )


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
    machine = _asked_of(path)
    return _begun(
        asks.boot_source(
            auth.caller(),
            machine.id,
            body.boot_source,
            persistent=body.persistent,
            reason=body.reason,
        )
    )


def _power(kind: Kind, path: MachineRef, body: Ask) -> Response:
    machine = _asked_of(path)
    return _begun(asks.power(auth.caller(), machine.id, kind, reason=body.reason))


def _asked_of(path: MachineRef) -> MachineView:
    machine = queries.machine(path.machine)
    refusals.concerns(machine)
    return machine


def _begun(workflow_id: UUID) -> Response:
    flow = Workflow.of(queries.workflow(workflow_id))
    return answered(flow, HTTPStatus.ACCEPTED, location=f"/v1/workflows/{workflow_id}")
