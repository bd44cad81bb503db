"""`sprout sync-jobs|integration-jobs`: files brought to sites, and exchanges with other systems."""

from typing import Annotated, Final

import typer

from edge.cli import options, show
from edge.cli.client import api
from edge.cli.commands import Commands
from edge.cli.completing import words
from edge.cli.machines import Reason
from edge.cli.options import ArtifactRef, AtSite, Named, OfSite, given

SYNC_JOBS: Final = Commands("Files of artifacts, brought to sites ahead of their use.")
INTEGRATION_JOBS: Final = Commands("What sites exchange with other systems.")

_SYNC_COLUMNS: Final[show.Columns] = {
    "artifact": "artifactRef",
    "mode": "mode",
    "state": "state",
    "files": lambda job: _of(job["filesDone"], job["filesTotal"]),
    "bytes": lambda job: _of(job["bytesDone"], job["bytesTotal"]),
    "detail": "detail",
    "id": "id",
}
_COLUMNS: Final[show.Columns] = {
    "name": "name",
    "kind": "kind",
    "provider": "provider",
    "last run": lambda job: (job["lastRun"] or {}).get("state", "never"),
    "detail": lambda job: (job["lastRun"] or {}).get("detail"),
    "id": "id",
}


def _of(done: int, total: int | None) -> str:
    return f"{done} of {'?' if total is None else total}"


@SYNC_JOBS.command("create")
def create_sync(
    site_id: AtSite,
    artifact_ref: ArtifactRef,
    mode: Annotated[
        str,
        typer.Option(
            help="preseed: fetch; verify: compare; prune: drop the unneeded; refresh: fetch anew.",
            autocompletion=words("preseed", "verify", "prune", "refresh"),
        ),
    ] = "preseed",
    reason: Reason = "",
) -> None:
    """Ask a site to fetch, compare or drop an artifact's files; prints the job's id."""
    client = api()
    body = {
        "siteId": options.site_id(client, site_id),
        "artifactRef": artifact_ref,
        "mode": mode,
        "reason": reason,
    }
    made = client.post("/v1/sync-jobs", given(body))
    show.made(made, f"{made['mode']} of {made['artifactRef']}: {made['detail'] or made['state']}")


@SYNC_JOBS.command("list")
def sync_jobs(
    site_id: OfSite = "",
    mode: Annotated[str, typer.Option(help="Only this mode.")] = "",
    state: Annotated[str, typer.Option(help="Only this state.")] = "",
) -> None:
    """List sync jobs, the newest first."""
    found = api().items("/v1/sync-jobs", siteId=site_id, mode=mode, state=state)
    show.rows(found, _SYNC_COLUMNS)


@SYNC_JOBS.command("show")
def sync_job(job: Named) -> None:
    """Show one sync job, and what it waits for."""
    show.record(api().get(f"/v1/sync-jobs/{job}"))


@SYNC_JOBS.command("cancel")
def cancel_sync(job: Named, reason: Reason = "") -> None:
    """End a sync job; what the site has already stays there."""
    ended = api().post(f"/v1/sync-jobs/{job}/cancel", given({"reason": reason}))
    show.made(ended, f"{ended['mode']} of {ended['artifactRef']}: {ended['detail']}")


@INTEGRATION_JOBS.command("create")
def create(
    name: Annotated[str, typer.Option(help="For people.")],
    site_id: AtSite,
    kind: Annotated[str, typer.Option(help="metadata-export or inventory-import.")],
    provider: Annotated[str, typer.Option(help="webhook, openmetadata or http.")],
    endpoint: Annotated[str, typer.Option(help="URL of the other system; no password in it.")],
    secret_ref: Annotated[str, typer.Option(help="Where its token is, such as env:NAME.")] = "",
) -> None:
    """Record an exchange with another system; prints the job's id."""
    client = api()
    body = {
        "name": name,
        "siteId": options.site_id(client, site_id),
        "kind": kind,
        "provider": provider,
        "endpoint": endpoint,
        "secretRef": secret_ref,
    }
    made = client.post("/v1/integration-jobs", given(body))
    show.made(made, f"recorded {name}; run it with: sprout integration-jobs run {made['id']}")


@INTEGRATION_JOBS.command("list")
def listed(
    site_id: OfSite = "", kind: Annotated[str, typer.Option(help="Only this kind.")] = ""
) -> None:
    """List integration jobs, each with its newest run."""
    show.rows(api().items("/v1/integration-jobs", siteId=site_id, kind=kind), _COLUMNS)


@INTEGRATION_JOBS.command("show")
def shown(job: Named) -> None:
    """Show one integration job with its newest run."""
    show.record(api().get(f"/v1/integration-jobs/{job}"))


@INTEGRATION_JOBS.command("run")
def run(job: Named, reason: Reason = "") -> None:
    """Ask for one run of a job; prints the run's id."""
    found = api().post(f"/v1/integration-jobs/{job}/run", given({"reason": reason}))
    last = found["lastRun"]
    told = f"{found['name']}: {last['detail'] or last['state']}"
    show.made(found if show.for_programs() else last, told)
