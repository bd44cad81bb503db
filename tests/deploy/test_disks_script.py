"""Which disks our scripts see, and which of them a wipe takes for the machine's own."""

import subprocess
from pathlib import Path

import pytest

from deploy.image import initramfs
from pxe_stack import scripts

WIPE = Path(initramfs.__file__).parent / "initramfs/wipe.sh"


class Kernel:
    """A folder that stands for /sys, with disks in it, and a shell that reads it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "sys/block").mkdir(parents=True)

    def disk(self, name: str, serial: str, wwn: str, *, at: str = "pci0", **told: str) -> None:
        device = self.root / f"sys/devices/{at}"
        place = device / name
        place.mkdir(parents=True)
        files = {"ro": "0", "hidden": "0", "removable": "0", "size": "2048", "wwid": wwn}
        for file, value in (files | told).items():
            (place / file).write_text(f"{value}\n")
        (device / "serial").write_text(f"{serial}\n")
        (place / "device").symlink_to("..")
        (self.root / "sys/block" / name).symlink_to(place)

    def told(self, path: str, value: str = "") -> None:
        file = self.root / "sys" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")

    def chosen(self, **wanted: str) -> str:
        return self.run('seen=$(disks); select_disks; echo "$ours;$others"', **wanted)

    def run(self, script: str, **wanted: str) -> str:
        given = {"want_serial": "", "want_wwn": "", "want_bytes": "0", "want_disks": "all"} | wanted
        words = "".join(f"{name}='{value}'\n" for name, value in given.items())
        parts = scripts.template("installers/disks.sh") + WIPE.read_text()
        text = words + parts.replace("/sys/", f"{self.root}/sys/") + script
        done = subprocess.run(["dash", "-c", text], capture_output=True, text=True, check=True)
        return done.stdout


@pytest.fixture
def kernel(tmp_path):
    return Kernel(tmp_path)


def test_a_way_to_an_nvme_disk_is_no_disk(kernel):
    """A disk that two controllers may lead to is seen by each way too, which are hidden."""
    head = "virtual/nvme-subsystem/nvme-subsys0"
    kernel.disk("nvme0c0n1", "S1", "eui.0025385b", at="pci0/nvme/nvme0", hidden="1")
    kernel.disk("nvme0n1", "S1", "eui.0025385b", at=head)
    kernel.told(f"devices/{head}/nvme0/transport", "pcie")

    assert kernel.run("seen=$(disks); matching_disks", want_serial="S1") == "nvme0n1\n"
    assert kernel.run('seen=$(disks); select_disks; echo "$ours"') == " nvme0n1\n"


def test_disks_of_one_wwn_are_all_wiped_and_two_ways_to_one_disk_are_not(kernel):
    for number, serial in enumerate(("S1", "S2", "S2")):
        kernel.disk(f"sd{number}", serial, "naa.5000c50000000000", at=f"pci{number}")

    told = kernel.run('seen=$(disks); select_disks; echo "$ours;$others"')

    assert told == " sd0 sd1;sd2 (another way to the same disk) \n"


FC = "pci0/host3/rport-3:0-1/target3:0:1/3:0:1:0"
ISCSI = "platform/host4/session1/target4:0:0/4:0:0:0"
ADAPTER = "pci0/host5/target5:0:0/5:0:0:0"
SUBSYSTEM = "virtual/nvme-subsystem/nvme-subsys1"
FAR = [
    ("sda", FC, {}),
    ("sda", ISCSI, {}),
    ("sda", ADAPTER, {"class/fc_host/host5": ""}),
    ("sda", ADAPTER, {"class/iscsi_host/host5": ""}),
    ("sda", ADAPTER, {"class/srp_host/host5": ""}),
    ("nvme1n1", "virtual/nvme-fabrics/ctl/nvme1", {"devices/{at}/transport": "tcp"}),
    ("nvme1n1", SUBSYSTEM, {"devices/{at}/nvme1/transport": "tcp"}),
    ("nvme1n1", SUBSYSTEM, {"devices/{at}/nvme1/transport": "fc"}),
    (
        "nvme1n1",
        SUBSYSTEM,
        {"devices/{at}/nvme1/transport": "pcie", "devices/{at}/nvme2/transport": "rdma"},
    ),
]
NEAR = [
    ("sda", ADAPTER, {"class/fc_host/host3": "", "class/sas_host/host5": ""}),
    ("sda", "pci0/ata1/host0/target0:0:0/0:0:0:0", {}),
    ("vda", "pci0/virtio1", {}),
    ("mmcblk0", "platform/mmc0/mmc0:0001", {}),
    ("nvme1n1", "pci0/nvme/nvme1", {"devices/{at}/transport": "pcie"}),
    (
        "nvme1n1",
        SUBSYSTEM,
        {"devices/{at}/nvme1/transport": "pcie", "devices/{at}/nvme2/transport": "pcie"},
    ),
]


def reached(kernel, name, at, told):
    """A disk of the machine, and one called *name* at the place *at*."""
    kernel.disk("sdz", "S0", "naa.5000c500a0a0a0a0", at="pci0/ata9/host9/target9:0:0/9:0:0:0")
    kernel.disk(name, "S1", "naa.5000c500b1b1b1b1", at=at)
    for path, value in told.items():
        kernel.told(path.format(at=at), value)


@pytest.mark.parametrize(("name", "at", "told"), FAR)
def test_a_disk_that_is_reached_over_a_network_is_left_alone_and_told_of(kernel, name, at, told):
    reached(kernel, name, at, told)

    assert kernel.chosen(want_serial="S0") == f" sdz;{name} (reached over a network) \n"


@pytest.mark.parametrize(("name", "at", "told"), FAR)
def test_a_disk_over_a_network_that_is_named_is_the_root_disk_and_wiped(kernel, name, at, told):
    reached(kernel, name, at, told)

    assert kernel.chosen(want_serial="S1", want_disks="root") == (
        f" {name};sdz (not the root disk) \n"
    )


@pytest.mark.parametrize(("name", "at", "told"), NEAR)
def test_a_disk_that_lies_in_the_machine_is_its_own(kernel, name, at, told):
    reached(kernel, name, at, told)

    ours, _, others = kernel.chosen(want_serial="S0").strip().partition(";")
    assert (set(ours.split()), others) == ({name, "sdz"}, "")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("rbd0", "of a kind that is not known to lie in a machine"),
        ("nvme1n1", "it does not say by what it is reached"),
    ],
)
def test_a_disk_whose_way_nobody_knows_is_left_alone(kernel, name, why):
    reached(kernel, name, "rbd/0", {})

    assert kernel.chosen(want_serial="S0") == f" sdz;{name} ({why}) \n"
