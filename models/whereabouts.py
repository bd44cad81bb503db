"""At which site a thing is: what decides who may see it."""

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from models import tables as t
from models.database import database
from models.errors import NotFound
from models.lifecycle import State
from models.roles import Grant

Place = tuple[UUID, UUID]
"""The id of a thing, and that of its site."""

Sites = frozenset[UUID] | None
"""The sites that somebody sees; None: all."""


def sites(grants: Iterable[Grant]) -> Mapping[UUID, str]:
    """Return the slugs of the sites that *grants* name, by id; a name may be an id or a slug."""
    named = {grant.site for grant in grants if grant.site is not None}
    ids = {uuid for name in named if (uuid := _uuid(name)) is not None}
    if not named:
        return {}
    slugs = list(named - {str(uuid) for uuid in ids})
    return dict(database.execute_sql(_SITES, ([*map(str, ids)], slugs)).fetchall())


_SITES: Final = "SELECT id, slug FROM sites WHERE id = ANY(%s::uuid[]) OR slug = ANY(%s)"


def found(kind: str, ref: str, sites: Sites) -> Place:
    """Return where the *kind* that *ref* names is, which is at one of *sites*.

    What is at another site is not told from what is nowhere.  A text that is no reference at all
    is for the caller to refuse.  Raises NotFound.
    """
    place = PLACES[kind](ref, sites)
    if place is None or (sites is not None and place[1] not in sites):
        raise NotFound(f"no {kind} {ref}", hint=f"List them with: {_listed(kind)}")
    return place


def _listed(kind: str) -> str:
    return f"sprout {kind}s list"


def machine_sites(ids: Collection[UUID]) -> Mapping[UUID, UUID]:
    """Return the site of each machine of *ids* that is there."""
    query = t.Machine.select(t.Machine.id, t.Machine.site_id).where(t.Machine.id.in_(ids))
    return {row.id: row.site_id for row in query}


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _by_id(table: Any) -> Callable[[str, Sites], Place | None]:
    def search(ref: str, sites: Sites) -> Place | None:
        uuid = _uuid(ref)
        row = None if uuid is None else table.get_or_none(table.id == uuid)
        return None if row is None else (row.id, row.site_id)

    return search


def _site(ref: str, sites: Sites) -> Place | None:
    uuid = _uuid(ref)
    where = t.Site.slug == ref if uuid is None else t.Site.id == uuid
    row = t.Site.get_or_none(where)
    return None if row is None else (row.id, row.id)


_MACHINE: Final = "SELECT id, site_id FROM machines WHERE id = %s::uuid"


def _machine(ref: str, sites: Sites) -> Place | None:
    """Return the machine with this id, or else the one of *sites* with this host name."""
    uuid = _uuid(ref)
    if uuid is not None:
        place: Place | None = database.execute_sql(_MACHINE, (str(uuid),)).fetchone()
        return place
    query = t.Machine.select(t.Machine.id, t.Machine.site_id, t.Machine.state)
    query = query.where(t.Machine.hostname == ref.lower())
    rows = list(query if sites is None else query.where(t.Machine.site_id.in_(sites)))
    named = [row for row in rows if row.state != State.RETIRED.value] or rows
    if len(named) > 1:
        raise NotFound(
            f"{len(named)} machines are called {ref}",
            hint="Use the machine's id: sprout machines list",
        )
    return next(((row.id, row.site_id) for row in named), None)


def _host(ref: str, sites: Sites) -> Place | None:
    """Return the machine that `_machine` finds, if it has a server type."""
    place = _machine(ref, sites)
    if place is None:
        return None
    typed = t.Machine.server_type.is_null(is_null=False)
    return place if t.Machine.select().where((t.Machine.id == place[0]) & typed).exists() else None


def _run(ref: str, sites: Sites) -> Place | None:
    """Return the run of an integration job with this id: it is where its job is."""
    uuid = _uuid(ref)
    row = None if uuid is None else t.IntegrationRun.get_or_none(t.IntegrationRun.id == uuid)
    if row is None:
        return None
    return row.id, t.IntegrationJob.get_by_id(row.job_id).site_id


PLACES: Final[Mapping[str, Callable[[str, Sites], Place | None]]] = MappingProxyType(
    {
        "site": _site,
        "machine": _machine,
        "host": _host,
        "network": _by_id(t.Network),
        "workflow": _by_id(t.Workflow),
        "discovery": _by_id(t.Discovery),
        "sync_job": _by_id(t.SyncJob),
        "integration_job": _by_id(t.IntegrationJob),
        "run": _run,
        "approval": _by_id(t.Approval),
        "decision": _by_id(t.PolicyDecision),
        "execution": _by_id(t.ActionExecution),
    }
)
"""How a thing is found by what stands for it in a URL, by the name of the URL's part.

A site is at itself.
"""
