"""The wire that blanks iPXE's options: what it changes, and when."""

import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from tests.machines.plain_rom import asks_for_file, blanked

SENT = [
    ("message-type", "discover"),
    ("vendor_class_id", b"PXEClient:Arch:00000:UNDI:002001"),
    (77, b"iPXE"),
    (175, b"\xb1\x05\x01\x80\x86\x10\x0e"),
    (93, b"\0\0"),
    "end",
]


def frame(port=67, options=()):
    asked = BOOTP(xid=7) / DHCP(options=list(options) or SENT)
    return bytes(Ether() / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(dport=port) / asked)


def options_of(data):
    return [each for each in BOOTP(data[42:])[DHCP].options if each != "pad"]


@pytest.mark.parametrize("port", [67, 4011])
def test_what_tells_ipxe_from_other_roms_is_blanked(port):
    made = blanked(frame(port))

    assert len(made) == len(frame(port))
    assert [each[0] for each in options_of(made)[:-1]] == [
        *("message-type", "vendor_class_id", "pxe_client_architecture"),
    ]
    assert Ether(made)[UDP].chksum == 0


@pytest.mark.parametrize("other", [frame(port=53), bytes(Ether() / ARP()), b"", bytes(14)])
def test_other_frames_stay_as_they_are(other):
    assert blanked(other) == other
    assert not asks_for_file(other)


def test_the_request_for_a_file_is_seen():
    request = Ether() / IP() / UDP(dport=69) / Raw(b"\0\1undionly.kpxe\0octet\0")

    assert asks_for_file(bytes(request))
    assert not asks_for_file(frame())
