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

    assert kernel.run("seen=$(disks); matching_disks", want_serial="S1") == "nvme0n1\n"
    assert kernel.run('seen=$(disks); select_disks; echo "$ours"') == " nvme0n1\n"


def test_disks_of_one_wwn_are_all_wiped_and_two_ways_to_one_disk_are_not(kernel):
    for number, serial in enumerate(("S1", "S2", "S2")):
        kernel.disk(f"sd{number}", serial, "naa.5000c50000000000", at=f"pci{number}")

    told = kernel.run('seen=$(disks); select_disks; echo "$ours;$others"')

    assert told == " sd0 sd1;sd2 (another way to the same disk) \n"
