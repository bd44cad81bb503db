"""A machine that is given back, on a real kernel: what is looked at is its disks, from outside."""

import hashlib
import subprocess

import pytest

from deploy.rack.hardware import Card
from tests.deploy import image_lab
from tests.deploy.image_lab import TOKEN, Machine
from tests.machines import boot_assets

pytestmark = [pytest.mark.machines, pytest.mark.timeout(300)]

MIB = 1024**2
DISK = 512 * MIB
BOOT_S = 120
ROOT, SWAP = (MIB, 200 * MIB), (201 * MIB, 64 * MIB)
"""Partitions: offset and length in bytes."""
BETWEEN = (ROOT[0] + 64 * MIB + MIB, b"what a tenant wrote")
"""Where no signature of anything lies."""


@pytest.fixture
def boot(tmp_path):
    """Boot a machine with two disks and a manifest of those words; returns site and machine."""
    folder = boot_assets.of(Card.VIRTIO).kernel.parent
    with image_lab.namespace() as name, image_lab.site(name) as told:
        machine = Machine(tmp_path, name)
        installed(machine.disk(0, DISK))
        pooled(machine.disk(1, DISK))

        def start(**words):
            told.files[f"{TOKEN}/manifest"] = manifest(told, **words)
            drives = [w for n in (0, 1) for w in image_lab.nvme(machine.disk(n), f"S{n}", n)]
            direct = image_lab.direct_boot(folder, f"{told.url}{TOKEN}/manifest")
            machine.start(*image_lab.network_card(), *drives, *direct)
            return told, machine

        yield start
        machine.stop()


def manifest(told, **words):
    lines = {"version": 1, "task": "wipe", "callback": f"{told.url}{TOKEN}/"}
    given = {key.replace("_", "-"): value for key, value in words.items()}
    return "".join(f"{key} {value}\n" for key, value in (lines | given).items()).encode()


def installed(disk):
    """A partition table, a root file system, swap, and half of a mirror of RAID 1 at the end."""
    table = "".join(f"start={at // 512},size={size // 512}\n" for at, size in (ROOT, SWAP))
    ran("sfdisk", "-q", str(disk), given=f"label: gpt\n{table}")
    ran("mke2fs", "-qF", "-t", "ext4", "-E", f"offset={ROOT[0]}", str(disk), f"{ROOT[1] // 1024}k")
    swap = disk.with_name("swap")
    swap.write_bytes(bytes(SWAP[1]))
    ran("mkswap", "-q", str(swap))
    with disk.open("r+b") as file:
        file.seek(SWAP[0])
        file.write(swap.read_bytes()[:4096])
        file.seek(BETWEEN[0])
        file.write(BETWEEN[1])
        file.seek(SWAP[0] + SWAP[1] - 8192)
        file.write(bytes.fromhex("fc4e2ba9"))


def pooled(disk):
    """A whole disk with a label of LVM, and one of ZFS at its end."""
    with disk.open("r+b") as file:
        file.seek(512)
        file.write(b"LABELONE")
        file.seek(DISK - 524288 + 16384)
        file.write(bytes.fromhex("010100000000000000000001"))


def ran(*words, given=None):
    done = subprocess.run(words, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def known(disk, offset=0, length=DISK):
    """Return what blkid finds in that part of *disk*, "" for nothing."""
    words = ("blkid", "-p", "-O", str(offset), "-S", str(length), str(disk))
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def digest(disk):
    with disk.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_partition_tables_and_signatures_are_gone_from_all_disks_and_the_machine_is_off(boot):
    told, machine = boot(disk_serial="S0", disks="all")
    before = [known(machine.disk(0), *part) for part in (ROOT, SWAP)]

    wiped = told.wait_for("wiped", BOOT_S)
    machine.wait_off(BOOT_S)

    assert all(before)
    for part in ((0, DISK), ROOT, SWAP):
        assert known(machine.disk(0), *part) == known(machine.disk(1), *part) == ""
    assert ran("wipefs", "-n", str(machine.disk(0)), str(machine.disk(1))) == ""
    assert told.events()[0] == "started"
    assert (wiped["disks"], wiped["extent"]) == ("2", "signatures")
    assert "serial=S0" in wiped["disk1"]
    assert "found=ext,gpt,mbr,md,swap left=nothing" in wiped["disk1"]
    assert "found=lvm,zfs left=nothing" in wiped["disk2"]
    with machine.disk(0).open("rb") as disk:
        disk.seek(BETWEEN[0])
        assert disk.read(len(BETWEEN[1])) == BETWEEN[1]  # it is said that this is no full wipe


def test_what_is_not_the_root_disk_stays_as_it_is_where_that_was_asked(boot):
    told, machine = boot(disk_serial="S0", disks="root")
    other = digest(machine.disk(1))

    wiped = told.wait_for("wiped", BOOT_S)
    machine.wait_off(BOOT_S)

    assert known(machine.disk(0)) == ""
    assert digest(machine.disk(1)) == other
    assert (wiped["disks"], "not the root disk" in wiped["others"]) == ("1", True)


@pytest.mark.parametrize(
    "words",
    [
        {"disk_serial": "ELSEWHERE", "disks": "all"},
        {"disks": "root"},
        {"disk_serial": "S0", "disks": "some"},
        {"disk_serial": "S0", "task": "shred"},
    ],
    ids=["root-disk-missing", "root-unnamed", "unknown-disks", "unknown-task"],
)
def test_what_is_not_clear_is_refused_before_anything_is_written(boot, words):
    told, machine = boot(**words)
    before = [digest(machine.disk(number)) for number in (0, 1)]

    reason = told.wait_for("failed", BOOT_S * 2)["reason"]
    machine.wait_off(BOOT_S)

    assert reason
    assert [digest(machine.disk(number)) for number in (0, 1)] == before
    assert set(told.events()) == {"failed"}
