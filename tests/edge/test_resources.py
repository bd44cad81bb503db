"""What is asked is done: records are made and found, verbs are promised."""

import re
from uuid import UUID

import pytest

from edge.api.sites import judged
from models import queries
from models.database import borrowed
from models.observations import Seen
from tests.edge import make
from tests.edge.make import interface
from tests.models import make as domain

pytestmark = pytest.mark.services


@pytest.fixture
def scene(api, site):
    api.made("/v1/networks", make.network(site["id"]))
    api.made("/v1/artifacts", make.artifact())
    api.made("/v1/images", make.image())
    api.made("/v1/profiles", make.profile())
    api.made("/v1/machines", make.machine(site["id"]))
    return site


@pytest.fixture
def agent(scene):
    with borrowed():
        return domain.Agent(UUID(scene["id"]))


RECORDS = {
    "networks": (make.network, ("name", "cidr", "rangeStart", "rangeEnd")),
    "artifacts": (lambda _: make.artifact(), ("ref", "name", "prefix")),
    "profiles": (lambda _: make.profile(), ("ref", "name", "cloudConfigTemplate")),
    "machines": (make.machine, ("hostname", "architecture")),
}


@pytest.mark.parametrize(("kind", "row"), RECORDS.items(), ids=RECORDS)
def test_what_was_made_is_found_where_the_answer_says(api, site, kind, row):
    build, fields = row
    body = build(site["id"])

    answer = api.post(f"/v1/{kind}", body)

    assert answer.status_code == 201
    found = api.get(answer.headers["Location"]).json
    assert found == answer.json
    assert {name: found[name] for name in fields} == {name: body[name] for name in fields}
    assert api.get(f"/v1/{kind}").json == {"items": [found], "next": None}


ANSWERS = {
    "poolStart": "10.77.0.100",
    "poolEnd": "10.77.0.199",
    "dhcpMode": "full",
    "ntp": ["10.77.0.1"],
    "search": ["rack.example"],
    "routes": [{"to": "10.9.0.0/16", "via": "10.77.0.2"}],
    "leaseS": 600,
    "answerRs": True,
    "loaders": {"uefi-x64": "shimx64.efi", "bios": "ipxe.pxe"},
}


def test_a_whole_number_may_be_written_as_json_likes(api, site):
    made = api.made("/v1/networks", make.network(site["id"], leaseS=600.0))

    assert made["leaseS"] == 600


@pytest.mark.parametrize(
    "loaders",
    [{"uefi-x64": "no-such.efi"}, {"toaster": "snponly.efi"}, {"uefi-x64": None}, ["snponly.efi"]],
)
def test_a_loader_that_nobody_serves_is_refused(api, site, loaders):
    refused = api.post("/v1/networks", make.network(site["id"], loaders=loaders))

    assert refused.status_code == 422
    assert refused.json["errors"][0]["pointer"].startswith("/loaders")


def test_a_network_says_how_dhcp_answers_there(api, site):
    made = api.made("/v1/networks", make.network(site["id"], **ANSWERS))

    assert ANSWERS.items() <= made.items()
    assert made["strangersBoot"] is False


def test_a_network_changes_in_what_is_named_alone(api, site):
    made = api.made("/v1/networks", make.network(site["id"], **ANSWERS, gateway="10.77.0.1"))

    body = {"version": 1, "gateway": None, "routes": [], "leaseS": 900}
    answer = api.patch(f"/v1/networks/{made['id']}", body)

    changed = {"gateway": None, "routes": [], "leaseS": 900, "version": 2}
    assert answer.status_code == 200
    assert answer.json == made | changed | {"updatedAt": answer.json["updatedAt"]}
    assert api.get(f"/v1/networks/{made['id']}").json == answer.json


def test_an_image_bears_what_it_was_made_of(api, scene):
    found = api.get("/v1/images/debian-12").json

    assert make.image().items() <= found.items()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("sites", "ams-1"),
        ("artifacts", "debian"),
        ("images", "debian-12"),
        ("profiles", "plain"),
        ("machines", "node-01"),
        ("machines", "NODE-01"),
    ],
)
def test_a_name_is_as_good_as_an_id(api, scene, kind, name):
    by_name = api.get(f"/v1/{kind}/{name}").json

    assert api.get(f"/v1/{kind}/{by_name['id']}").json == by_name


