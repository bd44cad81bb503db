"""Jobs of sites: artifacts brought there ahead of use, and exchanges with other systems.

They are judged, recorded and promised here; each waits, and says for what, until somebody does it.
"""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from flask import Response
from pydantic import ConfigDict, Field

from edge import access, auth
from edge.api.contract import answered, operation, resource
from edge.api.fields import (
    Answer,
    Body,
    Line,
    Listing,
    Page,
    Path,
    Reason,
    Ref,
    SecretRef,
    SortOf,
    example,
)
from models import queries
from models.commands import jobs
from models.job_views import JobState, Mode

sync: Final = resource("sync jobs", "Files of artifacts, brought to sites ahead of their use.")
integrations: Final = resource("integration jobs", "What sites exchange with other systems.")

_AT: Final = "2025-06-01T12:00:00Z"
_SITE: Final = "018f6f3e-7d2a-7c11-9a55-0d6f5f3e2b10"
_BY: Final[dict[str, Any]] = {
    "requestedBy": "admin",
    "reason": "rack 4 is new",
    "requestId": "7d0c1a52c1e84f0f8a4c0f5b6a1d2e3f",
    "createdAt": _AT,
    "finishedAt": None,
}
_RUN: Final = {
    "id": "018f6f52-1122-7334-8455-66778899aabb",
    "jobId": "018f6f51-0011-7223-8344-5566778899aa",
    "state": "waiting",
    "detail": "waiting for the program that runs integrations",
    "records": 0,
    **_BY,
}
_NEW_JOB: Final = {
    "siteId": _SITE,
    "name": "inventory to the catalogue",
    "kind": "metadata-export",
    "provider": "webhook",
    "endpoint": "https://catalogue.example/hooks/sprout",
    "secretRef": "env:CATALOGUE_TOKEN",
}

Kind = Literal["metadata-export", "inventory-import"]


class SyncJobRef(Path):
    sync_job: Annotated[UUID, Field(description="The sync job's id.")]


class IntegrationJobRef(Path):
    integration_job: Annotated[UUID, Field(description="The integration job's id.")]


class SyncJobFilter(Listing):
    site_id: Annotated[Line | None, Field(description="A site's id or slug.")] = None
    mode: Mode | None = None
    state: JobState | None = None
    sort: Annotated[str, SortOf(jobs.SYNC)] = jobs.SYNC.usual


class IntegrationJobFilter(Listing):
    site_id: Annotated[Line | None, Field(description="A site's id or slug.")] = None
    kind: Kind | None = None
    sort: Annotated[str, SortOf(jobs.INTEGRATIONS)] = jobs.INTEGRATIONS.usual


class NewSyncJob(Body):
    """preseed: fetch; verify: compare; prune: drop what nothing needs; refresh: fetch anew."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"siteId": _SITE, "artifactRef": "debian", "mode": "preseed", "reason": ""}
        )
    )

    site_id: UUID
    artifact_ref: Ref
    mode: Annotated[Mode, Field(strict=False)] = Mode.PRESEED
    reason: Reason = ""


class Finding(Answer):
    path: str
    what: Annotated[str, Field(description="fetched, failed, missing, differs or dropped.")]
    detail: str


class SyncJob(Answer):
    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": "018f6f50-aabb-7ccd-8dee-ff0011223344",
                "siteId": _SITE,
                "artifactId": "018f6f42-0a1b-7c2d-8e3f-405162738495",
                "artifactRef": "debian",
                "mode": "preseed",
                "state": "waiting",
                "detail": "waiting for an agent of the site that fetches files",
                "filesDone": 0,
                "filesTotal": None,
                "bytesDone": 0,
                "bytesTotal": None,
                "attempt": 0,
                "agentId": None,
                "deadlineAt": "2025-06-02T12:00:00Z",
                "findings": [],
                **_BY,
            }
        )
    )

    id: UUID
    site_id: UUID
    artifact_id: UUID
    artifact_ref: str
    mode: Mode
    state: JobState
    detail: Annotated[str, Field(description="What it waits for, or why it failed.")]
    files_done: int
    files_total: Annotated[int | None, Field(description="Null until it is known.")]
    bytes_done: int
    bytes_total: Annotated[int | None, Field(description="Null until it is known.")]
    attempt: Annotated[int, Field(description="Failures since something came last.")]
    agent_id: Annotated[UUID | None, Field(description="Who has, or had, its task.")]
    deadline_at: Annotated[datetime, Field(description="When it is given up.")]
    findings: Annotated[list[Finding], Field(description="The first hundred, at its end.")]
    requested_by: str
    reason: str
    request_id: str
    created_at: datetime
    finished_at: datetime | None


class SyncJobs(Page):
    items: list[SyncJob]


class NewIntegrationJob(Body):
    """metadata-export: by webhook or openmetadata; inventory-import: by http."""

    model_config = ConfigDict(json_schema_extra=example(_NEW_JOB))

    site_id: UUID
    name: Line
    kind: Kind
    provider: Literal["webhook", "openmetadata", "http"]
    endpoint: Annotated[Line, Field(description="URL of the other system; no password in it.")]
    secret_ref: SecretRef | None = None


class Stopping(Body):
    model_config = ConfigDict(json_schema_extra=example({"reason": "the wrong site"}))

    reason: Reason = ""


class Running(Body):
    model_config = ConfigDict(json_schema_extra=example({"reason": "after the audit"}))

    reason: Reason = ""


class IntegrationRun(Answer):
    model_config = ConfigDict(json_schema_extra=example(_RUN))

    id: UUID
    job_id: UUID
    state: JobState
    detail: Annotated[str, Field(description="What it waits for, or why it failed.")]
    records: Annotated[int, Field(description="How many were exchanged.")]
    requested_by: str
    reason: str
    request_id: str
    created_at: datetime
    finished_at: datetime | None


class IntegrationJob(Answer):
    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": _RUN["jobId"],
                **_NEW_JOB,
                "version": 1,
                "createdAt": _AT,
                "updatedAt": _AT,
                "lastRun": _RUN,
            }
        )
    )

    id: UUID
    site_id: UUID
    name: str
    kind: Kind
    provider: str
    endpoint: str
    secret_ref: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    last_run: IntegrationRun | None


class IntegrationJobs(Page):
    items: list[IntegrationJob]


@operation(
    sync,
    "post",
    "/v1/sync-jobs",
    "createSyncJob",
    answer=SyncJob,
    status=HTTPStatus.CREATED,
    refuses=("unknown-reference", "taken"),
    action="sync-job.create",
)
def create_sync(body: NewSyncJob) -> Response:
    """Ask a site to do something with an artifact's files; one of each mode at a time."""
    job_id = jobs.create_sync(auth.caller(), **body.model_dump())
    made = SyncJob.of(jobs.sync_job(job_id))
    return answered(made, HTTPStatus.CREATED, location=f"/v1/sync-jobs/{job_id}")


