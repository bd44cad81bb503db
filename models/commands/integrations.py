"""A run of an integration job: begun, told of, and ended; and what it exports."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from models.audit import Caller
from models.commands import errands
from models.commands.moves import now
from models.database import database
from models.errands import Ended, Errand
from models.errors import NotFound
from models.job_views import JobState
from models.tables import (
    IntegrationDelivery,
    IntegrationJob,
    IntegrationRun,
    Interface,
    Machine,
    Network,
    Site,
)

RUN_S: Final = 3600
"""Seconds that a run may take."""

PAGE: Final = 500
"""Machines of one page of an export."""

EXCERPT: Final = 500
"""Characters of an answer that are kept of each delivery."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A run, with all that its doer is to know; *etag* is of what was imported last."""

    run: UUID
    job: UUID
    name: str
    kind: str
    provider: str
    endpoint: str
    secret_ref: str | None
    site: UUID
    slug: str
    dry_run: bool
    etag: str
    caller: Caller


def ask(run: IntegrationRun, site: UUID) -> None:
    """Have control do *run*, in the caller's transaction."""
    errands.ask(
        Errand.INTEGRATION_RUN,
        run.id,
        str(run.id),
        params={},
        deadline_s=RUN_S,
        site_id=site,
        request_id=run.request_id,
    )


def begin(run_id: UUID) -> Exchange:
    """Note that a run is at work, and return what it is about.  Raises NotFound."""
    with database.atomic():
        run: IntegrationRun | None = IntegrationRun.get_or_none(IntegrationRun.id == run_id)
        if run is None:
            raise NotFound(f"no run {run_id}")
        job = IntegrationJob.get_by_id(run.job_id)
        site = Site.get_by_id(job.site_id)
        run.state, run.detail = JobState.RUNNING.value, f"with {job.provider}"
        run.save()
    return Exchange(
        run=run.id,
        job=job.id,
        name=job.name,
        kind=job.kind,
        provider=job.provider,
        endpoint=job.endpoint,
        secret_ref=job.secret_ref,
        site=site.id,
        slug=site.slug,
        dry_run=run.dry_run,
        etag=job.etag,
        caller=Caller(name=run.requested_by, request_id=run.request_id),
    )


def told(run_id: UUID, *, records: int, detail: str) -> None:
    """Note how far a run is."""
    IntegrationRun.update(records=records, detail=detail[:1000]).where(
        (IntegrationRun.id == run_id) & (IntegrationRun.state == JobState.RUNNING.value)
    ).execute()


def tried(run_id: UUID, delivery: Mapping[str, Any]) -> None:
    """Keep one try of a delivery: {part, attempt, what, status, ms, excerpt}."""
    excerpt = str(delivery["excerpt"]).replace("\0", "")[:EXCERPT]
    IntegrationDelivery.create(**{**delivery, "run_id": run_id, "excerpt": excerpt, "at": now()})


def imported(job_id: UUID, etag: str) -> None:
    """Keep of which state of its document a job's machines are."""
    IntegrationJob.update(etag=etag[:200]).where(IntegrationJob.id == job_id).execute()


def ended(run_id: UUID, how: Ended) -> None:
    """Record how a run ended, in the transaction that ends its errand."""
    state = JobState.SUCCEEDED if how.done else JobState.FAILED
    result = dict(how.result)
    detail = str(result.pop("told", "")) if how.done else how.reason
    values: dict[str, Any] = {"state": state.value, "detail": detail[:1000], "finished_at": now()}
    if how.done:
        values |= {"result": result, "records": int(result.get("records", 0))}
    IntegrationRun.update(values).where(
        (IntegrationRun.id == run_id) & IntegrationRun.state.in_(["waiting", "running"])
    ).execute()


def site_told(site_id: UUID) -> dict[str, Any]:
    """Return what an export says of a site and its networks."""
    site = Site.get_by_id(site_id)
    networks = Network.select().where(Network.site_id == site_id).order_by(Network.name)
    return {
        "id": str(site.id),
        "slug": site.slug,
        "name": site.name,
        "labels": site.labels,
        "networks": [
            {"name": each.name, "cidr": each.cidr, "purpose": each.purpose, "domain": each.domain}
            for each in networks
        ],
    }


def machines_told(site_id: UUID) -> Iterator[list[dict[str, Any]]]:
    """Yield what an export says of the site's machines, a page at a time, in the order of ids.

    The caller need not hold a transaction open between two pages.
    """
    after: UUID | None = None
    while rows := _page(site_id, after):
        after = rows[-1].id
        yield _machines(rows)


def _page(site_id: UUID, after: UUID | None) -> list[Machine]:
    query = Machine.select().where(Machine.site_id == site_id).order_by(Machine.id).limit(PAGE)
    return list(query if after is None else query.where(Machine.id > after))


def _machines(rows: list[Machine]) -> list[dict[str, Any]]:
    nics: dict[UUID, list[dict[str, Any]]] = {row.id: [] for row in rows}
    for nic in (
        Interface.select().where(Interface.machine_id.in_(list(nics))).order_by(Interface.name)
    ):
        told = {"name": nic.name, "macAddress": nic.mac, "pxeEnabled": nic.pxe_enabled}
        nics[nic.machine_id].append(told)
    return [_machine(row, nics[row.id]) for row in rows]


def _machine(row: Machine, nics: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what is told of a machine; nothing of how its BMC is logged into."""
    return {
        "id": str(row.id),
        "hostname": row.hostname,
        "architecture": row.architecture,
        "state": row.state,
        "power": row.power,
        "labels": row.labels,
        "memoryMib": row.found_memory_mib or row.memory_mib,
        "diskBytes": row.found_disk_bytes or row.disk_bytes,
        "interfaces": nics,
        "updatedAt": row.updated_at.isoformat(),
    }
