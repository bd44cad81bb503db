"""/api/hosts: machines with a server type, through the same door as all else."""

import os
import tomllib
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from actors.control import rendering
from models.commands import hosts, joins, providing, root_password, server_types, walks
from models.database import borrowed
from models.steps import Trait
from models.tables import Agent, Machine, Plan, Run, Workflow
from tests.edge import make
from tests.edge.conftest import Api, config, create_app
from tests.models import make as scene

pytestmark = pytest.mark.services

TYPES = """
ms-01:
  display_name: MS-01
  boot_disk: /dev/nvme0n1
  management_nic: enp2s0
um790:
  display_name: UM790
  boot_disk: /dev/nvme0n1
  management_nic: enp1s0
  wake_on_lan: true
"""
X9 = """
x9:
  display_name: X9
  boot_disk: sda
  management_nic: eno1
  boot: overlay
"""
HOST = {"hostname": "pve-01", "mac": "52:54:00:aa:00:01", "server_type": "ms-01"}


def write(path, text, second=0):
    """Write *text* as if it had been there for a while; each *second* is another change."""
    path.write_text(text)
    os.utime(path, (1_000_000 + second, 1_000_000 + second))
    return path


@pytest.fixture
def types(tmp_path):
    path = write(tmp_path / "server-types.yaml", TYPES)
    server_types.follow_file(path)
    yield path
    server_types.follow_file(None)


@pytest.fixture
def host(api, site, types):
    return api.made("/api/hosts", HOST)


def pointers(answer):
    return [fault["pointer"] for fault in answer.json["errors"]]


def test_a_host_is_a_machine_with_a_server_type(api, host):
    machine = api.get(f"/v1/machines/{host['id']}").json

    assert {k: host[k] for k in HOST} == HOST
    assert (host["state"], host["operation"], host["ip"]) == ("registered", None, None)
    assert (machine["hostname"], machine["architecture"]) == ("pve-01", "x86_64")
    assert [(i["name"], i["pxeEnabled"]) for i in machine["interfaces"]] == [("enp2s0", True)]
    assert machine["bmc"] is None


def test_where_the_server_type_says_so_a_packet_wakes_it(api, site, types):
    host = api.made("/api/hosts", HOST | {"server_type": "um790"})

    assert api.get(f"/v1/machines/{host['id']}").json["bmc"]["protocol"] == "wake-on-lan"


def test_hosts_are_listed_and_other_machines_are_not(api, site, host):
    api.made("/v1/machines", make.machine(site["id"]))

    listed = api.get("/api/hosts").json

    assert listed == {"next": None, "items": [host]}
    assert api.get("/api/hosts/pve-01").json == host
    assert api.get("/api/hosts/node-01").status_code == 404
    assert api.get("/api/hosts?search=pve-9").json["items"] == []


TAKEN = [
    ({"hostname": "PVE-01", "mac": "52:54:00:aa:00:02"}, ["/hostname"]),
    ({"hostname": "pve-02", "mac": "52-54-00-AA-00-01"}, ["/mac"]),
    ({"hostname": "Pve-01", "mac": "525400AA0001"}, ["/hostname", "/mac"]),
    ({"hostname": "PVE-01.lab.example", "mac": "52:54:00:aa:00:02"}, ["/hostname"]),
]


def test_a_name_in_any_case_or_a_mac_that_is_taken_is_told_at_its_field(api, host):
    answers = [api.post("/api/hosts", HOST | more) for more, _ in TAKEN]

    assert [each.json["type"] for each in answers] == ["/problems/taken"] * len(TAKEN)
    assert [pointers(each) for each in answers] == [wrong for _, wrong in TAKEN]
    assert len(api.get("/api/hosts").json["items"]) == 1


def test_names_with_domains_are_those_of_one_node_of_a_cluster_or_of_two(api, site, types):
    api.made("/api/hosts", HOST | {"hostname": "pve-01.lab.example"})
    api.made("/v1/machines", make.machine(site["id"], hostname="other"))

    same = api.post("/api/hosts", HOST | {"hostname": "pve-01", "mac": "52:54:00:aa:00:02"})
    other = api.post("/api/hosts", HOST | {"hostname": "pve-010", "mac": "52:54:00:aa:00:02"})

    assert (same.status_code, pointers(same)) == (409, ["/hostname"])
    assert other.status_code == 201