@operation(
    sync,
    "get",
    "/v1/sync-jobs",
    "listSyncJobs",
    answer=SyncJobs,
    refuses=("not-found",),
    action="sync-job.read",
)
def index_sync(query: SyncJobFilter) -> Response:
    """List sync jobs."""
    found = jobs.sync_jobs(
        among=access.visible_sites(),
        site_id=None if query.site_id is None else queries.site(query.site_id).id,
        mode=query.mode,
        state=query.state,
        ask=query.ask(),
    )
    return answered(SyncJobs.showing(found))


@operation(
    sync,
    "get",
    "/v1/sync-jobs/<sync_job>",
    "getSyncJob",
    answer=SyncJob,
    action="sync-job.read",
)
def show_sync(path: SyncJobRef) -> Response:
    """Show one sync job."""
    return answered(SyncJob.of(jobs.sync_job(path.sync_job)))


@operation(
    sync,
    "post",
    "/v1/sync-jobs/<sync_job>/cancel",
    "cancelSyncJob",
    answer=SyncJob,
    refuses=("illegal-transition",),
    action="sync-job.cancel",
)
def cancel_sync(path: SyncJobRef, body: Stopping) -> Response:
    """End a sync job that has not ended; what the site has already stays there."""
    jobs.cancel_sync(auth.caller(), path.sync_job, reason=body.reason)
    return answered(SyncJob.of(jobs.sync_job(path.sync_job)))


@operation(
    integrations,
    "post",
    "/v1/integration-jobs",
    "createIntegrationJob",
    answer=IntegrationJob,
    status=HTTPStatus.CREATED,
    refuses=("invalid", "unknown-reference", "taken"),
    action="integration-job.create",
)
def create(body: NewIntegrationJob) -> Response:
    """Record an exchange with another system; it runs when it is asked to."""
    job_id = jobs.create_integration(auth.caller(), **body.model_dump())
    made = IntegrationJob.of(jobs.integration_job(job_id))
    return answered(made, HTTPStatus.CREATED, location=f"/v1/integration-jobs/{job_id}")


@operation(
    integrations,
    "get",
    "/v1/integration-jobs",
    "listIntegrationJobs",
    answer=IntegrationJobs,
    refuses=("not-found",),
    action="integration-job.read",
)
def index(query: IntegrationJobFilter) -> Response:
    """List integration jobs, each with its newest run."""
    found = jobs.integration_jobs(
        among=access.visible_sites(),
        site_id=None if query.site_id is None else queries.site(query.site_id).id,
        kind=query.kind,
        ask=query.ask(),
    )
    return answered(IntegrationJobs.showing(found))


@operation(
    integrations,
    "get",
    "/v1/integration-jobs/<integration_job>",
    "getIntegrationJob",
    answer=IntegrationJob,
    action="integration-job.read",
)
def show(path: IntegrationJobRef) -> Response:
    """Show one integration job with its newest run."""
    return answered(IntegrationJob.of(jobs.integration_job(path.integration_job)))


@operation(
    integrations,
    "post",
    "/v1/integration-jobs/<integration_job>/run",
    "runIntegrationJob",
    answer=IntegrationJob,
    status=HTTPStatus.ACCEPTED,
    refuses=("taken",),
    action="integration-job.run",
)
def run(path: IntegrationJobRef, body: Running) -> Response:
    """Ask for one run of a job; `lastRun` says what it waits for."""
    jobs.run_integration(auth.caller(), path.integration_job, reason=body.reason)
    job = IntegrationJob.of(jobs.integration_job(path.integration_job))
    where = f"/v1/integration-jobs/{path.integration_job}"
    return answered(job, HTTPStatus.ACCEPTED, location=where)
