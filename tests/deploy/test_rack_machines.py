"""Real firmware behind the BMC: what boots, when, and what is left after a kill."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest
import sushy

from deploy.rack import netns
from deploy.rack.hardware import Firmware
from deploy.rack.machine import Patience
from deploy.rack.power import PowerState
from deploy.rack.rack import Rack
from tests.deploy.rack_lab import (
    ON_DISK,
    ON_NETWORK,
    bmc_of,
    dhcp_on,
    driven,
    images_at,
    put_disc_in,
    put_guest_on,
)

pytestmark = pytest.mark.machines

SMALL = {"memory_mib": 512, "disk_bytes": 64 << 20}
ONCE = {"target": sushy.BootSource.PXE, "enabled": sushy.BootSourceOverrideEnabled.ONCE}


@pytest.fixture
def rack(request, tmp_path):
    """A rack of one machine of the firmware that the test asks for, or with BIOS."""
    firmware = getattr(request, "param", Firmware.BIOS)
    with Rack(tmp_path / "rack", firmware=firmware, **SMALL) as rack:
        put_guest_on(rack.machines[0])
        yield rack


@pytest.fixture
def machine(rack):
    return rack.machines[0]


@pytest.fixture
def dhcp(rack, tmp_path):
    with dhcp_on(rack, tmp_path / "dhcp") as dhcp:
        yield dhcp


@pytest.fixture
def bmc(rack):
    with bmc_of(rack.describe()["machines"][0]) as system:
        yield system


def power_of(bmc):
    bmc.refresh(force=True)
    return bmc.power_state


@pytest.mark.parametrize("rack", Firmware, indirect=True)
def test_boot_once_reaches_the_network_and_the_next_boot_reaches_the_disk(rack, machine, dhcp, bmc):
    bmc.set_system_boot_options(**ONCE)
    bmc.reset_system(sushy.ResetType.ON)
    in_script = machine.serial.wait_for(ON_NETWORK, 60)
    asked = dhcp.requests()

    machine.serial.wait_for(ON_DISK, 60, after=in_script)

    assert asked > 0
    assert dhcp.requests() == asked
    bmc.refresh(force=True)
    assert bmc.boot.enabled is sushy.BootSourceOverrideEnabled.DISABLED


ON_DISC = "BOOTED-FROM-DISC"


@pytest.fixture
def images(rack, tmp_path):
    """Images by HTTP, one of them a CD that says where it was booted from."""
    folder = tmp_path / "images"
    folder.mkdir()
    put_disc_in(folder / "rescue.iso", rack.firmware, ON_DISC)
    with images_at(folder) as url:
        yield url


@pytest.mark.parametrize("rack", Firmware, indirect=True)
def test_an_image_that_is_inserted_boots_once_and_then_the_disk_does(rack, machine, images):
    described = rack.describe()["machines"][0]
    with driven(described) as driver:
        driver.insert_media(f"{images}/rescue.iso")
        driver.set_boot_source("cd")
        driver.ensure_power(on=True)
        on_disc = machine.serial.wait_for(ON_DISC, 60)
        driver.ensure_power(on=False, force=True)
        driver.ensure_power(on=True)

    machine.serial.wait_for(ON_DISK, 60, after=on_disc)


def test_ipxe_does_not_wait_for_a_router(machine, dhcp, bmc):
    bmc.set_system_boot_options(**ONCE)
    machine.start()
    machine.serial.wait_for("Configuring", 60)
    began = monotonic()

    machine.serial.wait_for(ON_NETWORK, 60)

    assert monotonic() - began < 8  # without an answer iPXE spends 16 s here


def test_a_continuous_override_holds_for_the_boot_after_too(machine, dhcp, bmc):
    bmc.set_system_boot_options(
        target=sushy.BootSource.PXE, enabled=sushy.BootSourceOverrideEnabled.CONTINUOUS
    )
    machine.start()
    first = machine.serial.wait_for(ON_NETWORK, 60)

    machine.serial.wait_for(ON_NETWORK, 60, after=first)

    assert ON_DISK not in machine.serial.read()


@pytest.mark.parametrize("rack", [Firmware.UEFI], indirect=True)
def test_http_boot_is_what_a_uefi_machine_tries_when_told_so(machine, dhcp, bmc):
    bmc.set_system_boot_options(
        target=sushy.BootSource.UEFI_HTTP, enabled=sushy.BootSourceOverrideEnabled.ONCE
    )
    machine.start()
    machine.serial.wait_for("Start HTTP Boot over IPv4")

    dhcp.wait_for("vendor class: HTTPClient:Arch:00016")

    assert "PXEClient" not in dhcp.log.read_text()


def test_the_power_follows_the_bmc(machine, bmc):
    bmc.reset_system(sushy.ResetType.ON)
    machine.wait_for(PowerState.ON)
    first = machine.serial.wait_for(ON_DISK)
    bmc.reset_system(sushy.ResetType.FORCE_RESTART)
    machine.serial.wait_for(ON_DISK, after=first)
    assert power_of(bmc) is sushy.PowerState.ON

    bmc.reset_system(sushy.ResetType.FORCE_OFF)
    machine.wait_for(PowerState.OFF)

    assert power_of(bmc) is sushy.PowerState.OFF


def test_a_guest_that_obeys_the_power_button_goes_off_or_comes_again(machine, bmc):
    machine.start()
    first = machine.serial.wait_for(ON_DISK)
    bmc.reset_system(sushy.ResetType.GRACEFUL_RESTART)
    assert power_of(bmc) is sushy.PowerState.POWERING_OFF
    machine.serial.wait_for(ON_DISK, after=first)

    bmc.reset_system(sushy.ResetType.GRACEFUL_SHUTDOWN)

    machine.wait_for(PowerState.OFF)


@pytest.mark.parametrize("rack", [Firmware.UEFI], indirect=True)
def test_a_guest_that_switches_itself_off_is_off(machine, bmc):
    machine.start()
    machine.serial.wait_for(ON_DISK)

    machine.wait_for(PowerState.OFF)

    assert power_of(bmc) is sushy.PowerState.OFF


@pytest.mark.parametrize(("insist", "after"), [(False, PowerState.ON), (True, PowerState.OFF)])
def test_a_guest_that_ignores_the_power_button_stays_on_unless_one_insists(tmp_path, insist, after):
    patience = Patience(grace=0.5, insist=insist)
    with (
        Rack(tmp_path, patience=patience, **SMALL) as rack,
        bmc_of(rack.describe()["machines"][0]) as bmc,
    ):
        machine = rack.machines[0]
        machine.start()  # the disk is empty: no guest hears the button
        bmc.reset_system(sushy.ResetType.GRACEFUL_SHUTDOWN)
        assert power_of(bmc) is sushy.PowerState.POWERING_OFF

        machine.wait_for(after)


def test_on_when_on_is_refused_as_bmcs_do(machine, bmc):
    machine.start()

    with pytest.raises(sushy.exceptions.HTTPError, match="powered off") as caught:
        bmc.reset_system(sushy.ResetType.ON)

    assert caught.value.status_code == 409


def test_hardware_that_cannot_start_is_off_and_critical_and_says_why(machine, bmc):
    (machine.place.folder / "disk.raw").unlink()

    bmc.reset_system(sushy.ResetType.ON)
    machine.wait_for(PowerState.OFF)

    bmc.refresh(force=True)
    assert bmc.status.health is sushy.Health.CRITICAL
    assert "disk.raw" in machine.fault


def test_a_disk_keeps_what_was_written_to_it(tmp_path):
    for _ in range(2):
        with Rack(tmp_path, **SMALL) as rack:
            disk = rack.machines[0].place.folder / "disk.raw"
            found = disk.read_bytes()[:4]
            with disk.open("r+b") as sectors:
                sectors.write(b"data")

    assert found == b"data"


def test_a_killed_rack_takes_its_machines_along_and_sweep_removes_the_rest(tmp_path):
    command = [sys.executable, "-m", "deploy.rack"]
    up = subprocess.Popen(
        [*command, "up", "--state", tmp_path, "--memory", "512"], stdout=subprocess.PIPE, text=True
    )
    described = json.loads(up.stdout.readline())
    with bmc_of(described["machines"][0]) as bmc:
        bmc.reset_system(sushy.ResetType.ON)
    qemu = qemu_of(tmp_path / "r1")
    up.send_signal(signal.SIGKILL)
    up.stdout.close()
    up.wait(60)

    assert select.select([qemu], [], [], 60)[0], "QEMU outlived its rack"
    os.close(qemu)
    swept = subprocess.run(
        [*command, "sweep", "--state", tmp_path], check=True, capture_output=True, text=True
    )
    assert f"removed network namespace {described['netns']}\n" in swept.stdout
    assert not netns.exists(described["netns"])
    assert not list(Path("/sys/class/net").glob("r1"))


def qemu_of(folder):
    """Return a handle of the machine's process as soon as it has one."""
    record = folder / "qemu.pid"
    until = monotonic() + 60
    while not (record.exists() and record.read_text()):
        assert monotonic() < until, "QEMU was not started"
    return os.pidfd_open(int(record.read_text().split()[0]))
