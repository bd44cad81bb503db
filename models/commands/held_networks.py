"""Networks of an external provider, taken in row by row: what cannot be is refused and told.

Rule 1: a network is known by its provider and its id there; one that is not yet is the site's with
        the same CIDR, which is the provider's from then on, or a new one.
Rule 2: nothing is deleted: what is gone there is kept, and not provisioned on any more.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final
from uuid import UUID

from peewee import SQL

from models import audit, ipam, names
from models.audit import Caller
from models.commands import networks
from models.commands.moves import now
from models.commands.network_source import Source
from models.commands.networks import NewNetwork
from models.database import database
from models.errors import DomainError, IllegalTransition, Invalid, Taken, Unknown
from models.tables import Network, Site

PROVIDER: Final = Caller(name="network-provider")
WIDEST: Final = 8
"""Shortest prefix of a network that is taken in."""

TOLD: Final = 50
"""Refusals that are kept in words."""

Row = Mapping[str, str]
"""id, site (its slug), name, cidr, gateway, first and last; empty where it is not said."""


def take_in(provider: str, rows: Sequence[Row], hold: Callable[[], None]) -> dict[str, Any]:
    """Take in what *provider* says that there is, and return what came of it.

    *hold* is asked before each row is written, and raises when another does this by now.
    """
    ours = [row for row in rows if row["site"]]
    ids = frozenset(row["id"] for row in ours)
    refused, done = list[dict[str, str]](), set[str]()
    for row in ours:
        hold()
        try:
            _once(row, done)
            _one(provider, row, ids)
        except DomainError as exc:
            refused.append({"network": _called(row), "why": exc.hinted[:300]})
    hold()
    gone = _gone(provider, ids)
    known = len(ours) - len(refused)
    told = {"known": known, "ignored": len(rows) - len(ours), "gone": gone}
    return {**told, "refused": len(refused), "refusals": refused[:TOLD]}


def _once(row: Row, done: set[str]) -> None:
    if not row["id"]:
        raise Invalid("it has no id")
    if row["id"] in done:
        raise Taken(f"another network has the id {row['id']} too")
    done.add(row["id"])


def _called(row: Row) -> str:
    return f"{row['name'] or row['id']} ({row['cidr']}) of site {row['site']}"[:200]


def _one(provider: str, row: Row, ids: Collection[str]) -> None:
    site: Site | None = Site.get_or_none(Site.slug == row["site"])
    if site is None:
        raise Unknown(f"no site {row['site']}", hint="Make it: sprout sites create")
    cidr = _fit(row["cidr"])
    source = Source(provider=provider, external_id=row["id"])
    found = _found(site.id, cidr, source, ids)
    if found is None:
        networks.create_network(PROVIDER, _new(site.id, cidr, row), source=source)
        return
    networks.update_network(PROVIDER, found.id, _said(row), version=None, source=source)
    if found.gone_at is not None:
        Network.update(gone_at=None).where(Network.id == found.id).execute()


def _fit(text: str) -> IPv4Network:
    """Return a network that machines can be in.  Raises Invalid."""
    cidr = names.network(text, field="/cidr")
    strange = (
        cidr.is_loopback or cidr.is_link_local or cidr.is_multicast or cidr.is_reserved
    ) or cidr.network_address.is_unspecified
    if strange or not WIDEST <= cidr.prefixlen <= ipam.NARROWEST:
        raise Invalid(
            f"no machines can be in {cidr}",
            hint=f"Use a network of /{WIDEST} to /{ipam.NARROWEST} that hosts are in.",
        )
    return cidr


def _found(site: UUID, cidr: IPv4Network, source: Source, ids: Collection[str]) -> Network | None:
    known: Network | None = Network.get_or_none(
        (Network.provider == source.provider) & (Network.external_id == source.external_id)
    )
    if known is not None:
        if (known.site_id, known.cidr) != (site, str(cidr)):
            raise IllegalTransition(
                f"it is {known.cidr} here, and a network keeps its site and its CIDR",
                hint="Give it another id there, and delete the old one here.",
            )
        return known
    same: Network | None = (
        Network.select()
        .where((Network.site_id == site), SQL("cidr = %s::cidr", (str(cidr),)))
        .first()
    )
    if same is not None and same.provider == source.provider and same.external_id in ids:
        raise Taken(f"network {same.external_id} there has {cidr} too")
    return same


def _said(row: Row) -> dict[str, str | None]:
    """Return what is said of a network, by the fields of NewNetwork."""
    told: dict[str, str | None] = {"name": row["name"] or row["id"]}
    told["gateway"] = row["gateway"] or None
    ends = {"range_start": row["first"], "range_end": row["last"]}
    return told | {name: value for name, value in ends.items() if value}


def _new(site: UUID, cidr: IPv4Network, row: Row) -> NewNetwork:
    first, last = _widest(cidr, row["gateway"])
    fields: dict[str, Any] = {"range_start": first, "range_end": last, **_said(row)}
    return NewNetwork(site_id=site, cidr=str(cidr), **fields)


def _widest(cidr: IPv4Network, gateway: str) -> tuple[str, str]:
    """Return the longest run of host addresses that the gateway is not in.  Raises Invalid."""
    first, last = cidr[1], cidr[-2]
    if not gateway:
        return str(first), str(last)
    middle: IPv4Address = names.address(gateway, field="/gateway")
    if not first <= middle <= last:
        return str(first), str(last)  # refused with everything else of the network
    below, above = int(middle) - int(first), int(last) - int(middle)
    if below > above:
        return str(first), str(middle - 1)
    return str(middle + 1), str(last)


def _gone(provider: str, ids: Collection[str]) -> int:
    """Mark what the provider does not name any more; return how much there is of that."""
    with database.atomic():
        for row in Network.select().where(~Network.external_id.is_null()):
            there = row.provider == provider and row.external_id in ids
            if there or row.gone_at is not None:
                continue
            Network.update(gone_at=now()).where(Network.id == row.id).execute()
            data = {"name": row.name, "cidr": row.cidr, "provider": row.provider}
            audit.record(
                PROVIDER, "network.gone", kind="network", id=row.id, site=row.site_id, data=data
            )
        gone = ~Network.external_id.is_null() & ~Network.gone_at.is_null()
        return int(Network.select().where(gone).count())
