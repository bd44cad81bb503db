"""Jobs of sites: judged, recorded with their audit, and waiting for who does them."""

from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from models import audit, urls
from models.audit import Caller
from models.commands import catalogue, integrations, syncs
from models.commands.records import locked_site, recorded
from models.errors import IllegalTransition, Invalid, NotFound, Unknown
from models.job_views import (
    PROVIDERS,
    WAITS_FOR,
    DeliveryView,
    IntegrationJobView,
    Mode,
    RunView,
    SyncJobView,
)
from models.paging import FIRST, Ask, Order, Part
from models.queries import filled
from models.tables import Artifact, IntegrationDelivery, IntegrationJob, IntegrationRun, SyncJob
from models.whereabouts import Sites

SYNC: Final = Order(
    "sync-jobs", MappingProxyType({"createdAt": SyncJob.created_at}), SyncJob.id, "-createdAt"
)
INTEGRATIONS: Final = Order(
    "integration-jobs",
    MappingProxyType({"name": IntegrationJob.name, "createdAt": IntegrationJob.created_at}),
    IntegrationJob.id,
    "name",
)

RUNS: Final = Order(
    "integration-runs",
    MappingProxyType({"createdAt": IntegrationRun.created_at}),
    IntegrationRun.id,
    "-createdAt",
)
DELIVERIES: Final = Order(
    "integration-deliveries",
    MappingProxyType({"id": IntegrationDelivery.id}),
    IntegrationDelivery.id,
    "id",
)

_FOR_RUN: Final = "waiting for a control process"


def create_sync(
    caller: Caller, *, site_id: UUID, artifact_ref: str, mode: Mode, reason: str
) -> UUID:
    """Ask a site to do something with an artifact's files.  Raises Unknown or Taken."""
    with recorded():
        locked_site(site_id, "/siteId")
        artifact: Artifact | None = catalogue.referred(Artifact, artifact_ref)
        if artifact is None:
            raise Unknown(
                f"no artifact {artifact_ref}",
                field="/artifactRef",
                hint="Create it first: sprout artifacts create --ref …",
            )
        row = SyncJob.create(
            site_id=site_id,
            artifact_id=artifact.id,
            mode=mode.value,
            detail=f"waiting for {WAITS_FOR[mode]}",
            requested_by=caller.name,
            reason=reason,
            request_id=caller.request_id,
        )
        told = {"artifact": artifact_ref, "mode": mode.value}
        audit.record(
            caller,
            "sync-job.create",
            kind="sync-job",
            id=row.id,
            site=site_id,
            reason=reason,
            data=told,
        )
        syncs.begun(row.id)
    return UUID(str(row.id))


def cancel_sync(caller: Caller, job_id: UUID, *, reason: str = "") -> None:
    """End a job that has not ended; what is there stays.  Raises NotFound, IllegalTransition."""
    with recorded():
        job = SyncJob.first_where("id = %s FOR NO KEY UPDATE", str(job_id))
        if job is None:
            raise _missing("sync-job", job_id)
        if job.state not in syncs.OPEN:
            raise IllegalTransition(f"the sync job has {job.state}; only an open one is cancelled")
        syncs.cancelled(job, f"cancelled by {caller.name}" + (f": {reason}" if reason else ""))
        site = job.site_id
        audit.record(
            caller, "sync-job.cancel", kind="sync-job", id=job_id, site=site, reason=reason
        )


def create_integration(
    caller: Caller,
    *,
    site_id: UUID,
    name: str,
    kind: str,
    provider: str,
    endpoint: str,
    secret_ref: str | None,
) -> UUID:
    """Record what a site exchanges with another system.  Raises Invalid, Unknown or Taken."""
    if provider not in PROVIDERS[kind]:
        known = " or ".join(sorted(PROVIDERS[kind]))
        raise Invalid(
            f"{provider} does no {kind}", field="/provider", hint=f"For {kind} choose {known}."
        )
    urls.service(
        endpoint,
        field="/endpoint",
        hint="Write https://HOST/PATH, and who asks as secretRef, never in the URL.",
    )
    urls.demand_no_secret(endpoint, field="/endpoint")
    with recorded():
        locked_site(site_id, "/siteId")
        row = IntegrationJob.create(
            site_id=site_id,
            name=name,
            kind=kind,
            provider=provider,
            endpoint=endpoint,
            secret_ref=secret_ref,
        )
        told = {"name": name, "kind": kind, "provider": provider}
        audit.record(
            caller,
            "integration-job.create",
            kind="integration-job",
            id=row.id,
            site=site_id,
            data=told,
        )
    return UUID(str(row.id))


