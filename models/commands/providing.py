"""What external providers are asked on behalf of a machine, and what their answers mean here."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from peewee import IntegrityError

from models import ipam, names
from models.commands import addresses, holdings, inventories, joins, runs
from models.commands.holdings import DHCP, DNS, IPAM
from models.database import database
from models.errands import Errand
from models.errors import Invalid, Taken
from models.steps import Trait
from models.tables import Allocation, Holding, Interface, Machine, Network, Workflow

ASKED = Callable[[Machine, Workflow, str], dict[str, Any] | None]
REFUSED = Callable[[Machine, Workflow, str], None]
RECORDED = Callable[[Machine, Workflow, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Part:
    """What the errand of a step is told, and how its result is taken in; both under the lock.

    *asked* gets the errand's key, and returns None where there is nothing to ask.  Either may raise
    DomainError, which refuses the step.
    """

    asked: ASKED
    record: RECORDED
    refused: REFUSED = lambda _machine, _flow, _why: None
    """Told why, when *record* refused what the provider says it has done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What this process was set to: the traits of workflows that begin here, and the domain."""

    capabilities: frozenset[str] = frozenset()
    traits: frozenset[Trait] = frozenset()
    hosts: frozenset[Trait] = frozenset()
    domain: str = "provisioning.sprout.local"


_chosen: list[Chosen] = [Chosen()]

_TRAITS: Final[Mapping[str, Trait]] = MappingProxyType(
    {
        IPAM: Trait.EXTERNAL_IPAM,
        DHCP: Trait.EXTERNAL_DHCP,
        DNS: Trait.EXTERNAL_DNS,
        "hardware_testing": Trait.EXTERNAL_TESTS,
    }
)


def choose(capabilities: Collection[str], domain: str, *, hosts: Iterable[Trait] = ()) -> None:
    """Have workflows that begin in this process use external providers of *capabilities*.

    *hosts*: what follows the first boot of a host, of CLUSTER and INFRASTRUCTURE.
    """
    traits = frozenset(_TRAITS[each] for each in capabilities if each in _TRAITS)
    known = frozenset(capabilities)
    _chosen[:] = [Chosen(capabilities=known, traits=traits, hosts=frozenset(hosts), domain=domain)]


def capabilities() -> frozenset[str]:
    """Return what was chosen."""
    return _chosen[0].capabilities


def to_provide() -> frozenset[Trait]:
    """Return the traits of a workflow that gives a machine what providers hold."""
    return _chosen[0].traits


def to_join() -> frozenset[Trait]:
    """Return the traits of a workflow that installs a host: what follows its first boot."""
    return _chosen[0].hosts


def to_undo(machine: Machine) -> frozenset[Trait]:
    """Return the traits of a workflow that takes away what providers hold for the machine."""
    return frozenset(_TRAITS[row.capability] for row in holdings.of(machine, DNS, DHCP))


def fqdn(machine: Machine) -> str:
    """Return the machine's name in the provisioning domain, without a dot at the end."""
    domain = _chosen[0].domain
    within = machine.hostname.endswith(f".{domain}")
    return machine.hostname if within else f"{machine.hostname}.{domain}"


def _place(machine: Machine, flow: Workflow) -> tuple[Interface, Network]:
    network = Network.get_by_id(UUID(str(flow.params["network_id"])))
    return runs.pxe_interface(machine), network


def _of_network(network: Network) -> dict[str, Any]:
    told = {"network": network.cidr, "gateway": network.gateway}
    return told | {"first": network.range_start, "last": network.range_end}


# --- addresses ---


def _address_wanted(machine: Machine, flow: Workflow, key: str) -> dict[str, Any] | None:
    interface, network = _place(machine, flow)
    if addresses.current(interface, network) is not None:
        return None
    told = {"mac": interface.mac, "hostname": fqdn(machine), **_of_network(network)}
    row = holdings.wanted(IPAM, machine, flow, key, name=interface.mac, params=told)
    return {**told, "holding": str(row.id)}


def _address_given(machine: Machine, flow: Workflow, result: Mapping[str, Any]) -> None:
    """Take the address that a provider gave, if it can be this machine's.

    Raises Invalid or Taken, which say what to mend where.
    """
    interface, network = _place(machine, flow)
    row = _open_holding(IPAM, machine, interface.mac)
    try:
        address = _usable(network, result)
        with database.atomic():
            allocation = addresses.given(
                machine,
                interface,
                network,
                str(address),
                provider=str(result.get("provider", "")),
                external_id=str(result.get("external_id", "")),
            )
    except IntegrityError as exc:
        raise Taken(
            f"the IPAM gave {result.get('address')}, which another machine has",
            hint="Mark it as used in the IPAM, or release that machine.",
        ) from exc
    holdings.kept(row, result, allocation.id)


