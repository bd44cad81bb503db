"""What people call the things that a list names by their ids: one statement a list, not a row."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from peewee import fn

from models import tables as t
from models.commands.moves import now
from models.database import database
from models.lifecycle import State
from models.whereabouts import Sites

ASKED_H: Final = 24
"""Hours for which a request that lacked an approval is shown."""

MOST_ASKED: Final = 50


def hostnames(machines: Collection[UUID]) -> Mapping[UUID, str]:
    """Return the host name of each machine of *machines* that is there."""
    query = t.Machine.select(t.Machine.id, t.Machine.hostname).where(t.Machine.id.in_(machines))
    return {row.id: row.hostname for row in query} if machines else {}


def slugs(sites: Collection[UUID]) -> Mapping[UUID, str]:
    """Return the slug of each site of *sites* that is there."""
    query = t.Site.select(t.Site.id, t.Site.slug).where(t.Site.id.in_(sites))
    return {row.id: row.slug for row in query} if sites else {}


def counts(sites: Collection[UUID]) -> Mapping[UUID, Mapping[State, int]]:
    """Return how many machines of each of *sites* are in each state; states without any are 0."""
    number = fn.COUNT(t.Machine.id)
    query = t.Machine.select(t.Machine.site_id, t.Machine.state, number)
    query = query.where(t.Machine.site_id.in_(sites)).group_by(t.Machine.site_id, t.Machine.state)
    found = {site: dict.fromkeys(State, 0) for site in sites}
    rows: Any = query.tuples()
    for site, state, count in rows if sites else ():
        found[site][State(state)] = int(count)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """A request that was refused for want of an approval, the newest of its machine and action."""

    machine_id: UUID
    site_id: UUID
    action: str
    actor: str
    reason: str
    at: datetime


_LACKING: Final = """
SELECT * FROM (
    SELECT DISTINCT ON (d.machine_id, d.action)
        d.machine_id, d.site_id, d.action, d.actor, d.reason, d.at
    FROM policy_decisions d
    WHERE NOT d.allowed AND d.rule LIKE '%%/approval' AND d.machine_id IS NOT NULL
      AND d.at > %(now)s - make_interval(hours => %(hours)s)
      AND (%(sites)s::uuid[] IS NULL OR d.site_id = ANY (%(sites)s::uuid[]))
      AND NOT EXISTS (SELECT FROM approvals a WHERE a.machine_id = d.machine_id
                      AND a.action = d.action AND a.created_at > d.at)
      AND NOT EXISTS (SELECT FROM policy_decisions later WHERE later.machine_id = d.machine_id
                      AND later.action = d.action AND later.allowed AND later.at > d.at)
    ORDER BY d.machine_id, d.action, d.at DESC
) AS found ORDER BY at DESC, machine_id LIMIT %(most)s
"""


def lacking(*, among: Sites = None) -> list[Lacking]:
    """Return what waits for somebody's word, the newest first."""
    sites = None if among is None else [str(site) for site in among]
    asked = {"now": now(), "hours": ASKED_H, "sites": sites, "most": MOST_ASKED}
    names = Lacking.__dataclass_fields__
    rows = database.execute_sql(_LACKING, asked).fetchall()
    found = [dict(zip(names, row, strict=True)) for row in rows]
    return [
        Lacking(**row | {name: UUID(str(row[name])) for name in ("machine_id", "site_id")})
        for row in found
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """The newest seal, None before the first; *sealed*: which of the rows asked for bear one."""

    hash: str | None
    sealed_at: datetime | None
    sealed: frozenset[int]


def sealing(rows: Collection[int]) -> Sealing:
    """Return how far the audit is sealed, and which of *rows*, its ids, are."""
    newest = t.AuditSeal.select(t.AuditSeal.hash, t.AuditSeal.sealed_at)
    last = newest.order_by(t.AuditSeal.id.desc()).first()
    covering = t.AuditSeal.select(t.AuditSeal.ids).where(
        (t.AuditSeal.last_id >= min(rows, default=0))
        & (t.AuditSeal.first_id <= max(rows, default=0))
    )
    sealed = {each for seal in covering for each in seal.ids} if rows else set()
    return Sealing(
        hash=None if last is None else last.hash,
        sealed_at=None if last is None else last.sealed_at,
        sealed=frozenset(sealed & set(rows)),
    )