WRONG = [
    ({"hostname": "pve_01"}, "/hostname"),
    ({"hostname": ""}, "/hostname"),
    ({"hostname": "a" * 254}, "/hostname"),
    ({"hostname": "pve-01\n"}, "/hostname"),
    ({"hostname": "42"}, "/hostname"),
    ({"hostname": "042.lab.example"}, "/hostname"),
    ({"hostname": "-pve"}, "/hostname"),
    ({"hostname": "$(reboot)"}, "/hostname"),
    ({"hostname": "../../etc"}, "/hostname"),
    ({"mac": "52:54:00:aa:00"}, "/mac"),
    ({"mac": "01:00:5e:00:00:01"}, "/mac"),
    ({"mac": None}, "/mac"),
    ({"mac": ["52:54:00:aa:00:01"]}, "/mac"),
    ({"server_type": "cray-1"}, "/server_type"),
    ({"server_type": "x\x00"}, "/server_type"),
    ({"serverType": "ms-01"}, "/serverType"),
]


def test_a_host_that_cannot_be_is_refused_at_its_field(api, site, types):
    answers = [api.post("/api/hosts", HOST | more) for more, _ in WRONG]

    assert [each.status_code for each in answers] == [422] * len(WRONG)
    assert [pointers(each) for each in answers] == [[wrong] for _, wrong in WRONG]
    assert api.get("/api/hosts").json["items"] == []


def test_the_same_key_registers_a_host_once(api, site, types):
    once = {"Idempotency-Key": "pve-01-once"}

    first, again = (api.post("/api/hosts", HOST, headers=once) for _ in range(2))

    assert (first.status_code, first.json) == (again.status_code, again.json)
    assert len(api.get("/api/hosts").json["items"]) == 1


def test_without_a_site_or_with_several_it_is_said_what_to_do(api, types):
    none = api.post("/api/hosts", HOST)
    for slug in ("ams-1", "ber-1"):
        api.made("/v1/sites", make.site(slug=slug))
    many = api.post("/api/hosts", HOST)

    assert [none.json["type"], many.json["type"]] == ["/problems/not-ready"] * 2
    assert "SPROUT_SITE_ID" in many.json["errors"][0]["hint"]


def test_of_several_sites_the_configured_one_is_taken(api, types, database_url):
    for slug in ("ams-1", "ber-1"):
        api.made("/v1/sites", make.site(slug=slug))

    told = Api(create_app(config(database_url=database_url, site="ber-1")))

    assert told.made("/api/hosts", HOST)["site"] == "ber-1"


def test_a_host_that_was_never_built_is_forgotten(api, host):
    gone = api.delete(f"/api/hosts/{host['id']}")

    assert (gone.status_code, gone.json) == (200, host)
    assert api.get(f"/api/hosts/{host['id']}").status_code == 404
    assert [row["action"] for row in api.audit()[:2]] == ["machine.delete", "machine.create"]


def test_what_was_refused_is_written_down(api, host):
    api.post("/api/hosts", HOST)

    row = api.audit()[0]

    assert (row["action"], row["outcome"]) == ("host.create", "refused")
    assert row["data"]["pointers"] == ["/hostname", "/mac"]


def test_a_rebuild_without_an_image_says_what_is_missing(api, host):
    answer = api.post("/api/hosts/pve-01/rebuild")

    assert (answer.status_code, answer.json["type"]) == (409, "/problems/not-ready")
    assert answer.json["detail"] == "there is no Proxmox image"


def test_the_profile_of_hosts_is_made_at_the_first_rebuild_and_kept(api, site, host, monkeypatch):
    monkeypatch.setattr(hosts.choice, "__kwdefaults__", {"installer": "image"})
    api.made("/v1/artifacts", make.artifact())
    api.made("/v1/images", make.image())

    for _ in range(2):
        api.post("/api/hosts/pve-01/rebuild")

    (profile,) = api.get("/v1/profiles").json["items"]
    assert (profile["ref"], profile["version"]) == ("proxmox", 1)
    assert profile["cloudConfigTemplate"].startswith("#cloud-config\nproxmox: |\n  [global]\n")


