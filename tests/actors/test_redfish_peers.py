"""The Redfish driver against BMCs that we did not write for it: the rack's, and sushy-tools'."""

import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from ipaddress import ip_network
from uuid import uuid4

import pytest
import requests

from actors.drivers import redfish
from actors.drivers.deadline import Deadline
from actors.drivers.errors import DriverError, NoSuchSystem, Refused
from actors.drivers.reach import Rules
from actors.drivers.systems import Identity, Target
from config.secrets import Secret
from deploy.rack import boot, power
from deploy.rack.disc import FILE, Disc
from deploy.rack.hardware import Firmware, build
from deploy.rack.power import PowerState
from deploy.rack.redfish.endpoint import Endpoints
from deploy.rack.redfish.service import Credentials, Service
from tests.actors.lane import until
from tests.deploy.rack_lab import images_at

pytestmark = pytest.mark.services

LOOPBACK = Rules(networks=(ip_network("127.0.0.0/8"),))


@contextmanager
def machine_at(address, **target):
    with redfish.connected(
        Target(address=address, **target),
        rules=LOOPBACK,
        deadline=Deadline.after(60),
        seen=lambda _: None,
    ) as machine:
        yield machine


class PaperMachine:
    """What the rack's BMC governs, without QEMU: each act is done when the state is next read."""

    def __init__(self):
        self.hardware = build(
            "paper", 1, firmware=Firmware.UEFI, memory_mib=768, disk_bytes=4 * 2**30
        )
        self.override = boot.NO_OVERRIDE
        self.fault = ""
        self.disc = None
        self._states = [PowerState.OFF]

    @property
    def state(self):
        return self._states.pop(0) if len(self._states) > 1 else self._states[0]

    def set_override(self, override):
        self.override = override

    def press(self, reset):
        act = power.act_for(reset, self._states[-1])
        cut = act in {power.Act.CUT, power.Act.ASK}
        self._states = [power.MEANWHILE[act]] * 2 + [PowerState.OFF if cut else PowerState.ON]


@pytest.fixture
def paper():
    return PaperMachine()


@pytest.fixture
def rack(paper):
    endpoints = Endpoints([Service(paper, Credentials("admin", "password"))], [0])
    yield f"http://127.0.0.1:{endpoints.ports[0]}"
    endpoints.close()


LOGIN = {"username": "admin", "password": Secret("password")}


def test_the_racks_machine_goes_on_and_off_through_its_states_in_between(rack, paper):
    with machine_at(rack, **LOGIN) as machine:
        assert machine.ensure_power(on=True) == {"power": "on", "changed": True}
        assert machine.ensure_power(on=True) == {"power": "on", "changed": False}
        assert machine.reboot() == {"power": "on", "changed": True}
        assert machine.ensure_power(on=False, force=True) == {"power": "off", "changed": True}


def test_the_racks_bmc_keeps_once(rack, paper):
    with machine_at(rack, **LOGIN) as machine:
        result = machine.set_boot_source("pxe")

    assert (result["source"], result["enabled"]) == ("pxe", "Once")
    assert paper.override.enabled == "Once"


def test_the_racks_inventory_names_its_parts(rack, paper):
    with machine_at(rack, **LOGIN) as machine:
        facts = machine.inventory()

    unit = paper.hardware
    assert facts["missing"] == {}
    assert facts["system"]["uuid"] == str(unit.uuid)
    assert (facts["memory_mib"], facts["processors"][0]["cores"]) == (768, unit.cores)
    assert [nic["mac"] for nic in facts["nics"]] == [unit.mac]
    disk = facts["disks"][0]
    assert (disk["serial"], disk["bytes"]) == (unit.disk.serial, unit.disk.size)
    assert disk["wwn"] == str(unit.disk.uuid)
    assert facts["bmc"]["firmware"]


def test_the_racks_virtual_cd_takes_an_image_boots_from_it_and_gives_it_back(rack, paper, tmp_path):
    (tmp_path / "rescue.iso").write_bytes(b"an image")
    (tmp_path / "r1").mkdir()
    paper.disc = Disc(tmp_path / "r1")

    with images_at(tmp_path) as images, machine_at(rack, **LOGIN) as machine:
        image = f"{images}/rescue.iso"
        assert machine.insert_media(image) == {"image": image, "changed": True}
        assert machine.set_boot_source("cd")["enabled"] == "Once"
        shown = (tmp_path / "r1" / FILE).read_bytes(), paper.override.target
        assert machine.eject_media() == {"image": "", "changed": True}

    assert shown == (b"an image", "Cd")
    assert (paper.disc.image, (tmp_path / "r1" / FILE).exists()) == ("", False)


def test_an_image_that_the_racks_bmc_cannot_fetch_is_refused(rack, paper, tmp_path):
    paper.disc = Disc(tmp_path)

    with images_at(tmp_path) as images, machine_at(rack, **LOGIN) as machine:
        with pytest.raises(DriverError):
            machine.insert_media(f"{images}/missing.iso")
        assert machine.eject_media()["changed"] is False


