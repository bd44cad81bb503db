"""Addresses of machines: handed out, taken into use, and freed when no agent can serve them."""

from ipaddress import IPv4Address
from typing import Final

from models import ipam
from models.commands import contact
from models.database import database
from models.tables import Allocation, Interface, Machine, Network


def allocated(machine: Machine, interface: Interface, network: Network) -> Allocation:
    """Return the interface's address on *network*: the one it has, else the lowest free one."""
    network = Network.select().where(Network.id == network.id).for_update().get()
    current: Allocation | None = Allocation.get_or_none(
        (Allocation.interface_id == interface.id) & Allocation.state.in_(["reserved", "active"])
    )
    if current is not None and current.network_id == network.id:
        return current
    if current is not None:
        # Not free yet: an agent that has not heard of it still serves the old plan.
        current.state = "releasing"
        current.save()
    taken = {
        IPv4Address(row.address)
        for row in Allocation.select(Allocation.address).where(
            (Allocation.network_id == network.id) & (Allocation.state != "released")
        )
    }
    address = ipam.next_free(
        IPv4Address(network.range_start), IPv4Address(network.range_end), taken
    )
    return Allocation.create(
        network_id=network.id,
        machine_id=machine.id,
        interface_id=interface.id,
        address=str(address),
        mac=interface.mac,
        state="reserved",
    )


_FREE: Final = """
UPDATE allocations SET state = 'released', released_at = now()
WHERE state = 'releasing' AND NOT EXISTS (
    SELECT FROM networks
    JOIN agents ON agents.site_id = networks.site_id
    LEFT JOIN plans ON plans.machine_id = allocations.machine_id
    WHERE networks.id = allocations.network_id
        AND coalesce(plans.changed, allocations.let_go) IS NOT NULL
        AND (agents.held_before IS NULL
            OR agents.held_before <= coalesce(plans.changed, allocations.let_go))
        AND agents.last_seen_at > now() - %s * interval '1 second')
"""


def free_addresses() -> int:
    """Free addresses whose last plan no agent can still serve; return how many.

    Each agent of the site must have held exactly what control held after that plan was replaced:
    judged by transactions, since clocks differ and a heartbeat may be read beside a change.
    """
    return int(database.execute_sql(_FREE, (contact.LONGEST_S,)).rowcount)


def activate(machine: Machine) -> None:
    """Mark the machine's reserved address as in use."""
    Allocation.update(state="active").where(
        (Allocation.machine_id == machine.id) & (Allocation.state == "reserved")
    ).execute()
