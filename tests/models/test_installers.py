"""Images of distributions' installers: judged, refused before power, led through their table."""

import pytest

from models import installers, queries
from models.commands import asks, catalogue, inventory
from models.errors import Invalid, NotReady
from models.installers import Installer
from models.observations import Seen
from models.steps import Trait
from models.tables import Machine, Plan, Workflow
from models.workflows import TABLES, table_of
from tests.models import make

services = pytest.mark.services

UBUNTU = {
    "installer": "autoinstall",
    "image_path": "",
    "iso_path": "live.iso",
    "checksums": {"vmlinuz": "0" * 64, "initrd.img": "1" * 64, "live.iso": "2" * 64},
    "image_bytes": 2 << 30,
    "initrd_bytes": 100 << 20,
}
DEBIAN = {
    "installer": "preseed",
    "image_path": "",
    "checksums": {"vmlinuz": "0" * 64, "initrd.img": "1" * 64},
    "image_bytes": 0,
}


def judged(**changes):
    columns = {"name": "x", "kernel_path": "vmlinuz", "initrd_path": "initrd.img"}
    columns |= {"image_path": "", "iso_path": "", "image_bytes": 0, "initrd_bytes": 0}
    columns |= {"older_media": False, "checksums": {}, "kernel_args": []}
    return catalogue.judged_image(columns | changes)


@pytest.mark.parametrize("given", [UBUNTU, DEBIAN, UBUNTU | {"older_media": True}])
def test_an_image_with_all_that_its_installer_wants_may_be(given):
    assert judged(**given)["installer"] == given["installer"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (UBUNTU | {"iso_path": "../x"}, "/isoPath"),
        (UBUNTU | {"iso_path": "a b"}, "/isoPath"),
        (UBUNTU | {"image_path": "disk.raw"}, "/imagePath"),
        (UBUNTU | {"image_bytes": 0}, "/imageBytes"),
        (UBUNTU | {"checksums": DEBIAN["checksums"]}, "/checksums"),
        (DEBIAN | {"iso_path": "live.iso"}, "/isoPath"),
        (DEBIAN | {"checksums": {}}, "/checksums"),
        (DEBIAN | {"older_media": True}, "/olderMedia"),
        (UBUNTU | {"installer": "proxmox", "older_media": True}, "/olderMedia"),
        ({"installer": "image", "iso_path": "live.iso"}, "/isoPath"),
    ],
)
def test_an_image_that_its_installer_cannot_use_is_refused_by_field(changes, field):
    with pytest.raises(Invalid) as caught:
        judged(**changes)

    assert caught.value.field == field
    assert caught.value.hint


def test_memory_is_judged_by_what_is_loaded_into_it():
    gib = 1 << 30
    need = installers.memory_mib("autoinstall", medium_bytes=2 * gib, initrd_bytes=100 << 20)

    assert need == 1536 + 2048 + 400
    assert installers.memory_mib("preseed", medium_bytes=0, initrd_bytes=0) == 512 + 512
    assert installers.memory_mib("image", medium_bytes=gib, initrd_bytes=0) is None


def test_proxmox_is_installed_from_memory_and_so_never_with_less_than_four_gib():
    mib, gib = 1 << 20, 1 << 30

    assert installers.memory_mib("proxmox", medium_bytes=100 * mib, initrd_bytes=50 * mib) == 4096
    assert (
        installers.memory_mib("proxmox", medium_bytes=2 * gib, initrd_bytes=100 * mib)
        == 1024 + 2 * 2048 + 4 * 100
    )


@pytest.mark.parametrize("known", [None, 4096, 8192])
def test_memory_that_suffices_or_is_not_known_stops_nobody(known):
    installers.demand_memory("u", 4096, known)


def test_too_little_memory_is_refused_with_the_cure():
    with pytest.raises(NotReady, match="takes 4096 MiB, and the machine has 4095 MiB") as caught:
        installers.demand_memory("u", 4096, 4095)

    assert caught.value.field == "/imageRef"


@pytest.mark.parametrize("kind", [kind for kind, table in TABLES.items() if table.begins])
def test_each_table_with_and_without_an_installer_names_its_steps_once(kind):
    for traits in ((), (Trait.INSTALLER,)):
        names = [step.name for step in table_of(kind, traits).steps]
        assert len(names) == len(set(names))


def test_an_installer_has_longer_for_the_same_steps():
    written, installed = (
        {step.name: step.deadline_s for step in table_of(kind, traits).steps}
        for kind, traits in (("provision", ()), ("provision", (Trait.INSTALLER,)))
    )

    assert list(written) == list(installed)
    longer = {name for name in written if installed[name] > written[name]}
    assert longer == {"installing", "installed"}


