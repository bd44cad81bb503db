"""Discoveries over HTTP: looked at, accepted, ignored."""

from uuid import UUID, uuid4

import pytest

from models.database import borrowed
from tests.edge import make
from tests.edge.test_bad_input import refused, rows  # noqa: F401 - fixtures
from tests.models import make as domain
from tests.models.test_discoveries import Teller, sighting

pytestmark = pytest.mark.services

MACS = [f"52:54:00:99:00:{n:02x}" for n in range(5)]


@pytest.fixture
def tell(site):
    with borrowed():
        teller = Teller(domain.Agent(UUID(site["id"])))

    def told(*seen):
        with borrowed():
            teller.tell(*seen)

    return told


@pytest.fixture
def found(api, tell):
    tell(sighting(MACS[0]))
    (row,) = api.get("/v1/discoveries").json["items"]
    return f"/v1/discoveries/{row['id']}"


def macs(answer):
    return [row["mac"] for row in answer.json["items"]]


def test_without_strangers_the_list_is_empty(api, site):
    assert api.get("/v1/discoveries").json == {"items": [], "next": None, "dropped": 0}


def test_a_list_goes_on_page_by_page_the_newest_first(api, tell):
    tell(*(sighting(mac, at=1_000_000.0 + n) for n, mac in enumerate(MACS)))

    pages, cursor = [], ""
    while cursor is not None:
        page = api.get(f"/v1/discoveries?limit=2&cursor={cursor}")
        pages.append(macs(page))
        cursor = page.json["next"]

    assert pages == [MACS[:2:-1], MACS[2:0:-1], MACS[:1]]


def test_a_list_is_of_one_site_or_of_one_state(api, tell, found):
    other = api.made("/v1/sites", make.site(slug="ber-1"))
    tell(sighting(MACS[1]))
    api.post(f"{found}/ignore", {"reason": "a visitor"})

    assert macs(api.get("/v1/discoveries?state=new")) == [MACS[1]]
    assert macs(api.get("/v1/discoveries?state=ignored&siteId=ams-1")) == [MACS[0]]
    assert macs(api.get(f"/v1/discoveries?siteId={other['id']}")) == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("state=odd", 422),
        ("siteId=nowhere", 404),
        ("cursor=x", 422),
        ("cursor=WyIyMDI1LTAxLTAxIiwgIngiXQ==", 422),
        ("cursor=e30=", 422),
        ("limit=0", 422),
        ("odd=1", 422),
    ],
)
def test_a_list_that_cannot_be_is_refused(api, site, query, status):
    assert api.get(f"/v1/discoveries?{query}").status_code == status


def test_accepting_answers_with_the_machine(api, found):
    body = {
        "hostname": "node-77",
        "bmc": make.bmc(),
        "rootDisk": {"serial": "S7"},
        "labels": {"rack": "7"},
    }

    answer = api.post(f"{found}/accept", body)

    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/machines/{answer.json['id']}"
    assert answer.json == api.get("/v1/machines/node-77").json
    assert (answer.json["bmc"]["secretRef"], answer.json["rootDisk"]["serial"]) == ("env:BMC", "S7")
    (nic,) = answer.json["interfaces"]
    assert (nic["name"], nic["macAddress"], nic["pxeEnabled"]) == ("eth0", MACS[0], True)
    shown = api.get(found).json
    assert (shown["state"], shown["machineId"]) == ("accepted", answer.json["id"])
    assert [row["action"] for row in api.audit()[:2]] == ["discovery.accept", "machine.create"]


BAD = {
    "no name": ({}, 422, "/hostname"),
    "odd name": ({"hostname": "-"}, 422, "/hostname"),
    "name taken": ({"hostname": "node-01"}, 409, "/hostname"),
    "MAC of its own": ({"hostname": "n", "macAddress": MACS[1]}, 422, "/macAddress"),
    "odd architecture": ({"hostname": "n", "architecture": "vax"}, 422, "/architecture"),
    "password": (
        {"hostname": "n", "bmc": make.bmc(secretRef="hunter2")},
        422,
        "/bmc/secretRef",
    ),
    "disk of no name": ({"hostname": "n", "rootDisk": {}}, 422, "/rootDisk"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_a_bad_acceptance(api, site, found, refused, case):  # noqa: F811 - the fixture
    api.made("/v1/machines", make.machine(site["id"]))
    body, *refusal = case

    refused(f"{found}/accept", body, *refusal)

    assert api.get(found).json["state"] == "new"


def test_what_is_a_machine_already_is_refused_with_its_name(api, found):
    api.post(f"{found}/accept", {"hostname": "node-77"})

    for verb, body in (("accept", {"hostname": "node-78"}), ("ignore", {})):
        answer = api.post(f"{found}/{verb}", body)
        assert answer.status_code == 409
        assert "node-77" in answer.json["detail"]
        assert answer.json["errors"][0]["hint"] == "Look at it: sprout machines show node-77"


@pytest.mark.parametrize("verb", ["accept", "ignore"])
def test_what_was_never_found_is_not_found(api, site, verb):
    body = {"hostname": "n"} if verb == "accept" else {}

    assert api.post(f"/v1/discoveries/{uuid4()}/{verb}", body).status_code == 404
    assert api.post(f"/v1/discoveries/x/{verb}", body).status_code in {404, 422}