def run_integration(caller: Caller, job_id: UUID, *, reason: str, dry_run: bool = False) -> UUID:
    """Ask for one run of a job; at most one is open at a time.  Raises NotFound or Taken."""
    with recorded():
        job: IntegrationJob | None = IntegrationJob.get_or_none(IntegrationJob.id == job_id)
        if job is None:
            raise _missing("integration-job", job_id)
        row = IntegrationRun.create(
            job_id=job_id,
            dry_run=dry_run,
            detail=_FOR_RUN,
            requested_by=caller.name,
            reason=reason,
            request_id=caller.request_id,
        )
        audit.record(
            caller,
            "integration-job.run",
            kind="integration-job",
            id=job_id,
            site=job.site_id,
            reason=reason,
            data={"run": str(row.id), "dryRun": dry_run},
        )
        integrations.ask(row, job.site_id)
    return UUID(str(row.id))


def sync_jobs(
    *,
    among: Sites = None,
    site_id: UUID | None = None,
    mode: str | None = None,
    state: str | None = None,
    ask: Ask = FIRST,
) -> Part[SyncJobView]:
    wanted = ((SyncJob.site_id, site_id), (SyncJob.mode, mode), (SyncJob.state, state))
    query = _narrowed(_sync_rows(), SyncJob.site_id, among, wanted)
    return SYNC.part(query.objects(), ask, lambda rows: [filled(SyncJobView, r) for r in rows])


def sync_job(job_id: UUID) -> SyncJobView:
    """Return one sync job.  Raises NotFound."""
    row = _sync_rows().where(SyncJob.id == job_id).objects().first()
    if row is None:
        raise _missing("sync-job", job_id)
    return filled(SyncJobView, row)


def integration_jobs(
    *,
    among: Sites = None,
    site_id: UUID | None = None,
    kind: str | None = None,
    ask: Ask = FIRST,
) -> Part[IntegrationJobView]:
    wanted = ((IntegrationJob.site_id, site_id), (IntegrationJob.kind, kind))
    query = _narrowed(IntegrationJob.select(), IntegrationJob.site_id, among, wanted)
    return INTEGRATIONS.part(query, ask, _with_runs)


def integration_job(job_id: UUID) -> IntegrationJobView:
    """Return one integration job.  Raises NotFound."""
    row = IntegrationJob.get_or_none(IntegrationJob.id == job_id)
    if row is None:
        raise _missing("integration-job", job_id)
    return _with_runs([row])[0]


def runs(job_id: UUID, *, ask: Ask = FIRST) -> Part[RunView]:
    """Return the runs of a job, the newest first.  Raises NotFound."""
    integration_job(job_id)
    query = IntegrationRun.select().where(IntegrationRun.job_id == job_id)
    return RUNS.part(query, ask, lambda rows: [filled(RunView, row) for row in rows])


def run(job_id: UUID, run_id: UUID) -> RunView:
    """Return one run of a job.  Raises NotFound."""
    which = (IntegrationRun.id == run_id) & (IntegrationRun.job_id == job_id)
    row = IntegrationRun.get_or_none(which)
    if row is None:
        raise NotFound(f"no run {run_id} of this job", hint="List them: integration-jobs runs JOB")
    return filled(RunView, row)


def deliveries(job_id: UUID, run_id: UUID, *, ask: Ask = FIRST) -> Part[DeliveryView]:
    """Return each try of a run's deliveries, the oldest first.  Raises NotFound."""
    run(job_id, run_id)
    query = IntegrationDelivery.select().where(IntegrationDelivery.run_id == run_id)
    return DELIVERIES.part(query, ask, lambda rows: [filled(DeliveryView, row) for row in rows])


def _with_runs(rows: list[Any]) -> list[IntegrationJobView]:
    newest = (
        IntegrationRun.select()
        .where(IntegrationRun.job_id.in_([row.id for row in rows]))
        .distinct(IntegrationRun.job_id)
        .order_by(IntegrationRun.job_id, IntegrationRun.created_at.desc())
    )
    runs = {row.job_id: filled(RunView, row) for row in newest} if rows else {}
    return [filled(IntegrationJobView, row, last_run=runs.get(row.id)) for row in rows]


def _sync_rows() -> Any:
    joined = SyncJob.select(SyncJob, Artifact.ref.alias("artifact_ref"))
    return joined.join(Artifact, on=(Artifact.id == SyncJob.artifact_id))


def _narrowed(query: Any, site: Any, among: Sites, wanted: tuple[tuple[Any, Any], ...]) -> Any:
    if among is not None:
        query = query.where(site.in_(among))
    for column, value in wanted:
        if value is not None:
            query = query.where(column == value)
    return query


def _missing(kind: str, job_id: UUID) -> NotFound:
    return NotFound(f"no {kind} {job_id}", hint=f"List them with: sprout {kind}s list")
