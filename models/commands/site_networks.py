"""A site's networks as its agents are told of them, and which version of them is the newest."""

import json
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final
from uuid import UUID

from models.bootnet import BootNetwork, Mode, Route
from models.commands import ranges
from models.database import database
from models.errors import Exhausted
from models.tables import Network, Site

MOST_BYTES: Final = 128 * 1024
"""Of all networks of a site as JSON: they travel in one message, with ranges and envelope."""

# A time in microseconds, so that a version of a database that was restored is followed by higher
# ones; *told* is what an agent says that it holds.
_NEXT: Final = """
UPDATE sites SET networks_version = greatest(networks_version + 1, %s + 1,
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) WHERE id = %s
"""


def told(site_id: UUID, agent_id: UUID) -> dict[str, Any]:
    """Return what an agent is sent of networks, after giving it its part of every pool.

    The version is read first: what is changed between makes it an older one, never a newer.
    """
    number = version(site_id)
    return {
        "networks_version": number,
        "networks": [network.encode() for network in of_site(site_id)],
        "ranges": ranges.cut(site_id, agent_id),
    }


def version(site_id: UUID) -> int:
    """Return the version of the site's networks; 0: it never had any."""
    return int(Site.get_by_id(site_id).networks_version)


def of_site(site_id: UUID) -> tuple[BootNetwork, ...]:
    """Return all networks of a site as its agents know them, by id."""
    rows = Network.select().where(Network.site_id == site_id).order_by(Network.id)
    return tuple(map(_value, rows))


def changed(site_id: UUID, *, over: int = 0) -> None:
    """Give the site's networks a version that is higher than before, and than *over*.

    The caller holds the site's row, and tells its agents.  Raises Exhausted when the networks no
    longer fit a message.
    """
    size = len(json.dumps([network.encode() for network in of_site(site_id)]))
    if size > MOST_BYTES:
        raise Exhausted(
            f"the networks of one site may have {MOST_BYTES} bytes, and these have {size}",
            hint="Use fewer networks, routes or search domains, or make another site.",
        )
    database.execute_sql(_NEXT, (over, str(site_id)))


def _value(row: Network) -> BootNetwork:
    return BootNetwork(
        network=row.id,
        name=row.name,
        cidr=IPv4Network(row.cidr),
        mode=Mode(row.dhcp_mode),
        gateway=_address(row.gateway),
        dns=tuple(map(IPv4Address, row.dns)),
        ntp=tuple(map(IPv4Address, row.ntp)),
        domain=row.domain,
        search=tuple(row.search),
        mtu=row.mtu,
        routes=tuple(Route(IPv4Network(r["to"]), IPv4Address(r["via"])) for r in row.routes),
        lease_s=row.lease_s,
        pool_first=_address(row.pool_start),
        pool_last=_address(row.pool_end),
        strangers_boot=row.strangers_boot,
        answer_rs=row.answer_rs,
        loaders=tuple(sorted(row.loaders.items())),
    )


def _address(text: str | None) -> IPv4Address | None:
    return None if text is None else IPv4Address(text)
