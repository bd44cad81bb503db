"""What firmware of each kind is answered, byte for byte.

The requests are shaped after what such firmware documents that it sends, and are no captures; the
answers are kept in golden/dhcp.json, so that every change of them is seen in review.
`python -m tests.pxe_stack.test_dhcp_golden` writes them anew.
"""

import json
import sys
from pathlib import Path
from struct import pack

import pytest

from models.bootnet import Mode
from pxe_stack import packets
from pxe_stack import wire as scapy
from pxe_stack.dhcp import Ignored
from pxe_stack.packets import BROADCAST, Kind
from tests.pxe_stack.nets import Site, network

GOLDEN = Path(__file__).parent / "golden" / "dhcp.json"
UUID = bytes.fromhex("44454c4c4a00105680374cb7c04f5931")
PXE_LIST = bytes((1, 2, 3, 4, 5, 6, 11, 12, 13, 15, 16, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51,
                  54, 58, 59, 60, 66, 67, 97, 128, 129, 130, 131, 132, 133, 134, 135))  # fmt: skip


MODES = (Mode.FULL.value, Mode.PROXY.value)


def netboot(vendor, arch, *more):
    return [(60, vendor), (93, pack("!H", arch)), (94, b"\1\3\x10"), (97, b"\0" + UUID), *more]


FIRMWARE = {
    "bios": netboot(b"PXEClient:Arch:00000:UNDI:002001", 0, (55, PXE_LIST), (57, b"\x04\xec")),
    "edk2": netboot(b"PXEClient:Arch:00007:UNDI:003016", 7, (57, b"\x05\xc0"), (55, PXE_LIST)),
    "edk2-http": netboot(
        b"HTTPClient:Arch:00016:UNDI:003016", 16, (57, b"\x05\xc0"), (55, PXE_LIST)
    ),
    "ipxe": netboot(
        b"PXEClient:Arch:00007:UNDI:003010", 7,
        (77, b"iPXE"),
        (55, bytes((1, 3, 6, 7, 12, 15, 17, 26, 43, 60, 66, 67, 119, 128, 129, 175, 203))),
        (175, bytes.fromhex("b105011af41000180101230101220101190101")),
        (61, bytes.fromhex("01525400aa0001")),
    ),
    "u-boot": [
        (57, b"\x02\x40"), (93, b"\0\x16"), (94, b"\1\0\0"),
        (60, b"U-Boot.armv8"), (55, bytes((1, 3, 6, 12, 15, 17, 26, 40, 43, 66, 67, 150))),
    ],
    "idrac": [
        (60, b"iDRAC"), (12, b"idrac-7XK2P1"), (61, bytes.fromhex("01525400aa0001")),
        (55, bytes((1, 3, 6, 12, 15, 28, 42, 43, 60))),
    ],
    "ilo": [
        (60, b"CPQRIB3"), (12, b"ILOCZ3216"), (57, b"\x02\x40"),
        (55, bytes((1, 2, 3, 6, 12, 15, 28, 33, 42, 43, 44, 54, 58, 59, 119, 121))),
    ],
}  # fmt: skip


def exchange(name, mode):
    """Return what *name* is answered on a network of *mode*, as hexadecimal digits by kind."""
    site = Site(network(mode, strangers_boot=True))
    options = FIRMWARE[name]
    found = {}
    offer = ask(site, "discover", options)
    found["offer"] = said(offer)
    if mode is Mode.FULL:
        chosen = [(54, packets.inet_aton("10.77.0.1")), (50, packets.inet_aton(offer.yiaddr))]
        found["ack"] = said(ask(site, "request", [*chosen, *options]))
    return found


def ask(site, kind, options):
    raw = scapy.request(kind, "52:54:00:aa:00:01", xid=0x5350, broadcast=True, options=options)
    return site.ask(packets.parse(raw))


def said(decided):
    return decided.why.value if isinstance(decided, Ignored) else packets.build(decided).hex()


def all_of_them():
    return {f"{name} {mode}": exchange(name, Mode(mode)) for name in FIRMWARE for mode in MODES}


@pytest.mark.parametrize("case", [f"{name} {mode}" for name in FIRMWARE for mode in MODES])
def test_firmware_is_answered_as_before_to_the_last_byte(case):
    name, mode = case.split()

    assert exchange(name, Mode(mode)) == json.loads(GOLDEN.read_text())[case]


@pytest.mark.parametrize("name", FIRMWARE)
def test_scapy_reads_in_the_answer_what_was_meant(name):
    site = Site(network())
    offer = ask(site, "discover", FIRMWARE[name])

    read = scapy.decoded(packets.build(offer))

    assert (offer.kind, offer.to) == (Kind.OFFER, (BROADCAST, 68))
    assert (read["message-type"], read["yiaddr"], read["router"]) == (
        "offer",
        offer.yiaddr,
        "10.77.0.254",
    )


@pytest.mark.parametrize("name", ["edk2", "edk2-http", "ipxe", "u-boot"])
def test_a_name_that_firmware_ends_by_a_zero_in_the_packet_hides_no_option(name):
    """What EDK2 does with option 67 (PxeBcParseDhcp4Packet), before it hands the packet on."""
    offer = ask(Site(network()), "discover", FIRMWARE[name])
    packet = bytearray(packets.build(offer))
    file = packets.coded(67, offer.boot_file.encode())

    packet[packet.index(file) + len(file)] = 0

    read = {}
    packets.collect(bytes(packet[240:]), read)
    assert read == offer.told


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(all_of_them(), indent=1) + "\n")
    sys.stdout.write(f"{GOLDEN}\n")
