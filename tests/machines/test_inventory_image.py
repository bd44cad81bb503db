"""The inventory image on a real kernel: it reports the hardware it was given, and only reads."""

import hashlib
import os

import pytest

from deploy.image import recipe
from models import differences
from models.differences import Entered
from tests.deploy import inventory_lab
from tests.deploy.image_lab import MAC, TOKEN, nvme
from tests.deploy.inventory_lab import broken, sata, taking, virtio
from tests.machines.evidence import say

pytestmark = [pytest.mark.machines, pytest.mark.timeout(600)]

SECOND = "52:54:00:aa:bb:cc"
MIB = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def _built():
    inventory_lab.built()


def filled(folder, number, mib=64):
    """A disk with something on it."""
    path = folder / f"filled{number}.raw"
    path.write_bytes(os.urandom(MIB) * mib)
    return path


def digests(paths):
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def test_kernel_and_initramfs_are_small_enough_to_be_fetched_by_every_machine():
    sizes = [(inventory_lab.built() / name).stat().st_size for name in recipe.INVENTORY_OUTPUTS]

    say(f"inventory image: kernel {sizes[0] / MIB:.1f} MiB, initramfs {sizes[1] / MIB:.1f} MiB")
    assert sum(sizes) < recipe.INVENTORY_MOST


def test_the_report_is_the_hardware_that_was_given_and_no_disk_is_written(tmp_path):
    disks = [filled(tmp_path, number) for number in range(3)]
    before = digests(disks)
    given = (
        *nvme(disks[0], "NV-1"),
        *sata(disks[1], "SATA-1", "0x5000c500a1b2c3d4"),
        *virtio(disks[2], "VIRT-1"),
        *("-device", f"e1000e,mac={SECOND}", "-smp", "2", "-m", "768"),
        *("-device", "ipmi-bmc-sim,id=bmc", "-device", "isa-ipmi-kcs,bmc=bmc"),
    )

    with taking(tmp_path, *given) as taken:
        taken.machine.wait_off(60)

    found = taken.facts
    known = {(d["serial"], d["transport"], d["bytes"]): d for d in found["disks"]}
    assert set(known) == {(*each, 64 * MIB) for each in
                          (("NV-1", "nvme"), ("SATA-1", "sata"), ("VIRT-1", "virtio"))}  # fmt: skip
    assert known["SATA-1", "sata", 64 * MIB]["wwn"] == "5000c500a1b2c3d4"
    assert {(nic["mac"], nic["driver"]) for nic in found["nics"]} == {
        (MAC, "virtio_net"),
        (SECOND, "e1000e"),
    }
    assert (found["memory_mib"], found["system"]["serial"]) == (768, "SN-1")
    assert found["cpu"]["threads"] == 2
    assert (found["firmware"]["vendor"], found["firmware"]["boot"]) == ("SeaBIOS", "bios")
    assert found["bmc"]["interface"] == "ipmi"
    outcomes = {key: test["outcome"] for key, test in taken.tests().items()}
    assert outcomes == {
        ("cpu", None): "pass",
        ("memory", None): "pass",
        **{("disk-read", name): "pass" for name in ("nvme0n1", "sda", "vda")},
        **{("smart", name): "pass" for name in ("nvme0n1", "sda")},
        ("smart", "vda"): "skipped",
    }
    assert taken.tests()["smart", "vda"]["detail"] == "a virtual disk without SMART"
    assert digests(disks) == before
    assert "sprout.manifest=***" in taken.report
    assert TOKEN not in taken.report
    whole = taken.told.form("inventoried")
    assert whole["sha256"] == hashlib.sha256(taken.report.encode()).hexdigest()
    assert {"progress"} <= set(taken.told.events())
    say(f"inventory: report of {whole['bytes']} bytes {taken.told.time_of('inventoried'):.1f} s")


def test_a_disk_that_cannot_be_read_is_critical_and_the_others_pass(tmp_path):
    bad = filled(tmp_path, 1)
    given = (*nvme(filled(tmp_path, 0), "NV-1"), *broken(bad, "BAD-1", 60 * 2048 + 9))

    with taking(tmp_path, *given) as taken:
        tests = taken.tests()

    assert (tests["disk-read", "sda"]["outcome"], tests["disk-read", "nvme0n1"]["outcome"]) == (
        "fail",
        "pass",
    )
    assert "at MiB 60" in tests["disk-read", "sda"]["detail"]
    [bad] = differences.critical(differences.differences(Entered(), taken.facts))
    assert (bad["what"], bad["entered"]) == ("test disk-read", "sda")


def test_a_machine_with_little_memory_and_no_disk_reports_too(tmp_path):
    with taking(tmp_path, "-m", "192") as taken:
        found = taken.facts

    assert (found["memory_mib"], found["disks"]) == (192, [])
    assert {(test["name"], test["outcome"]) for test in found["tests"]} <= {
        ("cpu", "pass"),
        ("memory", "pass"),
        ("memory", "skipped"),
    }


def test_where_tests_are_somebody_elses_none_is_run(tmp_path):
    with taking(tmp_path, *virtio(filled(tmp_path, 0), "VIRT-1"), tests="no") as taken:
        assert taken.facts["tests"] == []
        assert [disk["serial"] for disk in taken.facts["disks"]] == ["VIRT-1"]
