"""Networks: judged whole, written with their audit, and sent to the agents of their site."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final
from uuid import UUID

from peewee import SQL

from models import audit, ipam, names
from models.audit import Caller
from models.bootnet import LEASE_S, Mode, Route
from models.commands import agents, catalogue, network_source, site_networks
from models.commands.network_source import Source
from models.commands.ranges import LONGEST_LEASE_S
from models.commands.records import (
    NAMED,
    demand_version,
    edited,
    locked_site,
    recorded,
    shown,
    unused,
)
from models.errors import IllegalTransition, Invalid, NotFound, Taken
from models.tables import Allocation, Machine, Network, Range

SHORTEST_LEASE_S: Final = 60

_TOLD: Final = ("name", "cidr", "range_start", "range_end", "purpose", "pool_start", "pool_end")
"""What the audit keeps of a network that comes or goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNetwork:
    """What a network is made of; addresses as text, judged by `create_network`.

    *routes* are (to, via); *lease_s* is in seconds; the rest as in models.bootnet.
    """

    site_id: UUID
    name: str
    cidr: str
    range_start: str
    range_end: str
    gateway: str | None = None
    dns: Sequence[str] = ()
    purpose: str = "provisioning"
    domain: str = ""
    vlan: int | None = None
    mtu: int | None = None
    boot_base_url: str | None = None
    pool_start: str | None = None
    pool_end: str | None = None
    dhcp_mode: str = Mode.RESERVED.value
    ntp: Sequence[str] = ()
    search: Sequence[str] = ()
    routes: Sequence[tuple[str, str]] = ()
    lease_s: int = LEASE_S
    strangers_boot: bool = False
    answer_rs: bool = False
    loaders: Mapping[str, str] = field(default_factory=dict)


def create_network(caller: Caller, new: NewNetwork, *, source: Source | None = None) -> UUID:
    """Record a network, of *source* where it is no operator who wants it.

    Raises Invalid, Unknown, Taken, Exhausted or IllegalTransition.
    """
    if source is None:
        network_source.demand_new()
    columns = _judged(new) | network_source.columns(source)
    with recorded():
        locked_site(new.site_id, "/siteId")
        _no_overlap(new.site_id, columns["cidr"])
        row = Network.create(**columns)
        _audited(caller, "network.create", row, {"after": shown(row, _TOLD)})
        _tell(new.site_id)
    return UUID(str(row.id))


def update_network(
    caller: Caller,
    network_id: UUID,
    changes: Mapping[str, Any],
    *,
    version: int | None,
    source: Source | None = None,
) -> None:
    """Change the fields of NewNetwork that *changes* names, if the network is still at *version*.

    Site, CIDR and purpose stay; *source* as in `create_network`.  Raises NotFound, Invalid, Taken,
    IllegalTransition or Exhausted.
    """
    with recorded():
        row = _locked(network_id)
        demand_version(row, version, f"network {row.name}")
        columns = _judged(replace(_held(row), **changes)) | network_source.columns(source)
        if source is None:
            network_source.demand_ours(row, changes)
        _may_change(row, columns)
        told = edited(row, columns)
        if told is not None:
            _audited(caller, "network.update", row, told)
            _tell(row.site_id)


def delete_network(caller: Caller, network_id: UUID, *, version: int | None) -> None:
    """Forget a network on which no machine has an address, and tell its site's agents.

    Raises NotFound, Stale, InUse or IllegalTransition.
    """
    with recorded():
        row = _locked(network_id)
        demand_version(row, version, f"network {row.name}")
        network_source.demand_gone(row)
        unused(f"network {row.name}", _users(row), "Release those machines first.")
        _audited(caller, "network.delete", row, {"before": shown(row, _TOLD)})
        for table in (Range, Allocation):
            table.delete().where(table.network_id == row.id).execute()
        row.delete_instance()
        _tell(row.site_id)


def _users(row: Network) -> list[str]:
    addressed: Any = (
        Allocation.select(Machine.hostname.alias("hostname"), Allocation.address)
        .join(Machine, on=(Machine.id == Allocation.machine_id))
        .where((Allocation.network_id == row.id) & (Allocation.state != "released"))
        .order_by(Machine.hostname)
        .limit(NAMED + 1)
    )
    given = [f"machine {each.hostname} at {each.address}" for each in addressed.objects()]
    return given or catalogue.machines_with("network_id", row.id)


def _audited(caller: Caller, action: str, row: Network, told: dict[str, Any]) -> None:
    audit.record(caller, action, kind="network", id=row.id, site=row.site_id, data=told)


def _tell(site_id: UUID) -> None:
    site_networks.changed(site_id)
    for agent in agents.live(site_id):
        agents.tell_networks(agent.id, site_id)


def _locked(network_id: UUID) -> Network:
    """Return the network's row; its site's is locked first, as everywhere."""
    found: Network | None = Network.get_or_none(Network.id == network_id)
    if found is None:
        raise NotFound(f"no network {network_id}", hint="List them with: sprout networks list")
    locked_site(found.site_id, "")
    return Network.select().where(Network.id == network_id).for_update().get()


