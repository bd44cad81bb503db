"""Addresses of machines: handed out, taken into use, and freed when no agent can serve them."""

from typing import Final
from uuid import UUID

from models import ipam
from models.commands import contact
from models.database import database
from models.tables import Allocation, Interface, Machine, Network, Run

_LOWEST: Final = """
INSERT INTO allocations (id, network_id, machine_id, interface_id, address, mac, state)
SELECT gen_random_uuid(), %(network)s, %(machine)s, %(interface)s, free.address, %(mac)s, 'reserved'
FROM (
    SELECT each.address FROM (
        SELECT %(first)s::inet AS address
        UNION ALL
        SELECT address + 1 FROM allocations WHERE network_id = %(network)s AND state <> 'released'
            AND address >= %(first)s AND address < %(last)s
    ) AS each
    WHERE NOT EXISTS (SELECT FROM allocations AS taken WHERE taken.network_id = %(network)s
        AND taken.address = each.address AND taken.state <> 'released')
    ORDER BY each.address LIMIT 1
) AS free
ON CONFLICT (network_id, address) WHERE state <> 'released' DO NOTHING
RETURNING id"""
# The index allocations_address excludes that two have an address; the lock of the network's row
# only spares those that allocate at once from trying the same.


def home(run_id: UUID | None) -> str:
    """Return where the first boot of a run said that it is; empty where it said nothing."""
    row: Run | None = None if run_id is None else Run.get_or_none(Run.id == run_id)
    return "" if row is None else str(row.home_address)


def current(interface: Interface, network: Network) -> Allocation | None:
    """Return the address that the interface has on *network*; one elsewhere is given back."""
    found: Allocation | None = Allocation.get_or_none(
        (Allocation.interface_id == interface.id) & Allocation.state.in_(["reserved", "active"])
    )
    if found is None or found.network_id == network.id:
        return found
    # Not free yet: an agent that has not heard of it still serves the old plan.
    found.state = "releasing"
    found.save()
    return None


def allocated(machine: Machine, interface: Interface, network: Network) -> Allocation:
    """Return the interface's address on *network*: the one it has, else the lowest free one.

    Raises Exhausted.
    """
    network = Network.select().where(Network.id == network.id).for_update().get()
    held = current(interface, network)
    if held is not None:
        return held
    told = {
        "network": str(network.id),
        "machine": str(machine.id),
        "interface": str(interface.id),
        "mac": interface.mac,
        "first": network.range_start,
        "last": network.range_end,
    }
    row = database.execute_sql(_LOWEST, told).fetchone()
    if row is None:
        raise ipam.exhausted(network.range_start, network.range_end)
    return Allocation.get_by_id(row[0])


def given(  # to whom, where, and by whom
    machine: Machine,
    interface: Interface,
    network: Network,
    address: str,
    *,
    provider: str,
    external_id: str,
) -> Allocation:
    """Record the address that an external IPAM gave.  Raises peewee's IntegrityError: it is taken.

    The index that excludes two owners of an address judges, whoever else allocates meanwhile.
    """
    made: Allocation = Allocation.create(
        network_id=network.id,
        machine_id=machine.id,
        interface_id=interface.id,
        address=address,
        mac=interface.mac,
        state="reserved",
        provider=provider[:200],
        external_id=external_id[:200],
    )
    return made


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