def test_a_machine_keeps_what_was_entered(api, site):
    entered = make.machine(
        site["id"],
        labels={"role": "worker"},
        memoryMib=4096,
        diskBytes=1 << 40,
        bmc=make.bmc(system="1", verifyTls=False),
        rootDisk={"serial": "S1", "wwn": "0x5", "minBytes": 1 << 30},
    )

    found = api.made("/v1/machines", entered)

    assert found["bmc"] == entered["bmc"] | {"protocol": "redfish"}
    assert {k: found[k] for k in ("labels", "memoryMib", "diskBytes", "rootDisk")} == {
        k: entered[k] for k in ("labels", "memoryMib", "diskBytes", "rootDisk")
    }
    (nic,) = found["interfaces"]
    assert (nic["name"], nic["macAddress"], nic["pxeEnabled"]) == ("eth0", make.MAC, True)
    assert (found["state"], found["phase"], found["power"]) == (
        "registered",
        "registered",
        "unknown",
    )


def test_an_interface_without_a_name_is_called_by_its_id(api, site):
    nic = {"id": "nic-1", "macAddress": make.MAC}

    found = api.made("/v1/machines", make.machine(site["id"], interfaces=[nic]))

    assert found["interfaces"][0]["name"] == "nic-1"


def test_the_agent_gets_the_bmc_in_the_words_that_it_reads(api, scene):
    with borrowed():
        kept = queries.machine("node-01")

    assert kept.bmc == {
        "protocol": "redfish",
        "address": "http://127.0.0.1:1",
        "system": "",
        "username": "admin",
        "secret_ref": "env:BMC",
        "verify": True,
    }


def test_lists_of_a_site_leave_others_out(api, scene):
    other = api.made("/v1/sites", make.site(slug="ber-1"))
    api.made("/v1/networks", make.network(other["id"]))
    nic = interface(macAddress="52:54:00:00:00:02")
    api.made("/v1/machines", make.machine(other["id"], interfaces=[nic]))

    for kind in ("networks", "machines"):
        (row,) = api.get(f"/v1/{kind}?siteId=ber-1").json["items"]
        assert row["siteId"] == other["id"]


def test_machines_come_page_by_page_each_once(api, site):
    for n in range(5):
        nic = interface(macAddress=f"52:54:00:00:00:0{n}")
        api.made("/v1/machines", make.machine(site["id"], hostname=f"n{n}", interfaces=[nic]))

    names, cursor = [], ""
    while cursor is not None:
        page = api.get(f"/v1/machines?limit=2&cursor={cursor}").json
        names.append([row["hostname"] for row in page["items"]])
        cursor = page["next"]

    assert names == [["n0", "n1"], ["n2", "n3"], ["n4"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=registered", 1),
        ("state=active", 0),
        ("search=NODE", 1),
        ("search=00:00:01", 1),
        ("search=%25", 0),
    ],
)
def test_machines_are_found_by_state_name_and_mac(api, scene, query, found):
    assert len(api.get(f"/v1/machines?{query}").json["items"]) == found


def test_the_audit_comes_page_by_page(api, scene):
    first = api.get("/v1/audit?limit=4").json
    second = api.get(f"/v1/audit?limit=4&cursor={first['next']}").json

    actions = [row["action"] for row in first["items"] + second["items"]]
    assert actions == [
        "machine.create",
        "profile.create",
        "image.create",
        "artifact.create",
        "network.create",
        "site.create",
    ]
    assert second["next"] is None


# --- sites ---


def test_a_site_that_nobody_serves_says_how_to_begin(api, site):
    health = api.get("/v1/sites/ams-1/health").json

    assert (health["status"], health["agents"]) == ("unserved", [])
    assert "sprout sites enrol" in health["detail"]


def test_a_served_site_is_healthy_and_names_its_agents(api, agent):
    health = api.get("/v1/sites/ams-1/health").json

    assert (health["status"], health["machines"]["registered"]) == ("healthy", 1)
    assert [each["hostname"] for each in health["agents"]] == ["boot-01"]
    assert api.get("/v1/sites/ams-1/agents").json["items"] == health["agents"]


