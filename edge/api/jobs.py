"""Sync jobs: files of artifacts, brought to sites ahead of their use, compared, and dropped."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final
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
    SortOf,
    example,
)
from models import queries
from models.commands import jobs
from models.job_views import JobState, Mode

sync: Final = resource("sync jobs", "Files of artifacts, brought to sites ahead of their use.")

AT: Final = "2025-06-01T12:00:00Z"

SITE: Final = "018f6f3e-7d2a-7c11-9a55-0d6f5f3e2b10"

BY: Final[dict[str, Any]] = {
    "requestedBy": "admin",
    "reason": "rack 4 is new",
    "requestId": "7d0c1a52c1e84f0f8a4c0f5b6a1d2e3f",
    "createdAt": AT,
    "finishedAt": None,
}


class SyncJobRef(Path):
    sync_job: Annotated[UUID, Field(description="The sync job's id.")]


class SyncJobFilter(Listing):
    site_id: Annotated[Line | None, Field(description="A site's id or slug.")] = None
    mode: Mode | None = None
    state: JobState | None = None
    sort: Annotated[str, SortOf(jobs.SYNC)] = jobs.SYNC.usual


class NewSyncJob(Body):
    """preseed: fetch; verify: compare; prune: drop what nothing needs; refresh: fetch anew."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"siteId": SITE, "artifactRef": "debian", "mode": "preseed", "reason": ""}
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
                "siteId": SITE,
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
                **BY,
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


class Stopping(Body):
    model_config = ConfigDict(json_schema_extra=example({"reason": "the wrong site"}))

    reason: Reason = ""


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
        site_id=queries.site_id(query.site_id),
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
