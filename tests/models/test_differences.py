"""The table of differences: each row by what is entered, what is found, and how bad that is."""

from types import MappingProxyType

import pytest

from models import differences
from models.differences import Entered

MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
NIC = {"mac": MAC}
DISK = {"serial": "S1", "wwn": "5000c5", "bytes": 100}
IMAGE = MappingProxyType({"firmware": {"version": "1.2"}})


def rows(entered, facts):
    found = differences.differences(entered, facts)
    return [(each["severity"], each["what"], each["entered"], each["found"]) for each in found]


@pytest.mark.parametrize(
    ("entered", "facts", "row"),
    [
        ({"architecture": "x86_64"}, {"processors": [{"architecture": "ARM-A64"}]},
         ("critical", "architecture", "x86_64", "arm64")),
        ({"architecture": "x86_64"}, {"processors": [{"architecture": "x86-64"}]}, None),
        ({"architecture": "arm64"}, {"processors": [{"architecture": "aarch64"}]}, None),
        ({"architecture": "arm64"}, {"processors": [{"architecture": "IA-64"}, {}]}, None),
        ({"memory_mib": 1024}, {"memory_mib": 512}, ("critical", "memoryMib", 1024, 512)),
        ({"memory_mib": 1000}, {"memory_mib": 950}, ("warning", "memoryMib", 1000, 950)),
        ({"memory_mib": 1000}, {"memory_mib": 949}, ("critical", "memoryMib", 1000, 949)),
        ({"memory_mib": 512}, {"memory_mib": 1024}, ("info", "memoryMib", 512, 1024)),
        ({"memory_mib": 512}, {"memory_mib": "much"}, None),
        ({"disk_bytes": 200}, {"disks": [DISK]}, ("warning", "diskBytes", 200, 100)),
        ({"disk_bytes": 50}, {"disks": [DISK]}, ("info", "diskBytes", 50, 100)),
        ({"macs": (OTHER,), "pxe_macs": (OTHER,)}, {"nics": [NIC]},
         ("warning", "mac", OTHER, [MAC])),
        ({"macs": (OTHER,)}, {"nics": [{"mac": MAC.upper()}]}, ("info", "mac", OTHER, [MAC])),
        ({"macs": (OTHER,)}, {"nics": []}, None),
        ({"root_disk": {"serial": "S9"}}, {"disks": [DISK]},
         ("warning", "rootDisk", ["S9"], ["S1"])),
        ({"root_disk": {"serial": "S9"}}, {"disks": [DISK], "seen": {"image": IMAGE}},
         ("critical", "rootDisk", ["S9"], ["S1"])),
        ({"root_disk": {"serial": "s1", "minBytes": 5}}, {"disks": [DISK]}, None),
        ({"root_disk": {"serial": "S9"}}, {"disks": []}, None),
        ({"root_disk": {"minBytes": 5}}, {"disks": [DISK]}, None),
    ],
)  # fmt: skip
def test_what_was_entered_is_held_against_what_was_found(entered, facts, row):
    assert rows(Entered(**entered), facts) == ([] if row is None else [row])


@pytest.mark.parametrize(
    ("bmc", "image", "row"),
    [
        ({"system": {"serial": "A"}}, {"system": {"serial": "B"}}, ("warning", "serial", "a", "b")),
        ({"system": {"serial": "A "}}, {"system": {"serial": "a"}}, None),
        ({"system": {"serial": "A"}}, {"system": {"serial": None}}, None),
        ({"system": {"uuid": "1"}}, {"system": {"uuid": "2"}}, ("info", "uuid", "1", "2")),
        ({"processors": [{}, {}]}, {"processors": [{}]}, ("warning", "processors", 2, 1)),
        ({"memory_mib": 1024}, {"memory_mib": 512}, ("warning", "memoryMib", 1024, 512)),
        ({"memory_mib": 1024}, {"memory_mib": 1000}, None),
        ({"disks": [DISK, {"serial": "S2"}]}, {"disks": [DISK]},
         ("warning", "disk", ["s2"], ["s1"])),
        ({"disks": [DISK]}, {"disks": [DISK, {"serial": "S2"}]}, ("info", "disk", ["s1"], ["s2"])),
        ({"disks": []}, {"disks": [DISK]}, None),
        ({"nics": [NIC, {"mac": OTHER}]}, {"nics": [NIC]}, ("warning", "mac", [OTHER], [MAC])),
    ],
)  # fmt: skip
def test_what_the_bmc_tells_is_held_against_what_the_machine_found(bmc, image, row):
    facts = {"seen": {"bmc": {"a": 1, **bmc}, "image": {**IMAGE, **image}}}

    assert rows(Entered(), facts) == ([] if row is None else [row])


@pytest.mark.parametrize(
    ("test", "row"),
    [
        ({"name": "smart", "subject": "sda", "outcome": "fail", "detail": "FAILED!"},
         ("critical", "test smart", "sda", "FAILED!")),
        ({"name": "memory", "outcome": "fail"},
         ("critical", "test memory", "the machine", "it failed")),
        ({"name": "smart", "subject": "sda", "outcome": "pass", "reallocated": 3},
         ("warning", "test smart", "sda", "3 sectors are reallocated, or blocks in error")),
        ({"name": "smart", "subject": "sda", "outcome": "pass", "reallocated": 0}, None),
        ({"name": "smart", "subject": "vda", "outcome": "skipped"}, None),
    ],
)  # fmt: skip
def test_a_test_that_failed_is_critical_and_one_that_was_skipped_is_not(test, row):
    assert rows(Entered(), {"tests": [test]}) == ([] if row is None else [row])


def test_firmware_without_a_version_is_told():
    facts = {"seen": {"image": {"firmware": {"version": None}}}}

    assert rows(Entered(), facts) == [("info", "firmware", "a version", None)]


def test_the_worst_comes_first_and_each_has_words():
    facts = {"memory_mib": 512, "nics": [NIC], "tests": [{"name": "cpu", "outcome": "fail"}]}

    found = differences.differences(Entered(memory_mib=500, macs=(OTHER,)), facts)

    assert [each["severity"] for each in found] == ["critical", "info", "info"]
    assert [differences.sentence(each) for each in found] == [
        "test cpu of the machine: it failed",
        f"mac: {OTHER} was entered, {MAC} was found",
        "memoryMib: 500 was entered, 512 was found",
    ]
    assert differences.critical(found) == found[:1]


def test_what_the_machine_found_wins_and_what_only_the_bmc_knows_stays():
    bmc = {"memory_mib": 1, "disks": [DISK], "health": "OK", "system": {"sku": "K", "serial": "A"}}
    image = {"memory_mib": 2, "disks": [], "system": {"serial": "B", "sku": None}}

    found = differences.merged(bmc, image)

    assert (found["memory_mib"], found["disks"], found["health"]) == (2, [DISK], "OK")
    assert found["system"] == {"sku": "K", "serial": "B"}
    assert found["seen"] == {"bmc": bmc, "image": image}


def test_rows_of_a_former_version_have_words_too():
    row = {"severity": "warning", "what": "mac", "entered": MAC, "found": [OTHER]}

    assert differences.sentence(row) == f"mac: {MAC} was entered, {OTHER} was found"