def test_a_host_whose_server_type_is_gone_is_not_rebuilt(api, host, types):
    types.unlink()
    server_types.follow_file(write(types, TYPES.replace("ms-01:", "ms-02:")))

    answer = api.post("/api/hosts/pve-01/rebuild")

    assert answer.status_code == 422
    assert answer.json["detail"] == "there is no server type ms-01"


def iso_image(ref):
    sums = {"vmlinuz": "0" * 64, "initrd.img": "1" * 64, "proxmox.iso": "2" * 64}
    iso = {"installer": "proxmox", "isoPath": "proxmox.iso", "checksums": sums}
    return {k: v for k, v in make.image(ref=ref).items() if k != "imagePath"} | iso


@pytest.fixture
def proxmox(api, site, host):
    """A host without a BMC, at a site that can install Proxmox VE on it."""
    root_password.choose("$6$of-the-settings$hash")
    api.made("/v1/networks", make.network(site["id"]))
    api.made("/v1/artifacts", make.artifact())
    api.made("/v1/images", iso_image("pve"))
    with borrowed():
        scene.Agent(UUID(site["id"]), capabilities=("http",))
    yield host
    root_password.choose("")


def test_a_host_with_three_words_is_rebuilt_with_proxmox_and_told_its_answer(api, proxmox):
    begun = api.post("/api/hosts/pve-01/rebuild")
    with borrowed():
        walks.advance(UUID(begun.json["id"]), rendering.documents)
        answer = next(
            tomllib.loads(document["body"])
            for document in Plan.get().body["documents"]
            if "toml" in document["media_type"]
        )
    flow = api.get(f"/v1/workflows/{begun.json['id']}")

    assert begun.status_code == 202, begun.json
    assert answer["global"]["root-password-hashed"] == "$6$of-the-settings$hash"
    assert answer["disk-setup"]["disk-list"] == ["/dev/nvme0n1"]
    assert flow.json["params"]["hardware"]["management_nic"] == "enp2s0"
    assert "of-the-settings" not in flow.text
    assert api.get("/api/hosts/pve-01").json["state"] == "pxe_ready"


def test_a_host_whose_firmware_cannot_carry_the_iso_is_booted_with_what_fetches_it(
    api, proxmox, types
):
    server_types.follow_file(write(types, TYPES + X9))
    other = {"hostname": "pve-02", "mac": "52:54:00:aa:00:02", "server_type": "x9"}
    api.made("/api/hosts", other)
    scripts = {}
    for name in ("pve-01", "pve-02"):
        begun = api.post(f"/api/hosts/{name}/rebuild")
        with borrowed():
            walks.advance(UUID(begun.json["id"]), rendering.documents)
            host = api.get(f"/api/hosts/{name}").json
            body = Plan.get(Plan.machine_id == host["id"]).body
        scripts[name] = {each["name"]: each["body"] for each in body["documents"]}

    for document in ("script", "script.grub"):
        usual, other = (scripts[name][document] for name in ("pve-01", "pve-02"))
        assert "proxmox.iso" in usual
        assert ("proxmox.iso" in other, "rdinit=/pxe-init" in other) == (False, True)
        assert "/pxe-init.cpio" in other