def test_the_health_of_a_site_tells_what_its_canary_met(api, agent):
    finding = {"client": "x64", "what": "loader", "level": "failed", "detail": "did not come"}
    foreign = {"address": "10.77.0.9", "mac": "52:54:00:00:00:09", "offered": "", "file": ""}
    with borrowed():
        told = {"findings": [finding], "foreign": [foreign]}
        agent.report(Seen.SITE_CHECKED, None, data=told)

    health = api.get("/v1/sites/ams-1/health").json

    assert (health["status"], health["agents"][0]["check"]["ok"]) == ("degraded", False)
    assert "x64 loader: did not come" in health["detail"]
    assert health["agents"][0]["check"]["findings"] == [finding]
    assert health["agents"][0]["check"]["foreign"] == [foreign]


class Beat:
    def __init__(self, *, live, capabilities=(), checked=None, offset_ms=0, doubled=False):
        self.live, self.capabilities, self.checked = live, capabilities, checked
        self.hostname, self.clock_offset_ms, self.doubled = "boot-01", offset_ms, doubled


class Net:
    def __init__(self, dhcp_mode="reserved", purpose="provisioning"):
        self.name, self.dhcp_mode, self.purpose = "prov", dhcp_mode, purpose


@pytest.mark.parametrize(
    ("live", "status"),
    [([], "unserved"), ([True], "healthy"), ([True, False], "degraded"), ([False], "down")],
)
def test_a_site_is_as_healthy_as_its_agents(live, status):
    assert judged([Beat(live=each) for each in live], [])[0] == status


@pytest.mark.parametrize(
    ("agents", "network", "said"),
    [
        ([Beat(live=True)], Net(), True),
        ([Beat(live=True), Beat(live=False, capabilities=["dhcp"])], Net(), True),
        ([Beat(live=True, capabilities=["dhcp"])], Net(), False),
        ([Beat(live=True)], Net(dhcp_mode="off"), False),
        ([Beat(live=True)], Net(purpose="bmc"), False),
        ([Beat(live=False)], Net(), False),
    ],
)
def test_a_site_where_nobody_answers_dhcp_says_so_where_it_is_wanted(agents, network, said):
    _, detail = judged(agents, [network])

    assert ("SPROUT_DHCP_BIND_INTERFACE" in detail) is said


@pytest.mark.parametrize("live", [True, False])
def test_a_site_says_whose_clock_is_wrong_and_what_comes_of_it(live):
    status, detail = judged([Beat(live=live, offset_ms=-90_000)], [])

    said = "; the clock of boot-01 is 1.5 minutes behind control's, so that it is given no work"
    assert (status == "degraded", said in detail) == (live, live)


def test_a_site_says_whose_folder_was_copied():
    status, detail = judged([Beat(live=True, doubled=True)], [])

    assert (status, "two processes speak as agent boot-01" in detail) == ("degraded", True)


def test_an_enrolment_holds_what_an_agent_needs_and_is_audited(api, site):
    given = api.post("/v1/sites/ams-1/enrol").json

    assert given["site"] == site["id"]
    assert re.fullmatch(r"[0-9a-f]{64}", given["signingKey"])
    assert (given["broker"], given["edge"]) == ("postgres", "http://localhost")
    assert api.audit()[0]["action"] == "site.enrol"
    assert given["signingKey"] not in api.get("/v1/audit").text


# --- verbs ---

VERBS = {
    "commission": {},
    "provision": {"imageRef": "debian-12", "profileRef": "plain"},
    "power-on": {},
    "power-off": {},
    "reboot": {},
    "boot-source": {"bootSource": "pxe", "persistent": True},
    "image": {"eject": True},
}


