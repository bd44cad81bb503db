"""Jobs of sites: files brought there, exchanges with other systems; what each does and brought."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from flask import Blueprint, Response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from edge.access import does, may, visible_sites
from edge.api import integration_jobs, jobs
from edge.pages import forms, frame, listing
from edge.pages.forms import Field, Form
from models import captions, queries
from models.commands import jobs as kept
from models.job_views import PROVIDERS, JobState, Mode

blueprint: Final = Blueprint("jobs", __name__)

TONES: Final[Mapping[str, str]] = MappingProxyType(
    {
        JobState.WAITING: "waiting",
        JobState.RUNNING: "working",
        JobState.SUCCEEDED: "good",
        JobState.FAILED: "failed",
        JobState.CANCELLED: "off",
    }
)
OPEN: Final = frozenset({JobState.WAITING.value, JobState.RUNNING.value})

_DOES: Final[Mapping[str, str]] = MappingProxyType(
    {
        Mode.PRESEED: "preseed: fetch what is missing",
        Mode.VERIFY: "verify: compare all, drop from the cache what is wrong",
        Mode.PRUNE: "prune: drop from the cache what no image and no plan needs",
        Mode.REFRESH: "refresh: compare all, fetch what is wrong or missing",
    }
)
_REASON: Final = Field(pointer="/reason", label="Reason")
_SYNC: Final = (
    Field(pointer="/artifactRef", label="Artifact store", required=True, hint="Its reference."),
    Field(
        pointer="/mode",
        label="What is done",
        kind="select",
        options=[*_DOES.items()],
        value="preseed",
    ),
    _REASON,
)
_INTEGRATION: Final = (
    Field(pointer="/name", label="Name", required=True),
    Field(pointer="/kind", label="Kind", kind="select", options=[(k, k) for k in PROVIDERS]),
    Field(
        pointer="/provider",
        label="With",
        kind="select",
        options=[(each, each) for names in PROVIDERS.values() for each in sorted(names)],
        hint="An import is done with http, an export with the others.",
    ),
    Field(
        pointer="/endpoint",
        label="URL",
        required=True,
        hint="Without a secret in it.",
    ),
    Field(
        pointer="/secretRef",
        label="Its secret, where it is kept",
        kind="secret",
        hint="env:NAME or vault:PATH#KEY; never the secret itself.",
    ),
)
_RUN: Final = (
    Field(pointer="/dryRun", label="Only tell what it would do", kind="check", value="true"),
    _REASON,
)


@blueprint.get("/sync-jobs")
@does("sync-job.read")
def syncs() -> ResponseReturnValue:
    """Show what was asked of sites to do with files, the newest first."""
    wanted = listing.wanted(jobs.SyncJobFilter, "sync-job.read")
    query = wanted.query
    found = kept.sync_jobs(
        among=visible_sites(),
        site_id=queries.site_id(query.site_id),
        mode=query.mode,
        state=query.state,
        ask=query.ask(),
    )
    return render_template(
        "syncs.html",
        wanted=wanted,
        found=found,
        following=wanted.after(found.next),
        slugs=captions.slugs({job.site_id for job in found}),
        tones=TONES,
        modes=Mode,
        states=JobState,
        commands=frame.commands("/v1/sync-jobs", "sprout sync-jobs list", wanted.given),
    )


@blueprint.get("/sync-jobs/<uuid:sync_job>")
@does("sync-job.read")
def sync(sync_job: UUID) -> ResponseReturnValue:
    """Show one sync job: how far it is, what was found, the way to stop it."""
    job = kept.sync_job(sync_job)
    is_open = job.state in OPEN
    return render_template(
        "sync.html",
        job=job,
        slug=captions.slugs({job.site_id})[job.site_id],
        tone=TONES[job.state],
        open=is_open,
        share=None if not job.bytes_total else min(100, 100 * job.bytes_done // job.bytes_total),
        may_cancel=is_open and may("sync-job.cancel", job.site_id),
        commands=frame.commands(f"/v1/sync-jobs/{job.id}", f"sprout sync-jobs show {job.id}"),
    )


@blueprint.post("/sync-jobs/<uuid:sync_job>/cancel")
@does("sync-job.cancel")
def cancel(sync_job: UUID) -> ResponseReturnValue:
    """End a sync job."""
    body = forms.sent((_REASON,), jobs.Stopping)
    jobs.cancel_sync(jobs.SyncJobRef(sync_job=sync_job), body)
    return _to(url_for("jobs.sync", sync_job=sync_job))


@blueprint.route("/sites/<site>/new-sync-job", methods=["GET", "POST"])
@does("sync-job.create")
def new_sync(site: str) -> ResponseReturnValue:
    """Ask a site to do something with an artifact store's files."""
    at = queries.site(site)
    more = {
        "title": f"New sync job of {at.slug}",
        "crumbs": (("Sync jobs", url_for("jobs.syncs")),),
        "what": "An agent of the site does it now, and goes on after a restart. Nothing that a "
        "running plan needs is dropped.",
        "button": "Ask for it",
        "commands": frame.commands(
            "/v1/sync-jobs", f"sprout sync-jobs create --site-id {at.slug} --artifact-ref REF"
        ),
    }

    def ask() -> Response:
        return jobs.create_sync(forms.sent(_SYNC, jobs.NewSyncJob, siteId=str(at.id)))

    return _entered(_SYNC, ask, lambda job: url_for("jobs.sync", sync_job=job), more)