def _address_refused(machine: Machine, flow: Workflow, why: str) -> None:
    """Leave what the provider gave where it is: it may be somebody else's."""
    for row in holdings.of(machine, IPAM):
        if row.workflow_id == flow.id:
            holdings.left(row, f"{why} See there what it holds for {row.name}.")


def _usable(network: Network, result: Mapping[str, Any]) -> IPv4Address:
    given = str(result.get("address", ""))[:64]
    address = names.address(given, field="/address")
    ipam.demand_usable(
        address,
        IPv4Network(network.cidr),
        gateway=_maybe(network.gateway),
        pool=(_maybe(network.pool_start), _maybe(network.pool_end)),
    )
    return address


def _maybe(text: str | None) -> IPv4Address | None:
    return None if text is None else IPv4Address(text)


# --- reservations and names ---


def _reservation_wanted(machine: Machine, flow: Workflow, key: str) -> dict[str, Any]:
    interface, network = _place(machine, flow)
    allocation = addresses.allocated(machine, interface, network)
    told = {"mac": interface.mac, "address": allocation.address, "hostname": fqdn(machine)}
    told |= {"network": network.cidr}
    row = holdings.wanted(DHCP, machine, flow, key, name=interface.mac, params=told)
    return {**told, "holding": str(row.id)}


def _name_wanted(machine: Machine, flow: Workflow, key: str) -> dict[str, Any]:
    interface, network = _place(machine, flow)
    allocation: Allocation = addresses.allocated(machine, interface, network)
    told = {"fqdn": fqdn(machine), "address": allocation.address, "ttl": 300}
    row = holdings.wanted(DNS, machine, flow, key, name=told["fqdn"], params=told)
    return {**told, "holding": str(row.id)}


def _held(capability: str, machine: Machine, flow: Workflow, result: Mapping[str, Any]) -> None:
    name = fqdn(machine) if capability == DNS else _place(machine, flow)[0].mac
    holdings.kept(_open_holding(capability, machine, name), result)


def _open_holding(capability: str, machine: Machine, name: str) -> Holding:
    found = next((row for row in holdings.of(machine, capability) if row.name == name), None)
    if found is None:
        raise Invalid(f"{name} is no longer wanted of the {capability.upper()} provider")
    return found


# --- hardware tests ---


def _test_wanted(machine: Machine, _flow: Workflow, _key: str) -> dict[str, Any]:
    macs = [row.mac for row in Interface.select().where(Interface.machine_id == machine.id)]
    mac = next(iter(sorted(macs)), None)
    if mac is None:
        raise Invalid(f"{machine.hostname} has no interface to be known by")
    return {"machine": str(machine.id), "hostname": fqdn(machine), "mac": mac}


def _tested(machine: Machine, _flow: Workflow, result: Mapping[str, Any]) -> None:
    """Add what was tested to what was found; what failed is critical, and judged by the next."""
    told = dict(machine.facts or {})
    before = [row for row in told.get("tests") or () if row.get("provider") is None]
    told["tests"] = [*before, *({**row, "provider": result["provider"]} for row in result["tests"])]
    inventories.keep(machine, told)


# --- undoing ---


def _undoing(
    capability: str, machine: Machine, _flow: Workflow, _key: str
) -> dict[str, Any] | None:
    rows = [row for row in holdings.of(machine, capability) if row.state != "leaving"]
    return {"items": [holdings.item(row) for row in rows]} if rows else None


def _undone(capability: str, machine: Machine, _flow: Workflow, _result: Any) -> None:
    rows = holdings.of(machine, capability)
    holdings.gone(row.id for row in rows if row.state != "leaving")


PARTS: Final[Mapping[Errand, Part]] = MappingProxyType(
    {
        Errand.IPAM_ALLOCATE: Part(_address_wanted, _address_given, _address_refused),
        Errand.DHCP_RESERVE: Part(_reservation_wanted, partial(_held, DHCP)),
        Errand.DNS_RECORD: Part(_name_wanted, partial(_held, DNS)),
        Errand.HARDWARE_TEST: Part(_test_wanted, _tested),
        Errand.DHCP_REMOVE: Part(partial(_undoing, DHCP), partial(_undone, DHCP)),
        Errand.DNS_REMOVE: Part(partial(_undoing, DNS), partial(_undone, DNS)),
        Errand.CLUSTER_JOIN: Part(joins.wanted, joins.joined),
        Errand.INFRASTRUCTURE_REGISTER: Part(joins.to_register, joins.registered),
    }
)
"""Of every errand that is a step of a workflow."""
