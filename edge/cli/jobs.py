"""`sprout sync-jobs|integration-jobs`: files brought to sites, and exchanges with other systems."""

import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final

import typer

from edge.cli import follow, options, show, terminal
from edge.cli.client import FAILED, Told, api
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


_RUN_COLUMNS: Final[show.Columns] = {
    "asked": "createdAt",
    "state": "state",
    "dry run": lambda run: "yes" if run["dryRun"] else "",
    "records": "records",
    "detail": "detail",
    "id": "id",
}
_TRY_COLUMNS: Final[show.Columns] = {
    "part": "part",
    "try": "attempt",
    "what": "what",
    "status": lambda each: each["status"] or "none",
    "ms": lambda each: round(each["ms"], 1),
    "answer": "excerpt",
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
def sync_job(
    job: Named,
    watch: Annotated[
        bool, typer.Option("--watch", help="Tell how far it is until it ends.")
    ] = False,
) -> None:
    """Show one sync job, and what it waits for; with --watch, status 1 when it does not succeed."""
    client = api()
    path = f"/v1/sync-jobs/{job}"
    found = _watched(lambda: client.get(path), _how_far) if watch else client.get(path)
    show.record(found, findings=_findings)
    _demand_good(found, watch=watch)


def _how_far(job: show.Row) -> str:
    files, size = (
        _of(job["filesDone"], job["filesTotal"]),
        _mib(job["bytesDone"], job["bytesTotal"]),
    )
    return f"{job['state']}: {files} files, {size}: {job['detail']}"


def _mib(done: int, total: int | None) -> str:
    return f"{_of(done >> 20, None if total is None else total >> 20)} MiB"


def _findings(found: list[dict[str, str]]) -> str:
    return "\n".join(f"{each['what']} {each['path']}: {each['detail']}" for each in found)


def _watched(look: Callable[[], Any], how_far: Callable[[Any], str]) -> Any:
    """Return what *look* finds when it has ended; tell each change meanwhile."""
    told = ""

    def ended() -> Any:
        nonlocal told
        found = look()
        if (line := how_far(found)) != told:
            told = line
            terminal.tell(line)
        return None if found["state"] in {"waiting", "running"} else found

    return follow.until(ended, "its end")


def _demand_good(found: show.Row, *, watch: bool) -> None:
    if watch and found["state"] != "succeeded":
        raise Told(f"{found['state']}: {found['detail']}", status=FAILED)


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
    endpoint: Annotated[str, typer.Option(help="URL of the other system; no secret in it.")],
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
def run(
    job: Named,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what it would do, and change nothing.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until it has ended; status 1 unless it succeeded.")
    ] = False,
    reason: Reason = "",
) -> None:
    """Ask for one run of a job; prints the run's id, or with --wait what it brought."""
    client = api()
    found = client.post(
        f"/v1/integration-jobs/{job}/run", {"dryRun": dry_run, **given({"reason": reason})}
    )
    last = found["lastRun"]
    if wait:
        path = f"/v1/integration-jobs/{job}/runs/{last['id']}"
        last = _watched(lambda: client.get(path), lambda run: f"{run['state']}: {run['detail']}")
        _told(last)
        _demand_good(last, watch=True)
        return
    told = f"{found['name']}: {last['detail'] or last['state']}"
    show.made(found if show.for_programs() else last, told)


@INTEGRATION_JOBS.command("runs")
def runs(
    job: Named,
    run: Annotated[str, typer.Argument(help="A run's id: what it brought and each delivery.")] = "",
) -> None:
    """List the runs of a job, the newest first; with a run's id, what it brought."""
    client = api()
    path = f"/v1/integration-jobs/{job}/runs"
    if not run:
        show.rows(client.items(path), _RUN_COLUMNS)
        return
    found = client.get(f"{path}/{run}")
    tries = client.items(f"{path}/{run}/deliveries")
    if show.for_programs():
        show.data({**found, "deliveries": tries})
        return
    _told(found)
    show.rows(tries, _TRY_COLUMNS)


def _told(run: show.Row) -> None:
    """Print a run, and what an import changed, field by field."""
    if show.for_programs():
        show.data(run)
        return
    dry = " (dry run: nothing was changed)" if run["dryRun"] else ""
    terminal.out(f"{run['state']}: {run['detail']}{dry}")
    for each in run["result"].get("rows", ()):
        for line in _difference(each):
            terminal.out(line)
    if run["result"].get("more"):
        terminal.out(f"… and {run['result']['more']} more")


_MARKS: Final = {"created": "+", "changed": "~", "conflicting": "!", "invalid": "?"}


def _difference(row: show.Row) -> Iterator[str]:
    """Yield the lines that tell of one row of an import."""
    who = " ".join(str(row[name]) for name in ("hostname", "mac") if name in row)
    why = f": {row['why']}" if "why" in row else ""
    yield f"{_MARKS.get(row['what'], ' ')} {who or row['pointer']} {row['what']}{why}"
    if "why" in row and who:
        yield f"    at {row['pointer']}"
    for name, each in row.get("fields", {}).items():
        before, after = (json.dumps(each[side], sort_keys=True) for side in ("before", "after"))
        yield f"    {name}: {before} -> {after}"
