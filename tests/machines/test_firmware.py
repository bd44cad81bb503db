"""Real firmware, by each way to a site, to our script, our deploy system and its callback."""

from dataclasses import replace
from ipaddress import IPv4Address
from itertools import product

import pytest

from models.observations import Observation, Seen
from tests.machines.evidence import say
from tests.machines.ground import STARTS, Ground, address, standing
from tests.machines.ways import POOL, Way

pytestmark = [pytest.mark.machines, pytest.mark.timeout(600)]

MATRIX = list(product(STARTS, Way))
DIAGONAL = [(start, list(Way)[number % len(Way)]) for number, start in enumerate(STARTS)]
BY_HAND = pytest.mark.long

UNKNOWN = [
    ("bios-ipxe-rom", Way.FULL),
    pytest.param("bios-plain-rom", Way.PROXY, marks=BY_HAND),
    pytest.param("uefi-virtio", Way.RELAY, marks=BY_HAND),
    pytest.param("uefi-http", Way.FULL, marks=BY_HAND),
]
STORM = [(4, 40.0), pytest.param(16, 120.0, marks=BY_HAND)]
"""Machines, and four times the seconds that so many take on four idle cores."""

FIRST = {
    "bios-ipxe-rom": {},
    "bios-plain-rom": {Seen.TFTP_SENT: {"name": "undionly.kpxe"}},
    "uefi-virtio": {Seen.TFTP_SENT: {"name": "snponly.efi"}},
    "uefi-e1000e": {},
    "uefi-http": {Seen.ARTIFACT_SERVED: {"path": "/loaders/snponly.efi"}},
}
"""What each firmware fetches before iPXE is there; two of them have it in their ROM."""


def check_boot(ground: Ground, name: str, way: Way) -> None:
    """Switch the machine on, and see it come to its callback by the way that it should."""
    [machine] = ground.rack.machines
    begun = ground.switch_on()

    [told] = ground.wait_for(Seen.INSTALL_STARTED)

    script, *_ = ground.boot.rows(Seen.SCRIPT_SERVED)
    unit = machine.hardware
    assert script.mac == told.mac == unit.mac
    assert told.data["mac"] == unit.mac
    check_address(ground, told, way)
    assert (told.data["serial"], told.data["firmware"]) == (unit.serial, unit.firmware)
    for kind, data in FIRST[name].items():
        assert data.items() <= ground.boot.rows(kind)[0].data.items()
    assert {each.data["address"] for each in offers(ground)} == {
        "0.0.0.0" if way is Way.PROXY else address(machine)
    }
    assert not ground.boot.rows(Seen.STRANGE_REQUEST)
    say(f"{name} {way}: script {script.at - begun:.1f} s, callback {told.at - begun:.1f} s")


def check_address(ground: Ground, told: Observation, way: Way) -> None:
    """See the machine at its plan's address, or at the one that it took of the other server."""
    [machine] = ground.rack.machines
    if way is not Way.PROXY:
        assert told.data["address"] == address(machine)
        return
    assert POOL[0] <= IPv4Address(told.data["address"]) <= POOL[1]
    heard = {row.data["address"] for row in ground.boot.rows(Seen.DHCP_HEARD)}
    assert told.data["address"] in heard


def offers(ground: Ground) -> list:
    return ground.boot.rows(Seen.DHCP_OFFERED)


@pytest.mark.parametrize(("name", "way"), DIAGONAL)
def test_each_firmware_boots_to_our_script_and_reports_back(tmp_path, name, way):
    with standing(tmp_path, STARTS[name], way) as ground:
        check_boot(ground, name, way)


@pytest.mark.long
@pytest.mark.parametrize(("name", "way"), MATRIX)
def test_each_firmware_boots_by_each_way(tmp_path, name, way):
    with standing(tmp_path, STARTS[name], way) as ground:
        check_boot(ground, name, way)


@pytest.mark.parametrize(("name", "way"), UNKNOWN)
def test_a_machine_that_nobody_knows_is_told_so_and_is_a_discovery(tmp_path, name, way):
    with standing(tmp_path, STARTS[name], way, known=False) as ground:
        [machine] = ground.rack.machines
        ground.switch_on()

        machine.serial.wait_for("Sprout does not know this machine", ground.start.limit_s)

        [found] = ground.wait_for(Seen.MACHINE_DISCOVERED)
        assert (found.mac, found.machine) == (machine.hardware.mac, None)
        assert found.data["uuid"] == str(machine.hardware.uuid)
        assert bool(found.data["relay"]) is (way is Way.RELAY)
        assert {each.data["why"] for each in ground.boot.rows(Seen.STRANGE_REQUEST)} == {
            "unknown-mac"
        }
        assert not ground.boot.rows(Seen.SCRIPT_SERVED)


@pytest.mark.parametrize(("machines", "limit_s"), STORM)
def test_machines_that_are_switched_on_at_once_all_report_back(tmp_path, machines, limit_s):
    start = replace(STARTS["bios-ipxe-rom"], limit_s=limit_s)
    with standing(tmp_path, start, Way.FULL, machines=machines) as ground:
        begun = ground.switch_on()

        told = ground.wait_for(Seen.INSTALL_STARTED, machines)

        assert {each.mac: each.data["address"] for each in told} == {
            machine.hardware.mac: address(machine) for machine in ground.rack.machines
        }
        say(f"{machines} machines: last callback {max(t.at for t in told) - begun:.1f} s")
