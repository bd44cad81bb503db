"""Integration jobs: what sites exchange with other systems, each time that it is asked for."""

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
    SecretRef,
    SortOf,
    example,
)
from edge.api.jobs import AT, BY, SITE
from models import queries
from models.commands import jobs
from models.job_views import JobState

api: Final = resource("integration jobs", "What sites exchange with other systems.")

_RUN: Final = {
    "id": "018f6f52-1122-7334-8455-66778899aabb",
    "jobId": "018f6f51-0011-7223-8344-5566778899aa",
    "state": "waiting",
    "detail": "waiting for a control process",
    "records": 0,
    "dryRun": False,
    "result": {},
    **BY,
}

_NEW_JOB: Final = {
    "siteId": SITE,
    "name": "inventory to the catalogue",
    "kind": "metadata-export",
    "provider": "webhook",
    "endpoint": "https://catalogue.example/hooks/sprout",
    "secretRef": "env:CATALOGUE_TOKEN",
}

Kind = Literal["metadata-export", "inventory-import"]


class IntegrationJobRef(Path):
    integration_job: Annotated[UUID, Field(description="The integration job's id.")]


class RunRef(IntegrationJobRef):
    run: Annotated[UUID, Field(description="The run's id.")]


class IntegrationJobFilter(Listing):
    site_id: Annotated[Line | None, Field(description="A site's id or slug.")] = None
    kind: Kind | None = None
    sort: Annotated[str, SortOf(jobs.INTEGRATIONS)] = jobs.INTEGRATIONS.usual


class NewIntegrationJob(Body):
    """metadata-export: by webhook or openmetadata; inventory-import: by http."""

    model_config = ConfigDict(json_schema_extra=example(_NEW_JOB))

    site_id: UUID
    name: Line
    kind: Kind
    provider: Literal["webhook", "openmetadata", "http"]
    endpoint: Annotated[Line, Field(description="URL of the other system; no secret in it.")]
    secret_ref: SecretRef | None = None


class Running(Body):
    model_config = ConfigDict(
        json_schema_extra=example({"reason": "after the audit", "dryRun": True})
    )

    reason: Reason = ""
    dry_run: Annotated[bool, Field(description="Tell what it would do, and change nothing.")] = (
        False
    )


class IntegrationRun(Answer):
    model_config = ConfigDict(json_schema_extra=example(_RUN))

    id: UUID
    job_id: UUID
    state: JobState
    detail: Annotated[str, Field(description="What it waits for, or why it failed.")]
    records: Annotated[int, Field(description="How many were exchanged.")]
    dry_run: bool
    result: Annotated[
        dict[str, Any],
        Field(
            description="At its end; of an import the `counts`, the first thousand `rows` that "
            "are not unchanged, each field before and after, and how many `more` there are."
        ),
    ]
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
                "createdAt": AT,
                "updatedAt": AT,
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


class IntegrationRuns(Page):
    items: list[IntegrationRun]


class Delivery(Answer):
    """One try to hand over, or to read, a part."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": 7,
                "part": 1,
                "attempt": 1,
                "what": "POST part 1",
                "status": 503,
                "ms": 12.5,
                "excerpt": "back in a minute",
                "at": AT,
            }
        )
    )

    id: int
    part: int
    attempt: int
    what: str
    status: Annotated[int, Field(description="0 where no answer came; `excerpt` says why.")]
    ms: float
    excerpt: Annotated[str, Field(description="The beginning of the answer.")]
    at: datetime


class Deliveries(Page):
    items: list[Delivery]


class RunFilter(Listing):
    sort: Annotated[str, SortOf(jobs.RUNS)] = jobs.RUNS.usual


class DeliveryFilter(Listing):
    sort: Annotated[str, SortOf(jobs.DELIVERIES)] = jobs.DELIVERIES.usual


@operation(
    api,
    "post",
    "/v1/integration-jobs",
    "createIntegrationJob",
    answer=IntegrationJob,
    status=HTTPStatus.CREATED,
    refuses=("invalid", "unknown-reference", "taken"),
    action="integration-job.create",
)
def create(body: NewIntegrationJob) -> Response:
    """Record an exchange with another system; it runs when it is asked to.

    One with a secret takes the role admin for all sites: control resolves it, which may read the
    secrets of all of them, and shows it to the endpoint.
    """
    if body.secret_ref is not None:
        access.demand("integration-job.lend-secret", None)
    job_id = jobs.create_integration(auth.caller(), **body.model_dump())
    made = IntegrationJob.of(jobs.integration_job(job_id))
    return answered(made, HTTPStatus.CREATED, location=f"/v1/integration-jobs/{job_id}")


@operation(
    api,
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
        site_id=queries.site_id(query.site_id),
        kind=query.kind,
        ask=query.ask(),
    )
    return answered(IntegrationJobs.showing(found))


@operation(
    api,
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
    api,
    "post",
    "/v1/integration-jobs/<integration_job>/run",
    "runIntegrationJob",
    answer=IntegrationJob,
    status=HTTPStatus.ACCEPTED,
    refuses=("taken",),
    action="integration-job.run",
)
def run(path: IntegrationJobRef, body: Running) -> Response:
    """Ask for one run of a job; `lastRun` says how far it is, as what `Location` names does."""
    run_id = jobs.run_integration(
        auth.caller(), path.integration_job, reason=body.reason, dry_run=body.dry_run
    )
    job = IntegrationJob.of(jobs.integration_job(path.integration_job))
    where = f"/v1/integration-jobs/{path.integration_job}/runs/{run_id}"
    return answered(job, HTTPStatus.ACCEPTED, location=where)


@operation(
    api,
    "get",
    "/v1/integration-jobs/<integration_job>/runs",
    "listIntegrationRuns",
    answer=IntegrationRuns,
    action="integration-job.read",
)
def runs(path: IntegrationJobRef, query: RunFilter) -> Response:
    """List the runs of a job, the newest first."""
    return answered(IntegrationRuns.showing(jobs.runs(path.integration_job, ask=query.ask())))


@operation(
    api,
    "get",
    "/v1/integration-jobs/<integration_job>/runs/<run>",
    "getIntegrationRun",
    answer=IntegrationRun,
    action="integration-job.read",
)
def shown_run(path: RunRef) -> Response:
    """Show one run of a job, with what it brought."""
    return answered(IntegrationRun.of(jobs.run(path.integration_job, path.run)))


@operation(
    api,
    "get",
    "/v1/integration-jobs/<integration_job>/runs/<run>/deliveries",
    "listIntegrationDeliveries",
    answer=Deliveries,
    action="integration-job.read",
)
def run_deliveries(path: RunRef, query: DeliveryFilter) -> Response:
    """List each try to hand over, or to read, a part: status, time, beginning of the answer."""
    found = jobs.deliveries(path.integration_job, path.run, ask=query.ask())
    return answered(Deliveries.showing(found))
