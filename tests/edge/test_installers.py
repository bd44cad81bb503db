"""Images of installers by the API, and what is refused before a machine is switched on."""

from uuid import UUID

import pytest

from edge import wording
from models.database import borrowed
from tests.edge import make
from tests.models import make as domain

pytestmark = pytest.mark.services

UBUNTU = {
    "ref": "ubuntu",
    "installer": "autoinstall",
    "imagePath": None,
    "isoPath": "live.iso",
    "checksums": {"vmlinuz": "0" * 64, "initrd.img": "1" * 64, "live.iso": "2" * 64},
    "imageBytes": 2 << 30,
    "initrdBytes": 100 << 20,
}
PVE = UBUNTU | {"ref": "pve", "installer": "proxmox", "imageBytes": 1 << 30}
DEBIAN = {
    "ref": "debian",
    "installer": "preseed",
    "imagePath": None,
    "isoPath": None,
    "imageBytes": None,
}


def image(**more):
    return {name: value for name, value in make.image(**more).items() if value is not None}


@pytest.fixture
def machine(api, site):
    api.made("/v1/networks", make.network(site["id"]))
    api.made("/v1/artifacts", make.artifact())
    api.made("/v1/profiles", make.profile())
    made = api.made("/v1/machines", make.machine(site["id"], memoryMib=4096))
    with borrowed():
        domain.Agent(UUID(site["id"]))
    return made


def provision(api, **refs):
    asked = {"imageRef": "ubuntu", "profileRef": "plain"} | refs
    return api.post("/v1/machines/node-01/provision", asked)


@pytest.mark.parametrize("given", [UBUNTU, UBUNTU | {"olderMedia": True}, DEBIAN, PVE])
def test_an_image_of_an_installer_bears_what_it_was_made_of(api, machine, given):
    api.made("/v1/images", image(**given))

    found = api.get(f"/v1/images/{given['ref']}").json

    assert image(**given).items() <= found.items()
    assert found["olderMedia"] == given.get("olderMedia", False)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"installer": "kickstart"}, "/installer"),
        ({"isoPath": "../live.iso"}, "/isoPath"),
        ({"isoPath": "a;b"}, "/isoPath"),
        ({"imagePath": "disk.raw"}, "/imagePath"),
        ({"imageBytes": -1}, "/imageBytes"),
        ({"imageBytes": None}, "/imageBytes"),
        ({"initrdBytes": 2**63}, "/initrdBytes"),
        ({"olderMedia": "yes"}, "/olderMedia"),
        ({"checksums": {}}, "/checksums"),
        (DEBIAN | {"olderMedia": True}, "/olderMedia"),
    ],
)
def test_an_image_that_could_not_install_is_refused_by_field(api, machine, changes, pointer):
    answer = api.post("/v1/images", image(**UBUNTU | changes))

    assert answer.status_code == 422
    assert pointer in {each["pointer"] for each in answer.json["errors"]}


def test_a_machine_that_the_iso_would_fill_is_refused_with_the_cure(api, machine):
    api.made("/v1/images", image(**UBUNTU | {"imageBytes": 3 << 30}))

    answer = provision(api)

    assert (answer.status_code, answer.json["type"]) == (409, "/problems/not-ready")
    [error] = answer.json["errors"]
    assert error["pointer"] == "/imageRef"
    assert "takes 5008 MiB, and the machine has 4096 MiB" in str(answer.json)
    assert api.get("/v1/machines/node-01").json["state"] == "registered"


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("proxmox: 'a = ['", "no TOML"),
        ("proxmox: '[global]'\npackages: [jq]", "does not read"),
        ("proxmox: '[disk-setup]\n\n  filesystem = \"fat\"'", "disk-setup.filesystem"),
        ("proxmox: '[first-boot]\n\n  source = \"from-iso\"'", "first-boot is Sprout's to decide"),
    ],
)
def test_a_profile_that_no_host_could_be_given_is_refused_at_once(api, machine, template, why):
    given = make.profile(ref="own", cloudConfigTemplate=f"#cloud-config\n{template}")

    answer = api.post("/v1/profiles", given)

    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/cloudConfigTemplate"
    assert why in str(answer.json)


@pytest.mark.parametrize(
    ("template", "of_image", "fault"),
    [
        ("autoinstall: {version: 1}", DEBIAN, ("/profileRef", "is for the installer autoinstall")),
        ("preseed: d-i a/b string c", UBUNTU, ("/profileRef", "is for the installer preseed")),
        (
            "autoinstall: {storage: {config: [{type: disk, id: d, serial: S9}]}}",
            UBUNTU,
            ("/profileRef", "Leave serial, wwn, path and match out of one disk"),
        ),
        ("{% if mac == '52:54:00:00:00:01' %}[{% endif %}", UBUNTU, ("/profileRef", "no YAML")),
        ("proxmox: ''", PVE, ("/profileRef", "exactly one of root-password")),
        ("proxmox: ''", UBUNTU, ("/profileRef", "is for the installer proxmox")),
        ("{}", UBUNTU | {"kernelArgs": ["a;b"]}, ("/imageRef", "cannot be a kernel argument")),
    ],
)
def test_what_would_not_render_for_this_machine_is_refused(api, machine, template, of_image, fault):
    api.made("/v1/images", image(**of_image))
    api.made(
        "/v1/profiles", make.profile(ref="own", cloudConfigTemplate=f"#cloud-config\n{template}")
    )

    answer = provision(api, imageRef=of_image["ref"], profileRef="own")

    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == fault[0]
    assert fault[1] in str(answer.json)
    assert api.get("/v1/machines/node-01").json["state"] == "registered"


@pytest.mark.parametrize("given", [UBUNTU, DEBIAN], ids=lambda given: given["ref"])
def test_what_fits_is_promised(api, machine, given):
    api.made("/v1/images", image(**given))

    assert provision(api, imageRef=given["ref"]).status_code == 202


def test_references_that_name_nothing_are_the_verbs_to_refuse(api, machine):
    answer = provision(api)

    assert answer.json["errors"][0]["pointer"] == "/imageRef"
    assert answer.json["type"] == "/problems/unknown-reference"


def test_a_profile_is_tried_by_its_installer_when_it_is_saved(api):
    body = make.profile(cloudConfigTemplate="#cloud-config\nautoinstall: {late-command: [x]}\n")

    answer = api.post("/v1/profiles", body)

    assert answer.status_code == 422
    assert "late-command is no key of autoinstall" in str(answer.json)


@pytest.mark.parametrize(
    ("kind", "said"),
    [("install-started", "The installer reports: preseed"), ("installed", "installed by preseed")],
)
def test_a_timeline_says_that_an_installer_reported_and_not_the_deploy_kernel(kind, said):
    assert said in wording.sentence(kind, {"installer": "preseed"})
    assert said not in wording.sentence(kind, {"disk": "S1", "written": 1})
