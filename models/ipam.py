"""Addresses are arithmetic; the caller holds the lock."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from models.bootnet import Mode, Route
from models.errors import Exhausted, Invalid

NARROWEST: Final = 30
"""Longest prefix of a network that has host addresses."""


def check_range(
    network: IPv4Network, start: IPv4Address, end: IPv4Address, gateway: IPv4Address | None
) -> None:
    """Refuse a range that leaves its network, runs backwards or holds the gateway.

    Raises Invalid with the field that is wrong.
    """
    if network.prefixlen > NARROWEST:
        raise Invalid(
            f"{network} has no host addresses",
            field="/cidr",
            hint=f"Use a network of /{NARROWEST} or wider.",
        )
    usable = (network.network_address, network.broadcast_address)
    for field, value in (("/rangeStart", start), ("/rangeEnd", end), ("/gateway", gateway)):
        if value is not None and (value not in network or value in usable):
            raise Invalid(
                f"{value} is not a host address of {network}",
                field=field,
                hint=f"Choose one from {network[1]} to {network[-2]}.",
            )
    if start > end:
        raise Invalid(
            f"the range ends at {end}, before it starts at {start}",
            field="/rangeEnd",
            hint="Exchange rangeStart and rangeEnd.",
        )
    if gateway is not None and start <= gateway <= end:
        raise Invalid(
            f"the gateway {gateway} lies inside the range",
            field="/gateway",
            hint="Leave the gateway out of rangeStart to rangeEnd, or no machine may get it.",
        )


def check_pool(
    network: IPv4Network,
    pool: tuple[IPv4Address, IPv4Address],
    reserved: tuple[IPv4Address, IPv4Address],
    gateway: IPv4Address | None,
) -> None:
    """Refuse a pool that leaves its network, runs backwards, or holds what others are given.

    Raises Invalid with the field that is wrong.
    """
    start, end = pool
    usable = (network.network_address, network.broadcast_address)
    for field, value in (("/poolStart", start), ("/poolEnd", end)):
        if value not in network or value in usable:
            raise Invalid(f"{value} is not a host address of {network}", field=field)
    if start > end:
        raise Invalid(f"the pool ends at {end}, before it starts at {start}", field="/poolEnd")
    if start <= reserved[1] and reserved[0] <= end:
        raise Invalid(
            f"the pool overlaps the range {reserved[0]} to {reserved[1]}",
            field="/poolStart",
            hint="The range is for machines of the inventory, the pool for all others.",
        )
    if gateway is not None and start <= gateway <= end:
        raise Invalid(f"the gateway {gateway} lies inside the pool", field="/poolStart")


def check_mode(*, mode: str, pool: bool, strangers_boot: bool) -> None:
    """Refuse what contradicts how DHCP is to answer on a network.

    Raises Invalid with the field that is wrong.
    """
    if mode not in set(Mode):
        raise Invalid(
            f"DHCP has no mode {mode!r}", field="/dhcpMode", hint=f"One of: {', '.join(Mode)}."
        )
    if mode == Mode.FULL and not pool:
        raise Invalid(
            "mode full leases from a pool, and the network has none",
            field="/poolStart",
            hint="Give poolStart and poolEnd, or choose mode reserved.",
        )
    if mode == Mode.PROXY and pool:
        raise Invalid(
            "mode proxy leaves addresses to another server, and the network has a pool",
            field="/poolStart",
            hint="Leave the pool out, or choose mode full.",
        )
    if strangers_boot and mode != Mode.PROXY:
        raise Invalid(
            f"mode {mode} answers no strangers by proxy",
            field="/strangersBoot",
            hint="Set strangersBoot with mode proxy alone.",
        )


def check_routes(
    network: IPv4Network, routes: Sequence[Route], gateway: IPv4Address | None
) -> None:
    """Refuse routes that no machine of *network* can take.  Raises Invalid with the field."""
    seen = set() if gateway is None else {IPv4Network("0.0.0.0/0")}
    usable = (network.network_address, network.broadcast_address)
    for number, route in enumerate(routes):
        if route.via not in network or route.via in usable:
            raise Invalid(
                f"{route.via} is not a host address of {network}",
                field=f"/routes/{number}/via",
                hint="A route leads by way of a neighbour on the network.",
            )
        if route.to in seen:
            raise Invalid(
                f"there are two routes to {route.to}",
                field=f"/routes/{number}/to",
                hint="Give each route once; the default route is the gateway.",
            )
        seen.add(route.to)


def demand_usable(
    address: IPv4Address,
    network: IPv4Network,
    *,
    gateway: IPv4Address | None,
    pool: tuple[IPv4Address | None, IPv4Address | None],
) -> None:
    """Refuse an address, given by somebody else, that no machine of *network* can have.

    Raises Invalid, which says what to mend where.
    """
    first, last = pool
    if address not in network or address in (network.network_address, network.broadcast_address):
        why, cure = f"is no host address of {network}", f"have it allocate from {network}"
    elif address == gateway:
        why, cure = f"is the gateway of {network}", "mark the gateway as used there"
    elif first is not None and last is not None and first <= address <= last:
        why, cure = f"lies in the dynamic pool {first} to {last}", "keep the pool out of it there"
    else:
        return
    raise Invalid(f"the IPAM gave {address}, which {why}", hint=f"At the IPAM: {cure}.")


def exhausted(start: str, end: str) -> Exhausted:
    """Return the error that says that all addresses of a range are in use."""
    return Exhausted(
        f"no address is free from {start} to {end}",
        hint="Release machines that are no longer used, or widen the network's range.",
    )
