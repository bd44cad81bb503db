"""A site's record after it was made: changed, or deleted where nothing is left there."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from models import audit
from models.audit import Caller
from models.commands.contact import LIVE_S
from models.commands.moves import now
from models.commands.records import NAMED, demand_version, edited, recorded, shown, unused
from models.errors import NotFound, NotReady
from models.tables import (
    Agent,
    Discovery,
    DiscoveryDrop,
    DomainEvent,
    Errand,
    Holding,
    IntegrationJob,
    IntegrationRun,
    Machine,
    Network,
    Observation,
    Site,
    SyncJob,
)

_REMEDY: Final = "Stop its agents, delete its machines, then its networks, then ask again."


def update_site(
    caller: Caller, site_id: UUID, changes: Mapping[str, Any], *, version: int | None
) -> None:
    """Change the name or the labels of a site; its slug stands in URLs and queues, and stays.

    Raises NotFound or Stale.
    """
    with recorded():
        site = _locked(site_id, "FOR NO KEY UPDATE")
        demand_version(site, version, f"site {site.slug}")
        told = edited(site, changes)
        if told is not None:
            _audited(caller, "site.update", site, told)


def delete_site(caller: Caller, site_id: UUID, *, version: int | None) -> None:
    """Forget a site without machines, networks or live agents, and its key: it is enrolled no more.

    Audit, decisions and approvals stay.  Raises NotFound, Stale, InUse, or NotReady while events
    of it are not published.
    """
    with recorded():
        site = _locked(site_id, "FOR UPDATE")
        demand_version(site, version, f"site {site.slug}")
        unused(f"site {site.slug}", _users(site_id), _REMEDY)
        _told_all(site)
        before = {"before": shown(site, ("name", "slug", "labels"))}
        _audited(caller, "site.delete", site, before)
        _forgotten(site)


def _locked(site_id: UUID, clause: str) -> Site:
    found = Site.select().where(Site.id == site_id)
    row: Site | None = found.for_update(clause).first()  # type: ignore[arg-type] # or a clause
    if row is None:
        raise NotFound(f"no site {site_id}", hint="List them with: sprout sites list")
    return row


def _audited(caller: Caller, action: str, site: Site, told: dict[str, Any]) -> None:
    audit.record(caller, action, kind="site", id=site.id, site=site.id, data=told)


def _users(site_id: UUID) -> list[str]:
    since = now() - timedelta(seconds=LIVE_S)
    live = Agent.select(Agent.hostname.alias("called")).where(
        (Agent.site_id == site_id) & (Agent.last_seen_at > since)
    )
    machines = Machine.select(Machine.hostname.alias("called")).where(Machine.site_id == site_id)
    networks = Network.select(Network.name.alias("called")).where(Network.site_id == site_id)
    runs = (
        IntegrationRun.select(IntegrationJob.name.alias("called"))
        .join(IntegrationJob, on=(IntegrationJob.id == IntegrationRun.job_id))
        .where((IntegrationJob.site_id == site_id) & (IntegrationRun.state == "running"))
    )
    held = Holding.select(Holding.name.alias("called")).where(
        (Holding.site_id == site_id) & Holding.gone_at.is_null()
    )
    kinds: Mapping[str, Any] = {
        "machine": machines,
        "network": networks,
        "live agent": live,
        "running job": runs,
        "name or address at a provider": held,
    }
    return [
        f"{kind} {row.called}"
        for kind, query in kinds.items()
        for row in query.order_by(1).limit(NAMED + 1).objects()
    ]


def _told_all(site: Site) -> None:
    waiting = (DomainEvent.site_id == site.id) & DomainEvent.published_at.is_null()
    if DomainEvent.select().where(waiting).exists():
        raise NotReady(
            f"events of site {site.slug} are not published yet",
            hint="Ask again in a moment; sprout control publishes them.",
        )


def _forgotten(site: Site) -> None:
    jobs = IntegrationJob.select(IntegrationJob.id).where(IntegrationJob.site_id == site.id)
    IntegrationRun.delete().where(IntegrationRun.job_id.in_(jobs)).execute()
    for table in (
        Errand,
        Holding,
        IntegrationJob,
        SyncJob,
        Observation,
        DomainEvent,
        Discovery,
        DiscoveryDrop,
        Agent,
    ):
        table.delete().where(table.site_id == site.id).execute()
    site.delete_instance()
