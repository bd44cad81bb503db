"""Pages of jobs: what is asked, how far it is, what it brought, and the way to stop it."""

import pytest

from models.commands import integrations, jobs
from models.errands import Ended
from models.job_views import Mode
from models.tables import SyncJob
from tests.edge.signed_in import Browser, text
from tests.models import make as domain

pytestmark = pytest.mark.services


@pytest.fixture
def scene(db):
    return domain.Scene()


@pytest.fixture
def person(app):
    return Browser(app)


def sync(scene, mode=Mode.PRESEED):
    return jobs.create_sync(
        domain.ADA, site_id=scene.site, artifact_ref="a-debian-12", mode=mode, reason="rack 4"
    )


def integration(scene, **more):
    fields = {
        "name": "cmdb",
        "kind": "inventory-import",
        "provider": "http",
        "endpoint": "https://cmdb.example/machines",
        "secret_ref": "env:CMDB",
    }
    return jobs.create_integration(domain.ADA, site_id=scene.site, **fields | more)


def test_a_sync_job_is_asked_for_by_a_form_of_its_site(person, scene):
    answer = person.post(
        "/sites/ams-1/new-sync-job", __artifactRef="a-debian-12", __mode="verify", __reason="audit"
    )

    [job] = jobs.sync_jobs()
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/sync-jobs/{job.id}")
    assert (job.mode, job.reason) == ("verify", "audit")


def test_a_store_that_is_none_is_told_at_its_field(person, scene):
    answer = person.post("/sites/ams-1/new-sync-job", __artifactRef="nothing", __mode="prune")

    assert answer.status_code == 422
    assert "No artifact nothing" in answer.text
    assert 'aria-invalid="true"' in answer.text


def test_an_open_job_shows_how_far_it_is_and_looks_again(person, scene):
    job = sync(scene)
    SyncJob.update(
        state="running", detail="fetching debian/disk.raw", bytes_done=30, bytes_total=120
    ).execute()

    page = person.get(f"/sync-jobs/{job}")

    assert "fetching debian/disk.raw" in text(page)
    assert '<progress max="100" value="25"' in page.text
    assert 'hx-trigger="every 2s"' in page.text


def test_a_job_that_has_ended_shows_what_it_found_and_looks_no_more(person, scene):
    job = sync(scene)
    found = {"path": "debian/disk.raw", "what": "dropped", "detail": "another <b>hash</b>"}
    SyncJob.update(state="succeeded", findings=[found], detail="1 dropped").execute()

    page = person.get(f"/sync-jobs/{job}").text

    assert "another &lt;b&gt;hash&lt;/b&gt;" in page
    assert "hx-trigger" not in page.partition('id="job"')[2].partition("</div>")[0]
    assert "/cancel" not in page


def test_a_job_is_cancelled_from_its_page(person, scene):
    job = sync(scene)

    answer = person.post(f"/sync-jobs/{job}/cancel", __reason="the wrong store")

    assert (answer.status_code, jobs.sync_job(job).state) == (303, "cancelled")


def test_an_integration_job_is_recorded_by_a_form_that_never_sends_a_secret_back(person, scene):
    filled = {
        "__name": "cmdb",
        "__kind": "inventory-import",
        "__provider": "http",
        "__endpoint": "https://cmdb.example/machines",
    }

    wrong = person.post("/sites/ams-1/new-integration-job", **filled, __secretRef="hunter2-word")
    right = person.post("/sites/ams-1/new-integration-job", **filled, __secretRef="env:CMDB")

    assert (wrong.status_code, right.status_code) == (422, 303)
    assert "hunter2-word" not in wrong.text
    assert right.headers["Location"] == f"/integration-jobs/{jobs.integration_jobs()[0].id}"


def test_a_run_is_asked_for_from_the_jobs_page_dry_unless_told_otherwise(person, scene):
    job = integration(scene)
    page = person.get(f"/integration-jobs/{job}")

    answer = person.post(f"/integration-jobs/{job}/run", __dryRun="true")

    assert 'name="/dryRun" value="true" checked' in page.text
    assert "known again by their primary MAC, never deleted" in text(page)
    [run] = jobs.runs(job)
    assert run.dry_run
    assert answer.headers["Location"] == f"/integration-jobs/{job}/runs/{run.id}"
    assert (
        'action="' + f"/integration-jobs/{job}/run"
        not in person.get(f"/integration-jobs/{job}").text
    )


def test_a_run_shows_each_field_before_and_after_and_each_try(person, scene):
    job = integration(scene)
    run = jobs.run_integration(domain.ADA, job, reason="", dry_run=True)
    integrations.begin(run)
    tried = {"part": 1, "attempt": 1, "what": "GET page 1", "status": 503, "ms": 7.0}
    integrations.tried(run, tried | {"excerpt": "<i>soon</i>"})
    changed = {
        "what": "changed",
        "pointer": "page 1: /machines/0",
        "hostname": "node-1",
        "mac": "52:54:00:00:03:01",
        "fields": {"memoryMib": {"before": 1024, "after": 2048}},
    }
    result = {"counts": {"changed": 1}, "rows": [changed], "more": 3, "told": "1 changed"}
    integrations.ended(run, Ended(done=True, result=result))

    page = person.get(f"/integration-jobs/{job}/runs/{run}")

    assert "<del>1024</del> <ins>2048</ins>" in page.text
    assert "and 3 more" in page.text
    assert "&lt;i&gt;soon&lt;/i&gt;" in page.text
    assert "503" in text(page)


@pytest.mark.parametrize("path", ["/sync-jobs", "/integration-jobs"])
def test_lists_teach_where_there_is_none_and_show_what_there_is(person, scene, path):
    before = text(person.get(path))
    sync(scene), integration(scene)

    here, elsewhere = person.get(f"{path}?siteId=ams-1"), person.get(path + "?cursor=")

    assert "Choose a site" in before
    assert "Choose a site" not in text(here) + text(elsewhere)
    assert text(here).count("ams-1") >= 2


def test_each_page_says_how_the_same_is_asked_by_machine(person, scene):
    job, other = sync(scene), integration(scene)
    run = jobs.run_integration(domain.ADA, other, reason="")

    for path in (
        f"/sync-jobs/{job}",
        f"/integration-jobs/{other}",
        f"/integration-jobs/{other}/runs/{run}",
    ):
        page = text(person.get(path))
        assert f"/v1{path}" in page
        assert page.count("sprout ") >= 1