def test_what_a_server_type_tells_the_installer_alone_is_shown_to_nobody(api, proxmox, types):
    answer = """
  answer: |
    [global]
    root-password-hashed = "$6$of-the-type$hash"
    subscription-key = "pve2c-0123456789"
"""
    write(types, TYPES.replace("management_nic: enp2s0\n", f"management_nic: enp2s0{answer}"))
    server_types.follow_file(types)
    flow = api.post("/api/hosts/pve-01/rebuild").json["id"]
    with borrowed():
        walks.advance(UUID(flow), rendering.documents)
        told = str(Plan.get().body)
    ways = (
        *(f"/v1/workflows/{flow}", "/v1/workflows", "/api/hosts/pve-01", "/v1/machines/pve-01"),
        *(
            "/v1/machines",
            "/v1/audit",
            "/v1/events",
            f"/workflows/{flow}",
            f"/machines/{proxmox['id']}",
        ),
    )

    answers = {path: api.get(path) for path in ways}

    assert ("$6$of-the-type$hash" in told, "pve2c-0123456789" in told) == (True, True)
    assert {path: each.status_code for path, each in answers.items()} == dict.fromkeys(ways, 200)
    shown = [p for p, each in answers.items() if "of-the-type" in each.text or "pve2c" in each.text]
    assert shown == []
    assert answers[ways[0]].json["params"]["hardware"]["boot_disk"] == "/dev/nvme0n1"


@pytest.mark.parametrize(("scheme", "pinned"), [("https", 4), ("http", 0)])
def test_a_certificate_before_boot_http_is_pinned_by_what_its_site_says(
    api, proxmox, scheme, pinned
):
    pin = ":".join(["AB"] * 32)
    told = {"boot_base_url": f"{scheme}://boot.example", "boot_cert_fingerprint": pin}
    with borrowed():
        Agent.update(advertise=told).execute()

    flow = api.post("/api/hosts/pve-01/rebuild").json["id"]

    with borrowed():
        walks.advance(UUID(flow), rendering.documents)
        documents = {each["name"]: each["body"] for each in Plan.get().body["documents"]}
    found = [name for name, text in documents.items() if pin in text]
    assert len(found) == pinned, found


def test_of_two_images_the_default_is_installed_and_without_one_nothing_is(api, proxmox):
    api.made("/v1/images", iso_image("pve-2"))

    refused = api.post("/api/hosts/pve-01/rebuild")
    api.patch("/v1/images/pve-2", {"version": 1, "isDefault": True})
    begun = api.post("/api/hosts/pve-01/rebuild")

    assert (refused.status_code, refused.json["type"]) == (409, "/problems/not-ready")
    assert "sprout images update" in refused.json["errors"][0]["hint"]
    assert begun.status_code == 202
    flow = api.get(f"/v1/workflows/{begun.json['id']}").json
    assert flow["params"]["image"] == "pve-2"


def test_a_rebuild_ends_by_what_is_set_for_hosts(api, proxmox):
    providing.choose((), "rack.example", hosts=[Trait.CLUSTER, Trait.INFRASTRUCTURE])
    try:
        begun = api.post("/api/hosts/pve-01/rebuild").json
    finally:
        providing.choose((), "provisioning.sprout.local")

    steps = api.get(f"/v1/workflows/{begun['id']}").json["steps"]
    assert [step["name"] for step in steps][-4:] == [
        "phoned-home",
        "joined",
        "registered",
        "active",
    ]


def test_a_host_is_shown_where_its_first_boot_said_that_it_is_and_with_its_hardware(api, proxmox):
    begun = api.post("/api/hosts/pve-01/rebuild").json
    with borrowed():
        walks.advance(UUID(begun["id"]), rendering.documents)
        Run.update(home_address="10.9.0.7", hardware_id="4C4C4544-0042").execute()
        planned = api.get("/api/hosts/pve-01").json
        Machine.update(state="active", phase="ready").execute()

    (host,) = api.get("/api/hosts").json["items"]

    assert (planned["ip"], planned["hardware_id"]) == ("10.77.0.10", "4C4C4544-0042")
    assert (host["ip"], host["hardware_id"]) == ("10.9.0.7", "4C4C4544-0042")
    assert host == api.get("/api/hosts/pve-01").json


@pytest.mark.parametrize(
    ("system", "known"),
    [({"uuid": "4c4c", "serial": "SN-7"}, "4c4c"), ({"serial": "SN-7"}, "SN-7"), ({}, None)],
)
def test_before_its_first_boot_a_host_has_the_hardware_id_that_its_bmc_told(
    api, host, system, known
):
    with borrowed():
        Machine.update(facts={"system": system}).execute()
        machine, flow = Machine.get(), Workflow(run_id=None)
        told = joins.to_register(machine, flow, "")

    assert api.get("/api/hosts/pve-01").json["hardware_id"] == known
    assert told["hardware_id"] == (known or HOST["mac"])


