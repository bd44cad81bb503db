"""The simulated machines' DHCP, held against scapy and against the server's rules."""

import pytest

from deploy.rack.hardware import Firmware
from deploy.rack.simulated import packets, units
from deploy.rack.simulated.packets import ACK, DISCOVER, OFFER, REQUEST, Malformed
from models.phases import Phase
from pxe_stack import dhcp, wire
from pxe_stack import packets as served
from pxe_stack.dhcp import Snapshot, View
from pxe_stack.directory import Known
from pxe_stack.leases import Leases
from tests.pxe_stack import make

UNIT = units.unit("paper", 300)
SERVER = dhcp.Server(address="127.64.0.1", tftp="127.64.0.1", boot_url=make.URL, key=make.KEY)


def answer(request, known):
    return dhcp.answer(request, known, Snapshot(SERVER), View(Leases(), 1.0)).reply


def test_scapy_reads_what_firmware_sends():
    raw = packets.ask(DISCOVER, UNIT.mac, 7, packets.of_firmware(UNIT), secs=4)

    told = wire.decoded(raw)

    assert (told["message-type"], told["mac"], told["xid"]) == ("discover", UNIT.mac, 7)
    assert told["vendor_class_id"] == b"PXEClient:Arch:00007:UNDI:003016"
    assert told["pxe_client_machine_identifier"] == b"\0" + UNIT.uuid.bytes_le


def test_scapy_reads_what_the_relay_makes_of_it():
    raw = packets.ask(DISCOVER, UNIT.mac, 7, packets.of_ipxe(UNIT))

    told = wire.decoded(packets.relayed(raw, "127.64.0.2"))

    assert told["giaddr"] == "127.64.0.2"
    assert told["relay_agent_information"] == b"\x13\x00"
    assert told["mac"] == UNIT.mac


@pytest.mark.parametrize(
    "options", [packets.of_firmware, packets.of_http_firmware, packets.of_ipxe, packets.of_system]
)
def test_what_the_server_answers_is_read_as_it_was_meant(options):
    plan = make.plan(mac=UNIT.mac)
    known = Known(plan=plan, phase=Phase.PXE_READY, authority=True)
    raw = packets.relayed(packets.ask(DISCOVER, UNIT.mac, 9, options(UNIT)), "127.64.0.2")

    request = served.parse(raw, 40_000)
    reply = answer(request, known)
    told = packets.read(served.build(reply))

    assert reply.to == ("127.64.0.2", 40_000)
    assert (told.kind, told.xid, told.yiaddr) == (OFFER, 9, make.ADDRESS)
    assert told.boot_file == reply.boot_file
    assert told.server == bytes((127, 64, 0, 1))


@pytest.mark.parametrize(
    ("firmware", "loader"), [(Firmware.BIOS, "undionly.kpxe"), (Firmware.UEFI, "snponly.efi")]
)
def test_each_firmware_is_told_its_own_loader(firmware, loader):
    unit = units.unit("paper", 1, firmware)
    known = Known(plan=make.plan(mac=unit.mac), phase=Phase.PXE_READY, authority=True)
    raw = packets.ask(REQUEST, unit.mac, 9, packets.of_firmware(unit) | {50: b"\x0a\x4d\0\x15"})

    told = packets.read(served.build(answer(served.parse(raw), known)))

    assert (told.kind, told.boot_file, told.siaddr) == (ACK, loader, "127.64.0.1")


@pytest.mark.parametrize("cut", [0, 100, 239, 242, 250])
def test_what_is_no_reply_is_malformed(cut):
    request = packets.ask(DISCOVER, UNIT.mac, 7, packets.of_firmware(UNIT))
    reply = b"\x02" + request[1:]

    with pytest.raises(Malformed):
        packets.read(reply[:cut])
    with pytest.raises(Malformed):
        packets.read(request)


def test_machines_of_a_rack_are_all_different_and_the_same_at_every_start():
    first, again = ([units.unit("paper", n) for n in (1, 2, 300, 10_000)] for _ in range(2))

    assert first == again
    for name in ("mac", "serial", "uuid", "bmc_uuid", "disk"):
        assert len({getattr(unit, name) for unit in first}) == 4
    assert len({units.bmc_address(n) for n in (1, 2, 300, 10_000)}) == 4


@pytest.mark.parametrize("number", [0, units.MOST + 1])
def test_a_number_that_no_machine_can_have_is_refused(number):
    with pytest.raises(ValueError, match="not within"):
        units.unit("paper", number)
