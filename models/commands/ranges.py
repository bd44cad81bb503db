"""Which agent leases from which part of a dynamic pool."""

from datetime import timedelta
from ipaddress import IPv4Address
from typing import Final
from uuid import UUID

from models import ranges
from models.bootnet import Mode
from models.commands.moves import now
from models.ranges import Slice
from models.tables import Agent, Network, Range

LONGEST_LEASE_S: Final = 24 * 3600
"""No lease of a pool is given for longer; a silent agent's range is given to others after it."""


def cut(site_id: UUID, agent_id: UUID) -> list[dict[str, str]]:
    """Give an agent its part of every pool that its site leases from; return all that it holds.

    The caller's transaction locks each network's row, so that no slice is given twice.
    """
    full = (Network.dhcp_mode == Mode.FULL.value) & ~Network.pool_start.is_null()
    pools = Network.select().where((Network.site_id == site_id) & full)
    for network in pools.order_by(Network.id).for_update():
        _share(network, agent_id)
    held = Range.select().where(Range.agent_id == agent_id).order_by(Range.network_id, Range.first)
    return [{"network": str(row.network_id), "first": row.first, "last": row.last} for row in held]


def _share(network: Network, agent_id: UUID) -> None:
    _take_back(network)
    rows = list(Range.select().where(Range.network_id == network.id))
    taken = {IPv4Address(row.first) for row in rows}
    pool = ranges.slices(IPv4Address(network.pool_start), IPv4Address(network.pool_end))
    free = [each for each in pool if each.first not in taken]
    mine = sum(row.agent_id == agent_id for row in rows)
    others = len({row.agent_id for row in rows} - {agent_id})
    for given in ranges.share(free, mine, others):
        _give(network, agent_id, given)


def _give(network: Network, agent_id: UUID, given: Slice) -> None:
    Range.create(
        network_id=network.id,
        agent_id=agent_id,
        first=str(given.first),
        last=str(given.last),
        cut_at=now(),
    )


def _take_back(network: Network) -> None:
    """Free the ranges of agents that have been silent for longer than any lease of theirs runs."""
    silent = Agent.select(Agent.id).where(
        Agent.last_seen_at < now() - timedelta(seconds=2 * LONGEST_LEASE_S)
    )
    Range.delete().where((Range.network_id == network.id) & Range.agent_id.in_(silent)).execute()
