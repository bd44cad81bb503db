"""What external providers are asked on behalf of a machine, and what their answers mean here."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from models.commands import addresses, runs
from models.errands import Errand
from models.errors import NotReady
from models.steps import Trait
from models.tables import Allocation, Machine, Network, Workflow

ASKED = Callable[[Machine, Workflow], dict[str, Any]]
RECORDED = Callable[[Machine, Workflow, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Part:
    """What the errand of a step is told, and how its result is taken in; both under the lock.

    Either may raise DomainError, which refuses the step.
    """

    asked: ASKED
    record: RECORDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What this process was set to: the traits of workflows that begin here, and the domain."""

    traits: frozenset[Trait] = frozenset()
    domain: str = "provisioning.sprout.local"


_chosen: list[Chosen] = [Chosen()]


def choose(traits: Collection[Trait], domain: str) -> None:
    """Have workflows that begin in this process use the external providers that *traits* name."""
    _chosen[:] = [Chosen(traits=frozenset(traits), domain=domain)]


def chosen() -> Chosen:
    """Return what was chosen last."""
    return _chosen[0]


def fqdn(machine: Machine) -> str:
    """Return the machine's name in the provisioning domain, without a dot at the end."""
    domain = chosen().domain
    within = machine.hostname.endswith(f".{domain}")
    return machine.hostname if within else f"{machine.hostname}.{domain}"


def _address(machine: Machine, flow: Workflow) -> Allocation:
    """Return the address that the workflow's machine has, or gets now."""
    network = Network.get_by_id(UUID(str(flow.params["network_id"])))
    return addresses.allocated(machine, runs.pxe_interface(machine), network)


def _dns_record(machine: Machine, flow: Workflow) -> dict[str, Any]:
    return {"fqdn": fqdn(machine), "address": _address(machine, flow).address}


def _dns_removal(machine: Machine, _flow: Workflow) -> dict[str, Any]:
    held: Allocation | None = Allocation.get_or_none(
        (Allocation.machine_id == machine.id) & Allocation.state.in_(["reserved", "active"])
    )
    if held is None:
        raise NotReady(f"{machine.hostname} has no address")
    return {"fqdn": fqdn(machine), "address": held.address}


def _nothing(_machine: Machine, _flow: Workflow, _result: Mapping[str, Any]) -> None:
    """Take in nothing: that it was done is all."""


PARTS: Final[Mapping[Errand, Part]] = MappingProxyType(
    {
        Errand.DNS_RECORD: Part(_dns_record, _nothing),
        Errand.DNS_REMOVE: Part(_dns_removal, _nothing),
    }
)
"""Of every errand that is a step of a workflow."""
