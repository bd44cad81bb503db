"""The simulated BMC under the product's own driver, and the log of what was written to it."""

from ipaddress import ip_network

import pytest

from actors.drivers import redfish
from actors.drivers.deadline import Deadline
from actors.drivers.errors import Refused
from actors.drivers.reach import Rules
from actors.drivers.systems import Identity, Target
from config.secrets import Secret
from deploy.rack.boot import NO_OVERRIDE
from deploy.rack.power import PowerState
from deploy.rack.simulated import writes
from tests.deploy.simulated_lab import staged
from tests.pxe_stack.lab import until

pytestmark = pytest.mark.services

LOOPBACK = Rules(networks=(ip_network("127.0.0.0/8"),))


@pytest.fixture
def stage(tmp_path):
    with staged(tmp_path) as made:
        yield made


@pytest.fixture
def machine(stage):
    with login(stage) as found:
        yield found


def login(stage, password=None, **identity):
    target = Target(
        address=stage.bmc,
        username="admin",
        password=Secret(password or stage.password),
        identity=Identity(**identity),
    )
    deadline = Deadline.after(20)
    return redfish.connected(target, rules=LOOPBACK, deadline=deadline, seen=lambda _: None)


def governing(stage):
    return [each for each in writes.read(stage.writes) if each.governs]


def test_the_driver_switches_it_on_and_off_and_on_again(stage, machine):
    assert machine.ensure_power(on=True) == {"power": "on", "changed": True}
    assert machine.ensure_power(on=True) == {"power": "on", "changed": False}
    assert machine.ensure_power(on=False, force=True) == {"power": "off", "changed": True}
    assert machine.reboot(force=True) == {"power": "on", "changed": True}

    told = [(each.method, each.body["ResetType"]) for each in governing(stage)]
    assert told == [("POST", "On"), ("POST", "ForceOff"), ("POST", "On")]
    assert stage.machine.state is PowerState.ON


def test_the_driver_sets_a_boot_source_that_one_boot_uses_up(stage, machine):
    shown = machine.set_boot_source("pxe")

    assert (shown["source"], shown["enabled"]) == ("pxe", "Once")
    machine.ensure_power(on=True)
    until(lambda: stage.machine.override == NO_OVERRIDE)


def test_the_driver_takes_stock_of_it(stage, machine):
    facts = machine.inventory()

    hardware = stage.machine.hardware
    assert facts["system"]["uuid"] == str(hardware.uuid)
    assert [disk["serial"] for disk in facts["disks"]] == [hardware.disk.serial]
    assert [nic["mac"] for nic in facts["nics"]] == [hardware.mac]
    assert governing(stage) == []


def test_a_wrong_password_is_refused_and_not_written_down(stage):
    with pytest.raises(Refused), login(stage, "guessed"):
        pass

    assert "guessed" not in stage.writes.read_text()
    assert stage.password not in stage.writes.read_text()


def test_each_write_is_in_the_log_with_its_machine_and_its_body_before_it_is_answered(stage):
    with login(stage) as machine:
        machine.set_boot_source("pxe")

    [patch] = governing(stage)
    assert (patch.machine, patch.method) == ("r1", "PATCH")
    assert patch.path == f"/redfish/v1/Systems/{stage.machine.hardware.uuid}"
    assert patch.body["Boot"]["BootSourceOverrideTarget"] == "Pxe"
    assert patch.at > 0


def test_a_line_that_is_half_written_is_left_out(stage):
    with stage.writes.open("a") as log:
        log.write('{"at": 1')

    assert writes.read(stage.writes) == []