def _held(row: Network) -> NewNetwork:
    columns = {name: getattr(row, name) for name in NewNetwork.__dataclass_fields__}
    columns["routes"] = [(route["to"], route["via"]) for route in row.routes]
    return NewNetwork(**columns)


def _may_change(row: Network, columns: Mapping[str, Any]) -> None:
    """Refuse what would make a lie of addresses that were given.  Raises IllegalTransition."""
    pool = (row.pool_start, row.pool_end) != (columns["pool_start"], columns["pool_end"])
    if pool and Range.select().where(Range.network_id == row.id).exists():
        raise IllegalTransition(
            "agents lease from this pool: it can no longer be changed",
            field="/poolStart",
            hint="Leave the pool as it is; mode reserved gives no more leases from it.",
        )
    given = Allocation.select(Allocation.address).where(
        (Allocation.network_id == row.id) & (Allocation.state != "released")
    )
    first, last = IPv4Address(columns["range_start"]), IPv4Address(columns["range_end"])
    for allocation in given:
        if not first <= IPv4Address(allocation.address) <= last:
            raise IllegalTransition(
                f"{allocation.address} is given to a machine, and lies outside {first} to {last}",
                field="/rangeStart",
                hint="Widen the range, or release that machine first.",
            )


def _judged(new: NewNetwork) -> dict[str, Any]:
    """Return the columns of a network that may be, in canonical form.  Raises Invalid."""
    cidr = names.network(new.cidr, field="/cidr")
    start = names.address(new.range_start, field="/rangeStart")
    end = names.address(new.range_end, field="/rangeEnd")
    gateway = None if new.gateway is None else names.address(new.gateway, field="/gateway")
    ipam.check_range(cidr, start, end, gateway)
    pool = _pool(new)
    if pool is not None:
        ipam.check_pool(cidr, pool, (start, end), gateway)
    first, last = (None, None) if pool is None else map(str, pool)
    return {
        "site_id": new.site_id,
        "name": new.name,
        "cidr": str(cidr),
        "gateway": None if gateway is None else str(gateway),
        "range_start": str(start),
        "range_end": str(end),
        "purpose": new.purpose,
        "vlan": new.vlan,
        "mtu": new.mtu,
        "boot_base_url": new.boot_base_url,
        "pool_start": first,
        "pool_end": last,
        **_answers(new, cidr, gateway, pool=pool is not None),
    }


def _answers(
    new: NewNetwork, cidr: IPv4Network, gateway: IPv4Address | None, *, pool: bool
) -> dict[str, Any]:
    """Return the columns that say what DHCP answers.  Raises Invalid."""
    ipam.check_mode(mode=new.dhcp_mode, pool=pool, strangers_boot=new.strangers_boot)
    if not SHORTEST_LEASE_S <= new.lease_s <= LONGEST_LEASE_S:
        raise Invalid(
            f"a lease of {new.lease_s} s is too short or too long",
            field="/leaseS",
            hint=f"Choose from {SHORTEST_LEASE_S} to {LONGEST_LEASE_S} seconds.",
        )
    routes = [
        Route(
            names.network(to, field=f"/routes/{n}/to"), names.address(via, field=f"/routes/{n}/via")
        )
        for n, (to, via) in enumerate(new.routes)
    ]
    ipam.check_routes(cidr, routes, gateway)
    return {
        "dhcp_mode": new.dhcp_mode,
        "dns": _addresses(new.dns, "/dns"),
        "ntp": _addresses(new.ntp, "/ntp"),
        "domain": names.hostname(new.domain, field="/domain") if new.domain else "",
        "search": [names.hostname(d, field=f"/search/{n}") for n, d in enumerate(new.search)],
        "routes": [{"to": str(route.to), "via": str(route.via)} for route in routes],
        "lease_s": new.lease_s,
        "strangers_boot": new.strangers_boot,
        "answer_rs": new.answer_rs,
        "loaders": dict(new.loaders),
    }


def _addresses(given: Sequence[str], field: str) -> list[str]:
    return [str(names.address(each, field=f"{field}/{n}")) for n, each in enumerate(given)]


def _pool(new: NewNetwork) -> tuple[IPv4Address, IPv4Address] | None:
    if new.pool_start is None and new.pool_end is None:
        return None
    if new.pool_start is None or new.pool_end is None:
        raise Invalid(
            "a pool has a start and an end",
            field="/poolEnd" if new.pool_end is None else "/poolStart",
            hint="Give poolStart and poolEnd, or neither.",
        )
    start = names.address(new.pool_start, field="/poolStart")
    return start, names.address(new.pool_end, field="/poolEnd")


def _no_overlap(site_id: UUID, cidr: str) -> None:
    # Serialised by the site's row, which is locked.
    overlaps = SQL("cidr && %s::cidr", (cidr,))
    other: Network | None = Network.select().where(Network.site_id == site_id, overlaps).first()
    if other is not None:
        raise Taken(
            f"{cidr} overlaps {other.cidr} of network {other.name}",
            field="/cidr",
            hint="Networks of one site must not overlap.",
        )