def test_without_a_root_password_no_rebuild_begins(api, proxmox):
    root_password.choose("")

    refused = api.post("/api/hosts/pve-01/rebuild")

    assert (refused.status_code, "root-password" in refused.text) == (422, True)
    assert api.get("/api/hosts/pve-01").json["state"] == "registered"


@pytest.fixture
def buildable(api, site, host, monkeypatch):
    """A host that an installer of this version can be asked to rebuild, at a site that can."""
    monkeypatch.setattr(hosts.choice, "__kwdefaults__", {"installer": "image"})
    api.made("/v1/networks", make.network(site["id"]))
    api.made("/v1/artifacts", make.artifact())
    api.made("/v1/images", make.image())
    api.made("/v1/profiles", make.profile(ref="proxmox"))
    disk = {"version": 1, "rootDisk": {"serial": "S1"}}
    assert api.patch(f"/v1/machines/{host['id']}", disk).status_code == 200
    with borrowed():
        scene.Agent(UUID(site["id"]), capabilities=("http",))
    return host


def test_a_rebuild_is_a_provision_workflow_of_the_machine(api, buildable):
    begun = api.post("/api/hosts/pve-01/rebuild", {"reason": "new disk"})

    flow = api.get(f"/v1/workflows/{begun.json['id']}").json
    shown = api.get("/api/hosts/pve-01").json
    assert (begun.status_code, begun.headers["Location"]) == (202, f"/v1/workflows/{flow['id']}")
    assert (flow["kind"], flow["machineId"], flow["reason"]) == (
        "provision",
        buildable["id"],
        "new disk",
    )
    assert (shown["state"], shown["operation"]["id"]) == ("pxe_ready", flow["id"])
    assert flow["params"]["profile"] == "proxmox"


def test_a_host_that_is_being_rebuilt_is_not_rebuilt_again(api, buildable):
    begun = api.post("/api/hosts/pve-01/rebuild").json

    again = api.post("/api/hosts/pve-01/rebuild")

    assert (again.status_code, again.json["type"]) == (409, "/problems/illegal-transition")
    assert again.json["detail"].endswith(f": the operation {begun['id']} holds it")
    assert again.json["errors"][0]["hint"] == "From pxe_ready it can: cancel."


def test_of_rebuilds_that_are_asked_at_once_one_begins_and_the_others_name_it(app, api, buildable):
    def rebuilt(_):
        return Api(app).post("/api/hosts/pve-01/rebuild")

    with ThreadPoolExecutor(4) as callers:
        answers = list(callers.map(rebuilt, range(4)))

    [begun] = [each.json["id"] for each in answers if each.status_code == 202]
    refused = [each for each in answers if each.status_code != 202]
    assert [each.status_code for each in refused] == [409] * 3
    assert all(f"the operation {begun} holds it" in each.json["detail"] for each in refused)


def test_a_host_that_an_operation_holds_is_not_forgotten_and_it_is_named(api, buildable):
    begun = api.post("/api/hosts/pve-01/rebuild").json

    held = api.delete("/api/hosts/pve-01")

    assert held.status_code == 409
    assert f"the operation {begun['id']} holds it" in held.json["detail"]


def test_a_rebuild_that_is_cancelled_fails_the_host_and_frees_it(api, buildable):
    begun = api.post("/api/hosts/pve-01/rebuild").json
    api.post(f"/v1/workflows/{begun['id']}/cancel")

    failed = api.get("/api/hosts/pve-01").json
    again = api.post("/api/hosts/pve-01/rebuild")

    assert (failed["state"], failed["operation"]["state"]) == ("failed", "cancelled")
    assert again.status_code == 202


