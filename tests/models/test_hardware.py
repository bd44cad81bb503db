"""Reports of machines: what one says is read whole, and nothing that one says does harm."""

import json
import random

import pytest

from models import hardware
from models.errors import Invalid

REPORT = """\
sprout-inventory 1
system.manufacturer Dell Inc.
system.serial 7XK2
system.uuid 4C4C4544-0058
firmware.version 2.19.1
firmware.boot uefi
firmware.secure_boot yes
cpu.architecture x86_64
cpu.model Xeon 6338
cpu.sockets 2
cpu.cores 64
cpu.threads 128
cpu.flags aes avx2 vmx
memory.bytes 270000000000
dimm.0.size 128 GB
dimm.0.locator A1
dimm.1.size 128 GB
disk.0.name sda
disk.0.serial S1
disk.0.wwn 5000C500A
disk.0.bytes 480103981056
disk.0.rotational 0
disk.0.transport sata
nic.0.name eth0
nic.0.mac 52-54-00-00-00-01
nic.0.speed 25000
nic.0.link up
bmc.firmware 6.10
test.0.name smart
test.0.subject sda
test.0.outcome pass
test.0.reallocated 2
## dmidecode
# Handle 0x0000
"""


def with_line(line):
    return f"{REPORT}{line}\n"


def test_a_report_is_read_in_the_words_of_a_bmcs_inventory():
    found = hardware.facts(REPORT)

    assert (found["system"]["serial"], found["system"]["uuid"]) == ("7XK2", "4c4c4544-0058")
    assert (found["system"]["bios"], found["firmware"]["secure_boot"]) == ("2.19.1", True)
    assert [each["cores"] for each in found["processors"]] == [32, 32]
    assert found["cpu"]["flags"] == ["aes", "avx2", "vmx"]
    assert found["memory_mib"] == 256 * 1024
    [disk] = found["disks"]
    assert (disk["serial"], disk["wwn"], disk["bytes"]) == ("S1", "5000c500a", 480103981056)
    assert (disk["media"], disk["protocol"]) == ("SSD", "sata")
    [nic] = found["nics"]
    assert (nic["mac"], nic["speed"], nic["link"]) == ("52:54:00:00:00:01", 25000, "up")
    assert found["bmc"]["firmware"] == "6.10"
    [test] = found["tests"]
    assert (test["outcome"], test["reallocated"], test["detail"]) == ("pass", 2, None)


def test_the_same_report_is_read_the_same_and_is_plain_json():
    assert hardware.facts(REPORT) == json.loads(json.dumps(hardware.facts(REPORT)))


@pytest.mark.parametrize(
    "report",
    ["", "\n", "sprout-inventory 2\n", REPORT.lower().replace("-", "_"), "\0" * 100,
     "sprout-inventory 1" + "x" * hardware.MOST_BYTES,
     REPORT + "disk.0.name x\n" * (hardware.MOST_FACTS + 1)],
    ids=["empty", "a line", "later", "other words", "zeros", "too large", "too many"],
)  # fmt: skip
def test_what_is_no_report_is_refused(report):
    with pytest.raises(Invalid) as caught:
        hardware.facts(report)

    assert caught.value.field == "/report"


@pytest.mark.parametrize(
    "line",
    [
        "disk.0.serial S2",  # of what is said twice the first counts
        "disk.256.serial S2",
        "disk.-1.serial S2",
        "disk.1000.serial S2",
        "disk.serial S2",
        "system.0.serial X",
        "system.serials X",
        "__class__.x y",
        "disk.0.__class__ y",
        "nic.1.mac no MAC",
        "nic.1.mac ff:ff:ff:ff:ff:ff",
        "test.1.outcome pass",  # a test without a name
        "test.0.outcome fail",
        "no-key-at-all",
        "",
        "# system.model after",
    ],
)
def test_a_line_that_is_no_fact_changes_nothing(line):
    assert hardware.facts(with_line(line)) == hardware.facts(REPORT)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("disk.1.bytes -5", None),
        ("disk.1.bytes 1e9", None),
        ("disk.1.bytes ٣", None),
        (f"disk.1.bytes {2**63}", None),
        (f"disk.1.bytes {'9' * 400}", None),
        ("disk.1.bytes 10", 10),
    ],
)
def test_a_number_is_one_or_is_not_known(line, value):
    assert hardware.facts(with_line(line))["disks"][1]["bytes"] == value


def test_what_a_disk_calls_itself_is_plain_and_short():
    report = with_line(f"disk.1.serial \x1b[31m{'A' * 5000}\u202e")

    serial = hardware.facts(report)["disks"][1]["serial"]

    assert serial.isprintable()
    assert len(serial) == hardware.LONGEST


@pytest.mark.parametrize(
    ("size", "mib"), [("512 MB", 512), ("2 TB", 2 << 20), ("1024 KB", 1), ("Lots", None)]
)
def test_a_module_has_the_size_that_smbios_tells(size, mib):
    assert hardware.facts(with_line(f"dimm.2.size {size}"))["dimms"][2]["size"] == mib


def test_without_modules_the_kernels_memory_counts():
    assert hardware.facts("sprout-inventory 1\nmemory.bytes 536870912\n")["memory_mib"] == 512


def test_no_garbage_is_anything_but_read_or_refused():
    chance = random.Random(6)
    for _ in range(300):
        lines = REPORT.split("\n")
        for _ in range(20):
            at = chance.randrange(1, len(lines))
            lines[at] = "".join(chance.choices("dis.k0 1é\x00#tename\U0001f600", k=40))
        facts = hardware.facts("\n".join(lines))
        assert json.loads(json.dumps(facts)).keys() == hardware.facts(REPORT).keys()
