"""Sync jobs and integration jobs: judged and recorded, and they say what they wait for."""

import pytest

from models.job_views import WAITS_FOR, Mode
from tests.edge import make
from tests.edge.conftest import Api

pytestmark = pytest.mark.services


@pytest.fixture
def artifact(api):
    return api.made("/v1/artifacts", make.artifact())


def sync(site, **more):
    return {"siteId": site["id"], "artifactRef": "debian"} | more


def integration(site, **more):
    return {
        "siteId": site["id"],
        "name": "catalogue",
        "kind": "metadata-export",
        "provider": "webhook",
        "endpoint": "https://catalogue.example/hook",
        "secretRef": "env:CATALOGUE_TOKEN",
    } | more


@pytest.mark.parametrize("mode", Mode)
def test_a_sync_job_waits_and_says_for_what(api, site, artifact, mode):
    made = api.made("/v1/sync-jobs", sync(site, mode=mode.value, reason="rack 4"))

    assert (made["state"], made["mode"], made["artifactId"]) == ("waiting", mode, artifact["id"])
    assert made["detail"] == f"waiting for {WAITS_FOR[mode]}"
    assert api.get(f"/v1/sync-jobs/{made['id']}").json == made
    newest = api.audit()[0]
    assert (newest["action"], newest["siteId"], newest["reason"]) == (
        "sync-job.create",
        site["id"],
        "rack 4",
    )


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"artifactRef": "nothing"}, "/artifactRef"),
        ({"siteId": "018f6f3e-7d2a-7c11-9a55-0d6f5f3e2b10"}, "/siteId"),
        ({"mode": "push"}, "/mode"),
        ({"files": []}, "/files"),
    ],
)
def test_a_sync_job_that_cannot_be_is_refused_at_its_field(api, site, artifact, more, pointer):
    answer = api.post("/v1/sync-jobs", sync(site, **more))

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)


def test_a_sync_job_is_cancelled_once(api, site, artifact):
    made = api.made("/v1/sync-jobs", sync(site))
    path = f"/v1/sync-jobs/{made['id']}/cancel"

    first, second = (api.post(path, {"reason": "the wrong site"}) for _ in range(2))

    assert (first.status_code, first.json["state"]) == (200, "cancelled")
    assert first.json["detail"].endswith(": the wrong site")
    assert second.status_code == 409
    assert api.audit()[0]["action"] == "sync-job.cancel"
    api.made("/v1/sync-jobs", sync(site))


def test_the_same_is_not_asked_of_a_site_twice_at_once(api, site, artifact):
    api.made("/v1/sync-jobs", sync(site))

    again = api.post("/v1/sync-jobs", sync(site))

    assert (again.status_code, again.json["errors"][0]["pointer"]) == (409, "/mode")
    api.made("/v1/sync-jobs", sync(site, mode="verify"))


def test_sync_jobs_are_found_by_site_mode_and_state(api, site, artifact):
    made = api.made("/v1/sync-jobs", sync(site))

    def found(query):
        return [row["id"] for row in api.get(f"/v1/sync-jobs?{query}").json["items"]]

    assert found("siteId=ams-1&mode=preseed&state=waiting") == [made["id"]]
    assert found("mode=prune") == found("state=failed") == []


def test_an_integration_job_runs_when_it_is_asked_to(api, site):
    job = api.made("/v1/integration-jobs", integration(site))
    path = f"/v1/integration-jobs/{job['id']}"

    answer = api.post(f"{path}/run", {"reason": "after the audit"})

    assert job["lastRun"] is None
    assert (answer.status_code, answer.headers["Location"]) == (
        202,
        f"{path}/runs/{answer.json['lastRun']['id']}",
    )
    assert answer.json["lastRun"]["state"] == "waiting"
    assert answer.json["lastRun"]["detail"].startswith("waiting for")
    assert api.get("/v1/integration-jobs?kind=metadata-export").json["items"] == [answer.json]
    assert api.audit()[0]["action"] == "integration-job.run"


def test_a_run_that_is_open_is_not_asked_for_again(api, site):
    job = api.made("/v1/integration-jobs", integration(site))

    first, second = (api.post(f"/v1/integration-jobs/{job['id']}/run") for _ in range(2))

    assert (first.status_code, second.status_code) == (202, 409)


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"provider": "http"}, "/provider"),
        ({"kind": "inventory-import"}, "/provider"),
        ({"endpoint": "catalogue"}, "/endpoint"),
        ({"endpoint": "file:///etc/passwd"}, "/endpoint"),
        ({"endpoint": "https://me:secret@catalogue.example"}, "/endpoint"),
        ({"endpoint": "https://[x"}, "/endpoint"),
        ({"endpoint": "https://catalogue.example/hook?token=secret"}, "/endpoint"),
        ({"secretRef": "hunter2"}, "/secretRef"),
    ],
)
def test_an_integration_job_that_cannot_be_is_refused_at_its_field(api, site, more, pointer):
    answer = api.post("/v1/integration-jobs", integration(site, **more))

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)
    assert "secret@" not in answer.text
    assert "hunter2" not in answer.text


def test_names_of_integration_jobs_are_unique_at_a_site(api, site):
    api.made("/v1/integration-jobs", integration(site))

    again = api.post("/v1/integration-jobs", integration(site))

    assert (again.status_code, again.json["errors"][0]["pointer"]) == (409, "/name")


def test_a_secret_of_control_is_given_to_a_job_by_whoever_is_admin_of_all_sites_alone(
    app, api, site
):
    bound = {"name": "ci", "role": "admin", "sites": ["ams-1"], "days": 1}
    caller = Api(app, token=api.made("/v1/api-tokens", bound)["token"])
    thief = integration(site, kind="inventory-import", provider="http", secretRef="env:POWERDNS")

    answer = caller.post("/v1/integration-jobs", thief)

    assert (answer.status_code, answer.json["type"]) == (403, "/problems/denied")
    assert api.get("/v1/integration-jobs").json["items"] == []
    without = {name: value for name, value in thief.items() if name != "secretRef"}
    assert caller.post("/v1/integration-jobs", without).status_code == 201
    assert api.post("/v1/integration-jobs", thief | {"name": "mine"}).status_code == 201