def test_a_host_that_failed_is_forgotten_too(api, buildable):
    begun = api.post("/api/hosts/pve-01/rebuild").json
    held = api.delete("/api/hosts/pve-01")
    api.post(f"/v1/workflows/{begun['id']}/cancel")

    gone = api.delete("/api/hosts/pve-01")

    assert (held.status_code, gone.status_code) == (409, 200)
    assert api.get("/api/hosts").json["items"] == []


def test_the_default_image_moves_from_one_to_the_next(api):
    api.made("/v1/artifacts", make.artifact())
    api.made("/v1/images", make.image(ref="one", isDefault=True))
    two = api.made("/v1/images", make.image(ref="two"))

    api.patch(f"/v1/images/{two['id']}", {"version": 1, "isDefault": True})

    images = {each["ref"]: each for each in api.get("/v1/images").json["items"]}
    assert {ref: each["isDefault"] for ref, each in images.items()} == {"one": False, "two": True}
    assert images["one"]["version"] == 2


def test_a_file_that_becomes_bad_leaves_the_last_good_one_in_force_and_the_page_says_so(
    api, site, types, monkeypatch
):
    monkeypatch.setattr("config.policy._LOOK_S", 0.0)
    monkeypatch.setattr("edge.health.FRESH_S", 0.0)
    api.made("/api/hosts", HOST)
    write(types, TYPES.replace("boot_disk", "boot_disc"), second=1)

    made = api.post("/api/hosts", HOST | {"hostname": "pve-02", "mac": "52:54:00:aa:00:02"})
    page, health = api.get("/").text, api.get("/readyz").json["checks"]["serverTypes"]

    assert made.status_code == 201
    assert "The file of server types is not in force: ms-01.boot_disk" in page
    assert (health["ok"], health["detail"].endswith("; the 2 of before are still in force")) == (
        False,
        True,
    )


def test_a_file_that_changes_is_taken_over_without_a_restart(api, site, types, monkeypatch):
    monkeypatch.setattr("config.policy._LOOK_S", 0.0)
    new = HOST | {"server_type": "ms-02"}
    before = api.post("/api/hosts", new).status_code

    write(types, TYPES.replace("ms-01:", "ms-02:"), second=1)

    assert (before, api.post("/api/hosts", new).status_code) == (422, 201)


def test_a_file_that_was_never_good_refuses_hosts_and_nothing_else(api, site, types, monkeypatch):
    server_types.follow_file(write(types, "ms-01: {}", second=1))

    refused = api.post("/api/hosts", HOST)

    assert (refused.status_code, refused.json["type"]) == (409, "/problems/not-ready")
    assert "ms-01.display_name" in refused.json["detail"]
    assert "The file of server types is not in force: " in api.get("/").text
    assert api.get("/api/hosts").status_code == 200


def test_of_two_who_register_the_same_host_at_once_one_does(app, site, types):
    def registered(_):
        return Api(app).post("/api/hosts", HOST)

    with ThreadPoolExecutor(4) as callers:
        answers = list(callers.map(registered, range(4)))

    refused = [each for each in answers if each.status_code != 201]
    assert [each.status_code for each in refused] == [409] * 3
    assert all(set(pointers(each)) <= {"/hostname", "/mac"} and pointers(each) for each in refused)


def test_a_host_that_is_ready_is_not_forgotten_before_it_is_released(api, host):
    with borrowed():
        Machine.update(state="active", phase="ready").execute()

    refused = api.delete("/api/hosts/pve-01")

    assert (api.get("/api/hosts/pve-01").json["state"], refused.status_code) == ("ready", 409)
    assert refused.json["errors"][0]["hint"].startswith("Release it first")


def test_the_roles_table_judges_hosts_too(app, api, site, host):
    made = api.made(
        "/v1/api-tokens", {"name": "looks", "role": "viewer", "sites": ["ams-1"], "days": 1}
    )
    viewer = Api(app, made["token"])

    assert viewer.get("/api/hosts/pve-01").status_code == 200
    for refused in (
        viewer.post("/api/hosts", HOST),
        viewer.post("/api/hosts/pve-01/rebuild"),
        viewer.delete("/api/hosts/pve-01"),
    ):
        assert (refused.status_code, refused.json["type"]) == (403, "/problems/denied")