def test_the_racks_sessions_do_not_pile_up(rack):
    for _ in range(20):
        with machine_at(rack, **LOGIN) as machine:
            machine.power()

    basic = ("admin", "password")
    sessions = f"{rack}/redfish/v1/SessionService/Sessions"
    assert requests.get(sessions, auth=basic, timeout=60).json()["Members"] == []


def test_a_wrong_password_is_refused_by_the_rack(rack):
    with pytest.raises(Refused), machine_at(rack, username="admin", password=Secret("wrong-one")):
        pass


# Its machines take 1 to 11 s for what they are told, by chance; with this seed always 1.
EMULATOR = "import random; from sushy_tools.emulator import main; random.seed(3587); main.main()"


STORE = {"Id": "1", "Name": "Local storage", "StorageControllers": []}


def mac(uuid):
    return f"52:54:00:{uuid[0:2]}:{uuid[2:4]}:{uuid[4:6]}"


@pytest.fixture(scope="module")
def systems():
    return {str(uuid4()): f"node{number}" for number in range(2)}


@pytest.fixture(scope="module")
def emulator(systems, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sushy-tools")
    config = folder / "emulator.conf"
    known = [
        {"uuid": uuid, "name": name, "power_state": "Off", "nics": [{"mac": mac(uuid), "ip": ""}]}
        for uuid, name in systems.items()
    ]
    disk = {"Id": "32ADF365C6C1B7BD", "Name": "Disk", "CapacityBytes": 899527000000}
    stores = {uuid: [{**STORE, "Drives": [disk["Id"]]}] for uuid in systems}
    drives = {(uuid, STORE["Id"]): [{**disk, "Protocol": "SAS"}] for uuid in systems}
    config.write_text(
        f"SUSHY_EMULATOR_STATE_DIR = {str(folder / 'state')!r}\n"
        f"SUSHY_EMULATOR_FAKE_SYSTEMS = {known}\n"
        f"SUSHY_EMULATOR_STORAGE = {stores}\nSUSHY_EMULATOR_DRIVES = {drives}\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--fake", "--config", str(config), "-i", "127.0.0.1", "-p", str(port)]
    command = [sys.executable, "-W", "ignore", "-c", EMULATOR, *options]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    address = f"http://127.0.0.1:{port}"
    until(lambda: answers(address))
    yield address
    process.terminate()
    process.wait(60)


def answers(address):
    try:
        return requests.get(f"{address}/redfish/v1/", timeout=60).ok
    except requests.ConnectionError:
        return False


def test_the_emulators_system_is_found_by_its_uuid_and_powered(emulator, systems):
    uuid = list(systems)[1]

    with machine_at(emulator, identity=Identity.of({"uuid": uuid})) as machine:
        assert machine.ensure_power(on=True)["power"] == "on"
        assert machine.inventory()["system"]["uuid"] == uuid
        assert machine.reboot(force=True)["power"] == "on"
        assert machine.ensure_power(on=False)["power"] == "off"


def test_the_emulators_boot_source_is_set_and_read_back(emulator, systems):
    path = f"/redfish/v1/Systems/{next(iter(systems))}"

    with machine_at(emulator, system=path) as machine:
        result = machine.set_boot_source("pxe")

    # It keeps Once for good; a real BMC that does so is told of in the same way.
    assert (result["source"], result["enabled"]) == ("pxe", "Continuous")


def test_the_emulators_system_is_found_by_the_mac_of_its_card_wherever_it_stands(emulator, systems):
    for uuid in systems:
        with machine_at(emulator, identity=Identity.of({"macs": [mac(uuid)]})) as machine:
            assert machine.inventory()["system"]["uuid"] == uuid


def test_the_emulators_inventory_has_its_cards_and_its_disks(emulator, systems):
    uuid = next(iter(systems))

    with machine_at(emulator, identity=Identity.of({"uuid": uuid})) as machine:
        facts = machine.inventory()

    assert [nic["mac"] for nic in facts["nics"]] == [mac(uuid)]
    [disk] = facts["disks"]
    assert (disk["serial"], disk["bytes"], disk["protocol"]) == ("1234570", 899527000000, "SAS")


def test_the_emulators_virtual_cd_takes_an_image_and_gives_it_back(emulator, systems, tmp_path):
    (tmp_path / "rescue.iso").write_bytes(b"\0" * 4096)
    identity = Identity.of({"uuid": next(iter(systems))})

    with images_at(tmp_path) as images, machine_at(emulator, identity=identity) as machine:
        image = f"{images}/rescue.iso"
        inserted, again = machine.insert_media(image), machine.insert_media(image)
        boot = machine.set_boot_source("cd")
        ejected, nothing = machine.eject_media(), machine.eject_media()

    assert inserted == {"image": image, "changed": True}
    assert (again["changed"], boot["source"]) == (False, "cd")
    assert (ejected["changed"], nothing["changed"]) == (True, False)


def test_none_of_the_emulators_systems_is_taken_blindly(emulator):
    with pytest.raises(NoSuchSystem, match=re.escape("2 of the 2")), machine_at(emulator):
        pass