@blueprint.get("/integration-jobs")
@does("integration-job.read")
def integrations() -> ResponseReturnValue:
    """Show what sites exchange with other systems, each with its newest run."""
    wanted = listing.wanted(integration_jobs.IntegrationJobFilter, "integration-job.read")
    query = wanted.query
    found = kept.integration_jobs(
        among=visible_sites(),
        site_id=queries.site_id(query.site_id),
        kind=query.kind,
        ask=query.ask(),
    )
    command = "sprout integration-jobs list"
    return render_template(
        "integrations.html",
        wanted=wanted,
        found=found,
        following=wanted.after(found.next),
        slugs=captions.slugs({job.site_id for job in found}),
        tones=TONES,
        kinds=PROVIDERS,
        commands=frame.commands("/v1/integration-jobs", command, wanted.given),
    )


@blueprint.get("/integration-jobs/<uuid:integration_job>")
@does("integration-job.read")
def integration(integration_job: UUID) -> ResponseReturnValue:
    """Show one integration job: its runs, and the form that asks for another."""
    job = kept.integration_job(integration_job)
    return render_template(
        "integration.html",
        job=job,
        slug=captions.slugs({job.site_id})[job.site_id],
        runs=kept.runs(job.id),
        tones=TONES,
        open=job.last_run is not None and job.last_run.state in OPEN,
        form=Form(fields=_RUN),
        may_run=may("integration-job.run", job.site_id),
        commands=frame.commands(
            f"/v1/integration-jobs/{job.id}",
            f"sprout integration-jobs run {job.id} --dry-run --wait",
        ),
    )


@blueprint.post("/integration-jobs/<uuid:integration_job>/run")
@does("integration-job.run")
def run(integration_job: UUID) -> ResponseReturnValue:
    """Ask for one run of a job."""
    body = forms.sent(_RUN, integration_jobs.Running)
    asked = integration_jobs.run(
        integration_jobs.IntegrationJobRef(integration_job=integration_job), body
    )
    run_id = asked.headers["Location"].rpartition("/")[2]
    return _to(url_for("jobs.shown_run", integration_job=integration_job, run=run_id))


@blueprint.get("/integration-jobs/<uuid:integration_job>/runs/<uuid:run>")
@does("integration-job.read")
def shown_run(integration_job: UUID, run: UUID) -> ResponseReturnValue:
    """Show one run: how far it is, what it brought field by field, each delivery."""
    job, found = kept.integration_job(integration_job), kept.run(integration_job, run)
    return render_template(
        "run.html",
        job=job,
        run=found,
        tone=TONES[found.state],
        open=found.state in OPEN,
        deliveries=kept.deliveries(job.id, run),
        commands=frame.commands(
            f"/v1/integration-jobs/{job.id}/runs/{run}",
            f"sprout integration-jobs runs {job.id} {run}",
        ),
    )


@blueprint.route("/sites/<site>/new-integration-job", methods=["GET", "POST"])
@does("integration-job.create")
def new_integration(site: str) -> ResponseReturnValue:
    """Record an exchange of a site with another system."""
    at = queries.site(site)
    command = f"sprout integration-jobs create --site-id {at.slug} --name NAME --kind KIND"
    more = {
        "title": f"New integration job of {at.slug}",
        "crumbs": (("Integration jobs", url_for("jobs.integrations")),),
        "what": "It is recorded, and nothing is sent or read until a run is asked for.",
        "button": "Record it",
        "commands": frame.commands(
            "/v1/integration-jobs", f"{command} --provider PROVIDER --endpoint URL"
        ),
    }

    def ask() -> Response:
        body = forms.sent(_INTEGRATION, integration_jobs.NewIntegrationJob, siteId=str(at.id))
        return integration_jobs.create(body)

    return _entered(_INTEGRATION, ask, _to_integration, more)


def _to_integration(job: str) -> str:
    return url_for("jobs.integration", integration_job=job)


def _entered(
    fields: Sequence[Field],
    ask: Callable[[], Response],
    to: Callable[[str], str],
    more: Mapping[str, Any],
) -> ResponseReturnValue:
    """Show a form, or what came of it."""
    form = Form(fields=fields)
    if request.method == "GET":
        return forms.shown("new.html", form, **more)
    return forms.answered("new.html", form, ask, to, **more)


def _to(url: str) -> Response:
    return Response(status=303, headers={"Location": url})
