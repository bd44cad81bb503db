"""The deploy system on a real kernel, told something wrong: it says why, and spares the disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy import image_lab
from tests.deploy.image_lab import CHUNK, TOKEN, Machine

pytestmark = [pytest.mark.machines, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
DISK = 2 * 1024**3
BOOT_S = 60


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The deploy kernel and initramfs."""
    cache = tmp_path_factory.mktemp("image")
    words = [sys.executable, "-m", "deploy.image", "--cache", str(cache), "--output"]
    subprocess.run([*words, str(cache / "out")], check=True, cwd=ROOT, timeout=300)
    return cache / "out"


@pytest.fixture
def boot(tmp_path, built):
    """Boot a machine with *disks* (serial numbers) on an image of three chunks; returns all."""
    image = tmp_path / "image"
    image.write_bytes(os.urandom(CHUNK) + bytes(CHUNK) + os.urandom(CHUNK))
    with image_lab.namespace() as name, image_lab.site(name) as told:
        machine = Machine(tmp_path, name)
        chunks, checksum = image_lab.chunk_list(image)
        told.files = {"/artifacts/image": image, "/artifacts/image.chunks": chunks}

        def start(*disks, **wanted):
            text = image_lab.manifest(told, image, checksum, **wanted)
            told.files[f"{TOKEN}/manifest"] = text
            drives = [
                word
                for number, serial in enumerate(disks)
                for word in DRIVES[number](machine.disk(number, DISK), serial, number)
            ]
            direct = image_lab.direct_boot(built, f"{told.url}{TOKEN}/manifest")
            machine.start(*image_lab.network_card(), *drives, *direct)

        yield told, machine, start
        machine.stop()


def virtio(path, serial, number):
    """A disk on another bus: Linux refuses a second NVMe controller of the same serial."""
    drive = f"if=none,id=disk{number},format=raw,file={path}"
    return ["-drive", drive, "-device", f"virtio-blk-pci,drive=disk{number},serial={serial}"]


DRIVES = (image_lab.nvme, virtio)


def is_blank(disk):
    """Whether nothing was ever written: no block of the sparse file is there."""
    return disk.stat().st_blocks == 0


def test_a_disk_that_is_not_there_is_told_with_those_that_are(boot):
    told, machine, start = boot

    start("OTHER", disk_serial="WANTED")

    reason = told.wait_for("failed", BOOT_S)["reason"]
    machine.wait_off(BOOT_S)
    assert "WANTED" in reason
    assert "OTHER" in reason
    assert is_blank(machine.disk())


def test_two_disks_that_answer_to_the_description_are_both_spared(boot):
    told, machine, start = boot

    start("SAME", "SAME", disk_serial="SAME")

    reason = told.wait_for("failed", BOOT_S)["reason"]
    machine.wait_off(BOOT_S)
    assert "more than one disk" in reason
    assert is_blank(machine.disk(0))
    assert is_blank(machine.disk(1))


def test_a_disk_that_is_too_small_is_spared(boot):
    told, machine, start = boot

    start("WANTED", disk_serial="WANTED", disk_min_bytes=DISK * 2)

    told.wait_for("failed", BOOT_S)
    machine.wait_off(BOOT_S)
    assert is_blank(machine.disk())


def test_a_chunk_that_is_not_what_was_promised_is_never_written(boot):
    told, machine, start = boot
    chunks = told.files["/artifacts/image.chunks"].decode().splitlines()
    offset, length, _ = chunks[-1].split()
    spoilt = [*chunks[:-1], f"{offset} {length} {'0' * 64}"]
    told.files["/artifacts/image.chunks"] = ("\n".join(spoilt) + "\n").encode()

    start("WANTED", disk_serial="WANTED")

    form = told.wait_for("failed", BOOT_S)
    machine.wait_off(BOOT_S)
    with machine.disk().open("rb") as disk:
        disk.seek(int(offset))
        assert not any(disk.read(int(length)))
    assert "installed" not in told.events()
    assert form["reason"]
