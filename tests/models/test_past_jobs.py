"""What jobs leave behind is kept for a while, and then forgotten."""

from datetime import UTC, datetime, timedelta

import pytest

from actors.control import reaper
from models.commands import integrations, jobs, past_jobs
from models.errands import Ended
from models.job_views import Mode
from models.tables import IntegrationDelivery, IntegrationRun, SyncJob, Task
from tests.models import make

pytestmark = pytest.mark.services

LONG_AGO = datetime.now(UTC) - past_jobs.KEPT - timedelta(hours=1)
LATELY = datetime.now(UTC) - past_jobs.KEPT + timedelta(hours=1)
DELIVERY = {"part": 1, "attempt": 1, "what": "POST part 1", "status": 200, "ms": 1.0, "excerpt": ""}


@pytest.fixture
def site(db):
    return make.site()


@pytest.fixture
def job(site):
    return jobs.create_integration(
        make.ADMIN,
        site_id=site,
        name="catalogue",
        kind="metadata-export",
        provider="webhook",
        endpoint="https://catalogue.example/hook",
        secret_ref=None,
    )


def ran(job, when, deliveries=1):
    """Return a run of *job* that was asked for, made *deliveries*, and ended."""
    run = jobs.run_integration(make.ADMIN, job, reason="")
    for _ in range(deliveries):
        integrations.tried(run, DELIVERY)
    integrations.ended(run, Ended(done=True))
    IntegrationRun.update(created_at=when, finished_at=when).where(
        IntegrationRun.id == run
    ).execute()
    return run


def synced(site, mode, *, ended):
    job = jobs.create_sync(
        make.ADMIN, site_id=site, artifact_ref="a-debian-12", mode=mode, reason=""
    )
    SyncJob.update(
        finished_at=ended, state="waiting" if ended is None else "succeeded", created_at=LONG_AGO
    ).where(SyncJob.id == job).execute()
    return job


def kept(table):
    return {row.id for row in table.select()}


def test_runs_that_ended_long_ago_go_with_their_deliveries_and_others_stay(job):
    ran(job, LONG_AGO)
    runs = {ran(job, LATELY), ran(job, datetime.now(UTC))}

    gone = past_jobs.prune()

    assert (gone, kept(IntegrationRun)) == (2, runs)
    assert {row.run_id for row in IntegrationDelivery.select()} == runs


def test_the_newest_run_of_a_job_stays_whole_however_old_it_is(job):
    ran(job, LONG_AGO - timedelta(days=1))
    newest = ran(job, LONG_AGO)

    past_jobs.prune()

    assert kept(IntegrationRun) == {newest}
    assert IntegrationDelivery.select().where(IntegrationDelivery.run_id == newest).count() == 1


def test_what_is_more_than_one_statement_forgets_goes_all_the_same(job, monkeypatch):
    monkeypatch.setattr(past_jobs, "BATCH", 2)
    ran(job, LONG_AGO, deliveries=5)
    ran(job, datetime.now(UTC), deliveries=0)

    assert past_jobs.prune() == 6
    assert not IntegrationDelivery.select().exists()


def test_a_run_that_is_not_over_stays(job):
    open_still = jobs.run_integration(make.ADMIN, job, reason="")
    IntegrationRun.update(created_at=LONG_AGO).execute()

    assert past_jobs.prune() == 0
    assert kept(IntegrationRun) == {open_still}


def test_sync_jobs_that_ended_long_ago_go_with_their_tasks_and_open_ones_stay(site):
    make.image()
    make.Agent(site, ("http", "redfish", "sync"))
    old = synced(site, Mode.VERIFY, ended=LONG_AGO)
    stay = {synced(site, Mode.PRUNE, ended=LATELY), synced(site, Mode.PRESEED, ended=None)}
    assert Task.select().where(Task.sync_job_id == old).exists()

    reaper.forget()

    assert kept(SyncJob) == stay
    assert {row.sync_job_id for row in Task.select()} <= stay