@pytest.mark.parametrize(("verb", "body"), VERBS.items(), ids=VERBS)
def test_a_verb_is_recorded_and_promised(api, agent, verb, body):
    approved = {"machineId": "node-01", "action": verb, "decision": "approved"}
    approval = api.made("/v1/approvals", approved)

    answer = api.post(
        f"/v1/machines/node-01/{verb}",
        body | {"reason": "rack 4", "approvalId": approval["id"]},
        headers={"X-Request-Id": "ask-1"},
    )

    assert answer.status_code == 202
    flow = api.get(answer.headers["Location"]).json
    assert flow == answer.json
    assert (flow["kind"], flow["state"], flow["reason"]) == (verb, "running", "rack 4")
    assert (flow["requestedBy"], flow["requestId"]) == ("admin", "ask-1")
    assert next(step["state"] for step in flow["steps"]) == "running"
    assert api.get("/v1/workflows?machineId=node-01").json["items"] == [flow]
    assert api.get("/v1/machines/node-01").json["workflow"] == flow
    done = {row["action"] for row in api.audit() if row["outcome"] == "done"}
    assert f"machine.{verb}" in done


def test_a_body_may_be_left_out_where_nothing_must_be_said(api, agent):
    answer = api.post("/v1/machines/node-01/power-on", data=b"")

    assert answer.status_code == 202


def test_a_second_lifecycle_verb_waits_for_the_first(api, agent):
    api.post("/v1/machines/node-01/commission")

    answer = api.post("/v1/machines/node-01/provision", VERBS["provision"])

    assert (answer.status_code, answer.json["type"]) == (409, "/problems/illegal-transition")


def test_a_machine_that_a_packet_wakes_has_no_address_of_a_bmc(api):
    site = api.made("/v1/sites", make.site(slug="wol-1"))
    body = make.machine(site["id"], hostname="wol-01", bmc={"protocol": "wake-on-lan"})
    made = api.made("/v1/machines", body)

    found = api.get(f"/v1/machines/{made['id']}").json["bmc"]

    assert (found["protocol"], found["address"], found["secretRef"]) == ("wake-on-lan", "", "")


def test_a_cancelled_workflow_ends_and_its_machine_fails(api, agent):
    flow = api.post("/v1/machines/node-01/commission").json

    answer = api.post(f"/v1/workflows/{flow['id']}/cancel", {"reason": "wrong one"})

    assert (answer.status_code, answer.json["state"]) == (200, "cancelled")
    assert "wrong one" in answer.json["detail"]
    assert next(step["state"] for step in answer.json["steps"]) == "cancelled"
    assert api.get("/v1/machines/node-01").json["state"] == "failed"
    assert api.post(f"/v1/workflows/{flow['id']}/cancel").status_code == 409


def test_what_was_seen_is_told_in_order(api, agent):
    flow = api.post("/v1/machines/node-01/commission").json

    rows = api.get("/v1/machines/node-01/timeline").json["items"]
    later = api.get(f"/v1/machines/node-01/timeline?after={rows[0]['id']}").json["items"]
    events = api.get(f"/v1/workflows/{flow['id']}/events").json["items"]

    assert [row["kind"] for row in rows] == ["asked", "asked", "state-moved"]
    assert later == rows[1:]
    assert events == rows[1:]


def test_why_says_who_is_waited_for(api, agent):
    api.post("/v1/machines/node-01/commission")

    told = api.get("/v1/machines/node-01/why").json

    assert told["waiting"] is True
    assert "control" in told["sentence"]
    assert told["until"]


def test_addresses_are_listed_by_machine(api, scene):
    with borrowed():
        agent = domain.Agent(UUID(scene["id"]))
        view = queries.machine("node-01")
        flow = domain.asks.provision(
            domain.ADA, view.id, image_ref="debian-12", profile_ref="plain"
        )
        domain.walks.advance(flow, domain.render)

    (row,) = api.get("/v1/ip-allocations?machineId=node-01").json["items"]
    assert (row["address"], row["mac"], row["state"]) == ("10.77.0.10", make.MAC, "reserved")
    assert agent.site == view.site_id
    assert api.get("/v1/machines/node-01").json["address"] == "10.77.0.10"


def test_a_machine_may_have_a_loader_of_its_own(api, site):
    made = api.made("/v1/machines", make.machine(site["id"]))
    changed = api.patch(
        f"/v1/machines/{made['id']}", {"version": 1, "loaders": {"uefi-x64": "shimx64.efi"}}
    )

    assert made["loaders"] == {}
    assert changed.json["loaders"] == {"uefi-x64": "shimx64.efi"}
