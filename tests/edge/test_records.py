"""Records after they were made: changed as they were read, deleted where nobody uses them."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from models.commands import addresses, asks, catalogue, letting_go, moves, sites
from models.database import borrowed, database
from models.errors import InUse, Unknown
from models.tables import (
    Agent,
    DomainEvent,
    Errand,
    Holding,
    Image,
    IntegrationRun,
    Machine,
    Site,
)
from tests.edge import make
from tests.edge.conftest import Api
from tests.models import make as domain

pytestmark = pytest.mark.services

CHANGES = {
    "sites/ams-1": {"name": "Amsterdam Zuid", "labels": {"tier": "2"}},
    "artifacts/debian": {"name": "Trixie", "prefix": "debian-13"},
    "images/debian-12": {"kernelArgs": ["nomodeset"], "imageBytes": 5},
    "profiles/plain": {"name": "Bare", "sshKeys": ["ssh-ed25519 AAAA ada"]},
}
KINDS = {path: path.split("/")[0].removesuffix("s") for path in CHANGES}

RANGE = {"rangeStart": "10.9.0.10", "rangeEnd": "10.9.0.20"}
OTHER = [make.interface(macAddress="52:54:00:00:00:77")]
JOB = {
    "name": "export",
    "kind": "metadata-export",
    "provider": "webhook",
    "endpoint": "http://x.example/in",
}


@pytest.fixture
def scene(api, site):
    api.made("/v1/artifacts", make.artifact())
    api.made("/v1/images", make.image())
    api.made("/v1/profiles", make.profile())
    return site


@pytest.fixture
def rack(scene, api):
    """A machine that has an image, a profile and an address."""
    network = api.made("/v1/networks", make.network(scene["id"]))
    machine = api.made("/v1/machines", make.machine(scene["id"]))
    with borrowed():
        domain.Agent(UUID(scene["id"]))
        flow = asks.provision(
            domain.ADA, UUID(machine["id"]), image_ref="debian-12", profile_ref="plain"
        )
        domain.walks.advance(flow, domain.render)
    return {"site": scene, "network": network, "machine": machine, "flow": flow}


def newest(api):
    return api.audit()[0]


# --- changed ---


@pytest.mark.parametrize(("path", "body"), CHANGES.items(), ids=KINDS.values())
def test_what_is_named_changes_and_the_rest_stays(api, scene, path, body):
    before = api.get(f"/v1/{path}").json

    answer = api.patch(f"/v1/{path}", body, headers={"If-Match": '"1"'})

    assert (answer.status_code, answer.headers["ETag"]) == (200, '"2"')
    stamps = {"version": 2, "updatedAt": answer.json["updatedAt"]}
    assert answer.json == before | body | stamps == api.get(f"/v1/{path}").json


@pytest.mark.parametrize(("path", "body"), CHANGES.items(), ids=KINDS.values())
def test_a_change_is_audited_with_before_and_after(api, scene, path, body):
    before = api.get(f"/v1/{path}").json

    api.patch(f"/v1/{path}", {"version": 1, **body})

    row = newest(api)
    assert (row["action"], row["objectId"]) == (f"{KINDS[path]}.update", before["id"])
    assert row["data"] == {"before": {name: before[name] for name in body}, "after": body}


@pytest.mark.parametrize(("path", "body"), CHANGES.items(), ids=KINDS.values())
def test_a_change_that_was_overtaken_is_refused(api, scene, path, body):
    api.patch(f"/v1/{path}", {"version": 1, **body})

    by_tag = api.patch(f"/v1/{path}", {"name": "late"}, headers={"If-Match": '"1"'})
    by_body = api.patch(f"/v1/{path}", {"version": 1, "name": "late"})
    silent = api.patch(f"/v1/{path}", {"name": "late"})

    assert (by_tag.status_code, by_body.status_code, silent.status_code) == (412, 409, 428)
    assert api.get(f"/v1/{path}").json["version"] == 2


@pytest.mark.parametrize(("path", "body"), CHANGES.items(), ids=KINDS.values())
def test_a_change_to_what_it_is_already_is_none(api, scene, path, body):
    name = api.get(f"/v1/{path}").json["name"]

    answer = api.patch(f"/v1/{path}", {"version": 1, "name": name})

    assert (answer.status_code, answer.json["version"]) == (200, 1)
    assert not newest(api)["action"].endswith(".update")


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("sites/ams-1", {"slug": "ber-1"}, "/slug"),
        ("sites/ams-1", {"name": ""}, "/name"),
        ("artifacts/debian", {"prefix": "../etc"}, "/prefix"),
        ("images/debian-12", {"kernelPath": "other"}, "/checksums"),
        ("images/debian-12", {"architecture": "arm64"}, "/architecture"),
        ("images/debian-12", {"imageBytes": 0}, "/imageBytes"),
        ("profiles/plain", {"cloudConfigTemplate": "hostname: x"}, "/cloudConfigTemplate"),
        ("profiles/plain", {"sshKeys": None}, "/sshKeys"),
    ],
)
def test_a_change_that_can_never_be_right_says_where(api, scene, path, body, pointer):
    answer = api.patch(f"/v1/{path}", {"version": 1, **body})

    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json["errors"]] == [pointer]
    assert api.get(f"/v1/{path}").json["version"] == 1


def test_the_audit_holds_the_checksum_of_a_template_and_not_what_was_pasted_into_it(api, scene):
    template = "#cloud-config\npassword: hunter2-correct-horse\n"

    api.patch("/v1/profiles/plain", {"version": 1, "cloudConfigTemplate": template})
    api.delete("/v1/profiles/plain")

    rows = api.get("/v1/audit").text
    assert rows.count("sha256:") == 4
    assert "hunter2" not in rows


# --- deleted ---


@pytest.mark.parametrize("path", ["images/debian-12", "profiles/plain"])
def test_what_nobody_uses_is_deleted_and_the_answer_is_what_it_was(api, scene, path):
    before = api.get(f"/v1/{path}").json

    answer = api.delete(f"/v1/{path}", headers={"If-Match": '"1"'})

    assert (answer.status_code, answer.json) == (200, before)
    assert api.get(f"/v1/{path}").status_code == 404
    assert api.delete(f"/v1/{path}").status_code == 404
    done = [row for row in api.audit() if row["outcome"] == "done"]
    assert done[0]["action"] == f"{path.split('/')[0].removesuffix('s')}.delete"
    assert done[0]["data"]["before"]["ref"] == before["ref"]


@pytest.mark.parametrize("path", CHANGES)
def test_what_was_changed_since_is_not_deleted(api, scene, path):
    api.patch(f"/v1/{path}", {"version": 1, "name": "other"})

    assert api.delete(f"/v1/{path}", headers={"If-Match": '"1"'}).status_code == 412
    assert api.get(f"/v1/{path}").status_code == 200


def test_who_uses_something_is_named(api, rack):
    paths = {
        "artifacts/debian": "image debian-12",
        "images/debian-12": "machine node-01",
        "profiles/plain": "machine node-01",
        f"networks/{rack['network']['id']}": "machine node-01 at 10.77.0.10",
        "sites/ams-1": "machine node-01, network provisioning, live agent boot-01",
    }

    for path, users in paths.items():
        answer = api.delete(f"/v1/{path}")

        assert (answer.status_code, answer.json["type"]) == (409, "/problems/in-use")
        assert answer.json["detail"].endswith(f"is used by {users}")
        assert answer.json["errors"][0]["hint"]
        assert api.get(f"/v1/{path}").status_code == 200


def test_who_is_about_to_use_something_is_named_too(api, scene):
    api.made("/v1/networks", make.network(scene["id"]))
    api.made("/v1/machines", make.machine(scene["id"]))
    with borrowed():
        domain.Agent(UUID(scene["id"]))
    body = {"imageRef": "debian-12", "profileRef": "plain"}
    assert api.post("/v1/machines/node-01/provision", body).status_code == 202

    answer = api.delete("/v1/images/debian-12")

    assert "machine node-01" in answer.json["detail"]


def test_a_sync_job_keeps_its_artifact_until_it_ends(api, site):
    api.made("/v1/artifacts", make.artifact())
    job = {"siteId": site["id"], "artifactRef": "debian", "mode": "verify"}
    assert api.post("/v1/sync-jobs", job).status_code < 300

    answer = api.delete("/v1/artifacts/debian")

    assert "a verify job of site ams-1" in answer.json["detail"]


def test_no_more_than_three_users_are_named(api, site):
    for number in range(5):
        mac = f"52:54:00:00:01:0{number}"
        body = make.machine(site["id"], hostname=f"n{number}")
        api.made("/v1/machines", body | {"interfaces": [make.interface(macAddress=mac)]})

    detail = api.delete("/v1/sites/ams-1").json["detail"]

    assert detail == "site ams-1 is used by machine n0, machine n1, machine n2 and others"


def test_a_network_that_was_used_goes_when_its_addresses_are_free(api, rack):
    with borrowed(), database.atomic():
        Agent.update(last_seen_at="2020-01-01T00:00:00Z").execute()
        asks.cancel(domain.ADA, rack["flow"])
        letting_go.all_of(moves.locked(Machine.get().id))
        addresses.free_addresses()

    assert api.delete(f"/v1/networks/{rack['network']['id']}").status_code == 200
    assert api.get("/v1/networks").json["items"] == []


def test_the_agents_of_a_site_are_told_that_a_network_is_gone(api, site):
    network = api.made("/v1/networks", make.network(site["id"]))
    with borrowed():
        agent = domain.Agent(UUID(site["id"]))

    api.delete(f"/v1/networks/{network['id']}")

    with borrowed():
        told = [body for body in agent.heard(domain.Kind.PLAN) if "networks" in body]
    assert [len(body["networks"]) for body in told] == [1, 0]


def test_a_site_goes_with_what_agents_and_jobs_left_there(api, scene):
    site = UUID(scene["id"])
    about = {"name": "export", "kind": "metadata-export", "provider": "webhook"}
    job = {"siteId": scene["id"], "endpoint": "http://x.example/in", **about}
    assert api.post("/v1/integration-jobs", job).status_code < 300
    with borrowed():
        agent = domain.Agent(site)
        agent.report(domain.Seen.SITE_CHECKED, None, data={"findings": [], "foreign": []})
        Agent.update(last_seen_at="2020-01-01T00:00:00Z").execute()

    assert api.delete("/v1/sites/ams-1").status_code == 200
    assert api.get("/v1/sites").json["items"] == []
    assert newest(api)["data"]["before"]["slug"] == "ams-1"


def test_a_site_stays_until_its_events_are_published(api, site):
    machine = api.made("/v1/machines", make.machine(site["id"]))
    api.delete(f"/v1/machines/{machine['id']}")

    early = api.delete("/v1/sites/ams-1")
    with borrowed():
        DomainEvent.update(published_at="2026-01-01T00:00:00Z").execute()

    assert (early.status_code, early.json["type"]) == (409, "/problems/not-ready")
    assert api.delete("/v1/sites/ams-1").status_code == 200


def test_a_site_goes_with_what_control_did_for_it(api, scene):
    job = api.made("/v1/integration-jobs", {"siteId": scene["id"], **JOB})
    api.post(f"/v1/integration-jobs/{job['id']}/run", {})
    with borrowed():
        IntegrationRun.update(state="failed", finished_at=IntegrationRun.created_at).execute()
        Errand.update(state="failed", finished_at=Errand.created_at).execute()

    assert api.delete("/v1/sites/ams-1").status_code == 200


def test_a_site_stays_until_what_providers_hold_for_it_is_undone(api, scene):
    with borrowed():
        Holding.create(
            **dict.fromkeys(("machine_id", "workflow_id"), uuid4()),
            **dict.fromkeys(("provider", "external_id", "detail"), ""),
            site_id=scene["id"],
            capability="dns",
            name="node-01.x",
            params={},
            key="k",
            state="leaving",
        )

    early = api.delete("/v1/sites/ams-1")
    with borrowed():
        Holding.update(state="gone", gone_at=Holding.created_at).execute()

    assert early.json["detail"] == "site ams-1 is used by name or address at a provider node-01.x"
    assert api.delete("/v1/sites/ams-1").status_code == 200


def test_an_image_is_deleted_or_given_and_never_both(database_url, db):
    site = domain.site()
    domain.network(site), domain.image(), domain.profile(), domain.Agent(site)
    machine = domain.machine(site)

    def give():
        with borrowed():
            return asks.provision(domain.ADA, machine, image_ref="debian-12", profile_ref="plain")

    def delete():
        with borrowed():
            catalogue.delete(domain.ADA, "image", Image.get().id, version=None)

    with ThreadPoolExecutor(2) as pool:
        ends = [pool.submit(each) for each in (give, delete)]
        errors = [type(end.exception()) for end in ends]

    assert errors in ([type(None), InUse], [Unknown, type(None)])
    assert Image.select().count() == (1 if errors[1] is InUse else 0)
    assert Site.select().count() == 1


# --- conflicts ---


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("sites", lambda site: make.site()),
        ("networks", lambda site: make.network(site, cidr="10.9.0.0/24", **RANGE)),
        ("artifacts", lambda site: make.artifact()),
        ("images", lambda site: make.image()),
        ("profiles", lambda site: make.profile()),
        ("machines", lambda site: make.machine(site, hostname="NODE-01", interfaces=OTHER)),
        ("integration-jobs", lambda site: {"siteId": site, **JOB}),
    ],
)
def test_who_has_a_name_already_is_named(api, scene, path, body):
    api.made("/v1/networks", make.network(scene["id"]))
    api.made("/v1/machines", make.machine(scene["id"]))
    api.post("/v1/integration-jobs", {"siteId": scene["id"], **JOB})
    there = api.get(f"/v1/{path}").json["items"][0]

    answer = api.post(f"/v1/{path}", body(scene["id"]))

    assert (answer.status_code, answer.json["type"]) == (409, "/problems/taken")
    assert answer.json["detail"].endswith(f": {there['id']}")
    assert answer.json["errors"][0]["pointer"] in {"/slug", "/name", "/ref", "/hostname"}


def test_who_has_a_mac_is_named_to_who_may_see_it(app, api, scene):
    there = api.made("/v1/machines", make.machine(scene["id"]))
    far = api.made("/v1/sites", make.site(slug="far-1"))
    bound = {"name": "far", "role": "operator", "sites": ["far-1"], "days": 1}
    stranger = Api(app, token=api.made("/v1/api-tokens", bound)["token"])
    body = make.machine(far["id"], hostname="other")

    told = [caller.post("/v1/machines", body).json for caller in (api, stranger)]

    assert [each["errors"][0]["pointer"] for each in told] == ["/interfaces/0/macAddress"] * 2
    assert there["id"] in told[0]["detail"]
    assert there["id"] not in str(told[1])
    assert "a machine of another site" in told[1]["detail"]


def test_a_site_is_deleted_or_gets_a_machine_and_never_both(database_url, db):
    site = domain.site()

    def enter():
        with borrowed():
            return domain.machine(site)

    def delete():
        with borrowed():
            sites.delete_site(domain.ADA, site, version=None)

    with ThreadPoolExecutor(2) as pool:
        ends = [pool.submit(each) for each in (enter, delete)]
        errors = [type(end.exception()) for end in ends]

    assert errors in ([type(None), InUse], [Unknown, type(None)])
    assert Machine.select().count() == (1 if errors[1] is InUse else 0)