@pytest.fixture
def scene(db):
    return make.Scene()


@services
@pytest.mark.parametrize("given", [UBUNTU, DEBIAN], ids=lambda given: given["installer"])
def test_an_installers_reports_lead_a_machine_to_active(scene, given):
    scene.image = make.image("other", **given)

    flow = scene.provision()
    scene.powered(flow)
    scene.boots(Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED, Seen.PHONED_HOME)

    assert scene.view.state.value == "active"
    assert Workflow.get_by_id(flow).params["traits"] == ["installer"]


@services
def test_a_plan_carries_the_iso_with_its_size_and_checksum(scene):
    scene.image = make.image("ubuntu", **UBUNTU)

    scene.provision()

    files = {each["role"]: each for each in Plan.get().body["files"]}
    assert files.keys() == {"kernel", "initrd", "iso"}
    iso = {"role": "iso", "path": "debian/live.iso", "sha256": "2" * 64, "size": 2 << 30}
    assert files["iso"] == iso


@services
def test_a_machine_with_too_little_memory_is_refused_before_anything_is_written(scene):
    image = make.image("ubuntu", **UBUNTU)
    machine = make.machine(
        scene.site, "small", [make.interface("52:54:00:00:00:02")], memory_mib=2048
    )

    with pytest.raises(NotReady, match="2048 MiB"):
        asks.provision(make.ADMIN, machine, image_ref=image, profile_ref=scene.profile)

    assert queries.machine(machine).state.value == "registered"
    assert not Workflow.select().exists()


@services
@pytest.mark.parametrize(("iso_gib", "known_mib", "need_mib"), [(1, 4095, 4096), (2, 5519, 5520)])
def test_a_host_is_known_to_be_too_small_for_an_iso_before_it_is_powered_on(
    scene, iso_gib, known_mib, need_mib
):
    given = {**UBUNTU, "installer": "proxmox", "image_bytes": iso_gib << 30}
    Machine.update(found_memory_mib=known_mib).execute()

    with pytest.raises(NotReady, match=f"takes {need_mib} MiB, and .* has {known_mib} MiB"):
        asks.provision(
            make.ADMIN,
            scene.machine,
            image_ref=make.image("pve", **given),
            profile_ref=scene.profile,
        )

    assert not Workflow.select().exists()


@services
def test_memory_that_was_found_counts_more_than_what_somebody_entered(scene):
    image = make.image("ubuntu", **UBUNTU)
    Machine.update(memory_mib=2048, found_memory_mib=65536).execute()
    asked = {"image_ref": image, "profile_ref": scene.profile}

    assert asks.provision(make.ADMIN, scene.machine, **asked)

    Machine.update(memory_mib=65536, found_memory_mib=2048, state="available").execute()
    with pytest.raises(NotReady, match="2048 MiB"):
        asks.provision(make.ADMIN, scene.machine, **asked)


@services
def test_an_image_without_its_iso_is_not_ready(scene):
    image = make.image("ubuntu", **UBUNTU | {"iso_path": "", "checksums": {}, "image_bytes": 0})

    with pytest.raises(NotReady, match="does not name an Ubuntu ISO yet") as caught:
        asks.provision(make.ADMIN, scene.machine, image_ref=image, profile_ref=scene.profile)

    assert caught.value.field == "/imageRef"


@services
def test_an_iso_can_be_named_later_and_judged_then(scene):
    ref = make.image("ubuntu", **UBUNTU | {"iso_path": "", "checksums": {}, "image_bytes": 0})
    row = queries.image(ref)
    named = {"iso_path": "live.iso", "image_bytes": 5}

    with pytest.raises(Invalid) as caught:
        catalogue.update(make.ADMIN, "image", row.id, named, version=row.version)
    assert caught.value.field == "/checksums"
    catalogue.update(
        make.ADMIN, "image", row.id, named | {"checksums": UBUNTU["checksums"]}, version=row.version
    )

    assert queries.image(ref).iso_path == "live.iso"


@services
@pytest.mark.parametrize("kind", Installer)
def test_the_database_takes_every_installer(scene, kind):
    inventory.create_image(
        make.ADMIN,
        inventory.NewImage(
            ref=f"i-{kind}",
            name="x",
            architecture="x86_64",
            artifact_ref="a-debian-12",
            kernel_path="vmlinuz",
            initrd_path="initrd.img",
            checksums=DEBIAN["checksums"],
            installer=kind.value,
        ),
    )

    assert queries.image(f"i-{kind}").installer == kind.value
